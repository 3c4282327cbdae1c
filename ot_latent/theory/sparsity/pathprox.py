"""PathProx, the optimiser of this theory; defined on a lower floor, where trainings can reach it."""

from ot_latent._pathprox import PathProx as PathProx
