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
# # Brenier potentials in the plane
#
# The optimal map from a continuous measure to finitely many points is the gradient of one convex
# function, the upper envelope of as many planes as there are points. In the plane all of it can be
# seen and computed exactly: the cells, the map, its dual, the way to it, and the places where it tears.

# %%
import os
import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib_inline.backend_inline import set_matplotlib_formats

from ot_latent import plotting
from ot_latent.transport import (
    DampedNewton,
    DiscreteMeasure,
    GridDensity,
    PowerDiagram,
    StochasticNewton,
    UniformBox,
)

set_matplotlib_formats("png")  # so that a figure at the end of a cell is shown
quick = bool(os.environ.get("OT_LATENT_QUICK"))  # the test suite runs a smaller size
rng = np.random.default_rng(0)
square = UniformBox.centered(2)

# %% [markdown]
# ## Planes, and the cells they rule
#
# $u(x) = \max_j \langle x, y_j\rangle + h_j$: every target $y_j$ is the slope of a plane, its height
# $h_j$ lifts it. Where plane $j$ is on top, $\nabla u = y_j$: that is the power cell of target $j$.
# Raising a height makes its cell larger; optimal transport is the choice of heights that gives every
# cell the mass $\nu_j$ of its target. On the right is the Legendre dual
# $u^*(y) = \sup_x \langle x, y\rangle - u(x)$, the lower hull of the points $(y_j, -h_j)$ over their
# weighted Delaunay triangulation. A face of one is a vertex of the other, in the same colour.

# %%
sites = rng.normal(size=(12, 2))
few = DampedNewton().solve(square, DiscreteMeasure.uniform(sites))
plotting.brenier_potential(PowerDiagram(square, few.potential))

# %% [markdown]
# Duality says $u(x) + u^*(y) \ge \langle x, y\rangle$, with equality exactly where $y$ is the target
# of $x$. The smallest gap over many pairs, and the gap on the cells:

# %%
u = few.potential
x = square.sample(2000, seed=1)
y = u.points
gaps = u(x)[:, None] + u.conjugate(y)[None, :] - x @ y.T
on_cells = gaps[torch.arange(len(x)), u.cell_index(x)]
print(f"smallest gap {gaps.min():.1e}, largest gap on the cells {on_cells.abs().max():.1e}")

# %% [markdown]
# ## Newton's way to equal areas
#
# The masses $w_j(h)$ are the gradient of a convex energy, and their derivative is a Laplacian on the
# graph of neighbouring cells: facets weighted by length over distance of the sites. A damped Newton
# method that never lets a cell vanish converges from any start without empty cells. Here the start is
# that of Voronoi cells, on a cluster that is far from uniform.

# %%
count = 150 if quick else 400
cluster = np.clip(0.45 * rng.standard_normal((count, 2)) * [0.8, 0.5], -0.99, 0.99)
target = DiscreteMeasure.uniform(cluster)
solver = DampedNewton(tolerance=1e-10)
start = solver.init(square, target, initial_heights=-0.5 * target.points.square().sum(dim=1))
states = [start]
found = solver.solve(square, target, state=start, callback=states.append)
plotting.newton_strip(states)

# %% [markdown]
# Near the solution the number of right digits doubles at each step.

# %%
errors = np.array(found.history["error"])
fig, ax = plt.subplots(figsize=(6, 3))
ax.semilogy(errors, "o-")
ax.set(xlabel="Newton step", ylabel="largest relative error of a cell mass")
last = np.log(errors[errors > 1e-9][-3:])
order = np.diff(last)[1] / np.diff(last)[0]
print(f"{found.status.name} after {found.steps} steps; local order {order:.2f}")

# %% [markdown]
# The cost $W_2^2$ is exact, too. The sampled solver, made for high dimension, gets near it with
# noise, and says how near.

# %%
sampled = StochasticNewton(tolerance=0.1, seed=0, max_samples=300_000 if quick else 1_000_000)
with warnings.catch_warnings():  # in two dimensions it may run out of samples, and says so
    warnings.simplefilter("ignore")
    rough = sampled.solve(square, target)
low, high = rough.cost_interval
print(f"exact {found.cost:.6f}; sampled {rough.cost:.6f}, 95 % interval {low:.6f} to {high:.6f}")

# %% [markdown]
# ## Cells, centroids, and the map
#
# Arrows go from each site to the centroid of its cell: read backwards, they are the optimal map.

# %%
diagram = PowerDiagram(square, found.potential)
fig, axes = plt.subplots(1, 2, figsize=(11, 5.2))
plotting.power_diagram(diagram, axes[0], sites=True, title="cells of equal area")
plotting.power_diagram(diagram, axes[1], arrows=True, title="from each site to its cell")

# %% [markdown]
# ## Where the map tears
#
# Two modes with a gap between them: somewhere in the square, noise on one side of a line goes to one
# mode and noise on the other side to the other. There the potential has a crease and the map jumps.
# No continuous generator can do that; a Gaussian prior puts samples into the gap instead.

# %%
half = count // 2
modes = np.concatenate([rng.normal([-2, 0], 0.3, (half, 2)), rng.normal([2, 1], 0.3, (half, 2))])
torn = PowerDiagram(square, DampedNewton().solve(square, DiscreteMeasure.uniform(modes)).potential)
label = np.repeat([0, 1], half)
fig, axes = plt.subplots(1, 2, figsize=(11, 5.2))
plotting.codes_2d(modes, label, ax=axes[0])
plotting.power_diagram(torn, axes[1], color=label, singular_set=True, title="the noise, torn once")

# %% [markdown]
# ## Any image as the source
#
# The source need not be uniform. With a density on pixels the same cells carry equal shares of the
# light: small where it is bright.

# %%
side = 24 if quick else 48
t = (np.arange(side) + 0.5) / side
density = 0.05 + np.exp(-30 * ((t[:, None] - 0.35) ** 2 + (t[None, :] - 0.6) ** 2))
light = GridDensity(density, [0, 0], [1, 1])
points = light.sample(60 if quick else 300, seed=3)
bright = DampedNewton(tolerance=1e-4).solve(light, DiscreteMeasure.uniform(points))
fig, ax = plt.subplots(figsize=(5.2, 5.2))
plotting.power_diagram(PowerDiagram(light, bright.potential), ax, sites=True)

# %% [markdown]
# **Next.** `docs/exact_solver.md` has the formulas; `examples/stippling.py` turns an image into dots
# by iterating the last cell; `01_quickstart` uses all this on codes of images.
