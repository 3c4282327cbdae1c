"""The lower convex hull of values over points of dimension 1 to 3: simplices and their function."""

from __future__ import annotations

import numpy as np

HULL_TOLERANCE = 1e-9  # relative slack of "in the convex hull of the points"
FLAT = 1e-10  # extent of the points, relative to their largest, that counts as none
STEEP = 1e-11  # downward part of a unit normal under which a facet counts as vertical
SLIVER = 1e-12  # relative volume under which a simplex counts as flat
AFFINE = 64 * np.finfo(np.float64).eps  # deviation from an affine function that is rounding
QHULL = "Qt Pp"  # triangulated facets, no remarks on precision
CHUNK = 2**18  # entries of the largest intermediate matrix; it stays in the cache


class LowerHull:
    r"""Largest convex function below the values :math:`v_j` at the points :math:`y_j`.

    .. math:: f(y) = \min \{ \sum_j l_j v_j : \sum_j l_j y_j = y,\ l \in \Delta \}

    It is linear on the simplices of the regular triangulation of the points, and
    :math:`+\infty` outside their convex hull. Qhull finds the simplices as the lower facets of
    the points :math:`(y_j, v_j)`; a sorted chain does for points on a line. Where more than
    r + 1 points lie on one lower facet, any triangulation of it serves.

    Parameters
    ----------
    points : ndarray of shape (N, d), float64
        Points, d at most 3. They may be collinear or coplanar: r is the dimension of their
        affine span.
    values : ndarray of shape (N,), float64
        Values.

    Attributes
    ----------
    rank : int
        r, at most d.
    simplices : ndarray of shape (M, r + 1), int64
        Indices of the corners, rising in each row.
    slopes : ndarray of shape (M, d)
        Gradient of the function on each simplex (of smallest norm where r < d).

    Raises
    ------
    ValueError
        If d exceeds 3.

    Examples
    --------
    >>> hull = LowerHull(np.array([[0.0], [1.0], [2.0]]), np.array([0.0, 1.0, 0.0]))
    >>> hull.simplices
    array([[0, 2]])
    >>> hull.evaluate(np.array([[1.0], [2.5]]))
    array([ 0., inf])
    """

    def __init__(self, points: np.ndarray, values: np.ndarray) -> None:
        if points.shape[1] > 3:
            raise ValueError(
                f"points must have dimension 1, 2 or 3, got {points.shape[1]}; in higher dimension "
                "ask BrenierPotential.conjugate for single rows."
            )
        self._points, self._values = points, values
        self._set_frame()
        t = self._coordinates(points)
        design = np.c_[t, np.ones(len(t))]
        # An affine function changes no facet; without it the values fill the unit cube.
        fit = np.linalg.lstsq(design, values, rcond=None)[0]
        rest = values - design @ fit
        spread = float(np.abs(rest).max())
        flat = bool(spread <= AFFINE * float(np.abs(values).max()))
        found = _triangulate(t, rest / (spread or 1.0), flat)
        self.simplices = np.sort(found, axis=1)
        self._t0 = t[self.simplices[:, 0]]
        self._edges = t[self.simplices[:, 1:]] - self._t0[:, None]
        rises = rest[self.simplices[:, 1:]] - rest[self.simplices[:, :1]]
        self._slopes = np.linalg.solve(self._edges, rises[..., None])[..., 0]
        self._intercepts = rest[self.simplices[:, 0]] - (self._slopes * self._t0).sum(axis=1)
        self.slopes = ((self._slopes + fit[:-1]) / self._extent) @ self._basis
        self._sides = _sides(t)

    def locate(self, y: np.ndarray) -> np.ndarray:
        """Return the simplex that holds each row, or -1 outside the convex hull.

        The function is the maximum of its linear pieces, so the simplex of a row is the piece
        that wins there.

        Parameters
        ----------
        y : ndarray of shape (m, d)
            Rows.

        Returns
        -------
        ndarray of shape (m,), int64
            Rows of `simplices`.
        """
        t = self._coordinates(y)
        found = np.full(len(y), -1, dtype=np.int64)
        widest = max(len(self._slopes), len(self._sides))
        rows = max(1, CHUNK // widest)
        for start in range(0, len(y), rows):
            part = t[start : start + rows]
            best = (part @ self._slopes.T + self._intercepts).argmax(axis=1)
            outside = (part @ self._sides[:, :-1].T + self._sides[:, -1]).max(axis=1)
            found[start : start + rows] = np.where(outside <= HULL_TOLERANCE, best, -1)
        found[self._distance(y, t) > HULL_TOLERANCE] = -1
        return found

    def evaluate(self, y: np.ndarray) -> np.ndarray:
        """Return the values of the function.

        Parameters
        ----------
        y : ndarray of shape (m, d)
            Rows.

        Returns
        -------
        ndarray of shape (m,)
            Values, infinite outside the convex hull of the points.
        """
        simplex = self.locate(y)
        inside = np.flatnonzero(simplex >= 0)
        found = simplex[inside]
        t = self._coordinates(y[inside]) - self._t0[found]
        shares = np.linalg.solve(self._edges[found].transpose(0, 2, 1), t[..., None])[..., 0]
        shares = np.c_[1 - shares.sum(axis=1), shares]
        values = np.full(len(y), np.inf)
        values[inside] = (shares * self._values[self.simplices[found]]).sum(axis=1)
        # Next to slivers rounding may let a wrong piece win; the shares tell, and are not used.
        for row in inside[shares.min(axis=1) < -HULL_TOLERANCE]:
            values[row] = lowest_combination(self._points, self._values, y[row])
        return values

    def _set_frame(self) -> None:
        """Choose coordinates of the affine span in which the points fill a cube."""
        self._centre = self._points.mean(axis=0)
        centred = self._points - self._centre
        self._scale = float(np.abs(centred).max()) or 1.0
        dim = centred.shape[1]
        sizes, axes = np.linalg.svd(centred / self._scale, full_matrices=False)[1:]
        self.rank = int((sizes > FLAT * max(float(sizes[0]), FLAT)).sum())
        # The given axes where they serve: a rotation would shake the corners of a grid.
        self._basis = np.eye(dim) if self.rank == dim else axes[: self.rank]
        self._extent = np.abs(centred @ self._basis.T).max(axis=0)

    def _coordinates(self, y: np.ndarray) -> np.ndarray:
        """Return the coordinates of rows in the frame."""
        return (y - self._centre) @ self._basis.T / self._extent

    def _distance(self, y: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Return the distance of rows from the affine span of the points, relative to their size."""
        if self.rank == y.shape[1]:
            return np.zeros(len(y))
        return np.abs(y - self._centre - t * self._extent @ self._basis).max(axis=1) / self._scale


def lowest_combination(points: np.ndarray, values: np.ndarray, y: np.ndarray) -> float:
    """Return the lower hull at one point, in any dimension, by a linear programme.

    Parameters
    ----------
    points : ndarray of shape (N, d)
        Points.
    values : ndarray of shape (N,)
        Values at the points.
    y : ndarray of shape (d,)
        Where the hull is wanted.

    Returns
    -------
    float
        Smallest convex combination of the values that lies over `y`, infinite where none does.

    Examples
    --------
    >>> lowest_combination(np.eye(2), np.array([0.0, 1.0]), np.array([0.5, 0.5]))
    0.5
    """
    from scipy.optimize import linprog

    centre, spread = points.mean(axis=0), float(np.abs(points - points.mean(axis=0)).max())
    spread = spread or 1.0  # one point, or all equal
    equal = np.vstack([((points - centre) / spread).T, np.ones(len(points))])
    right = np.append((y - centre) / spread, 1.0)
    options = {"primal_feasibility_tolerance": HULL_TOLERANCE}
    found = linprog(values, A_eq=equal, b_eq=right, method="highs", options=options)
    return float(found.fun) if found.status == 0 else float("inf")


def _triangulate(t: np.ndarray, v: np.ndarray, flat: bool) -> np.ndarray:
    """Return the simplices of the lower hull of (t, v)."""
    rank = t.shape[1]
    if rank == 0:
        return np.array([[int(v.argmin())]])
    if rank == 1:
        chain = _lower_chain(t[:, 0], np.zeros(len(t)) if flat else v)
        return np.stack([chain[:-1], chain[1:]], axis=1)
    if len(t) == rank + 1:
        return np.arange(rank + 1)[None]
    return _solid(t, _fan(t) if flat else _lower_facets(t, v))


def _lower_facets(t: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the facets that see the hull of (t, v) from below."""
    from scipy.spatial import ConvexHull

    hull = ConvexHull(np.c_[t, v], qhull_options=QHULL)
    return hull.simplices[hull.equations[:, -2] < -STEEP].astype(np.int64)


def _fan(t: np.ndarray) -> np.ndarray:
    """Return simplices between one corner of the hull of `t` and its facets."""
    from scipy.spatial import ConvexHull

    hull = ConvexHull(t, qhull_options=QHULL)
    first = np.full((len(hull.simplices), 1), hull.vertices.min())
    return np.c_[first, hull.simplices].astype(np.int64)


def _solid(t: np.ndarray, simplices: np.ndarray) -> np.ndarray:
    """Return the simplices that have a volume."""
    edges = t[simplices[:, 1:]] - t[simplices[:, :1]]
    lengths = np.linalg.norm(edges, axis=2).prod(axis=1)
    return simplices[np.abs(np.linalg.det(edges)) > SLIVER * lengths]


def _lower_chain(t: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the corners of the lower hull in the plane, from left to right."""
    chain: list[int] = []
    for j in np.lexsort((v, t)).tolist():
        if chain and t[j] == t[chain[-1]]:  # the lower of two values over one point came first
            continue
        while len(chain) > 1 and not _turns_left(t, v, chain[-2], chain[-1], j):
            chain.pop()
        chain.append(j)
    return np.array(chain, dtype=np.int64)


def _turns_left(t: np.ndarray, v: np.ndarray, a: int, b: int, c: int) -> bool:
    """Whether b lies below the segment from a to c."""
    return bool((t[b] - t[a]) * (v[c] - v[a]) > (v[b] - v[a]) * (t[c] - t[a]))


def _sides(t: np.ndarray) -> np.ndarray:
    """Return rows (n, c) of the half-spaces <n, t> + c <= 0 whose intersection is the hull."""
    from scipy.spatial import ConvexHull

    rank = t.shape[1]
    if rank == 0:
        return np.array([[-1.0]])
    if rank == 1:
        return np.array([[1.0, -float(t.max())], [-1.0, float(t.min())]])
    return np.unique(ConvexHull(t, qhull_options=QHULL).equations, axis=0)
