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
# # Linear pieces, counted
#
# A ReLU network is a piecewise-linear map. How many pieces it has, where they lie, and how many a
# manifold demands of any network that is to encode it: all of this can be computed exactly for networks
# of useful size. The notions are those of Lei, Luo, Yau and Gu (arXiv 1805.10451).

# %%
import itertools
import os

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib_inline.backend_inline import set_matplotlib_formats
from torch import nn

from ot_latent import plotting
from ot_latent.theory.rectified_linear import (
    curve_complexity,
    encodes,
    line_regions,
    peano_curve,
    region_bounds,
    segment_chords,
    slice_regions,
    spiral,
    straighten,
    stroke_limit,
)
from ot_latent.theory.running import float64_function

set_matplotlib_formats("png")  # so that a figure at the end of a cell is shown
quick = bool(os.environ.get("OT_LATENT_QUICK"))  # the test suite runs a smaller size
rng = np.random.default_rng(2)

# %% [markdown]
# ## Cells and pieces (exact)
#
# Each unit is on or off; where all stay as they are lies an *activation cell*, a convex polygon in the
# plane. Neighbouring cells on which the network happens to be the same affine map form one *linear
# piece*: units that the next layer ignores cut cells but bend nothing. Left: the cells of a random
# network with 2 inputs and two layers of 8, close slopes in close colours. Right: its pieces; white
# lines part cells of one piece.

# %%
layers = []
for inputs, outputs in ((2, 8), (8, 8), (8, 1)):
    layer = nn.Linear(inputs, outputs)
    layer.weight.data = torch.from_numpy(
        rng.standard_normal((outputs, inputs)) * (2 / inputs) ** 0.5
    )
    layer.bias.data = torch.from_numpy(rng.standard_normal(outputs) * 0.5)
    layers += [layer, nn.ReLU()]
small = nn.Sequential(*layers[:-1])
window = 2.5 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
cells = slice_regions(small, polygon=window)
with plotting.style():
    fig, axes = plt.subplots(1, 2, figsize=(10.5, 5), layout="constrained")
pieces = len(cells.linear_pieces())
plotting.linear_regions(cells, axes[0], title=f"{len(cells)} activation cells")
plotting.linear_regions(
    cells, axes[1], color="pieces", borders=True, title=f"{pieces} linear pieces"
)
for ax in axes:
    ax.set(xlabel="first input", ylabel="second input")
# %% [markdown]
# The polygons tile the square: their areas add up, and Euler's formula $F = E - V + 1$ holds.

# %%
vertices = len(np.unique(np.round(cells.corners, 8), axis=0))
edges = len(np.unique(np.round(cells.edges.mean(axis=1), 8), axis=0))
print(f"area {cells.areas.sum():.12f} of 25; F = {len(cells)}, E - V + 1 = {edges - vertices + 1}")

# %% [markdown]
# How many could there be? Bounds of an architecture, the best one marked. They are upper bounds over
# all parameters; random networks stay far below (theorem and measurement).

# %%
print(region_bounds(small))

# %% [markdown]
# ## Depth folds (exact)
#
# Composing the tent map with itself $L$ times gives $2^L$ pieces from $2L$ units: no network with one
# hidden layer does that with fewer than $2^L - 1$. Ticks: breakpoints.

# %%
depth = 5
tent = []
for level in range(depth):
    layer = nn.Linear(2 if level else 1, 2)
    layer.weight.data = torch.tensor([[2.0, -4.0]] * 2 if level else [[1.0]] * 2)
    layer.bias.data = torch.tensor([0.0, -0.5])
    tent += [layer, nn.ReLU()]
last = nn.Linear(2, 1, bias=False)
last.weight.data = torch.tensor([[2.0, -4.0]])
path = line_regions(nn.Sequential(*tent, last), [0.0], [1.0])
plotting.path_values(
    path, title=f"{depth} layers, {path.n_pieces} pieces, length {path.length:.0f}"
)

# %% [markdown]
# Random networks do nothing of the kind: the number of pieces along a line is about the number of
# units, whatever the depth (measured; mean over networks).

# %%
for widths in ((1, 20, 1), (1, 10, 10, 1), (1, 5, 5, 5, 5, 1)):
    counts = []
    for _ in range(10 if quick else 100):
        parts = []
        for inputs, outputs in itertools.pairwise(widths):
            layer = nn.Linear(inputs, outputs)
            weight = rng.standard_normal((outputs, inputs)) * (2 / inputs) ** 0.5
            layer.weight.data = torch.from_numpy(weight)
            layer.bias.data = torch.from_numpy(rng.standard_normal(outputs) * 0.5)
            parts += [layer, nn.ReLU()]
        counts.append(line_regions(nn.Sequential(*parts[:-1]), [-10.0], [10.0]).n_cells)
    print("-".join(map(str, widths)), f"{sum(widths) - 2} units, {np.mean(counts):.1f} cells")

# %% [markdown]
# ## An encoder and a decoder on a data manifold
#
# A sheet bent to an S in space; an encoder that learns to flatten it to its own coordinates, and a
# decoder that bends it back, both ReLU networks. In the plane of the codes the decoder has its cells;
# the encoder after the decoder has finer ones: the cells of a composition refine those of its first map
# (theorem).

# %%
count, steps, units = 1500, 250 if quick else 1500, 24 if quick else 40
flat = rng.uniform(-1.0, 1.0, (count, 2))
t = 1.35 * np.pi * flat[:, 0]
bent = np.stack([np.sin(t), 1.3 * flat[:, 1], np.sign(t) * (np.cos(t) - 1)], axis=1)
chart, data = torch.from_numpy(flat).float(), torch.from_numpy(bent).float()
generator = torch.Generator().manual_seed(0)
encoder = nn.Sequential(nn.Linear(3, units), nn.ReLU(), nn.Linear(units, units), nn.ReLU())
encoder.append(nn.Linear(units, 2))
decoder = nn.Sequential(nn.Linear(2, units), nn.ReLU(), nn.Linear(units, units), nn.ReLU())
decoder.append(nn.Linear(units, 3))
parameters = [*encoder.parameters(), *decoder.parameters()]
for parameter in parameters:
    scale = (2 / parameter.shape[1]) ** 0.5 if parameter.ndim > 1 else 0.5
    parameter.data = scale * torch.randn(parameter.shape, generator=generator)
optimiser = torch.optim.Adam(parameters, lr=5e-3)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
for _ in range(steps):
    optimiser.zero_grad()
    codes = encoder(data)
    loss = (decoder(codes) - data).square().mean() + (codes - chart).square().mean()
    loss.backward()
    optimiser.step()
    schedule.step()
error = (decoder(encoder(data)) - data).square().mean().item()
print(f"mean squared error of the reconstruction {error:.5f}")

# %%
decoded = slice_regions(decoder)
both = slice_regions(nn.Sequential(*decoder, *encoder))
with plotting.style():
    fig, axes = plt.subplots(1, 2, figsize=(10.5, 5), layout="constrained")
plotting.linear_regions(decoded, axes[0], title=f"decoder: {len(decoded):,} cells")
plotting.linear_regions(both, axes[1], title=f"encoder after decoder: {len(both):,} cells")
for ax in axes:
    ax.set(xlabel="first code", ylabel="second code")

# %% [markdown]
# What the decoder makes of the square is a surface of flat pieces, in the same colours.

# %%
ax = plotting.linear_surface(decoded, title="the decoder's surface")
ax.view_init(elev=16, azim=-68)

# %% [markdown]
# Is the sheet encoded? On a grid of samples, mapped by the encoder, no triangle may be turned over and
# the border may not cross itself (exact for the triangulated samples, an estimate for the sheet).

# %%
u = np.linspace(-1, 1, 41)
s, w = np.meshgrid(1.35 * np.pi * u, u, indexing="ij")
grid = np.stack([np.sin(s), 1.3 * w, np.sign(s) * (np.cos(s) - 1)], axis=-1)
sheet = encodes(encoder, grid)
print(f"one to one: {sheet.injective}; share of triangles turned over: {sheet.folded_share:.3f}")

# %% [markdown]
# Between two codes the path through the decoder is broken where it enters another cell. All
# breakpoints are found, not sampled; so the length of the image is exact.

# %%
between = line_regions(decoder, [-1.0, -1.0], [1.0, 1.0])
plotting.path_values(between, outputs=3)
print(f"{len(between.breakpoints)} breakpoints, length of the image {between.length:.3f}")

# %% [markdown]
# Most pieces hardly bend. A smooth network has no pieces at all; what can be compared is curvature: how
# many chords follow the image to one per cent of its length (estimate, on a grid of 256 steps). Below
# the decoder, and the same weights with SiLU in place of ReLU.

# %%
smooth = nn.Sequential(*[nn.SiLU() if isinstance(m, nn.ReLU) else m for m in decoder])
for name, net in {"ReLU": decoder, "SiLU": smooth}.items():
    chords = segment_chords(float64_function(net), [-1.0, -1.0], [1.0, 1.0])
    print(f"{name}: {chords.n_chords} chords, turns by {np.degrees(chords.turning):.0f} degrees")

# %% [markdown]
# ## What a curve demands
#
# An arc can be flattened by an affine map to the line if its directions lie in a half-plane. A curve
# that needs $k$ such arcs demands at least $k$ linear pieces along it of every map to the line that is
# injective on it (theorem). Spirals demand their turning over $\pi$; the Peano-type curves $C_n$, with
# their $4^{n+1}$ units, more than that.

# %%
for turns in (1, 2, 3):
    print(f"spiral, {turns} turns: {curve_complexity(spiral(turns, 600)).value}")
for order in (1, 2, 3, 4):
    print(f"C_{order}: {curve_complexity(peano_curve(order)).value}")

# %% [markdown]
# ## Unlearnable, seen
#
# One architecture, two inputs, six units, one output, has at most 22 pieces, and can follow at most 14
# strokes to and fro across a strip (theorem). It is trained to rise along curves of growing complexity:
# the best chance to encode them. Colour is the code; red dots are folds, where it turns back. Up to one
# turn it succeeds. Where training fails beyond that, it fails by itself (measured); from $C_2$ on no
# parameters whatever would do, by the bound on strokes (16 against 14) and the count of pieces (82
# against 22). Of several trained networks the one with the fewest folds is shown; none that encodes its
# curve meets fewer pieces than the curve demands.

# %%
manifolds = {
    f"spiral, {turns:g} turn{'s' * (turns != 1)}": spiral(turns, 600) for turns in (0.5, 1, 2, 5)
}
manifolds |= {f"$C_{order}$": peano_curve(order) for order in ((1, 2) if quick else (1, 2, 3, 4))}
fig, axes = plt.subplots(2, 4, figsize=(11.5, 6.2), layout="constrained")
for ax in axes.flat:
    ax.set_axis_off()
violated = False
for ax, (name, curve) in zip(axes.flat, manifolds.items(), strict=False):
    nets = [
        straighten(curve, seed=s, steps=400 if quick else 1500) for s in range(2 if quick else 5)
    ]
    best = min((encodes(net, curve) for net in nets), key=lambda found: len(found.folds))
    violated = violated or (best.injective and best.pieces < best.demanded)
    state = "encoded" if best.injective else f"{len(best.folds)} folds"
    title = f"{name}: {state}\ndemands {best.demanded}, meets {best.pieces}"
    plotting.encoded_curve(best, ax, title=title)
bound = region_bounds((2, 6, 1)).best
print(f"theorem violated: {violated}")
fig.suptitle(f"2-6-1: at most {bound} pieces, at most {stroke_limit((2, 6, 1))} strokes")

# %% [markdown]
# **Theorem** are: the bounds on cells and strokes, the cells of a composition, what a curve demands of
# whoever encodes it. **Exact** are: cells, pieces, breakpoints, lengths, folds of polylines. **Estimates**
# are: chords, injectivity on a sheet from samples of it, means over random networks. That a training
# found no encoding is an observation.
#
# **What this does not say.** The counts are lower bounds of what a network needs: nothing here tells
# how hard it is to train, or how many data it takes. The bound of Lei et al. counts the pieces of the
# map on the whole plane; it compares with arcs only where each piece meets the curve in one arc, so that
# the comparison that is proved is with the pieces met along the curve, and with strokes.
