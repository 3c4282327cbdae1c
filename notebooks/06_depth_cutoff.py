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
# # How deep does a signal reach?
#
# A random network without biases shrinks or stretches its signal by a random factor in every layer.
# On a computer a signal that has become small enough is rounded to zero, and zero stays zero. As a
# function of depth, the probability that a signal is still alive does not fade: it stays at one for
# long, then falls to zero within a few layers. That is a cut-off (Avelin and Karlsson, 2022), and one
# number per layer, the drift of the logarithm of the norm, tells where it happens.

# %%
import os
import time
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib_inline.backend_inline import set_matplotlib_formats
from sklearn.datasets import load_digits
from torch import nn

from ot_latent import plotting
from ot_latent.theory import depth

set_matplotlib_formats("png")  # so that a figure at the end of a cell is shown
quick = bool(os.environ.get("OT_LATENT_QUICK"))  # the test suite runs a smaller size
chains = 500 if quick else 4000

# %% [markdown]
# ## PyTorch's default start, one and two units wide
#
# `nn.Linear` draws its weights from $U[-N^{-1/2}, N^{-1/2}]$. Signals pass layers
# $x \mapsto \tanh(Wx)$ and are rounded to a grid of mesh $\rho$ after each. The distance in total
# variation between the law of the signal and a unit mass at zero *is* the probability of survival
# (theorem), so a survival curve is all that has to be measured.
#
# The prediction needs the drift $-\gamma$ and the variance of the log-norm walk, estimated from the
# linearised layers; a signal at distance $L = \log(\lVert x_0\rVert / \rho)$ from the floor then
# dies after $L / \gamma$ layers, give or take $\sigma\gamma^{-3/2}\sqrt L$ (theorem as
# $\rho \to 0$ for Gaussian weights; here an estimate). For $N = 1$ the drift is exactly $-1$.

# %%
curves, predictions = {}, {}
for width in (1, 2):
    layer = depth.RandomLayer(width, law="uniform")
    rate = depth.lyapunov(layer.linearised(), width, depth=400, chains=200)
    print(f"N = {width}: drift {rate.value:.3f} in [{rate.low:.3f}, {rate.high:.3f}] per layer")
    for name, dtype in [("float16", torch.float16), ("float32", torch.float32)]:
        label = f"N = {width}, {name}"
        x0, rho = np.full(width, 0.5), depth.precision_floor(dtype)
        distance = np.log(np.linalg.norm(x0) / rho)
        predictions[label] = depth.first_passage(rate.value, rate.variance, distance)
        curves[label] = depth.survival_curve(layer, x0, rho=rho, depth=190, chains=chains)
plotting.survival_curves(curves, predictions, title="The cut-off of PyTorch's default start")

# %% [markdown]
# ## Sharper and sharper
#
# What makes it a cut-off is that the window grows more slowly than the centre: like the square root
# of $L$. On a finer grid signals die later, and more suddenly on the scale of their lives. In units of
# the predicted window all widths, gains and grids follow one curve, the normal distribution function.

# %%
settings = [(1, 1.0, 1e-30), (2, 0.8, 1e-30), (2, 0.8, 1e-100), (10, 0.9, 1e-30), (20, 0.7, 1e-100)]
curves, predictions = {}, {}
for width, gain, rho in settings:
    label = f"N = {width}, A = {gain}, $\\rho$ = {rho:g}"
    x0 = np.full(width, 0.5)
    predictions[label] = found = depth.predicted_cutoff(width, gain, rho, x0)
    curves[label] = depth.survival_curve(
        depth.RandomLayer(width, gain),
        x0,
        rho=rho,
        depth=int(found.centre + 5 * found.window),
        chains=chains // 2,
    )
    seen = depth.cutoff(curves[label])
    print(
        f"N = {width:2}, A = {gain}, rho = {rho:g}: predicted centre {found.centre:.1f}, "
        f"measured {seen.centre}; sharpness {seen.sharpness:.3f}"
    )

# %%
with plotting.style():
    fig, axes = plt.subplots(1, 2, figsize=(12, 4), width_ratios=[1.4, 1], layout="constrained")
plotting.survival_curves(curves, predictions, ax=axes[0], title="Different lives ...")
axes[0].set_xscale("log")
axes[0].set_xlim(50, 700)
axes[0].set_xticks([50, 100, 200, 400], ["50", "100", "200", "400"])
axes[0].minorticks_off()
axes[0].get_legend().remove()
plotting.survival_collapse(curves, predictions, ax=axes[1], title="... one death")
axes[1].legend(fontsize=7, loc="upper right")
plt.show()

# %% [markdown]
# ## Coarse grids, wide networks
#
# On a coarse grid the width matters instead. Below the lattice threshold $A_{lat} = 0.8663$ rounding
# kills every wide network within three layers of a depth that grows like $\log\log N$ (theorem);
# above it signals survive for times exponential in the width: at $A = 1.15$ hardly any dies here.

# %%
print(f"lattice threshold {depth.lattice_threshold():.6f}; on the grid of mesh 1/2, "
      f"{depth.lattice_threshold(0.5):.6f}")  # fmt: skip
with plotting.style():
    fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
colours = plotting.PALETTE[0], plotting.PALETTE[6], plotting.PALETTE[3]
for place, (colour, width) in enumerate(zip(colours, (10, 100, 1000), strict=True)):
    for gain, dashes in ((0.7, "-"), (1.15, ":")):
        layer = depth.RandomLayer(width, gain)
        curve = depth.survival_curve(layer, np.ones(width), rho=0.5, depth=14, chains=300)
        name = f"N = {width}" if gain == 0.7 else None
        ax.plot(curve.probability, dashes, color=colour, label=name)
    at = depth.absorption_depth(width, 0.7, 0.5, 1.0)
    ax.plot([at - 1, at + 2], [-0.06 - 0.05 * place] * 2, color=colour, lw=4, solid_capstyle="butt")
ax.plot([], [], ":", color="0.4", label="above: A = 1.15")
ax.plot([], [], color="0.4", lw=4, label="three layers, predicted")
ax.set(xlabel="depth", ylabel="signals that are not zero yet")
ax.legend(loc="center right")
ax.set_title("Rounded to multiples of 1/2, A = 0.7", loc="left")
plt.show()

# %% [markdown]
# ## Metrics in which layers contract
#
# Drifts exist because layers do not expand some metric. On the positive cone large weights do no harm:
# a positive matrix shrinks Hilbert's metric by exactly Birkhoff's coefficient $\tanh(\Delta/4)$, and
# every layer with weights and biases that are not negative shrinks Thompson's, if its activation is
# subhomogeneous (theorems). `lipschitz_certificate` says so layer by layer, or why not.

# %%
rng = np.random.default_rng(0)
positive = nn.Sequential(nn.Linear(6, 6), nn.Softplus(), nn.Linear(6, 6), nn.Tanh())
smooth = nn.Sequential(nn.Linear(6, 6), nn.GELU())
for parameter in [*positive.parameters(), *smooth.parameters()]:
    parameter.data = torch.tensor(3 * rng.random(tuple(parameter.shape)), dtype=torch.float32)
for name, model in {"softplus, tanh": positive, "GELU": smooth}.items():
    for metric in ("l2", "thompson"):
        found = depth.lipschitz_certificate(model, metric)
        print(f"{name:15} {metric:9} bound {found.bound}: {found.reason}")

# %% [markdown]
# Certificates can be attacked: `empirical_expansion` looks for the pair of points that a layer drives
# apart most. It never beats Birkhoff's coefficient, and comes close to it; for GELU alone it finds
# the expansion that made the certificate refuse.

# %%
bounds, ratios = [], []
for _ in range(20 if quick else 100):
    matrix = torch.tensor(rng.random((4, 3)) ** 2 + 0.02)
    found = depth.empirical_expansion(
        lambda x, m=matrix: x @ m.T,
        "hilbert",
        lambda g, n: np.exp(2 * g.standard_normal((n, 3))),
        4000,
    )
    bounds.append(depth.birkhoff_coefficient(matrix))
    ratios.append(found.ratio)
gelu = depth.empirical_expansion(
    nn.GELU(), "thompson", lambda g, n: np.exp(g.standard_normal((n, 1))), 4000
)
print(f"GELU: {float(gelu.x):.3f} and {float(gelu.y):.3f} are driven apart by {gelu.ratio:.3f}")
with plotting.style():
    fig, ax = plt.subplots(figsize=(4.6, 4.2), layout="constrained")
ax.plot([0, 1], [0, 1], color="0.7", lw=1)
ax.plot(bounds, ratios, "o", ms=4, color=plotting.PALETTE[0], alpha=0.7)
ax.set(xlabel="Birkhoff's coefficient", ylabel="largest stretch found in Hilbert's metric")
ax.set_title("Bound and attack")
ax.set_aspect("equal")
plt.show()

# %% [markdown]
# ## Two inputs become one
#
# Long before a signal is gone, the difference of two signals is. With PyTorch's default start it
# shrinks by $e^{-\gamma}$ per layer like the signal itself. At He's start for ReLU (gain $\sqrt2$)
# the angle of two inputs falls like $3\pi / l$: a power, no cut-off (exact for infinite width).

# %%
width, layers = 200, 40
with plotting.style():
    fig, axes = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
x = torch.tensor(rng.standard_normal((20, width, 2)))
walk = depth.log_norm_walk(width, 1 / np.sqrt(3))
default, he = depth.RandomLayer(width), depth.RandomLayer(width, np.sqrt(2), "relu")
gaps, angles = [], []
y = x
for _ in range(layers):
    gaps.append((x[..., 0] - x[..., 1]).norm(dim=1))
    angles.append(torch.cosine_similarity(y[..., 0], y[..., 1], dim=1).clamp(-1, 1).acos())
    x, y = default(x, rng), he(y, rng)
l = np.arange(layers)
axes[0].semilogy(torch.stack(gaps), color=plotting.PALETTE[1], lw=0.8)
axes[0].semilogy(l, float(gaps[0].mean()) * np.exp(walk.drift * l), "k--", label="$e^{-\\gamma l}$")
axes[0].set(xlabel="layer", ylabel="distance of two signals", title="tanh, PyTorch's default")
axes[1].plot(torch.stack(angles), color=plotting.PALETTE[6], lw=0.8)
correlation, exact = 0.0, []
for _ in l:
    exact.append(np.arccos(correlation))
    correlation = depth.correlation_map(correlation, "relu", np.sqrt(2))
axes[1].plot(l, exact, "k--", label="infinite width")
axes[1].set(xlabel="layer", ylabel="angle of two signals", title="ReLU, He's start")
for ax in axes:
    ax.legend()
plt.show()

# %% [markdown]
# ## The cut-off, used
#
# What an input contributes to learning goes forth and back through the layers: its share shrinks like
# $e^{-2\gamma l}$, and below the precision of float32 nothing of it is left. `suggest_depth` keeps
# eight bits, and stays before the depth at which the walk fluctuates by more than its mean (a
# heuristic from exact laws). Below, networks learn scikit-learn's digits from two starts; triangles
# are the suggestions, the band reaches from the round trip's cut-off to that of a single passage.
# The full tables are in `docs/depth.md`, also for data, widths and activations that nobody looked at when
# the thresholds were chosen.

# %%
data, target = load_digits(return_X_y=True)
x = torch.tensor((data - data.mean()) / data.std(), dtype=torch.float32)
y = torch.tensor(target)
depths = (2, 8, 20, 40) if quick else (2, 5, 10, 15, 20, 30, 50)
width, epochs = (32, 4) if quick else (64, 12)
scores = {"PyTorch's default": [], "critical gain": []}
started = time.perf_counter()
for label, row in scores.items():
    for layers in depths:
        rng = np.random.default_rng(layers)
        sizes = [64, *[width] * layers, 10]
        linear = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        for part in linear:
            n = part.in_features
            draws = rng.uniform(-1, 1, (part.out_features, n)) / np.sqrt(n)
            shift = rng.uniform(-1, 1, part.out_features) / np.sqrt(n)
            if label == "critical gain":
                draws = depth.critical_gain(n) * rng.standard_normal(draws.shape) / np.sqrt(n)
                shift *= 0
            part.weight.data = torch.tensor(draws, dtype=torch.float32)
            part.bias.data = torch.tensor(shift, dtype=torch.float32)
        model = nn.Sequential(*[m for part in linear for m in (part, nn.Tanh())][:-1])
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(epochs):
            for rows in torch.from_numpy(rng.permutation(1300)).split(64):
                optimiser.zero_grad()
                nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
                optimiser.step()
        row.append(float((model(x[1300:]).argmax(1) == y[1300:]).float().mean()))
starts = dict(zip(scores, ("pytorch", "critical"), strict=True))
found = {label: depth.suggest_depth(start, width) for label, start in starts.items()}
plotting.trainability(
    depths,
    scores,
    suggested={label: f.depth for label, f in found.items()},
    cutoffs={k: (f.cutoff.centre, 2 * f.cutoff.centre) for k, f in found.items() if f.cutoff},
    chance=0.1,
    title=f"tanh networks of width {width}, {epochs} passes over the digits",
)
print(f"trained in {time.perf_counter() - started:.0f} s")

# %% [markdown]
# **Theorem** are: survival as total variation, Birkhoff's coefficient and the certificates, the
# normal profile as the grid gets fine, the lattice threshold, the ReLU angles at infinite width.
# **Estimates** are: simulated curves and rates (with intervals), predictions at finite precision.
# **Heuristic** is: the suggested depth.
