"""How many pieces an architecture can have: the known bounds side by side, the best one marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import comb, floor, log10, prod

from torch import nn

from ot_latent.theory.networks import Network, read_network


@dataclass(frozen=True)
class RegionBounds:
    r"""Bounds on the number of activation cells of all networks of one architecture: theorems.

    Every linear piece is a union of cells, so that each upper bound holds for pieces, too. None
    stands for a bound that does not apply.

    Notes
    -----
    All upper bounds follow from Zaslavsky's count (`arrangement_regions`), layer by layer. Inside a
    cell of the layers before, the input of layer l is an affine image of the cell, of dimension at
    most d, and the units cut it by at most n_l hyperplanes: at most C(d, n_l) parts. With d = n_0 for
    whatever wiring this is `input_dimension`; in a chain d is at most the number of any layer's units
    before, which is `montufar`. For ReLU, units that are off are constant: where j of n are off, d
    falls to min(d, n - j). At most binom(n, j) of the parts have j units off, and there are at most
    :math:`\sum_{j \le d} \binom{n}{j}` parts; as later layers cut spaces of more dimensions into no
    fewer parts, the sum over parts is largest if for each j = 0, ..., min(d, n) there are binom(n, j)
    with j units off, which is `serra`. `lei` is the theorem of its source.
    """

    patterns: int
    """2^N for N units: every unit is on or off."""
    lei: int | None
    """Theorem 4.5 of Lei, Luo, Yau and Gu (arXiv 1805.10451): the product of C(w_{i-1}, w_i) over
    all layers, with the linear output layer as the theorem has it; C is `arrangement_regions`."""
    lei_hidden: int | None
    """The same without the factor of the output layer, which bends nothing."""
    input_dimension: int
    """The product of C(n_0, n_l): a cell has the dimension of the input, whatever the wiring."""
    montufar: int | None
    """Montufar (2017): the product of C(d_l, n_l), d_l = min(n_0, ..., n_{l-1})."""
    serra: int | None
    """Serra, Tjandraatmadja and Ramalingam (2018); ReLU alone: units that are off cost rank."""
    lower: int | None
    """Montufar, Pascanu, Cho and Bengio (2014): some ReLU network has at least so many."""

    @property
    def best_name(self) -> str:
        """Which upper bound is the least."""
        uppers = {
            "serra": self.serra,
            "montufar": self.montufar,
            "lei_hidden": self.lei_hidden,
            "input_dimension": self.input_dimension,
            "patterns": self.patterns,
        }
        known = {name: value for name, value in uppers.items() if value is not None}
        return min(known, key=lambda name: known[name])

    @property
    def best(self) -> int:
        """The least upper bound."""
        return getattr(self, self.best_name)

    def __str__(self) -> str:
        """Return a line for each bound, the best upper one marked."""
        marked = {self.best_name: "   <- best upper bound"}
        rows = []
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            text = "does not apply" if value is None else _readable(value)
            rows.append(f"{name:16}{text:>20}{marked.get(name, '')}")
        return "\n".join(rows)


def _readable(value: int) -> str:
    """Return an integer in full, or its order of magnitude if it is long."""
    return str(value) if value < 10**15 else f"about 10^{log10(value):.1f}"


def arrangement_regions(dimension: int, hyperplanes: int, *, central: bool = False) -> int:
    """Return how many regions hyperplanes in general position cut space into (Zaslavsky).

    In dimension d it is C(d, n) = sum_{j <= d} binom(n, j); if all pass through the origin and are
    otherwise in general position, 2 sum_{j <= d - 1} binom(n - 1, j). Exact.

    Parameters
    ----------
    dimension : int
        Dimension d of the space.
    hyperplanes : int
        Their number n.
    central : bool, default=False
        Whether all of them pass through the origin, as those of units without biases do.

    Returns
    -------
    int
        The number of regions.

    Examples
    --------
    >>> arrangement_regions(2, 8), arrangement_regions(3, 7)
    (37, 64)
    >>> arrangement_regions(3, 6, central=True)
    32
    """
    if central and hyperplanes:
        return 2 * arrangement_regions(dimension - 1, hyperplanes - 1)
    return sum(comb(hyperplanes, j) for j in range(min(dimension, hyperplanes) + 1))


def region_bounds(architecture: nn.Module | Network | Sequence[int]) -> RegionBounds:
    """Return all bounds on the number of cells and pieces of an architecture.

    Parameters
    ----------
    architecture : torch.nn.Module, Network or sequence of int
        A network that can be read, or the widths (n_0, n_1, ..., n_L, outputs) of a ReLU network.

    Returns
    -------
    RegionBounds
        The bounds. For networks with skip connections those that need a chain are None, for other
        kinks than ReLU the one that needs units that are constant when they are off.

    Raises
    ------
    ValueError
        If fewer than two widths are given or one is not positive.

    Examples
    --------
    >>> print(region_bounds((3, 3, 3, 3, 1)))
    patterns                         512
    lei                             1024
    lei_hidden                       512
    input_dimension                  512
    montufar                         512
    serra                            211   <- best upper bound
    lower                              8
    """
    chain = rectifies = True
    widths: tuple[int, ...]
    if isinstance(architecture, nn.Module | Network):
        network = (
            read_network(architecture) if isinstance(architecture, nn.Module) else architecture
        )
        widths, chain = network.widths, network.elementary.is_chain
        rectifies = all(kink.rectifies for kink in network.elementary.kinks)
    else:
        widths = tuple(int(w) for w in architecture)
    if len(widths) < 2 or min(widths) < 1:
        raise ValueError(
            f"widths must be at least 2 positive integers, got {widths}; pass (inputs, "
            "units of each hidden layer, outputs)."
        )
    inputs, *hidden, output = widths
    before = widths[: len(hidden)]
    least = [min(widths[: i + 1]) for i in range(len(hidden))]
    product = prod(map(arrangement_regions, before, hidden))
    return RegionBounds(
        patterns=2 ** sum(hidden),
        lei=product * arrangement_regions(widths[-2], output) if chain else None,
        lei_hidden=product if chain else None,
        input_dimension=prod(arrangement_regions(inputs, n) for n in hidden),
        montufar=prod(map(arrangement_regions, least, hidden)) if chain else None,
        serra=_serra(inputs, tuple(hidden)) if chain and rectifies else None,
        lower=_lower(inputs, hidden) if chain and rectifies else None,
    )


def _serra(dimension: int, hidden: tuple[int, ...]) -> int:
    """Return the sum of Serra et al.: j of n units off leave at most n - j dimensions."""

    @cache
    def regions(d: int, layer: int) -> int:
        if layer == len(hidden):
            return 1
        n = hidden[layer]
        return sum(comb(n, j) * regions(min(d, n - j), layer + 1) for j in range(min(d, n) + 1))

    return regions(dimension, 0)


def _lower(inputs: int, hidden: Sequence[int]) -> int | None:
    """Return the lower bound of 2014, which needs layers at least as wide as the input."""
    if not hidden or min(hidden) < inputs:
        return None
    folds = prod(floor(n / inputs) ** inputs for n in hidden[:-1])
    return folds * arrangement_regions(inputs, hidden[-1])
