"""The atlas of a two-dimensional model: codes, cells of the noise, and what a grid of noise decodes to.

Arrays and numbers only; :func:`ot_latent.plotting.atlas` draws them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ot_latent._validation import DataError, check_same_length
from ot_latent.raster import CellRaster, gaussian_grid, noise_grid, rasterise_cells

if TYPE_CHECKING:
    from ot_latent.transport.power_diagram import PowerDiagram

AMBIGUOUS_QUANTILE = 0.01  # of the confidence on real data: below it a picture counts as ambiguous
BATCH = 2400  # tiles of the finer grid that are decoded at once
Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Reading:
    """What a classifier says of images that nobody looks at.

    Parameters
    ----------
    ambiguous : float
        Share of images whose confidence is below the threshold.
    shares : ndarray of shape (K,)
        Class shares as the classifier sees them.
    n : int
        How many images the numbers stand on.
    """

    ambiguous: float
    shares: Array
    n: int

    @property
    def error(self) -> float:
        """Standard error of `ambiguous`, as if the images were drawn."""
        return float(np.sqrt(self.ambiguous * (1 - self.ambiguous) / self.n))

    def numbers(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "ambiguous": self.ambiguous,
            "ambiguous_error": self.error,
            "shares": [float(s) for s in self.shares],
            "n": self.n,
        }


@dataclass(frozen=True, eq=False)
class Panel:
    """A set of tiles and what a classifier says of them.

    Parameters
    ----------
    tiles : ndarray of shape (n, ...)
        Decoded images, row by row from the top left.
    ambiguous : float
        Share of tiles whose confidence is below the threshold.
    shares : ndarray of shape (K,)
        Class shares as the classifier sees them.
    share_error : float
        Largest |share - data's share| in units of its sampling error.
    frechet : float
        Frechet distance to the held-out data in the classifier's features; NaN without features.
    n : int
        How many images the numbers stand on.
    classes : ndarray of shape (n,), int
        What the classifier takes each image for.
    unsure : ndarray of shape (n,), bool
        The ambiguous ones.
    fine : Reading, optional
        The same over a finer grid of the same noise, whose shares have smaller errors.
    """

    tiles: Array
    ambiguous: float
    shares: Array
    share_error: float
    frechet: float
    n: int
    classes: Array
    unsure: Array
    fine: Reading | None = None

    @property
    def reading(self) -> Reading:
        """The shares of these tiles, with their error."""
        return Reading(self.ambiguous, self.shares, self.n)

    def numbers(self) -> dict[str, Any]:
        """Return everything but the tiles, ready for JSON."""
        others = {"share_error": self.share_error, "frechet": _or_none(self.frechet)}
        finer = {} if self.fine is None else {"fine": self.fine.numbers()}
        return self.reading.numbers() | others | finer


@dataclass(frozen=True, eq=False)
class Atlas:
    """Everything that the four panels show.

    Parameters
    ----------
    codes : ndarray of shape (N, 2)
        Target codes.
    labels : ndarray of shape (N,) or None
        Their classes.
    cells : PowerDiagram or CellRaster
        Cells of the noise, cell j belonging to code j: polygons where the noise fills a box, a
        polytope or a grid, else pixels.
    mass_error : float
        Largest relative error of a cell's mass, exact for polygons; NaN where it is not known.
    mass_rms : tuple of float
        Rms relative error of the masses, and the ends of its 95 % interval, as a sampled solver
        tells it; else NaN.
    mapped, gaussian, reconstructed : Panel
        A regular grid of noise through the transport map, the same grid through the Gaussian with
        the codes' moments, and reconstructions of held-out data (their ceiling).
    data_shares : ndarray of shape (K,)
        Class shares of the codes' data.
    cell_share_error : float
        As `Panel.share_error`, for the classes of the cells that the grid of noise falls in: the
        map's own shares, before decoder and classifier; NaN without labels.
    threshold : float
        Confidence below which a tile is ambiguous.
    side : int
        Tiles along a side.
    """

    codes: Array
    labels: Array | None
    cells: PowerDiagram | CellRaster
    mass_error: float
    mass_rms: tuple[float, float, float]
    mapped: Panel
    gaussian: Panel
    reconstructed: Panel
    data_shares: Array
    cell_share_error: float
    threshold: float
    side: int

    def numbers(self) -> dict[str, Any]:
        """Return the numbers printed under the panels, ready for JSON."""
        return {
            "targets": len(self.codes),
            "largest_mass_error": _or_none(self.mass_error),
            "rms_mass_error": [_or_none(value) for value in self.mass_rms],
            "confidence_threshold": self.threshold,
            "data_shares": [float(s) for s in self.data_shares],
            "cell_share_error": _or_none(self.cell_share_error),
            "map": self.mapped.numbers(),
            "gaussian": self.gaussian.numbers(),
            "reconstructions": self.reconstructed.numbers(),
        }


def compute(
    *,
    potential: Any,
    source: Any,
    labels: Any,
    transport: Callable[[Array], Any],
    decode: Callable[[Array], Any],
    probabilities: Callable[[Any], Any],
    real: Any,
    reconstructed: Any,
    features: Callable[[Any], Any] | None = None,
    solution: Any = None,
    weights: Any = None,
    side: int = 24,
    fine: int = 120,
    resolution: int = 600,
) -> Atlas:
    """Compute the four panels of a two-dimensional model.

    Parameters
    ----------
    potential : BrenierPotential
        Potential in the units of the codes; its points are the target codes.
    source : Source
        Two-dimensional source.
    labels : array-like of shape (N,) or None
        Class of each target.
    transport : callable
        Noise (m, 2) to codes (m, 2).
    decode : callable
        Codes (m, 2) to images.
    probabilities : callable
        Images to class probabilities (m, K), columns in the order of the sorted classes.
    real : array-like
        Held-out images: they set the level of confidence below which a tile is ambiguous, and the
        reference of the Frechet distance.
    reconstructed : array-like
        Reconstructions of other held-out images, the ceiling of both panels.
    features : callable, optional
        Images to features (m, p) for the Frechet distance.
    solution : SemiDiscreteSolution, optional
        The rms mass error of a sampled one is told, and the largest one where cells are no polygons.
    weights : array-like of shape (N,), optional
        Masses that the cells should have; by default equal ones.
    side : int, default=24
        Tiles along a side.
    fine : int, default=120
        Tiles along a side of the finer grid, which is judged only.
    resolution : int, default=600
        Pixels along a side of the picture of cells that are no polygons.

    Returns
    -------
    Atlas
        Arrays and numbers.

    Raises
    ------
    DataError
        If codes or source are not two-dimensional, or labels do not fit the targets.
    """
    codes = np.asarray(potential.points.cpu(), np.float64)
    if codes.shape[1] != 2:
        raise DataError(
            f"codes must have two columns for an atlas, got {codes.shape[1]}; fit a model with "
            "latent_dim=2."
        )
    if labels is not None:
        labels = np.asarray(labels)
        check_same_length(labels, codes, ("labels", "the target codes"))
    confidence = np.asarray(probabilities(real))
    threshold = float(np.quantile(confidence.max(axis=1), AMBIGUOUS_QUANTILE))
    shares = _class_shares(labels, confidence)
    reference = None if features is None else np.asarray(features(real))
    noise = noise_grid(source, side)
    cells = cells_of(potential, source, resolution=resolution)

    def panel(images: Any, finer: Array | None = None) -> Panel:
        found = _panel(np.asarray(images), probabilities, features, threshold, shares, reference)
        if finer is None:
            return found
        return replace(found, fine=_read(finer, decode, probabilities, threshold))

    return Atlas(
        codes=codes,
        labels=labels,
        cells=cells,
        mass_error=_largest_mass_error(cells, solution, len(codes), weights),
        mass_rms=_rms(solution),
        mapped=panel(
            decode(np.asarray(transport(noise))),
            finer=np.asarray(transport(noise_grid(source, fine))),
        ),
        gaussian=panel(decode(gaussian_grid(codes, side)), finer=gaussian_grid(codes, fine)),
        reconstructed=panel(reconstructed),
        data_shares=shares,
        cell_share_error=_cell_share_error(potential, noise, labels, shares),
        threshold=threshold,
        side=side,
    )


def cells_of(potential: Any, source: Any, *, resolution: int = 600) -> PowerDiagram | CellRaster:
    """Return the cells of a two-dimensional source, exact where its domain allows it.

    Parameters
    ----------
    potential : BrenierPotential
        Potential over the source's plane.
    source : Source
        Two-dimensional source.
    resolution : int, default=600
        Pixels along a side, where cells are no polygons.

    Returns
    -------
    PowerDiagram or CellRaster
        Polygons for a box, a polytope or a grid, else pixels.
    """
    from ot_latent.transport.domains import GridDensity, UniformPolytope
    from ot_latent.transport.power_diagram import PowerDiagram
    from ot_latent.transport.sources import UniformBox

    if isinstance(source, UniformBox | UniformPolytope | GridDensity):
        return PowerDiagram(source, potential)
    return rasterise_cells(potential, source, resolution=resolution)


def _class_shares(labels: Array | None, confidence: Array) -> Array:
    """Shares of the classes among the targets, or as predicted where there are no labels."""
    classes = confidence.shape[1]
    if labels is None:
        return np.bincount(confidence.argmax(axis=1), minlength=classes) / len(confidence)
    _, position = np.unique(labels, return_inverse=True)
    return np.bincount(position, minlength=classes) / len(labels)


def _share_error(classes: Array, expected: Array) -> tuple[Array, float]:
    """Return class shares, and the largest gap to those expected in units of its sampling error."""
    n = len(classes)
    shares = np.bincount(classes, minlength=len(expected)) / n
    error = np.sqrt(np.maximum(expected * (1 - expected), 1e-12) / n)
    return shares, float((np.abs(shares - expected) / error).max())


def _cell_share_error(potential: Any, noise: Array, labels: Array | None, shares: Array) -> float:
    """Judge the classes of the cells that the noise falls in."""
    import torch

    if labels is None:
        return float("nan")
    cells = potential.cell_index(torch.as_tensor(noise).to(potential.points)).cpu().numpy()
    return _share_error(np.unique(labels, return_inverse=True)[1][cells], shares)[1]


def _panel(
    tiles: Array,
    probabilities: Callable[[Any], Any],
    features: Callable[[Any], Any] | None,
    threshold: float,
    data_shares: Array,
    reference: Array | None,
) -> Panel:
    """Judge images by the classifier."""
    from ot_latent.metrics.fidelity import frechet_distance

    chances = np.asarray(probabilities(tiles))
    classes, unsure = chances.argmax(axis=1), chances.max(axis=1) < threshold
    shares, worst = _share_error(classes, data_shares)
    distance = float("nan")
    if features is not None and reference is not None:
        distance = float(frechet_distance(real=reference, generated=np.asarray(features(tiles))))
    return Panel(tiles, float(unsure.mean()), shares, worst, distance, len(tiles), classes, unsure)


def _read(
    codes: Array, decode: Callable[[Array], Any], probabilities: Callable[[Any], Any], level: float
) -> Reading:
    """Decode and judge codes batch by batch, so that their images need little memory."""
    chances = np.concatenate(
        [
            np.asarray(probabilities(np.asarray(decode(codes[i : i + BATCH]))))
            for i in range(0, len(codes), BATCH)
        ]
    )
    shares = np.bincount(chances.argmax(axis=1), minlength=chances.shape[1]) / len(chances)
    return Reading(float((chances.max(axis=1) < level).mean()), shares, len(chances))


def _rms(solution: Any) -> tuple[float, float, float]:
    """Return a sampled solution's mass error with its interval."""
    if solution is None or solution.error_norm != "rms":
        return (float("nan"),) * 3
    low, high = solution.mass_error_interval
    return float(solution.mass_error), float(low), float(high)


def _largest_mass_error(
    cells: PowerDiagram | CellRaster, solution: Any, n: int, weights: Any
) -> float:
    """Return max_j |w_j - nu_j| / nu_j, from the cells or else from the solver's residual."""
    nu = np.full(n, 1 / n) if weights is None else np.asarray(weights, np.float64)
    if not isinstance(cells, CellRaster):
        return float(np.abs(cells.masses.numpy() / nu - 1.0).max())
    residual = getattr(solution, "mass_residual", None)
    return float("nan") if residual is None else float(np.abs(residual.cpu().numpy() / nu).max())


def _or_none(value: float) -> float | None:
    """Return a number that JSON can hold."""
    return value if np.isfinite(value) else None
