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
# # Sparse hierarchies: data whose whole structure is known
#
# Why can deep networks learn data in hundreds of dimensions? One answer: data are compositions of parts,
# the parts can be exchanged for synonyms, and they can move a little without changing what is said. The
# *sparse random hierarchy model* (Tomasini and Wyart, 2024; dense: Cagnetta et al., 2024) is the simplest
# data of that kind, and everything about it is known: how many data there are, what each means, and
# which strings are data at all.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib_inline.backend_inline import set_matplotlib_formats

from ot_latent import LatentGenerator, plotting
from ot_latent.theory.hierarchy import (
    RandomHierarchy,
    SparseRandomHierarchy,
    build_learner,
    deform,
    input_sensitivity,
    judge_strings,
    layer_sensitivity,
    learning_curve,
    max_entropy_deformation,
    predicted_sample_complexity,
    temperature,
    train_network,
    tuple_label_signal,
)

set_matplotlib_formats("png")  # so that a figure at the end of a cell is shown
quick = bool(os.environ.get("OT_LATENT_QUICK"))  # the test suite runs a smaller size
torch.set_num_threads(1)

# %% [markdown]
# ## A datum and its tree
#
# A class becomes one of $m$ pairs of symbols, each of these one of its own $m$ pairs, and so on. No pair
# has two parents. In the sparse model a pair lies somewhere in a patch of four positions, and empty
# positions beget empty patches: what is said stays the same wherever it stands.

# %%
model = SparseRandomHierarchy(vocabulary=6, classes=6, synonyms=4, levels=3, zeros=1, seed=1)
trees = model.sample(2000, seed=0)
plotting.data_tree(model, trees, row=3)

# %% [markdown]
# The same datum with its symbols *displaced* at level 2 and below, and with its *synonyms exchanged* at
# level 1. Choices belong to nodes of the tree, not to positions, so moving a node does not change what
# it says. The class is the same in all three.

# %%
moved = model.displace(trees, level=2, seed=1)
exchanged = model.exchange_synonyms(trees, level=1, seed=1)
with plotting.style():
    fig, axes = plt.subplots(2, 1, figsize=(9, 7.2), layout="constrained")
    plotting.data_tree(model, moved, row=3, ax=axes[0]).set_title("displaced")
    plotting.data_tree(model, exchanged, row=3, ax=axes[1]).set_title("synonyms exchanged")
plt.show()

# %% [markdown]
# ## The parser
#
# The grammar is unambiguous, so a parser finds the tree of every datum (*theorem*: exactly). One wrong
# symbol is noticed at once or a level above, and the parser says how far up a string still is
# grammatical. Below, symbols of dense strings are drawn anew: half of all pairs are legal at each level,
# and damage grows upwards.

# %%
strings = model.strings(trees)
found = model.parse(strings)
print(
    f"{model.n_data:.3e} different data; labels right: {(found.labels == trees.labels).mean():.0%}"
)
print(f"trees right: {np.array_equal(found.trees.choices, trees.choices)}")

dense = RandomHierarchy(vocabulary=6, classes=6, synonyms=3, levels=3)
written = dense.strings(dense.sample(2000, seed=0))
rng = np.random.default_rng(0)
shares = np.linspace(0, 0.5, 11)
legal = []
for share in shares:
    noise = rng.integers(1, 7, size=written.shape)
    spoilt = np.where(rng.random(written.shape) < share, noise, written)
    legal.append(dense.parse(spoilt).legal.mean(axis=0))
with plotting.style():
    fig, ax = plt.subplots(figsize=(5.8, 3.4), layout="constrained")
    for level, (curve, colour) in enumerate(
        zip(np.transpose(legal), plotting.PALETTE[::3], strict=False), 1
    ):
        ax.plot(shares, curve, "o-", ms=4, color=colour, label=f"level {level}")
    ax.set(
        xlabel="share of symbols drawn anew",
        ylabel="legal with all below",
        ylim=(0, 1.03),
    )
    ax.legend()
plt.show()

# %% [markdown]
# ## What a tuple says about the class
#
# Gradient descent first finds correlations between pairs of the input and the class. They can be
# computed from the rules (*exact*), and fade with depth about like $\sqrt{v/m^{L-1}}$ (*estimate*).

# %%
for levels in (2, 3, 4):
    signals = [
        tuple_label_signal(
            RandomHierarchy(vocabulary=8, classes=8, synonyms=8, levels=levels, seed=s)
        )
        for s in range(5)
    ]
    print(f"L = {levels}: {np.mean(signals):.3f}, estimate {np.sqrt(8 / 8 ** (levels - 1)):.3f}")

# %% [markdown]
# ## How many data?
#
# A convolutional network matched to the tree, trained until it fits, on more and more data. Measured law
# (*estimate*, by Tomasini and Wyart): $P^* \sim (s_0+1)^2\, n_c\, m^L$, polynomial in the number of
# informative symbols, and quadratic in the sparsity. On the right the curves are rescaled by it.

# %%
v = 4 if quick else 6
ratios = (0.5, 1, 2, 4) if quick else (0.5, 0.7, 1, 1.4, 2, 2.8, 4)
curves, scales = {}, []
for zeros in (0, 1) if quick else (0, 1, 2):
    models = [
        SparseRandomHierarchy(vocabulary=v, classes=v, synonyms=v, zeros=zeros, seed=s)
        for s in range(1 if quick else 2)
    ]
    scales.append(predicted_sample_complexity(models[0]))
    sizes = [min(round(scales[-1] * ratio), models[0].n_data - 50) for ratio in ratios]
    curve = learning_curve(sizes=sizes, models=models, width=64 if quick else 128, tests=1000)
    curves[f"$s_0 = {zeros}$"] = (curve.sizes, curve.errors)
plotting.learning_curves(curves, scales, chance=1 - 1 / v, threshold=0.1)
plt.show()

# %% [markdown]
# ## What the layers no longer see
#
# A network that generalises has become insensitive: to synonyms, and at the same number of data to
# positions. Below 1 means closer than another input; the input's own values have a closed form
# (*theorem*, on average over rules).

# %%
model = SparseRandomHierarchy(vocabulary=v, classes=v, synonyms=v, zeros=1)
scale = predicted_sample_complexity(model)
probe = model.sample(300, seed=9)
x = model.encode(probe)
with plotting.style():
    fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
for ax, ratio in zip(axes, (0.5, 4), strict=True):
    few = model.sample(round(scale * ratio), seed=0)
    net = build_learner(model, width=64 if quick else 128)
    train_network(net, torch.from_numpy(model.encode(few)), few.labels, seed=0)
    seen = {
        "synonyms exchanged": model.exchange_synonyms(probe, seed=1),
        "symbols displaced": model.displace(probe, seed=1),
    }
    seen = {name: layer_sensitivity(net, x, model.encode(t)) for name, t in seen.items()}
    layers = ["input", "body.1", "body.3", "output"]
    plotting.sensitivities(
        seen, layers=layers, names=["input", "layer 1", "layer 2", "logits"], ax=ax
    )
    ax.set_title(f"{len(few):,} data")
axes[1].set_ylabel("")
print("closed form of the input:", np.round(input_sensitivity(model), 3))
plt.show()

# %% [markdown]
# ## Smooth deformations: the same for images
#
# For images the counterpart of a displacement is a deformation. Of all with a given mean gradient, those
# of largest entropy are sums of sines with Gaussian amplitudes (Petrini et al., 2021); the temperature
# sets their size, and the border stays where it is. Shown are displacements of 1, 2 and 4 pixels (rms
# over the image) of a pattern of 64 pixels a side.

# %%
t = np.arange(64)
pattern = 1.0 * ((t[:, None] % 8 < 1) | (t % 8 < 1)) + 0.5 * np.hypot(t[:, None] - 32, t - 32) / 45
with plotting.style():
    fig, axes = plt.subplots(1, 4, figsize=(10, 2.8), layout="constrained")
    for ax, delta in zip(axes, (0, 1, 2, 4), strict=True):
        heat = temperature(delta, side=64, at="image")
        field = max_entropy_deformation(1, (64, 64), heat, seed=2)
        ax.imshow(deform(pattern[None], field)[0], cmap="bone_r", interpolation="bilinear")
        ax.set(xticks=[], yticks=[], title=f"{delta} px")
plt.show()

# %% [markdown]
# ## A generator judged by a grammar
#
# For images nobody knows which samples are right. Here the parser does: a generated string is
# grammatical or it is not, and new or it is not. A small `LatentGenerator` learns some of the
# strings of a dense hierarchy; its samples are judged beside a uniform draw from the language and strings
# whose positions are drawn one by one. `benchmarks/hierarchy_generation.py` has the full comparison.

# %%
language = RandomHierarchy(vocabulary=4, classes=4, synonyms=2, levels=3, seed=1)
count = language.n_data // 2
strings = language.strings(language.sample(count, seed=0))
rows = language.encode(strings).reshape(count, -1)
gen = LatentGenerator(8, width=16, epochs=25 if quick else 150, random_state=0)
drawn = gen.fit(rows).sample(2000, random_state=1).reshape(2000, 4, -1)
mixed = np.take_along_axis(strings, rng.integers(count, size=(2000, strings.shape[1])), axis=0)
made = {
    "the language": language.strings(language.sample(2000, seed=5, replacement=True)),
    "generator": language.decode(drawn),
    "independent symbols": mixed,
}
scores = {name: judge_strings(language, each, strings) for name, each in made.items()}
place = np.arange(3)
with plotting.style():
    fig, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    for k, key in enumerate(("validity", "recall", "novelty")):
        label = {"validity": "grammatical", "novelty": "grammatical and new"}.get(key, key)
        heights = [getattr(score, key) for score in scores.values()]
        ax.bar(place + 0.27 * (k - 1), heights, 0.25, label=label, color=plotting.PALETTE[3 * k])
    ax.set_xticks(place, scores)
    ax.set(ylabel="share", ylim=(0, 1.25))
    ax.legend(ncols=3, loc="upper center")
plt.show()

# %% [markdown]
# **Theorem** or exact are: the number of data, the parser, signals of tuples for given rules, closed forms
# of the input's sensitivities on average over rules, the moments of deformations. **Estimates** are:
# sensitivities of layers, learning curves, the laws of sample complexity, shares of grammatical samples.
# No **heuristic** is used here.
#
# **Next.** `docs/hierarchy.md` has the formulas; `python -m benchmarks hierarchy` measures the collapse with
# more grammars, `python -m benchmarks hierarchy_generation` the generator beside its rivals.
