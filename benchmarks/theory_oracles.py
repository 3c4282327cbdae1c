"""Slow, plain routes to the cells of a ReLU network: polygons in pure Python, and a sign tree of LPs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

Layers = list[tuple[np.ndarray, np.ndarray]]


def recipe(widths: Sequence[int], seed: int) -> tuple[nn.Sequential, Layers]:
    """Return a random network, W ~ N(0, 2 / fan_in) and b ~ N(0, 1/4), and its matrices."""
    rng, parts, layers = np.random.default_rng(seed), [], []
    for inputs, outputs in pairwise(widths):
        weight = rng.standard_normal((outputs, inputs)) * np.sqrt(2 / inputs)
        layers.append((weight, rng.standard_normal(outputs) * 0.5))
        part = nn.Linear(inputs, outputs, dtype=torch.float64)
        part.weight.data, part.bias.data = map(torch.from_numpy, layers[-1])
        parts += [part, nn.ReLU()]
    return nn.Sequential(*parts[:-1]), layers


def python_slice(layers: Layers, half: float) -> int:
    """Count the cells in the square by cutting polygons one by one, without compilation."""
    square = [(-half, -half), (half, -half), (half, half), (-half, half)]
    regions: list[Any] = [(square, np.eye(2), np.zeros(2))]
    for weight, bias in layers[:-1]:
        after = []
        for polygon, linear, offset in regions:
            a, c = weight @ linear, weight @ offset + bias
            for part in _cut(polygon, a, c):
                x = np.mean(part, axis=0)
                on = (a @ x + c > 0).astype(float)
                after.append((part, on[:, None] * a, on * c))
        regions = after
    return len(regions)


def _cut(polygon: list, a: np.ndarray, c: np.ndarray) -> list[list]:
    """Cut one polygon by the zeros of all units of a layer."""
    parts = [polygon]
    for (p, q), r in zip(a.tolist(), c.tolist(), strict=True):
        cut = []
        for part in parts:
            values = [p * x + q * y + r for x, y in part]
            if min(values) >= -1e-12 or max(values) <= 1e-12:
                cut.append(part)
                continue
            cut += [_side(part, values, 1.0), _side(part, values, -1.0)]
        parts = cut
    return parts


def _side(part: list, values: list[float], sign: float) -> list:
    """Return the part of a polygon on one side (Sutherland and Hodgman)."""
    kept = []
    for i, (point, value) in enumerate(zip(part, values, strict=True)):
        j = (i + 1) % len(part)
        if sign * value >= 0:
            kept.append(point)
        if value * values[j] < 0:
            t = value / (value - values[j])
            kept.append(tuple(u + t * (v - u) for u, v in zip(point, part[j], strict=True)))
    return kept


def lp_tree(layers: Layers, half: float) -> tuple[int, int]:
    """Count the cells in a cube, unit by unit, each side of a unit tested by a linear programme."""
    size = layers[0][0].shape[1]
    sides = np.vstack([np.eye(size), -np.eye(size)])
    start = (sides, np.full(2 * size, float(half)), np.zeros(size))
    return _grow(layers, 0, 0, np.eye(size), np.zeros(size), start, [])


def _grow(
    layers: Layers, depth: int, unit: int, a: np.ndarray, c: np.ndarray, cell: Any, signs: list
) -> tuple[int, int]:
    """Decide one unit after the other, depth first; return cells and programmes."""
    if depth == len(layers) - 1:
        return 1, 0
    weight, bias = layers[depth]
    if unit == len(weight):
        on = np.array(signs[-unit:], dtype=float)
        return _grow(
            layers, depth + 1, 0, on[:, None] * (weight @ a), on * (weight @ c + bias), cell, []
        )
    row, constant = weight[unit] @ a, weight[unit] @ c + bias[unit]
    matrix, limits, inside = cell
    here = bool(row @ inside + constant > 0)
    found, solved = 0, 0
    for on in (here, not here):
        way = -1.0 if on else 1.0
        bounds = np.vstack([matrix, way * row]), np.append(limits, -way * constant)
        point = inside
        if on != here:
            solved += 1
            point = _centre(*bounds)
        if point is not None:
            more = _grow(layers, depth, unit + 1, a, c, (*bounds, point), [*signs, on])
            found, solved = found + more[0], solved + more[1]
    return found, solved


def _centre(matrix: np.ndarray, limits: np.ndarray) -> np.ndarray | None:
    """Return the centre of the largest ball inside, or None where there is none."""
    from scipy.optimize import linprog

    norms = np.linalg.norm(matrix, axis=1)
    objective = np.append(np.zeros(matrix.shape[1]), -1.0)
    bounds = [(None, None)] * matrix.shape[1] + [(0.0, None)]
    result = linprog(objective, A_ub=np.column_stack([matrix, norms]), b_ub=limits, bounds=bounds)
    return result.x[:-1] if result.success and result.x[-1] > 1e-9 else None
