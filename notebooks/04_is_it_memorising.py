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
# # Is it memorising?
#
# A photocopier is a perfect generator by most scores: its samples look real, and all modes are there.
# Semi-discrete transport alone is just that. Its map is the gradient of a maximum of planes, so it
# takes no value but the training codes (*theorem*). What makes new codes of it is the extension.
#
# This notebook tells new samples from copies on the digits of scikit-learn: which scores see copies,
# which do not, and which can be fooled. The measure of everything is *fresh real data*: records of the
# same law that nobody was trained on. As close to the training set as they are, a sampler may be.

# %%
import copy
import dataclasses
import os

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib_inline.backend_inline import set_matplotlib_formats

from ot_latent import LatentGenerator, datasets, metrics, plotting
from ot_latent.baselines import ControlSampler, KernelDensitySampler, PlainMapSampler

set_matplotlib_formats("png")  # so that a figure at the end of a cell is shown
quick = bool(os.environ.get("OT_LATENT_QUICK"))  # the test suite runs a smaller size
torch.set_num_threads(1)

# %% [markdown]
# ## One fit, seven samplers
#
# A thousand digits train the autoencoder and the transport. The rest is cut in two: *fresh* plays a
# sampler, the other half is the *reference* for everyone. As many codes are drawn from each:
#
# - **plain map**: the transport alone; **extended map**: ours, its numbers chosen on training codes;
# - **control**: the same extension without transport. A code is drawn with its mass, then spread. What
#   it scores, transport cannot claim;
# - **kernel density**: a training code plus normal noise, of three bandwidths $h$ (in units of the
#   codes' deviation). The noise is all that stands between it and a copy, so it is a dial from copying
#   to blur.

# %%
digits = datasets.load("digits", split="all")
order = np.random.default_rng(0).permutation(len(digits.x))
images, labels = digits.x[order], digits.y[order]
gen = LatentGenerator(latent_dim=16, epochs=6 if quick else None, random_state=0)
gen.fit(images[:1000], labels[:1000])

codes = gen.encode(images)
train, fresh, reference = codes[:1000], codes[1000:1398], codes[1398:]
ours, n = gen.sampler_, len(fresh)
drawn = {
    "fresh data": fresh,
    "plain map": PlainMapSampler(ours).sample(n, 1),
    "extended map": ours.sample(n, 1),
    "control": ControlSampler(ours).sample(n, 1),
}
for width in (0.1, 0.3, 0.6):
    kernels = KernelDensitySampler(width).fit(train)
    drawn[f"kernels, h = {width}"] = kernels.sample(n, 1)

# %% [markdown]
# ## Look first
#
# Samples, as the decoder draws them, and beneath each the training image whose code is closest. Wide
# kernels leave the digits, which anyone sees. But which row is copied, and which is new? With 64
# pixels, and so many training images that each digit has a near relative, the eye cannot tell the
# first four rows apart. Numbers are needed, and a level to compare them with.

# %%
shown = 16
with plotting.style():
    fig, axes = plt.subplots(5, 1, figsize=(9, 6.9), layout="constrained")
    names = ["fresh data", "plain map", "kernels, h = 0.1", "extended map", "kernels, h = 0.6"]
    for ax, name in zip(axes, names, strict=True):
        points = drawn[name][:shown]
        _, closest = metrics.novelty.closest_record(train=train, points=points)
        plotting.reconstructions(gen.decode(points), images[closest], title=name, ax=ax)
        ax.set_yticks(ax.get_yticks(), ["sample", "closest"])
plt.show()

# %% [markdown]
# ## Distance to the closest training record
#
# The whole histogram against that of held-out data says more than any number drawn from it. Copies
# pile up at zero, near-copies at a small distance, blurs to the right; new samples have the histogram
# of the data.

# %%
away = metrics.distance_to_closest(train=train, points=reference)
with plotting.style():
    fig, axes = plt.subplots(2, 3, figsize=(11, 5.8), sharex=True, layout="constrained")
    for ax, (name, points) in zip(axes.flat, list(drawn.items())[1:], strict=True):
        near = metrics.distance_to_closest(train=train, points=points)
        ratio = np.median(near) / np.median(away)
        plotting.novelty(near, away, title=f"{name}: ratio {ratio:.2f}", ax=ax)
        ax.set(xlabel="", ylabel="", xlim=(-0.1, 2.2 * np.median(away)))
        if ax is not axes[0, 0]:
            ax.get_legend().remove()
    axes[0, 0].get_legend().set_title("")
    fig.supxlabel("distance to the closest training record (dashed: medians)", fontsize=10)
    fig.supylabel("share of records", fontsize=10)
plt.show()

# %% [markdown]
# ## In numbers
#
# - *novelty ratio*: median of these distances over that of held-out data. For the data's law 1
#   (*estimate*);
# - *copy rate*: share closer than a tenth of the held-out median. The tenth is a *heuristic*;
# - *authenticity*: share that is not closer to a training code than that code's own neighbours are.
#   Fresh data do not score 1 but, on the line, a third (*theorem*), elsewhere what the law wills: read
#   it against the first row;
# - $C_T$ (Meehan et al., 2020): ranks of the distances, compared within cells of the space. For fresh
#   data each cell's score is standard normal in the limit (*theorem*), so beyond $\pm 2$ is
#   suspicious: copies below, blurs above;
# - *FLD*, feature likelihood divergence (Jiralerspong et al., 2023): how unlikely held-out data are
#   under normal laws at the samples, their widths fitted to training data (*estimate*). Fresh data
#   score about 0, and copies anything, since a copy is given no width.

# %%
sets = {"train": train, "holdout": reference}
heads = ("precision", "recall", "Frechet", "novelty", "copies", "authentic", "C_T", "FLD")
print(f"{'':18}" + "".join(f"{head:>11}" for head in heads))
for name, points in drawn.items():
    numbers = [
        *metrics.precision_recall(real=reference, generated=points),
        metrics.frechet_distance(real=reference, generated=points),
        metrics.novelty_ratio(**sets, generated=points),
        metrics.copy_rate(**sets, generated=points),
        metrics.authenticity(train=train, generated=points),
        metrics.data_copying(**sets, generated=points),
        metrics.feature_likelihood_divergence(**sets, generated=points),
    ]
    cells = "".join(f"{number:>11.2f}" for number in numbers[:-1])
    print(f"{name:18}" + cells + f"{numbers[-1]:>11.3g}")

# %% [markdown]
# The first three columns are what generators are usually ranked by, and they are **blind**: kernels of
# $h = 0.1$, which copy with a little noise, are ahead of the extended map in precision and Frechet
# distance and level in recall. The right half of the table sees them at once.
#
# It also sees *us*, a little: the calibrated map lies somewhat closer to the training set than fresh data do, and
# fewer of its codes are authentic. The calibration asks for a novelty ratio of 0.92 (*heuristic*), on a few
# training codes that it holds out:

# %%
found = ours.calibration_
print(f"anchor {found.chosen.a}, spread {found.chosen.b:.2f}, {found.chosen.neighbours} neighbours")
print(f"novelty ratio {found.chosen.novelty:.2f} on {found.held_out} training codes held out,")
print(
    f"{metrics.novelty_ratio(**sets, generated=drawn['extended map']):.2f} on {len(reference)} unseen"
)

# %% [markdown]
# It is one split of the data; other seeds for `order` give other ratios. What to do about it is seen two
# figures on.
#
# ## Turning the dial
#
# Each score of novelty along the bandwidth, the level of fresh data dashed. All pass from copies to
# blur, and they agree on where kernels are as new as the data. At that bandwidth, however, kernels are
# no longer good: see the next figure. The copy rate is the weakest of the five: a little noise brings
# it to nothing.

# %%
widths = np.geomspace(0.03, 0.8, 6 if quick else 12)
dial = [KernelDensitySampler(width).fit(train).sample(n, 2) for width in widths]
scores = {
    "novelty ratio": metrics.novelty_ratio,
    "copy rate": metrics.copy_rate,
    "$C_T$": metrics.data_copying,
    "FLD": metrics.feature_likelihood_divergence,
}
with plotting.style():
    fig, axes = plt.subplots(1, 5, figsize=(12.5, 2.9), layout="constrained")
    panels = dict(zip([*scores, "authenticity"], axes, strict=True))
    for name, ax in panels.items():
        if name == "authenticity":
            score, options = metrics.authenticity, {"train": train}
        else:
            score, options = scores[name], sets
        curve = [score(**options, generated=points) for points in dial]
        ax.semilogx(widths, curve, "o-", ms=4, color=plotting.PALETTE[0], label="kernels")
        ax.axhline(
            score(**options, generated=drawn["extended map"]),
            color=plotting.PALETTE[6],
            label="extended map",
        )
        ax.axhline(
            score(**options, generated=fresh), color=plotting.PALETTE[3], ls="--", label="fresh"
        )
        ax.set(title=name, xlabel="bandwidth $h$")
        ax.set_xticks([0.03, 0.1, 0.3, 0.8], ["0.03", "0.1", "0.3", "0.8"])
        ax.minorticks_off()
    panels["$C_T$"].axhspan(-2, 2, color=plotting.PALETTE[9], alpha=0.25, lw=0)
    panels["FLD"].set_ylim(-10, 150)
    panels["novelty ratio"].legend()
plt.show()

# %% [markdown]
# ## Precision and recall at equal novelty
#
# Quality is cheap near the training set, so samplers are compared at equal novelty, or by the whole
# curve. The extension moves a code towards the mean of its neighbours (*anchor* $a$) and spreads it by
# their covariance (*spread* $b$). From $a = \cos\varphi,\ b \propto \sin\varphi$ come copies at
# $\varphi = 0$ and local normal laws at 90°, the local variance about kept (*estimate*); the star is
# what the calibration chose.

# %%
angles = np.linspace(0, np.pi / 2, 5 if quick else 9)
chosen = ours.map_
ways = {"extended map": [], "control": []}
for angle in angles:
    a, b = np.cos(angle), np.sin(angle) * chosen.b / np.sqrt(1 - chosen.a**2)
    turned = copy.copy(ours)
    turned.map_ = dataclasses.replace(chosen, a=float(a), b=float(b))
    ways["extended map"].append(turned)
    ways["control"].append(ControlSampler(turned))
ways["kernels"] = [KernelDensitySampler(width).fit(train) for width in widths]
ways["calibrated"], ways["fresh data"] = [ours], []

seeds = range(1 if quick else 5)
curves = {}
print(f"{'anchor':>6} {'spread':>6} {'C_T':>6} {'authentic':>9}")
for turned in ways["extended map"]:
    points = turned.sample(n, 1)
    c_t = metrics.data_copying(**sets, generated=points)
    true = metrics.authenticity(train=train, generated=points)
    print(f"{turned.map_.a:>6.2f} {turned.map_.b:>6.2f} {c_t:>6.1f} {true:>9.2f}")
for name, samplers in ways.items():
    clouds = [[sampler.sample(n, seed) for seed in seeds] for sampler in samplers] or [[fresh]]
    curves[name] = np.array(
        [
            np.mean(
                [
                    [
                        metrics.novelty_ratio(**sets, generated=points),
                        *metrics.precision_recall(real=reference, generated=points),
                    ]
                    for points in cloud
                ],
                axis=0,
            )
            for cloud in clouds
        ]
    )
looks = {
    "kernels": ("o-", plotting.PALETTE[0], 4),
    "control": ("s-", plotting.PALETTE[2], 4),
    "extended map": ("o-", plotting.PALETTE[6], 4),
    "calibrated": ("*", plotting.PALETTE[7], 15),
    "fresh data": ("P", plotting.PALETTE[3], 10),
}
with plotting.style():
    fig, axes = plt.subplots(1, 2, figsize=(10, 3.9), sharey=True, layout="constrained")
    for ax, column, title in zip(axes, (1, 2), ("precision", "recall"), strict=True):
        for name, (mark, colour, size) in looks.items():
            curve = curves[name]
            ax.plot(curve[:, 0], curve[:, column], mark, color=colour, ms=size, label=name)
        ax.axvline(1, color=plotting.PALETTE[9], lw=1, ls=":")
        ax.set(title=title, xlabel="novelty ratio", ylim=(0, 1.02))
    axes[0].set_ylabel("share")
    axes[0].legend(loc="lower left")
plt.show()

# %% [markdown]
# Isotropic kernels pay for novelty with precision, because most directions of a code lead off the
# data. Local laws do not: they follow the neighbours. That is the extension's merit, and the control
# has it too. At equal novelty the extended map is ahead of it by some hundredths in precision and
# behind in recall, about as much as the standard error for 400 samples: on these data transport buys a
# function from noise to data, which can be walked along and inverted, and little that these scores
# see.
#
# The table above the figure has the remedy where a calibration comes out too near: an anchor between
# 0.5 and 0.7 keeps $C_T$ between -2 and 2 with authenticity around that of fresh data. It is an argument of `LatentGenerator(anchor=0.5)`. Whoever chooses it on
# held-out data must judge it on others.
#
# ## Fooling one number
#
# A sampler that copies 45 % of the time and blurs the rest. The median distance is that of the data
# and more, $C_T$ lies between -2 and 2, authenticity is near that of fresh data: the blur pays for the
# copies. The histogram and the copy rate are not fooled, nor is the likelihood.

# %%
many = round(0.45 * n)
blur = KernelDensitySampler(0.6).fit(train).sample(n - many, 3)
cheat = np.concatenate([drawn["plain map"][:many], blur])
print(f"novelty ratio {metrics.novelty_ratio(**sets, generated=cheat):.2f}")
print(f"C_T {metrics.data_copying(**sets, generated=cheat):.1f}")
print(f"authenticity {metrics.authenticity(train=train, generated=cheat):.2f}")
print(f"copy rate {metrics.copy_rate(**sets, generated=cheat):.2f}")
print(f"FLD {metrics.feature_likelihood_divergence(**sets, generated=cheat):.0f}")
near = metrics.distance_to_closest(train=train, points=cheat)
plotting.novelty(near, away, title="45 % copies, 55 % blur")
plt.show()

# %% [markdown]
# Nor are pixels the place to look for copies of codes. The decoder is not exact, so a decoded training
# code is *not* the training image: in pixels even the plain map seems to be fairly new. Measured
# there, samples must be compared with reconstructions, and the first row is the zero of the scale.

# %%
pixels = {"train": images[:1000], "holdout": gen.reconstruct(images[1398:])}
for name in ("plain map", "kernels, h = 0.1", "extended map", "fresh data"):
    made = gen.decode(drawn[name])
    print(
        f"{name:18} {metrics.novelty_ratio(**pixels, generated=made):.2f} novelty ratio in pixels"
    )

# %% [markdown]
# ## With intervals
#
# `evaluate` does all this in one call, against both halves and the baselines, and with 95 % intervals
# by resampling (*estimates*). It cuts the held-out rows in its own two halves.

# %%
record = gen.evaluate(
    images[1000:],
    labels[1000:],
    baselines=["plain", "control", "kde", "heldout"],
    resamples=10 if quick else 50,
    manifold=False,
)
rivals = record["baselines"]
rows = {
    "fresh data": rivals["real"],
    "extended map": record,
    "control": rivals["control"],
    "kernels, likeliest $h$": rivals["kde"],
    "plain map": rivals["plain"],
}
keys = ("novelty_ratio", "authenticity", "data_copying", "precision", "recall")
with plotting.style():
    fig, axes = plt.subplots(1, 5, figsize=(13, 2.5), sharey=True, layout="constrained")
    for ax, key in zip(axes, keys, strict=True):
        values = {name: scores[key] for name, scores in rows.items()}
        title = key.replace("_", " ")
        plotting.score_bars(
            values, title=title, highlight="extended map", ceiling="fresh data", ax=ax
        )
plt.show()

# %% [markdown]
# **What this shows, and what not.** Copying is visible, by several scores at once, and by none alone.
# The plain map copies, the extended map does not; whether it is *quite* as new as fresh data is a
# matter of two numbers, which the test checks more sharply than the calibration sets them. Its recall
# stays below that of fresh data. All of that is about averages over a few hundred digits: it does not
# say that no single training record is ever given away, and it is no guarantee of privacy.
# `docs/judging.md` defines the scores, `docs/extension.md` the map and its calibration.
