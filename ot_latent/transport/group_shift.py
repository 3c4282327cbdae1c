r"""Heights moved group by group, until groups of targets have their masses.

Steps that move every height by its own error are slow where whole classes must gain or lose mass:
the mass has to pass from cell to cell. One number per group does that at once: with
:math:`u_g(x) = \max_{j \in g} \langle x, y_j\rangle + h_j` the shifts s of the groups solve a
semi-discrete problem with K targets, whose dual

.. math:: \max_s \; \sum_g \nu_g s_g - \int \max_g \bigl(u_g(x) + s_g\bigr) d\mu

is maximised on fixed, stratified draws by Newton steps, its maximum smoothed less and less.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ot_latent.kernels.dispatch import best_scores
from ot_latent.transport.potential import BrenierPotential
from ot_latent.transport.sources import Source
from ot_latent.transport.stratified import stratified_noise

DRAWS = 2**14
SMOOTHINGS = (1.0, 0.3, 0.1, 0.03, 0.01)  # in units of the scores' deviation between groups
ITERATIONS, ENOUGH = 20, 1e-3  # Newton steps per smoothing; largest relative error that ends them
FURTHEST = 3.0  # smoothings that a step may move a shift by


def group_shift(
    potential: BrenierPotential,
    source: Source,
    groups: Tensor,
    masses: Tensor,
    *,
    seed: int,
    draws: int = DRAWS,
    memory_budget: int | str | None = None,
) -> Tensor:
    """Return what to add to the heights so that groups have given masses.

    Parameters
    ----------
    potential : BrenierPotential
        Targets and heights.
    source : Source
        The source.
    groups : Tensor of shape (N,), int64
        Group 0 ... K - 1 of each target.
    masses : Tensor of shape (K,)
        Positive masses wanted, of sum one.
    seed : int
        Seed of the draws.
    draws : int, default=16384
        How many; the error of a group's mass is about that of its share among as many draws.
    memory_budget : int or str, optional
        Working memory of scores.

    Returns
    -------
    Tensor of shape (N,), float64
        One number per group.

    Examples
    --------
    >>> from ot_latent.transport.sources import UniformBox
    >>> u = BrenierPotential(torch.tensor([[0.0], [1.0]]), torch.zeros(2))
    >>> shift = group_shift(u, UniformBox.unit(1), torch.arange(2), torch.tensor([0.75, 0.25]), seed=0)
    >>> [round(float(s), 2) for s in shift - shift[0]]  # the border moves to 3/4
    [0.0, -0.75]
    """
    points, heights = potential.points, potential.heights
    x = stratified_noise(source, draws, seed=seed, dtype=points.dtype, device=points.device)
    columns = []
    for group in range(len(masses)):
        own = torch.nonzero(groups == group).squeeze(1)
        best, _ = best_scores(x, points[own], heights[own], 1, memory_budget=memory_budget)
        columns.append(best[:, 0].double())
    scores, goal = torch.stack(columns, dim=1), masses.to(points.device, torch.float64)
    scale = float(scores.std(dim=1).mean()) or 1.0
    shift = torch.zeros_like(goal)
    for smoothing in SMOOTHINGS:
        shift = _newton(scores, goal, shift, smoothing * scale)
    return shift[groups]


def _newton(scores: Tensor, goal: Tensor, shift: Tensor, width: float) -> Tensor:
    """Maximise the dual with a soft maximum of some width, from given shifts."""
    value = None
    for _ in range(ITERATIONS):
        moved = (scores + shift) / width
        soft = torch.softmax(moved, dim=1)
        found = soft.mean(dim=0)
        if float(((found - goal).abs() / goal).max()) < ENOUGH:
            break
        hessian = (torch.diag(found) - soft.T @ soft / len(soft)) / width
        step = torch.linalg.pinv(hessian, hermitian=True, rtol=1e-9) @ (goal - found)
        step = step * min(1.0, FURTHEST * width / float(step.abs().max()))
        value = _dual(scores, goal, shift, width) if value is None else value
        for _ in range(6):  # halved until the dual rises
            risen = _dual(scores, goal, shift + step, width)
            if risen > value:
                break
            step = step / 2
        shift, value = shift + step, risen
    return shift - shift.mean()


def _dual(scores: Tensor, goal: Tensor, shift: Tensor, width: float) -> float:
    """Return the smoothed dual."""
    soft = width * torch.logsumexp((scores + shift) / width, dim=1)
    return float(goal @ shift - soft.mean())
