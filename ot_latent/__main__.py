"""``python -m ot_latent``: the same as the command ``ot-latent``."""

from ot_latent.cli import main

if __name__ == "__main__":
    main()
