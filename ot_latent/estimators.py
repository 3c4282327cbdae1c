"""The scikit-learn face of the transport: `OTSampler`, codes in, codes out, for any dimension."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ot_latent._codes import as_source, check_codes, resolve_device, standardised
from ot_latent._control import Controlled
from ot_latent._extending import check_rule, extend, map_of
from ot_latent._random import BLOCK_ROWS, seed_from
from ot_latent._solvers import Callback, check_solver, chosen, solve
from ot_latent._validation import check_positive
from ot_latent.calibration.record import Fixed
from ot_latent.kernels.dispatch import nearest
from ot_latent.transport.draws import draw_cells
from ot_latent.transport.extension import ExtendedMap, in_blocks
from ot_latent.transport.measures import DiscreteMeasure
from ot_latent.transport.solution import SemiDiscreteSolution
from ot_latent.transport.sources import Source


class OTSampler(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Controlled):
    r"""Sample new codes by semi-discrete optimal transport from noise to given codes.

    The codes are centred and divided by one number (their rms per coordinate); a convex
    potential :math:`u(x) = \max_j \langle x, y_j\rangle + h_j` is found whose cells carry the
    codes' masses; the extended map (`transport.ExtendedMap`) turns noise into new codes.

    Parameters
    ----------
    source : {"box", "ball", "gaussian"} or Source, default="box"
        Noise: uniform on [-1, 1]^d, uniform on a ball, standard normal, or your own.
    solver : {"auto", "exact", "sampled", "pot"}, default="auto"
        ``"exact"`` is `transport.DampedNewton`, for at most three dimensions and noise on a box, a
        polytope or a grid; ``"sampled"`` is `transport.StochasticNewton`, for all. ``"auto"`` is
        exact where that is possible. ``"pot"`` is `ot.semidiscrete` of POT, a second opinion.
    tolerance : float, optional
        Error of the cell masses at which the solver stops: the largest relative one for the exact
        solver (default 1e-6), the rms relative one for the others (default 0.1).
    extension : {"auto", "simplex", "affine", "noise", "two-cell", "none"}, default="auto"
        How the map is filled in between codes (`transport.ExtendedMap`): by simplices up to
        dimension three, by affine local laws above; ``"none"`` returns the codes themselves.
    neighbours, anchor, spread, tear : int, float, float, float, optional
        k, a, b and the tear threshold of `transport.ExtendedMap`; what is not given is
        calibrated on held-out codes (local laws from 200 codes on, simplices from 400).
    max_samples : int, optional
        Largest number of noise samples that a sampled solver may draw.
    memory_budget : int or str, optional
        Working memory of scores, such as "2GB".
    device : str, default="cpu"
        Where to compute: "cpu", "cuda", or "auto".
    random_state : int, numpy generator or None, default=0
        Seed of the fit.

    Attributes
    ----------
    transport_ : SemiDiscreteSolution
        The solved transport, in standardised units ``(z - shift_) / scale_``.
    map_ : ExtendedMap
        The extended map, in standardised units.
    rule_ : Rule
        Its kind and its numbers.
    calibration_ : Calibration or None
        What the numbers were chosen from, where they were not given and the codes are enough.
    potential_ : BrenierPotential
        The potential in the units of the codes.
    source_ : Source
        The noise.
    weights_ : Tensor of shape (N,)
        Masses of the targets.
    fit_weights_ : Tensor of shape (N,)
        Masses that the fit gave them, which `reweight` starts from.
    labels_ : ndarray of shape (N,) or None
        Label of each target.
    groups_ : ndarray of shape (N,) or None
        Group of each target, counted from 0.
    inverse_ : ndarray of shape (n,)
        Target of each row of the fit (rows of zero weight: -1).
    shift_, scale_ : ndarray of shape (d,), float
        Centre and scale of the codes.
    n_features_in_ : int
        Dimension d.

    Notes
    -----
    With labels, codes borrow local spread from codes of their own label only, and rows that are
    equal in code but not in label are moved apart by a thousandth of the rms. ``sample(label=)``
    sends all noise to the codes of one label by a potential of their own, solved when first asked
    for or by `solve_classes`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> Z = rng.normal(size=(200, 5)) + 4 * rng.integers(2, size=(200, 1))
    >>> sampler = OTSampler(random_state=0).fit(Z)
    >>> new = sampler.sample(100, random_state=7)
    >>> new.shape, bool((sampler.sample(10, random_state=7) == new[:10]).all())
    ((100, 5), True)
    """

    def __init__(
        self,
        source: str | Source = "box",
        *,
        solver: str = "auto",
        tolerance: float | None = None,
        extension: str = "auto",
        neighbours: int | None = None,
        anchor: float | None = None,
        spread: float | None = None,
        tear: float | None = None,
        max_samples: int | None = None,
        memory_budget: int | str | None = None,
        device: str = "cpu",
        random_state: Any = 0,
    ) -> None:
        self.source = source
        self.solver = solver
        self.tolerance = tolerance
        self.extension = extension
        self.neighbours = neighbours
        self.anchor = anchor
        self.spread = spread
        self.tear = tear
        self.max_samples = max_samples
        self.memory_budget = memory_budget
        self.device = device
        self.random_state = random_state

    def fit(
        self,
        Z: Any,
        y: Any = None,
        sample_weight: Any = None,
        callback: Callback | None = None,
        state: Any = None,
        groups: Any = None,
    ) -> OTSampler:
        """Solve the transport from the noise to the codes.

        Parameters
        ----------
        Z : array-like of shape (n, d)
            Codes.
        y : array-like of shape (n,), optional
            Labels (integers or strings); they make `sample` accept ``label=``.
        sample_weight : array-like of shape (n,), optional
            Any non-negative masses; they are normalised, rows of zero mass are left out.
        callback : callable, optional
            Called with a dictionary: stage ("transport", "extension"), progress in [0, 1], state (to
            continue from, or None) and numbers. Returning True stops the solver.
        state : object, optional
            State of an interrupted solve, which continues bit for bit. The exact solver takes
            seconds: it hands out None, and starts again.
        groups : array-like of shape (n,), optional
            Integers or strings: rows of one group are variants of one thing. The calibration holds
            whole groups out, so that new codes lie as far from the given ones as codes of a new
            thing do, not as variants of a known one.

        Returns
        -------
        OTSampler
            The fitted estimator.

        Raises
        ------
        DataError
            If the codes are empty, a single row, not finite or not two-dimensional.
        ValueError
            If a parameter cannot be what it is.
        """
        Z = check_codes(self, Z, reset=True)
        self.check_parameters(Z.shape[1])
        self.seed_ = seed_from(self.random_state)
        self.source_ = as_source(self.source, Z.shape[1])
        device = resolve_device(self.device)
        codes = standardised(Z, y, sample_weight, groups=groups, device=device)
        self.shift_, self.scale_, self.dtype_ = codes.shift, codes.scale, str(Z.dtype)
        self.labels_, self.inverse_, self.groups_ = codes.labels, codes.inverse, codes.groups
        self.weights_ = self.fit_weights_ = codes.target.weights
        self._solve(codes.target, callback=callback, state=state)
        self._finish(callback)
        return self

    def resolve(
        self,
        tolerance: float | None = None,
        callback: Callback | None = None,
        state: Any = None,
    ) -> OTSampler:
        """Solve again on the stored targets, from the stored heights.

        Parameters
        ----------
        tolerance : float, optional
            New tolerance; by default that of the last fit.
        callback, state
            As in `fit`.

        Returns
        -------
        OTSampler
            This estimator, with new `transport_`, `map_` and `potential_`.
        """
        check_is_fitted(self)
        if tolerance is not None:
            self.tolerance = tolerance
        u = self.transport_.potential
        target = DiscreteMeasure(u.points, self.weights_)
        self.check_parameters(u.dim)
        self._solve(target, heights=u.heights, callback=callback, state=state)
        self._finish(callback)
        return self

    def check_parameters(self, dim: int | None = None) -> OTSampler:
        """Refuse parameters that cannot be what they are, before anything is computed.

        Parameters
        ----------
        dim : int, optional
            Dimension of the codes, where it is known: not every solver serves every dimension.

        Returns
        -------
        OTSampler
            This estimator.

        Raises
        ------
        ValueError
            If a parameter is unknown or out of range, or the solver cannot serve the source.
        """
        check_solver(self.solver)
        if dim is not None:
            chosen(self.solver, as_source(self.source, dim))
        check_rule(self.extension, self._fixed())
        resolve_device(self.device)
        if self.tolerance is not None:
            check_positive(self.tolerance, "tolerance")
        return self

    def _solve(self, target: DiscreteMeasure, *, seed: int | None = None, **more: Any) -> None:
        """Run the solver and keep its result; what was solved of classes is forgotten."""
        self._forget_classes()
        self.transport_ = solve(
            self.solver,
            self.source_,
            target,
            tolerance=self.tolerance,
            seed=self.seed_ if seed is None else seed,
            max_samples=self.max_samples,
            memory_budget=self.memory_budget,
            **more,
        )

    def _fixed(self) -> Fixed:
        """Return the numbers of the extension that are given."""
        return Fixed(self.anchor, self.spread, self.neighbours, self.tear)

    def _finish(self, callback: Callback | None) -> None:
        """Settle the rule of the extended map and build it."""
        self.map_, self.rule_, self.calibration_ = extend(
            self.transport_,
            self.source_,
            self.extension,
            self._fixed(),
            weights=self.weights_,
            groups=self._groups(),
            families=self.groups_,
            seed=self.seed_,
            memory_budget=self.memory_budget,
        )
        self._ready()
        if callback is not None:
            callback({"stage": "extension", "progress": 1.0, "state": None})

    def _extended(self, solution: SemiDiscreteSolution, groups: Tensor | None) -> ExtendedMap:
        """Return the extended map of another solution, that of a class, by the same rule."""
        return map_of(self.rule_, solution, groups, self.memory_budget)

    def sample(
        self,
        n: int = 1,
        random_state: Any = None,
        *,
        label: Any = None,
        noise: Any = None,
        stratified: bool = False,
    ) -> np.ndarray:
        """Draw new codes; row i depends on (seed, i) only.

        Parameters
        ----------
        n : int, default=1
            How many.
        random_state : int, numpy generator or None, default=None
            Seed. None takes the next seed of a sequence that starts with the fit's seed, so
            successive calls differ and a script repeats itself as a whole.
        label : optional
            Only codes of this label: the noise goes through the potential of its class
            (`solve_classes`), which has no codes of other labels.
        noise : array-like of shape (m, d), optional
            Map this noise instead of drawing; `n` is then ignored.
        stratified : bool, default=False
            Draw noise that is spread evenly (`transport.stratified`), best with n a power of two.

        Returns
        -------
        ndarray of shape (n, d)
            Codes in the units and dtype of the fit.

        Raises
        ------
        ValueError
            If `label` is unknown, the fit had no labels, or `n` is not a positive integer.
        """
        check_is_fitted(self)
        map_ = self.map_ if label is None else self.class_transport(label).map_
        if noise is not None:
            seed = self.seed_ if random_state is None else seed_from(random_state)
            return self.codes(map_(self._check_noise(noise), seed=seed))
        seed = self.next_seed(random_state)
        x, cells = draw_cells(self.source_, map_, n, seed, stratified=stratified)
        return self.codes(map_.spread(x, cells, seed=seed))[:n]

    def draw(
        self, n: int, seed: int, *, label: Any = None, stratified: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Draw noise and its cells, in whole blocks of 1024 rows (`transport.draws`).

        Parameters
        ----------
        n, seed : int
            How many rows are wanted, and their seed.
        label : optional
            Send the noise to this label only.
        stratified : bool, default=False
            As in `sample`.

        Returns
        -------
        x : Tensor of shape (m, d)
            Noise, m the smallest multiple of 1024 that is at least `n`.
        cells : Tensor of shape (m,)
            Targets that the noise is sent to.
        """
        check_is_fitted(self)
        if label is None:
            return draw_cells(self.source_, self.map_, n, seed, stratified=stratified)
        own = self.class_transport(label)
        x, cells = draw_cells(self.source_, own.map_, n, seed, stratified=stratified)
        return x, own.members[cells]

    def transform(self, Z: Any) -> np.ndarray:
        """Return the noise of codes: the centroid of the cell of the nearest target.

        Parameters
        ----------
        Z : array-like of shape (n, d)
            Codes.

        Returns
        -------
        ndarray of shape (n, d)
            Noise.
        """
        check_is_fitted(self)
        Z = check_codes(self, Z, reset=False)
        points = self.transport_.potential.points
        standard = ((Z.astype(np.float64) - self.shift_) / self.scale_).astype(np.float32)
        query = torch.from_numpy(standard).to(points)
        index = in_blocks(lambda z: nearest(z, points)[1][:, 0], BLOCK_ROWS, query)
        centroids = self.transport_.centroids
        return centroids[index].cpu().numpy().astype(Z.dtype)  # type: ignore[index]

    def inverse_transform(self, x: Any) -> np.ndarray:
        """Map noise to codes.

        Parameters
        ----------
        x : array-like of shape (m, d)
            Noise.

        Returns
        -------
        ndarray of shape (m, d)
            Codes.
        """
        check_is_fitted(self)
        return self.codes(self.map_(self._check_noise(x), seed=self.seed_))
