"""Sums over processes: where a backend adds on GPUs alone, tensors go there and come back."""

from __future__ import annotations

import pytest
import torch

from ot_latent.transport import processes


@pytest.fixture
def added(monkeypatch):
    """Two processes of a backend that stands for nccl; records the device of what is added."""
    devices = []
    monkeypatch.setattr(processes, "process_rank", lambda: (0, 2))
    monkeypatch.setattr(torch.distributed, "get_backend", lambda: "nccl", raising=False)
    monkeypatch.setattr(
        torch.distributed,
        "all_reduce",
        lambda tensor: devices.append(tensor.mul_(2).device.type),
        raising=False,
    )
    return devices


def test_tensors_are_added_where_they_lie(added, monkeypatch):
    monkeypatch.setattr(processes, "ONLY_ON", {})
    numbers = torch.arange(3)
    processes.add_over_processes(numbers)
    assert added == ["cpu"]
    assert numbers.tolist() == [0, 2, 4]


def test_tensors_go_where_the_backend_can_add_and_come_back(added, monkeypatch):
    assert processes.ONLY_ON == {"nccl": "cuda"}
    monkeypatch.setattr(processes, "ONLY_ON", {"nccl": "meta"})
    with pytest.raises(NotImplementedError, match="meta"):  # nothing comes back from there
        processes.add_over_processes(torch.arange(3))
    assert added == ["meta"]


@pytest.mark.gpu
def test_tensors_come_back_from_a_gpu(added):
    numbers = torch.arange(3)
    processes.add_over_processes(numbers)
    assert added == ["cuda"]
    assert numbers.tolist() == [0, 2, 4]


def test_alone_nothing_is_added():
    numbers = torch.arange(3)
    processes.add_over_processes(numbers)
    assert numbers.tolist() == [0, 1, 2]
