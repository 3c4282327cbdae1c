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
# # No mode collapse
#
# A generator can lose parts of its data, or invent things between them. On laws that are known both can be
# counted: a ring of 8 Gaussians, a grid of 25, two spirals, and digits stacked as the channels of an
# image. Four samplers are fitted to the same points: a **Gaussian**, a **mixture** of Gaussians, **ours**
# (`OTSampler`), and the **control**, our extension without the transport. The control is there to
# keep us honest: what it does as well is not the merit of the transport. What the text says of scores was read
# off one seed at the full size, and agrees with the tables of ten seeds in `benchmarks/README.md` where there are any.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib_inline.backend_inline import set_matplotlib_formats
from scipy.spatial import cKDTree

from ot_latent import LatentGenerator, OTSampler, datasets, plotting
from ot_latent.baselines import ControlSampler, GaussianSampler, MixtureSampler
from ot_latent.latent import DataCodec, train_classifier
from ot_latent.metrics import (
    copy_rate,
    distance_to_curve,
    mixture_rate,
    mode_kl,
    modes_covered,
    nearest_modes,
    novelty_ratio,
    off_mode_rate,
    variance_ratio,
)
from ot_latent.transport import PowerDiagram, detect_singular_set

set_matplotlib_formats("png")  # so that a figure at the end of a cell is shown
quick = bool(os.environ.get("OT_LATENT_QUICK"))  # the test suite runs a smaller size
torch.set_num_threads(1)
rng = np.random.default_rng(0)
blue, rose = plotting.PALETTE[0], plotting.PALETTE[6]

# %% [markdown]
# ## Three laws in the plane
#
# Ring and grid have the deviations of Lin et al. (PacGAN, 2018), 0.01 on the unit circle and 0.05 on a grid
# of width 2. The spirals are curves with normal noise of 0.02 around them, cut into 40 pieces that
# count as modes. *Off the modes* means farther than four deviations from every centre, or from the
# curves: 0.034 % of fresh points of a Gaussian in the plane are (*theorem*: $e^{-8}$).

# %%
count, fresh_count = (1000, 4000) if quick else (2000, 10_000)
angle, side = 2 * np.pi * np.arange(8) / 8, np.arange(-4.0, 5.0, 2.0)
centres = {
    "ring": np.stack([np.cos(angle), np.sin(angle)], axis=1),
    "grid": np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2),
}
deviation = {"ring": 0.01, "grid": 0.05, "spirals": 0.02}
t = np.linspace(0.5 * np.pi, 3.5 * np.pi, 401)
arm = t[:, None] / t[-1] * np.stack([np.cos(t), np.sin(t)], axis=1)
arms = [arm, -arm]
pieces = [piece for curve in arms for piece in np.array_split(curve, 20)]

drawn = {}
total = count + 2 * fresh_count  # to fit, to judge beside, and to hold out
for name, middle in centres.items():
    own = middle[rng.integers(len(middle), size=total)]
    drawn[name] = own + deviation[name] * rng.normal(size=(total, 2))
turn = np.sqrt(rng.uniform(t[0] ** 2, t[-1] ** 2, total))  # about even along the arm
along = turn[:, None] / t[-1] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
along *= rng.choice([-1.0, 1.0], size=(total, 1))
drawn["spirals"] = along + deviation["spirals"] * rng.normal(size=(total, 2))
train, fresh, held_out = {}, {}, {}
for name, points in drawn.items():
    train[name], fresh[name], held_out[name] = np.split(points, [count, count + fresh_count])

# %% [markdown]
# ## Four samplers
#
# Our transport gives each of the $N$ points a cell of the noise of mass exactly $1/N$ (*theorem*; solved
# here to the printed error), so no mode can be lost or shrink: its share of the cells is its share of the data.
# How cells are filled in, by simplices between smoothed points that stop at tears, is a *heuristic*, as is
# the choice of its numbers on held-out training points. The mixture finds the number of its components
# by BIC.

# %%
samplers = {}
for name, points in train.items():
    ours = OTSampler(random_state=0).fit(points)
    samplers[name] = {
        "Gaussian": GaussianSampler().fit(points),
        "mixture": MixtureSampler("bic", 0, starts=1 if quick else 3).fit(points),
        "control": ControlSampler(ours),
        "ours": ours,
    }
    print(
        f"{name:8} largest relative error of a cell's mass {ours.transport_.mass_error:.0e}; "
        f"tears beyond {ours.rule_.tear:g} spacings; mixture of {samplers[name]['mixture'].components_}"
    )

# %% [markdown]
# ## Nothing lost, nothing between
#
# Fresh points and samples; what lies off the modes is rose. Shares are *estimates*.

# %%
scores = {}
for name, fitted in samplers.items():
    made = {"fresh data": fresh[name]}
    made |= {key: each.sample(fresh_count, random_state=1) for key, each in fitted.items()}
    with plotting.style():
        fig, axes = plt.subplots(1, 5, figsize=(13, 3.2), sharex=True, sharey=True)
    reach = 1.25 * np.abs(train[name]).max()
    for ax, (key, points) in zip(axes, made.items(), strict=True):
        if name in centres:
            law = {"centres": centres[name], "deviation": deviation[name]}
            modes, offset = nearest_modes(points=points, **law)
            real = nearest_modes(points=held_out[name], **law).modes
            off = off_mode_rate(points=points, **law)
            labels = {"real_labels": real, "generated_labels": modes}
            spread = variance_ratio(real=held_out[name], generated=points, **labels)
        else:
            offset = distance_to_curve(points, arms) / deviation[name]
            modes = np.stack([distance_to_curve(points, piece) for piece in pieces]).argmin(axis=0)
            real = np.arange(len(pieces))
            off = (offset > 4).mean()
            usual = distance_to_curve(held_out[name], arms) / deviation[name]
            spread = (offset**2).mean() / (usual**2).mean()
        inside = offset <= 4
        covered = modes_covered(real=real, generated=modes[inside]) if inside.any() else 0
        clouds = {"train": train[name], "holdout": held_out[name], "generated": points}
        scores[name, key] = (off, spread, novelty_ratio(**clouds), copy_rate(**clouds))
        with plotting.style():
            ax.scatter(*points[inside].T, s=1.5, color=blue, lw=0, rasterized=True)
            ax.scatter(*points[~inside].T, s=2.5, color=rose, lw=0, rasterized=True)
            ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect=1)
            ax.set_title(f"{key}\n{covered}/{len(np.unique(real))} modes, {off:.2%} off", size=10)
            ax.set_axis_off()
    fig.tight_layout(w_pad=0.6)
    plt.show()

# %% [markdown]
# The Gaussian has nearly all its mass off the modes, on the spirals half of it. The other three cover all
# modes and put next to nothing between them, **the control too**: covering the modes and staying on them
# is not what transport is needed for. For that it is enough to start from the data's own points and to spread them
# only locally.
#
# ## Where the noise is torn
#
# The noise square, cut into one cell per point, coloured by the mode that it goes to; for the spirals, by
# the arm. Dark lines are the singular set: there the potential has a crease, and the map jumps, the darker
# the farther. A continuous map of a square has a connected image (*theorem*), hence must put samples between
# the modes; ours jumps. Which jumps count as tears is a *heuristic* (relative to the local spacing of the
# points), and the share of noise near them an *estimate*.

# %%
with plotting.style():
    fig, axes = plt.subplots(1, 3, figsize=(12, 4.4))
for ax, (name, fitted) in zip(axes, samplers.items(), strict=True):
    found = fitted["ours"].transport_
    u, source = found.potential, fitted["ours"].source_
    points = fitted["ours"].codes(u.points)
    if name in centres:
        group = nearest_modes(points=points, centres=centres[name], deviation=1).modes
    else:
        group = np.stack([distance_to_curve(points, curve) for curve in arms]).argmin(axis=0)
    torn = detect_singular_set(found, source, tear=fitted["ours"].rule_.tear)
    diagram = PowerDiagram(source, u)
    title = f"{name}: {torn.share:.1%} of noise near tears"
    plotting.power_diagram(diagram, ax, color=group, singular_set=True, title=title)
fig.tight_layout()
plt.show()

# %% [markdown]
# ## What the transport buys: noise becomes a coordinate
#
# The same noise, each point coloured by the mode where its sample lands; above, how far apart the samples of
# nearest noise points are (*estimate*). The plain map has, of all maps with these masses, the least mean
# squared distance, hence no two points of the noise could gain by an exchange (*theorem*). The control has no
# such bond: its noise only says where in its surroundings a sample lies.

# %%
fitted = samplers["grid"]
n = 2048
noise, _ = fitted["ours"].draw(n, seed=1)
tree = cKDTree(noise.numpy())
near = tree.query(noise.numpy(), k=2)[1][:, 1]  # the nearest other noise of each
place = np.argsort(np.argsort(centres["grid"][:, 0] + 0.1 * centres["grid"][:, 1]))
with plotting.style():
    fig, axes = plt.subplots(1, 2, figsize=(9, 4.6))
for ax, key in zip(axes, ("ours", "control"), strict=True):
    points = fitted[key].sample(n, random_state=1)
    modes = nearest_modes(points=points, centres=centres["grid"], deviation=1).modes
    jump = ((points - points[near]) ** 2).sum(axis=1).mean()
    with plotting.style():
        colours = plt.get_cmap("viridis")(place[modes] / 24)
        ax.scatter(*noise.numpy().T, s=9, c=colours, lw=0)
        ax.set(xlim=(-1, 1), ylim=(-1, 1), xticks=[], yticks=[], aspect=1)
        ax.spines[:].set_visible(True)
        ax.set_title(f"{key}: mean squared jump {jump:.2f}")
fig.tight_layout()
plt.show()

# %% [markdown]
# That bond is what walks through noise, inversion and evenly spread noise live on. The last can be
# measured: with stratified noise the shares of modes vary less than with independent draws. The control
# cannot profit, for its atoms do not depend on the noise.

# %%
repeats, size = (24, 256) if quick else (100, 256)
ways = {
    "control": (fitted["control"], {}),
    "ours": (fitted["ours"], {}),
    "ours, stratified": (fitted["ours"], {"stratified": True}),
}
spreads = {}
for key, (sampler, options) in ways.items():
    shares = []
    for seed in range(repeats):
        points = sampler.sample(size, random_state=seed, **options)
        modes = nearest_modes(points=points, centres=centres["grid"], deviation=1).modes
        shares.append(np.bincount(modes, minlength=25) / size)
    spreads[key] = 25 * np.std(shares, axis=0)
with plotting.style():
    fig, ax = plt.subplots(figsize=(6.6, 2.6), layout="constrained")
    for row, spread in enumerate(spreads.values()):
        jitter = row + np.linspace(-0.22, 0.22, 25)
        ax.scatter(spread, jitter, s=16, color=plotting.PALETTE[3 * row], lw=0)
        ax.plot([spread.mean()] * 2, [row - 0.35, row + 0.35], color="#1f2430", lw=1.5)
    ax.axvline(np.sqrt(24 / size), color="#6b7280", ls="--", lw=1)
    ax.set(xlim=(0, None), xlabel=f"deviation of a mode's share over the share, {size} samples")
    ax.set_yticks(range(3), spreads)
    ax.invert_yaxis()
plt.show()

# %% [markdown]
# Dots are modes, bars their means; dashed is what independent draws must have, $\sqrt{(K-1)/n}$ for
# $K$ modes (*theorem*).
#
# ## What it does not buy
#
# Spread within modes and novelty, beside fresh data. *Novelty* is the median distance to the closest
# training point, over that of held-out points: 1 is as new as fresh data, 0 is a copy.

# %%
titles = ("off the modes, %", "variance within modes, ratio", "novelty ratio")
colour = dict(zip(made, ("#6b7280", *plotting.PALETTE[2:11:2]), strict=False))
with plotting.style():
    fig, axes = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
    for column, (ax, title) in enumerate(zip(axes, titles, strict=True)):
        low, high = (0, 2) if column else (0.01, 100)
        for row, key in enumerate(made):
            heights = np.array([scores[name, key][column] for name in samplers])
            heights = heights if column else 100 * heights
            spot = np.arange(3) + 0.13 * (row - 2)
            beyond = heights > high
            shown = np.where(beyond, np.nan, np.maximum(heights, low))
            ax.plot(spot, shown, "o", ms=7, color=colour[key], label=key)
            ax.plot(spot[beyond], [high] * beyond.sum(), "^", ms=8, color=colour[key])
        ax.axhline(1 if column else 0.034, color="#6b7280", ls="--", lw=1, zorder=0)
        ax.set(yscale="linear" if column else "log", title=title, xlim=(-0.5, 2.5))
        ax.set_ylim((0, 2.15) if column else (0.007, 150))
        ax.set_xticks(range(3), samplers)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
plt.show()
print(f"{'copies, %':10}" + "".join(f"{key:>12}" for key in made))
for name in samplers:
    print(f"{name:10}" + "".join(f"{100 * scores[name, key][3]:12.2f}" for key in made))

# %% [markdown]
# No sample off the modes is drawn at 0.01 %, and what is beyond an axis as an arrow at its top.
# Dashed is what the law itself scores.
#
# - Where the law *is* a mixture, a mixture whose number of components is found is as new as fresh data and as
#   good in the rest, as it should be. On the spirals it is too wide: straight pieces follow a curve only so far.
# - Our simplices have about the right spread on all three, and are about as new as fresh data; copies are about
#   as frequent. Their corners are not the points themselves but local fits to them (a *heuristic*), which
#   average the accidents of the sample out; through the points themselves novelty would be three quarters.
# - The control has the same local fits: in the plane it is nearly as good, if a little less new.
# - They lie beyond four deviations even more rarely than the law does: fits cut the farthest tails.
#
# `benchmarks/README.md` has the table over ten seeds, rivals included.
#
# ## Stacked digits
#
# Three random digits as the red, green and blue channel of an image: the usual test has ten digits, hence
# 1,000 modes. Here it is small: the 8 x 8 digits of scikit-learn, and of them only 0, 1, 4 and 6, hence
# $4^3=64$ modes. One autoencoder serves all samplers; the mixture is *told* the number 64. A classifier of
# single digits reads the channels (*estimate*: it is right on the printed share of held-out images). *Unsure* are
# images whose least certain digit is read with less confidence than all but 1 % of the reconstructions.
# *floor*: what the divergence of a perfect sampler is on average.

# %%
kinds, base = np.array([0, 1, 4, 6]), np.array([16, 4, 1])
rows, epochs, wanted = (1000, 15, 2000) if quick else (4000, 50, 4000)
parts = {}
for split, size in {"train": rows, "test": 2000}.items():
    data = datasets.load("digits", split=split)
    members = [data.x[data.y == kind] for kind in kinds]
    which = rng.integers(len(kinds), size=(size, 3))
    images = np.stack([[rng.choice(members[k]) for k in three] for three in which])
    parts[split] = images, which @ base
    if split == "train":
        held = np.isin(data.y, kinds)
        codec = DataCodec.fit(data.x[held])
        judge = train_classifier(codec.encode(data.x[held]), data.y[held], seed=0)

gen = LatentGenerator(12, width=16, epochs=epochs, random_state=0).fit(parts["train"][0])
codes, other = (gen.encode(images) for images, _ in parts.values())
stacked = {
    "Gaussian": GaussianSampler().fit(codes),
    "mixture": MixtureSampler(64).fit(codes),
    "control": ControlSampler(gen.sampler_),
    "ours": gen.sampler_,
}

# %%
latent = {"reconstructed": other}
latent |= {key: each.sample(wanted, random_state=1) for key, each in stacked.items()}
images = {"held-out data": parts["test"][0]}
images |= {key: gen.decode(each) for key, each in latent.items()}
read, sure = {}, {}
for key, each in images.items():
    channels = [judge.probabilities(codec.encode(each[:, c])).numpy() for c in range(3)]
    chances = np.stack(channels, axis=1)
    read[key] = chances.argmax(axis=2) @ base
    sure[key] = chances.max(axis=2).min(axis=1)  # of the least certain digit
for key in ("held-out data", "reconstructed"):
    print(f"{key}: the judge reads {(read[key] == parts['test'][1]).mean():.1%} rightly")
print(f"{'':14}{'modes':>8}{'KL':>8}{'floor':>8}{'unsure, %':>11}{'novelty':>9}")
for key in latent:
    kl = mode_kl(real=parts["train"][1], generated=read[key])
    covered = modes_covered(real=parts["train"][1], generated=read[key])
    unsure = 100 * mixture_rate(real=sure["reconstructed"], generated=sure[key])
    new = novelty_ratio(train=codes, holdout=other, generated=latent[key])
    print(f"{key:14}{covered:8}{kl.value:8.3f}{kl.bias:8.3f}{unsure:11.1f}{new:9.2f}")

# %% [markdown]
# Eight images each, and below them their three channels.

# %%
with plotting.style():
    fig, axes = plt.subplots(2, 3, figsize=(12, 4.8))
for ax, (key, each) in zip(axes.flat, images.items(), strict=True):
    grey = [np.repeat(each[:8, [channel]], 3, axis=1) for channel in range(3)]
    plotting.image_grid(np.concatenate([each[:8], *grey]), columns=8, title=key, ax=ax)
fig.tight_layout(h_pad=1.5)
plt.show()

# %% [markdown]
# Shares of the 64 modes, in the order of the data's; grey is twice the sampling error (*estimate*). What lies
# beyond it may be the decoder's doing: a blurred digit is read wrongly.

# %%
p = np.bincount(parts["train"][1], minlength=64) / rows
order = np.argsort(p)
error = 2 * np.sqrt(p * (1 - p) / wanted)[order]
with plotting.style():
    fig, axes = plt.subplots(1, 4, figsize=(12, 2.8), sharey=True, layout="constrained")
    for ax, key in zip(axes, stacked, strict=True):
        q = np.bincount(read[key], minlength=64) / wanted
        band = 100 * (p[order] - error), 100 * (p[order] + error)
        ax.fill_between(range(64), *band, color="#d1d5db", lw=0)
        ax.plot(100 * q[order], ".", color=blue, ms=4)
        ax.set(title=key, xlabel="mode", ylim=(0, None))
    axes[0].set_ylabel("share, %")
plt.show()

# %% [markdown]
# Even the Gaussian finds every mode here: a count of modes alone proves little. What tells samplers apart
# is what lies *between* the modes: the Gaussian blends digits several times as often as the others. Between
# mixture, control and ours the differences are small, all three are unsure more often than reconstructions,
# and the control does about as well as ours: the transport's own part is the coordinate, not the single
# picture. In twelve dimensions the extension is affine (a *heuristic*).
#
# **Next.** `docs/extension.md` has the rules and the calibration; `python -m benchmarks generation --table toy`
# and `--table stacked` the tables with intervals and all 1,000 modes; `python -m benchmarks
# transport_buys` what the transport buys in higher dimensions.
