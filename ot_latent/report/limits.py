"""What a report's numbers do not say, as far as it can be read off the run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ot_latent.report.words import FEW
from ot_latent.run_models import sampler_of

EXACT_DIMENSION = 3  # up to here a sampled solver is slow


def limits(record: Mapping[str, Any], model: Any) -> Iterator[str]:
    """Yield the limitations of a report.

    Parameters
    ----------
    record : mapping
        The report record.
    model : LatentGenerator or CodeModel
        The model.

    Yields
    ------
    str
        A sentence or two.
    """
    sampler, coded = sampler_of(model), model.coder_ is not None
    n, solution = record["protocol"]["generated"], sampler.transport_
    if n < FEW:
        yield (
            f"Only {n:,} held-out rows serve as the reference. With so few, distances between clouds "
            "are mostly due to chance: the first row of the table, real data against real data, shows "
            "how much. Read differences between rows, not levels."
        )
    yield _features(record["protocol"]["features"], coded)
    yield (
        "Intervals come from drawing the items at hand again. They do not cover another training run, "
        "another seed or another split of the data; one run stands behind this page."
    )
    if coded:
        yield (
            "The table judges the whole way from noise to data. No sampler of codes can beat the "
            "autoencoder: what it blurs, the row of reconstructions shows."
        )
    yield from _extension(sampler)
    if sampler.n_features_in_ <= EXACT_DIMENSION and solution.solver == "StochasticNewton":
        yield (
            f"The cells were found by sampling. In {sampler.n_features_in_} dimensions that converges "
            "slowly, and what is left of the error is a fixed deviation, not fresh chance."
        )
    elif solution.error_norm == "rms":
        yield (
            "The error of the cells is fixed in the model: a cell that is 10 % too large stays so in "
            "every sample. The mean over all cells says little about a single one."
        )
    yield (
        "Novelty is measured between codes. A novelty near 1 and no copies are no proof of privacy."
    )
    if model.classifier_ is None:
        yield "Without a classifier of labels, samples between classes cannot be counted."


def _features(name: str, coded: bool) -> str:
    if name == "classifier":
        return (
            "Features come from a small classifier trained on this run's own training rows. Another "
            "feature space may rank the rows of the table otherwise, and the distances cannot be set "
            "beside published figures on Inception features."
        )
    if name == "codes" and not coded:
        return "Features are the codes themselves; what made them is not judged here."
    if name == "codes":
        return (
            "Features are the codes themselves: the encoder that shaped the model also judges it, and "
            "sees nothing of what it leaves out."
        )
    return (
        f"Features come from {name}; the distances compare only with others on the same features."
    )


def _extension(sampler: Any) -> Iterator[str]:
    if sampler.extension == "none":
        yield "The map is not extended: every sample decodes a training code."
        return
    rule = sampler.rule_
    how = "fixed" if sampler.calibration_ is None else "chosen on held-out training codes"
    if sampler.calibration_ is None and sampler.spread is None and rule.kind != "simplex":
        how = "the usual ones, but for the spread, which was settled by the variance of the codes"
    if rule.kind == "simplex":
        yield (
            f"Between near codes the map is linear, with {_tears(rule.tear)}. Numbers were {how}."
        )
        return
    yield (
        f"New codes lie around training codes by a rule whose numbers were {how}: anchor "
        f"{rule.a:.3g}, spread {rule.b:.3g}, {rule.neighbours} neighbours, {_tears(rule.tear)}. "
        "A decoder that smooths wants a larger spread; novelty and spread within classes show what "
        "they do here."
    )
    yield (
        "From cell to cell the map jumps. A straight walk through noise is therefore a sequence of "
        "short glides and jumps, and some of them lead across gaps of the data."
    )


def _tears(threshold: float) -> str:
    """Return what is torn, in words."""
    return f"tears above {threshold:g} local spacings" if threshold < math.inf else "no tears"
