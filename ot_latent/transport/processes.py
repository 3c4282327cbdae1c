"""What the processes of torchrun share: their rank and exact sums."""

from __future__ import annotations

import torch
from torch import Tensor

ONLY_ON = {"nccl": "cuda"}  # what a backend can add lies there


def process_rank() -> tuple[int, int]:
    """Return (rank, number of processes); (0, 1) outside torch.distributed.

    Returns
    -------
    tuple of int
        Rank and world size.
    """
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def add_over_processes(tensor: Tensor) -> None:
    """Add a tensor over all processes, in place; nothing happens in a single one.

    The sum is exact, hence the same in whatever order, if the numbers are integers or if every
    element is zero on all processes but one.

    Parameters
    ----------
    tensor : Tensor
        Tensor of one shape on every process.
    """
    if process_rank()[1] == 1:
        return
    device = ONLY_ON.get(torch.distributed.get_backend(), tensor.device.type)
    moved = tensor if tensor.device.type == device else tensor.to(device)
    torch.distributed.all_reduce(moved)
    if moved is not tensor:
        tensor.copy_(moved)


def best_over_processes(best: Tensor, runner: Tensor, winner: Tensor) -> list[Tensor]:
    """Return the best two scores and the winner over the targets of all processes.

    Parameters
    ----------
    best, runner : Tensor of one shape
        Largest and second-largest score among this process's targets.
    winner : Tensor of the same shape, integer
        Target of the largest score.

    Returns
    -------
    list of Tensor
        Best, runner-up and winner over all; equal scores go to the smallest index.
    """
    if process_rank()[1] == 1:
        return [best, runner, winner]
    operation = torch.distributed.ReduceOp
    top, place = best.clone(), winner.clone()
    torch.distributed.all_reduce(top, operation.MAX)
    place[best < top] = torch.iinfo(place.dtype).max
    torch.distributed.all_reduce(place, operation.MIN)
    rest = torch.where((best == top) & (winner == place), runner, best)
    torch.distributed.all_reduce(rest, operation.MAX)
    return [top, rest, place]
