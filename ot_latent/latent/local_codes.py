r"""Codes moved as the extended map will move them, for a decoder that is to be asked beside its codes.

An extended transport map spreads codes by the law of their neighbours. A decoder that has seen codes alone
says of what lies beside them whatever it likes. With the mean :math:`m_i` of the k nearest codes of
:math:`y_i` and their deviations F (covariance :math:`F^T F`), a moved code is

.. math:: m_i + a\,(y_i - m_i) + b\,F^T g, \qquad g \sim N(0, I_k),

the law of the transport's cells with fixed numbers; it is calibrated there, which here would need a transport.
A heuristic: neighbours of other kinds are not told apart.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ot_latent.latent.neighbours import nearest_rows

NEIGHBOURS = 30
"""Nearest codes whose mean and covariance are taken."""

ANCHOR, SPREAD = 0.5, 1.0
"""Share a of a code's own offset that is kept, and size b of the spread."""


class LocalCodes:
    """The nearest codes of every code of a training set, found once.

    Parameters
    ----------
    codes : Tensor of shape (n, d)
        All codes, at least two.

    Attributes
    ----------
    nearest : Tensor of shape (n, min(30, n - 1)), int64
        Row numbers, the nearest first.

    Examples
    --------
    >>> around = LocalCodes(torch.tensor([[0.0], [1.0]]))
    >>> around.shifts(torch.tensor([0, 1]), torch.zeros(2, 1)).tolist()  # half the way to the mean
    [[0.5], [-0.5]]
    """

    def __init__(self, codes: Tensor) -> None:
        self.codes = codes
        self.nearest = torch.from_numpy(nearest_rows(codes, NEIGHBOURS)).to(codes.device)

    def shifts(self, rows: Tensor, normals: Tensor) -> Tensor:
        """Return by how much codes are moved.

        Parameters
        ----------
        rows : Tensor of shape (m,), int64
            Row numbers.
        normals : Tensor of shape (m, columns of `nearest`)
            Standard normal draws.

        Returns
        -------
        Tensor of shape (m, d)
            What is to be added to these codes.
        """
        near = self.codes[self.nearest[rows]]
        mean = near.mean(1)
        spread = torch.einsum("mk,mkd->md", normals, near - mean[:, None])
        own = (1 - ANCHOR) * (mean - self.codes[rows])
        return own + SPREAD * spread / near.shape[1] ** 0.5
