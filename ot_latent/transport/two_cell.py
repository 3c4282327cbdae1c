"""The two-cell rule of the AE-OT reference code, for comparison: a fixed mixture of the two best codes."""

from __future__ import annotations

import torch
from torch import Tensor

from ot_latent.kernels.dispatch import best_scores
from ot_latent.transport.neighbours import dihedral_angle
from ot_latent.transport.potential import BrenierPotential

SHARE = 0.75  # of the code with the larger number, as the reference code has it


def two_cell(
    potential: BrenierPotential, x: Tensor, cells: Tensor, angle: float
) -> tuple[Tensor, Tensor]:
    r"""Mix the code of each row's cell with that of its next best cell.

    The reference code for images keeps :math:`0.25\,y_i + 0.75\,y_j` with i < j the two cells by
    number (which of them the noise lies in is lost), and discards pairs whose dihedral angle
    exceeds a threshold.

    Parameters
    ----------
    potential : BrenierPotential
        Cells and codes.
    x : Tensor of shape (m, d)
        Noise, in the dtype of the codes.
    cells : Tensor of shape (m,)
        One of the two cells of each row.
    angle : float
        Largest dihedral angle of a pair, in radians.

    Returns
    -------
    codes : Tensor of shape (m, d), float64
        Mixtures.
    kept : Tensor of shape (m,), bool
        Whether the angle is small enough.

    Examples
    --------
    >>> u = BrenierPotential([[0.0], [1.0]], [0.0, 0.0])
    >>> x = torch.tensor([[-0.5], [0.5]], dtype=torch.float64)
    >>> two_cell(u, x, torch.tensor([0, 1]), 0.8)
    (tensor([[0.7500],
            [0.7500]], dtype=torch.float64), tensor([True, True]))
    """
    points = potential.points
    k = min(2, len(points))
    best = best_scores(x, points, potential.heights, k)[1]
    other = torch.where(best[:, 0] == cells, best[:, -1], best[:, 0])
    pair = torch.stack([cells, other], dim=1).sort(dim=1)[0]
    low, high = points[pair].double().unbind(dim=1)
    return (1 - SHARE) * low + SHARE * high, dihedral_angle(low, high) <= angle
