# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Quickstart: from a data set to new samples
#
# `ot_latent` samples from your data in three steps that you can look at one by one:
#
# 1. an **autoencoder** turns data into codes;
# 2. **semi-discrete optimal transport** cuts a box of uniform noise into one cell per code, each
#    with exactly its share of the noise: no code, and so no mode, can be lost;
# 3. the **decoder** turns mapped noise into new data.
#
# This notebook fits the handwritten digits that come with scikit-learn, draws new ones, and then
# asks the two questions that matter: *is anything missing?* and *is anything merely copied?*
# It needs no download and runs on two CPU cores.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import torch

from ot_latent import (
    DiscreteMeasure,
    LatentGenerator,
    OTSampler,
    StochasticNewton,
    UniformBox,
    datasets,
    plotting,
)

quick = bool(os.environ.get("OT_LATENT_QUICK"))  # the test suite runs a smaller size
train, test = (datasets.load("digits", split=split) for split in ("train", "test"))
print(f"{len(train.x)} digits of {train.x.shape[1:]} to fit, {len(test.x)} held out")

# %% [markdown]
# ## Fit
#
# One call trains the autoencoder, solves the transport and keeps what the evaluation needs. Every
# draw has a seed: the same call gives the same model.

# %%
gen = LatentGenerator(latent_dim=16, epochs=8 if quick else None, random_state=0)
gen.fit(train.x, train.y)
print(gen.transport_.status.name)

# %% [markdown]
# ## Sample
#
# Samples come back in the layout, dtype and range of the data. Row *i* depends on (seed, *i*) only:
# asking for 8 gives the first 8 of 64, whatever the batch.

# %%
new = gen.sample(64, random_state=7)
print("8 samples are the first 8 of 64:", np.array_equal(gen.sample(8, random_state=7), new[:8]))
fig, axes = plt.subplots(1, 2, figsize=(9, 4.6), layout="constrained")
plotting.image_grid(train.x[:64], title="data", ax=axes[0])
plotting.image_grid(new, title="samples", ax=axes[1])
plt.show()

# %% [markdown]
# With labels you can ask for a class. The cells of a label's codes are the part of the noise that
# leads there, so nothing is approximated: noise is drawn again until it falls in one of them.

# %%
plotting.image_grid(gen.sample(20, random_state=1, label=3), columns=10, title="label 3")
plt.show()

# %% [markdown]
# ## How far did the transport converge?
#
# The error of a cell's mass is measured on noise that the solver never used, and comes with an
# interval. With $T$ independent draws no method can beat $\sqrt{(N-1)/T}$: the dashed limit.

# %%
found = gen.transport_
low, high = found.mass_error_interval
print(
    f"rms relative error of a cell's mass: {found.mass_error:.3f}, 95 % interval {low:.3f} to {high:.3f}"
)
print(f"efficiency (1 is the statistical limit): {found.efficiency:.2f}")
plotting.convergence(
    found.history, mass_error=found.mass_error, interval=(low, high), tolerance=found.tolerance
)
plt.show()

# %% [markdown]
# ## Is anything missing, is anything copied?
#
# `evaluate` compares with held-out data and with samplers that use no transport. Read it like
# this: *recall* and *modes* say what is missing, *precision* and *mixture_rate* what is invented,
# *novelty_ratio* how far samples are from the training set (1 = as far as new data, 0 = copies).
# The plain map returns training codes: its novelty is zero, and the report says so.

# %%
record = gen.evaluate(test.x, test.y)
shown = ("frechet", "precision", "recall", "modes", "mixture_rate", "novelty_ratio")
print(f"{'':22}" + "".join(f"{key:>14}" for key in shown))
for name, scores in {"ot_latent": record, **record["baselines"]}.items():
    cells = (scores[key]["value"] for key in shown)
    print(f"{name:22}" + "".join(f"{'-' if c is None else format(c, '.2f'):>14}" for c in cells))

# %% [markdown]
# With 373 held-out digits the intervals are wide (`record["frechet"]` holds `low` and `high`): do
# not rank samplers on one digit of a small table.
#
# ## Walk through noise space, and back
#
# The map is a function. A straight line in noise space is a path of pictures, and `noise` goes back
# from data to the centre of its cell.

# %%
ends = test.x[:3], test.x[3:6]
plotting.interpolation(list(gen.interpolate(*ends, steps=9)), title="paths in noise space")
plt.show()
back = gen.noise(gen.encode(test.x[:5]))
plotting.reconstructions(test.x[:5], gen.sample(noise=back), title="data -> noise -> data")
plt.show()

# %% [markdown]
# ## Save and load
#
# One folder holds everything that sampling needs, without the training data and without pickle.

# %%
import tempfile

with tempfile.TemporaryDirectory() as folder:
    gen.save_pretrained(folder)
    again = LatentGenerator.from_pretrained(folder, device="cpu")
print("same samples after loading:", np.array_equal(again.sample(8, random_state=7), new[:8]))

# %% [markdown]
# ## The transport alone
#
# `OTSampler` is a scikit-learn estimator for codes of any dimension, and below it lies the solver:
# a source, a target with masses, a Brenier potential.

# %%
rng = np.random.default_rng(0)
Z = rng.normal(size=(500, 8)) + 5 * rng.integers(2, size=(500, 1))
print("new codes:", OTSampler(random_state=0).fit(Z).sample(1000, random_state=7).shape)

target = DiscreteMeasure([[0.25, 0.5], [0.75, 0.5]], [0.25, 0.75])
two = StochasticNewton(tolerance=0.02, seed=0).solve(UniformBox.unit(2), target)
print("heights:", two.potential.heights.numpy().round(3), "closed form: [0.0625, -0.0625]")
x = torch.tensor([[0.1, 0.5], [0.9, 0.5]], dtype=torch.float64)
print("cells of", x.tolist(), "are", two.potential.cell_index(x).tolist())
