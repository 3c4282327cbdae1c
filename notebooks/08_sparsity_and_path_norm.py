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
# # What weight decay does: path norms, kinks, and few neurons
#
# A ReLU unit $v\,\max(\langle w, x\rangle + b, 0)$ does not change when $(w, b)$ is multiplied by
# $a > 0$ and $v$ divided by it. Weight decay therefore does not penalise weights but functions: it is
# the path norm $\sum_k |w_k|\,|v_k|$ in disguise, a measure of how sharply the function is creased.
# Here this is seen step by step: balance, minimal functions on a line, units that become exactly zero,
# as many neurons as data and no more, and why this helps in many dimensions.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib_inline.backend_inline import set_matplotlib_formats
from sklearn.kernel_ridge import KernelRidge

from ot_latent import plotting
from ot_latent.theory.sparsity import (
    PathProx,
    ShallowNetwork,
    SkipNetwork,
    balance_,
    homogeneous_units,
    merge_duplicates,
    min_rtv2_interpolant_1d,
    path_norm,
    rtv2,
    rtv2_1d,
    sparsify_neurons,
    unit_norms,
    weight_decay_gap,
)

set_matplotlib_formats("png")
quick = bool(os.environ.get("OT_LATENT_QUICK"))  # the test suite runs a smaller size
rng = np.random.default_rng(0)

# %% [markdown]
# ## Balance (theorem)
#
# Of all rescalings of a unit the least $\tfrac12(|w|^2 + |v|^2)$ is $|w|\,|v|$, where $|w| = |v|$. Under
# gradient flow with weight decay $\lambda$ on all parameters of a unit the imbalance
# $|w|^2 + b^2 - |v|^2$ falls as $e^{-2\lambda t}$, whatever the data and the loss. Dashed: the theory.

# %%
x = torch.linspace(-1, 1, 16, dtype=torch.float64)[:, None]
y = torch.sin(4 * x)
model = SkipNetwork(1, 8, 1, seed=3).double()
block = homogeneous_units(model)[0]
block.rescale_(torch.from_numpy(rng.lognormal(sigma=0.7, size=8)))
decay, step = 0.5, 2e-3
steps = 400 if quick else 2000
imbalance = np.zeros((steps, 8))
optimizer = torch.optim.SGD(model.parameters(), lr=step)
for k in range(steps):
    gap = block.in_norms(bias=True).square() - block.out_norms().square()
    imbalance[k] = gap.detach().numpy()
    loss = (model(x) - y).square().mean()
    loss = loss + 0.5 * decay * sum(p.square().sum() for p in block.parameters())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
time = step * np.arange(steps)
expected = imbalance[0] * np.exp(-2 * decay * time)[:, None]
with plotting.style():
    fig, ax = plt.subplots(figsize=(7, 3.4))
    ax.plot(time, imbalance, color=plotting.PALETTE[1], lw=3.5)
    ax.plot(time, expected, "--", color=plotting.PALETTE[0], lw=1.2)
    ax.set(xlabel="time", ylabel="$|w|^2 + b^2 - |v|^2$ of each unit")
print(f"largest distance to the theory {np.abs(imbalance - expected).max():.4f}")

# %% [markdown]
# `balance_` gets there at once, and the function stays as it is.

# %%
before, gap = model(x).detach(), weight_decay_gap(model)
balance_(model)
moved = float((model(x).detach() - before).abs().max())
print(
    f"gap of weight decay {gap:.3f} -> {weight_decay_gap(model):.1e}; function moved by {moved:.1e}"
)

# %% [markdown]
# ## The least creased function through points (theorem)
#
# On a line the measure is $\int|f''|$, and the broken line through the points has the least of it; so has
# every function that stays convex (concave) where the points do, and the one with the fewest kinks needs
# half of them in every run. No ReLU network through these points has a smaller path norm.

# %%
places = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8.0])
heights = np.array([0, 0.1, 0.6, 1.6, 2.9, 3.6, 3.9, 3.4, 2.0])
nets = {
    "broken line": min_rtv2_interpolant_1d(places, heights),
    "fewest kinks": min_rtv2_interpolant_1d(places, heights, sparsest=True),
}
plotting.line_fits(nets, places, heights)
for name, net in nets.items():
    print(
        f"{name}: {net.neurons} neurons, variation {rtv2(net):.4f} of {rtv2_1d(places, heights):.4f}"
    )

# %% [markdown]
# ## Units that become exactly zero (PathProx)
#
# The proximal step shortens every output vector by $\lambda$ times the learning rate, to zero where it is
# shorter. With plain gradient descent this descends on loss + $\lambda$ path norm, the objective that
# weight decay has in disguise (theorem: the same minimum; that either run finds it is an observation).

# %%
strength = 1e-3
steps = 1500 if quick else 12_000
trained = {}
for name in ("weight decay", "PathProx"):
    model = SkipNetwork(1, 80, 1, seed=0).double()
    units = homogeneous_units(model)
    balance_(units)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    optimizer = PathProx(optimizer, units, strength) if name == "PathProx" else optimizer
    for _ in range(steps):
        loss = (model(x) - y).square().mean()
        if name == "weight decay":
            sides = units[0].incoming, units[0].outgoing
            squares = sum(side.parameter.square().sum() for side in sides)
            loss = loss + 0.5 * strength * squares
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    trained[name] = model
    error = float((model(x) - y).detach().square().mean())
    zeros = int((unit_norms(model)[0] == 0).sum())
    print(
        f"{name:12}: loss {error:.5f}, path norm {path_norm(model):.3f}, objective "
        f"{error + strength * path_norm(model):.5f}, units at exactly zero: {zeros} of 80"
    )
sizes = {name: unit_norms(model)[0].numpy() for name, model in trained.items()}
plotting.unit_sizes(sizes, bound=16 - 2, title="sizes of the units after training")

# %% [markdown]
# ## As many neurons as data, and no more (theorem)
#
# Duplicates are merged: neurons that crease the line at one place are one, whichever way they look. Then
# a linear program keeps the values at the $N$ points and lowers the path norm; a basic solution has at
# most $N - (d + 1)$ neurons beside an affine skip. Between the points the function may move.

# %%
few = {}
for name, model in trained.items():
    merged = merge_duplicates(model)
    few[name] = sparsify_neurons(model, x.numpy())
    kept = np.abs(few[name](x.numpy()) - merged(x.numpy())).max()
    print(
        f"{name:12}: {merged.neurons} kinks -> {few[name].neurons} (bound {16 - 2}), path norm "
        f"{merged.unit_norms().sum():.4f} -> {few[name].unit_norms().sum():.4f}, fit moved by {kept:.1e}"
    )
before = ShallowNetwork.from_module(trained["weight decay"])
plotting.line_fits({"before": before, "after": few["weight decay"]}, x.numpy(), y.numpy())

# %% [markdown]
# The same in the plane: a random wide network, and the few creases that give the same values at 40 points.

# %%
wide = SkipNetwork(2, 250, 1, seed=5).double()
points = rng.uniform(-1, 1, (40, 2))
target = torch.from_numpy(np.sin(2 * points[:, :1]) * points[:, 1:])
optimizer = PathProx(torch.optim.SGD(wide.parameters(), lr=0.01), homogeneous_units(wide), 1e-4)
for _ in range(500 if quick else 4000):
    optimizer.zero_grad()
    (wide(torch.from_numpy(points)) - target).square().mean().backward()
    optimizer.step()
all_kinks, few_kinks = merge_duplicates(wide), sparsify_neurons(wide, points)
with plotting.style():
    fig, axes = plt.subplots(1, 2, figsize=(9.6, 4.8), layout="constrained")
for net, ax in ((all_kinks, axes[0]), (few_kinks, axes[1])):
    title = f"{net.neurons} creases, variation {rtv2(net):.2f}"
    plotting.kink_map(net, points, title=title, ax=ax)
print(f"values at the points moved by {np.abs(few_kinks(points) - all_kinks(points)).max():.1e}")

# %% [markdown]
# ## Many dimensions
#
# A ridge function $g(\langle a, x\rangle)$ with three kinks has the same variation in every dimension,
# so a network with weight decay can learn it at a rate that hardly depends on $d$ (about $n^{-1/2}$ at
# worst); linear methods such as kernel ridge regression cannot do better than $n^{-3/(d+3)}$ on the worst
# functions of this class (rates as the literature quotes them). One run per point, settings chosen on
# held-out rows; `python -m benchmarks sparsity` does this with more seeds, sizes and kernels.

# %%
counts = (64, 128) if quick else (64, 128, 256, 512, 1024)
dimensions = (16,) if quick else (4, 32)
with plotting.style():
    width = 5.2 * len(dimensions)
    fig, axes = plt.subplots(1, len(dimensions), figsize=(width, 4), layout="constrained")
for d, ax in zip(dimensions, np.atleast_1d(axes), strict=True):
    direction = rng.normal(size=d)
    direction /= np.linalg.norm(direction)
    tests = rng.normal(size=(3000, d))
    truth = np.maximum(1 - np.abs(tests @ direction - 0.3), 0)
    errors = {"network": [], "kernel": []}
    for n in counts:
        rows = rng.normal(size=(n, d))
        values = np.maximum(1 - np.abs(rows @ direction - 0.3), 0) + 0.1 * rng.normal(size=n)
        cut, found = 3 * n // 4, {"network": [], "kernel": []}
        for weight in (1e-3, 1e-2):
            net = SkipNetwork(d, 64, 1, seed=1)
            inputs, wanted = (
                torch.from_numpy(rows[:cut]).float(),
                torch.from_numpy(values[:cut]).float(),
            )
            optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
            total = 200 if quick else 1000
            for k in range(total):
                optimizer.param_groups[0]["lr"] = 1e-2 * (1 - k / total)
                squares = net.curved[0].weight.square().sum() + net.curved[2].weight.square().sum()
                loss = (net(inputs)[:, 0] - wanted).square().mean() + 0.5 * weight * squares
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            exact = ShallowNetwork.from_module(net)
            held = ((exact(rows[cut:])[:, 0] - values[cut:]) ** 2).mean()
            found["network"].append((held, ((exact(tests)[:, 0] - truth) ** 2).mean()))
        for gamma in (0.1 / d, 0.4 / d, 1.6 / d):
            for alpha in (1e-3, 1e-2, 1e-1, 1.0):
                kernel = KernelRidge(kernel="rbf", gamma=gamma, alpha=alpha).fit(
                    rows[:cut], values[:cut]
                )
                held = ((kernel.predict(rows[cut:]) - values[cut:]) ** 2).mean()
                found["kernel"].append((held, ((kernel.predict(tests) - truth) ** 2).mean()))
        for name, pairs in found.items():
            errors[name].append(min(pairs)[1])
    slopes = {"network": -(d + 3) / (2 * d + 3), "kernel": -3 / (d + 3)}
    plotting.error_rates(counts, errors, slopes=slopes, title=f"a ridge in {d} dimensions", ax=ax)

# %% [markdown]
# **Theorem** are: balance and its decay, the least variation through points on a line, that merging and
# the linear program keep the values and leave at most so many neurons. **Observations** are: what
# trainings reach, and slopes of errors. **Heuristic** is: PathProx under Adam or momentum, not used here.
#
# **Next.** `docs/sparsity.md` has the formulas, what is theorem and what is not, and the measured tables;
# `PathProx` and the other tools work on any PyTorch model whose units are homogeneous.
