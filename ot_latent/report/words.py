"""What the numbers of a record mean, in plain sentences; what they do not say, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Record = Mapping[str, Any]

# key: (heading, which way is good, how it is said in a sentence)
SCORES = {
    "frechet": ("Fréchet distance", "less is better", "Fréchet distance"),
    "precision": ("Precision", "more is better", "precision (how real samples look)"),
    "recall": ("Recall", "more is better", "recall (how much of the data is reached)"),
    "coverage": ("Coverage", "more is better", "coverage"),
    "density": ("Density", "more is better", "density"),
    "kernel_distance": ("Kernel distance", "less is better", "kernel distance"),
    "sliced_wasserstein": ("Sliced Wasserstein", "codes, less is better", "sliced Wasserstein"),
    "wasserstein": ("Wasserstein", "codes, less is better", "Wasserstein distance"),
    "modes": ("Classes present", "all is best", "classes"),
    "mode_kl": ("Divergence of class shares", "less is better", "divergence of class shares"),
    "mixture_rate": ("Between classes", "as in real data", "share of samples between classes"),
    "variance_ratio": ("Spread within classes", "1 is right", "spread within classes"),
    "novelty_ratio": ("Novelty", "1 as new as real", "novelty"),
    "copy_rate": ("Copies", "less is better", "share of copies"),
    "authenticity": ("Authentic", "as in real data", "share of authentic samples"),
    "data_copying": ("Data-copying", "0 is right, −3 copies", "score of the data-copying test"),
    "likelihood_divergence": (
        "Likelihood divergence",
        "codes, less is better",
        "likelihood divergence",
    ),
}
FIDELITY = ("frechet", "precision", "recall", "coverage", "novelty_ratio", "copy_rate")
TOLD_APART = {"frechet": -1, "precision": 1, "recall": 1, "coverage": 1}  # sign: which way is good

# key of the record: (name, role)
SAMPLERS = {
    "real": ("Real data", "floor: other held-out rows against the reference"),
    "heldout": ("Reconstructions", "ceiling: held-out rows, encoded and decoded"),
    "control": ("Same extension, no transport", "control: training codes drawn at random"),
    "plain": ("Transport without extension", "decodes training codes: copies"),
    "reference_rule": ("Two-cell rule", "the reference code's mixture of two codes, same cells"),
    "gmm10": ("Gaussian mixture", "10 components, on the same codes"),
    "gmm": ("Gaussian mixture, BIC", "number of components by BIC, on the same codes"),
    "kde": ("Kernel density", "bandwidth by held-out likelihood, on the same codes"),
    "copula": ("Beta copula", "ranks of the codes, smoothed"),
    "vine": ("Vine copula", "pairs of ranks, on the same codes"),
    "matching_independent": (
        "Flow, independent pairs",
        "flow matching on the same codes and noise",
    ),
    "matching_minibatch": ("Flow, mini-batch transport", "flow matching, pairs assigned per batch"),
    "matching_semidiscrete": ("Flow, our coupling", "flow matching on the solved transport"),
    "flow": ("Normalising flow", "neural splines, on the same codes"),
    "prior": ("Prior", "standard normal codes, which the autoencoder was trained towards"),
    "gaussian": ("Gaussian", "the codes' mean and covariance"),
}
FEW = 1000  # reference rows below which distances between clouds are mostly their bias
ASIDE = 0.02  # a kernel distance of less needs more digits


def number(value: Any) -> str:
    """Return a number as it is shown: three digits, a dash where there is none.

    Parameters
    ----------
    value : float or None
        The number.

    Returns
    -------
    str
        Text.

    Examples
    --------
    >>> [number(x) for x in (0.81234, 32.97, 1424.0, 0.0, -1e-9, None, 0.00123)]
    ['0.812', '33.0', '1,424', '0', '0', '–', '0.0012']
    """
    if value is None or value != value:
        return "–"
    size = abs(value)
    if size < 5e-7:
        return "0"
    if float(value).is_integer() or size >= 1000:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.3f}".replace("-", "−") if size >= ASIDE else f"{value:.2g}"


def interval(entry: Record | None) -> str:
    """Return an entry's interval as it is shown.

    Parameters
    ----------
    entry : mapping or None
        With low and high.

    Returns
    -------
    str
        Text, empty where there is none.

    Examples
    --------
    >>> interval({"value": 0.8, "low": 0.75, "high": 0.84})
    '0.750 to 0.840'
    """
    if not entry or entry["low"] is None or entry["high"] is None:
        return ""
    return f"{number(entry['low'])} to {number(entry['high'])}"


def cards(record: Record, solution: Any, classes: int) -> Iterator[tuple[str, str, str, str]]:
    """Yield the key numbers: name, value, interval, what it means.

    Parameters
    ----------
    record : mapping
        The report record.
    solution : SemiDiscreteSolution
        The transport.
    classes : int
        Classes in the data; 0 where there are no labels.

    Yields
    ------
    tuple of str
        One card.
    """
    others = record["baselines"]
    for key, words in (
        ("frechet", "Distance between samples and held-out data, in features."),
        ("precision", "Share of samples that lie where real data lie."),
        ("recall", "Share of real data that lie where samples lie."),
    ):
        beside = _beside(others, key)
        yield SCORES[key][0], number(record[key]["value"]), _range(record[key]), words + beside
    copies = record["copy_rate"]["value"]
    yield (
        "Novelty",
        number(record["novelty_ratio"]["value"]),
        _range(record["novelty_ratio"]),
        "Distance to the closest training record, over the same for held-out data: 1 is as new as "
        f"real data, 0 a copy. Copies among the samples: {copies:.1%}.",
    )
    yield _classes_card(record, classes)
    yield _transport_card(solution)


def _classes_card(record: Record, classes: int) -> tuple[str, str, str, str]:
    if not classes or record["modes"]["value"] is None:
        ratio = record["variance_ratio"]
        words = (
            "Variance of the sampled codes over that of held-out ones; 1 is right. The data have no "
            "labels, so classes cannot be counted."
        )
        return "Spread", number(ratio["value"]), _range(ratio), words
    kl, n = record["mode_kl"]["value"], record["modes"]["n"]
    words = f"Classes found among {n:,} samples. Their shares diverge from the data's by {number(kl)} nats."
    return "Classes present", f"{record['modes']['value']:.0f} of {classes}", "", words


def _transport_card(solution: Any) -> tuple[str, str, str, str]:
    name, error = "Error of the cells", solution.mass_error
    known = "Each training code owns a cell of the noise of one known mass. This is the "
    if solution.error_norm != "rms":
        words = (
            f"{known}largest relative error of those masses, computed from the cells themselves; "
            f"wanted: {solution.tolerance:.1g}."
        )
        return name, f"{error:.1e}", "exact to rounding", words
    low, high = solution.mass_error_interval or (error, error)
    words = (
        f"{known}root mean square relative error of those masses, on noise never used to fit them; "
        f"wanted: {solution.tolerance:.2g}."
    )
    return name, f"{error:.1%}", f"{low:.1%} to {high:.1%}", words


def solver_story(solution: Any) -> str:
    """Say what the solver did.

    Parameters
    ----------
    solution : SemiDiscreteSolution
        The transport.

    Returns
    -------
    str
        A sentence, and the status.
    """
    did = (
        f"{solution.steps:,} steps on exact cells"
        if solution.error_norm != "rms"
        else f"{solution.samples:,} draws of noise in {solution.steps:,} steps, "
        f"{solution.evaluation_samples:,} fresh ones to measure the error"
    )
    return f"{solution.solver}: {did}. {solution.status.value}"


def convergence_caption(solution: Any) -> str:
    """Say what the curve of convergence shows.

    Parameters
    ----------
    solution : SemiDiscreteSolution
        The transport.

    Returns
    -------
    str
        Plain text.
    """
    if solution.error_norm != "rms":
        return (
            "Largest relative error of a cell after every step of Newton's method. Hollow points are "
            "damped steps, which keep every cell from vanishing; near the end each step squares the "
            "error."
        )
    return (
        "Error of the cells against noise drawn. The dashed line is the least error that so many "
        "draws allow; the point at the right is measured on draws that were not used."
    )


def _range(entry: Record) -> str:
    text = interval(entry)
    return f"95 % interval {text}" if text else ""


def _beside(others: Record, key: str) -> str:
    named = [("reconstructions", "heldout"), ("a Gaussian", "gaussian")]
    found = [f"{w} {number(others[k][key]['value'])}" for w, k in named if k in others]
    return f" Beside it: {', '.join(found)}." if found else ""


def verdicts(record: Record) -> Iterator[str]:
    """Yield for each score which baselines its interval tells from the model.

    Parameters
    ----------
    record : mapping
        The report record.

    Yields
    ------
    str
        A sentence.
    """
    rivals = {k: v for k, v in record["baselines"].items() if k != "real"}
    for key, sign in TOLD_APART.items() if rivals else ():
        groups: dict[str, list[str]] = {"better": [], "worse": [], "same": []}
        for name in SAMPLERS:
            if name in rivals:
                groups[compare(record[key], rivals[name][key], sign)].append(SAMPLERS[name][0])
        parts = [
            f"{text} {_listed(groups[kind])}"
            for kind, text in (
                ("better", "better than"),
                ("worse", "worse than"),
                ("same", "not told apart from"),
            )
            if groups[kind]
        ]
        said = SCORES[key][2]
        yield f"{said[0].upper()}{said[1:]}: {'; '.join(parts)}."


def compare(own: Record, other: Record, sign: int) -> str:
    """Return whether a score is "better" or "worse" than another, or the "same".

    Parameters
    ----------
    own, other : mapping
        Entries of a record.
    sign : int
        1 where more is better, -1 where less is.

    Returns
    -------
    str
        "same" where the intervals overlap, or one is missing.

    Examples
    --------
    >>> low, high = {"low": 0.1, "high": 0.2}, {"low": 0.3, "high": 0.4}
    >>> compare(low, high, -1), compare(low, high, 1), compare(low, low, 1)
    ('better', 'worse', 'same')
    """
    if None in (own["low"], own["high"], other["low"], other["high"]):
        return "same"
    if own["low"] > other["high"]:
        return "better" if sign > 0 else "worse"
    if own["high"] < other["low"]:
        return "worse" if sign > 0 else "better"
    return "same"


def _listed(names: list[str]) -> str:
    words = [f"“{name}”" for name in names]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def manifold(evidence: Record) -> Iterator[str]:
    """Yield what the evidence says about the autoencoder.

    Parameters
    ----------
    evidence : mapping
        The block ``manifold`` of the record.

    Yields
    ------
    str
        A sentence.
    """
    error = evidence["reconstruction_error"]
    yield (
        f"Reconstruction error {number(error['held_out'])} of a standard deviation on held-out rows"
        + ("" if error["train"] is None else f", {number(error['train'])} on training rows")
        + ": if the first were much larger, the autoencoder would know its training rows by heart."
    )
    ratios = evidence["projection_ratio"]
    shown = ", ".join(f"{number(v)} at {float(k):.0%}" for k, v in ratios.items())
    yield (
        f"Noise added to a reconstruction (in per cent of the data's deviation), encoded and decoded: "
        f"this share of it is left: {shown}. A projection onto a thin set would leave little."
    )
    yield (
        f"Trustworthiness {number(evidence['trustworthiness'])} and continuity "
        f"{number(evidence['continuity'])} (1 is best): neighbours in codes are neighbours in data, "
        f"and back. Folded pairs {evidence['folded']:.1%}, torn pairs {evidence['torn']:.1%}."
    )
    if evidence["off_manifold_auc"] is not None:
        yield (
            "Told by its reconstruction error, another data set is set apart with an area under the "
            f"curve of {number(evidence['off_manifold_auc'])}."
        )
