"""The atlas as one HTML page to explore: the pointer over the noise shows cell, code, image, tear."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ot_latent._validation import DataError
from ot_latent.plotting.images import as_colour
from ot_latent.plotting.style import class_colours
from ot_latent.raster import CellRaster
from ot_latent.tears import FULL, LEAST, find_tears

if TYPE_CHECKING:
    from ot_latent.atlas import Atlas
    from ot_latent.transport.power_diagram import PowerDiagram

TEMPLATE = Path(__file__).with_name("atlas_page.html")
PIXELS = 16_000_000  # of the sheet of decoded images
MOST_TILES = 16_384  # decoded images
BLOCK = 8  # pixels; JPEG mixes colours within blocks of this size, so that images begin on one
QUALITY = 82
BLUE = [0.27, 0.46, 0.68]  # of all cells where there are no classes
TORN = 5.0  # times the local spacing: facets that count when the nearest tear is looked for
NARROW = 65_536  # numbers of cells below it take two bytes
Array = np.ndarray


def atlas_page(
    data: Atlas,
    decode: Callable[[Array], Any],
    *,
    names: Sequence[str] | None = None,
    title: str = "Atlas",
    words: str = "",
    tiles: int = MOST_TILES,
) -> str:
    """Return the atlas as an HTML page that loads nothing from elsewhere.

    Cells are cut in the page itself from codes, heights and neighbours in double precision, so they
    are as exact there as here. Images are decoded in advance: those of all codes where they fit, else
    of an even choice, and every cell shows the one whose code is closest to its own.

    Parameters
    ----------
    data : Atlas
        What `atlas.compute` returns, with exact cells.
    decode : callable
        Codes (m, 2) to images.
    names : sequence of str, optional
        Names of the classes, in their sorted order.
    title : str, default="Atlas"
        Heading.
    words : str, default=""
        A sentence for the foot of the page.
    tiles : int, default=16384
        Most images.

    Returns
    -------
    str
        HTML. ``#x=0.3,y=-0.2`` behind its address points at a place of the noise, ``,zoom=8``
        enlarges it.

    Raises
    ------
    DataError
        If the cells are pixels: the source has no exact cells.
    """
    if isinstance(data.cells, CellRaster):
        raise DataError(
            "data must hold exact cells for a page, got pixels; fit with a box, a polytope or a grid "
            "as the source."
        )
    content = _cells(data.cells) | _classes(data, names) | _tears(data.cells)
    content |= _images(data.codes, decode, tiles)
    page = TEMPLATE.read_text(encoding="utf-8")
    page = page.replace("@@TITLE@@", escape(title)).replace("@@WORDS@@", escape(words))
    return page.replace("@@DATA@@", json.dumps(content).replace("<", "\\u003c"))


def _coded(values: Any, kind: str) -> str:
    """Return numbers as text: base64 of their little-endian bytes."""
    return base64.b64encode(np.ascontiguousarray(values, dtype=f"<{kind}").tobytes()).decode()


def _cells(diagram: PowerDiagram) -> dict[str, Any]:
    """Sites, heights, neighbours and the domain: all that cells follow from."""
    from scipy.spatial import ConvexHull

    from ot_latent.transport.domains import GridDensity

    indptr, indices = diagram.neighbours
    vertices = diagram.polygons()[0]
    corners = vertices[ConvexHull(vertices).vertices]  # counter-clockwise
    wide = len(indptr) - 1 > NARROW
    return {
        "sites": _coded(diagram.potential.points.detach().cpu().double().numpy(), "f8"),
        "heights": _coded(diagram.potential.heights.detach().cpu().double().numpy(), "f8"),
        "degrees": _coded(np.diff(indptr), "u2"),
        "neighbours": _coded(indices, "u4" if wide else "u2"),
        "wide": wide,
        "domain": corners.ravel().tolist(),
        "uniform": not isinstance(diagram.source, GridDensity),
    }


def _classes(data: Atlas, names: Sequence[str] | None) -> dict[str, Any]:
    """Class of each cell, and the classes' names and colours."""
    if data.labels is None:
        return {"classes": _coded(np.zeros(len(data.codes)), "u2"), "names": [], "colours": [BLUE]}
    values, position = np.unique(data.labels, return_inverse=True)
    colours = [list(colour) for colour in class_colours(values).values()]
    shown = [str(name) for name in (values if names is None else names)]
    return {"classes": _coded(position, "u2"), "names": shown, "colours": colours}


def _tears(diagram: PowerDiagram) -> dict[str, Any]:
    """Torn facets, the weakest first."""
    torn = find_tears(diagram)
    return {
        "tears": _coded(torn.segments, "f4"),
        "tear_pairs": _coded(torn.pairs, "u4"),
        "tear_jumps": _coded(torn.jumps, "f4"),
        "tear_times": _coded(torn.ratios, "f4"),
        "least": LEAST,
        "full": FULL,
        "torn": TORN,
    }


def _images(codes: Array, decode: Callable[[Array], Any], most: int) -> dict[str, Any]:
    """Return the sheet of decoded images, and which of them each cell shows."""
    from scipy.spatial import cKDTree

    height, width = as_colour(np.asarray(decode(codes[:1]))).shape[1:3]
    step = [BLOCK * -(-side // BLOCK) for side in (height, width)]
    count = min(len(codes), most, PIXELS // (step[0] * step[1]))
    chosen = np.arange(len(codes))
    if count < len(codes):  # even in the plane of the codes, not only where they are dense
        half = count // 2
        chosen = np.unique(
            np.r_[np.linspace(0, len(codes) - 1, half).astype(int), _spread(codes, half)]
        )
    tiles = as_colour(np.asarray(decode(codes[chosen])))
    columns = int(np.ceil(np.sqrt(len(tiles))))
    return {
        "sheet": _sheet(tiles, columns, step),
        "tile_of": _coded(cKDTree(codes[chosen]).query(codes)[1], "u2"),
        "tile": [height, width],
        "step": step,
        "columns": columns,
        "grey": bool(np.ptp(tiles, axis=-1).max() == 0),
        "every": len(chosen) == len(codes),
    }


def _spread(codes: Array, count: int) -> Array:
    """Return about `count` codes, at most one from each square of a grid over their plane."""
    low, high = codes.min(axis=0), codes.max(axis=0)
    unit = (codes - low) / np.maximum(high - low, 1e-300)
    side = 1
    chosen = np.zeros(1, dtype=int)
    while side < 4096:
        square = np.minimum((unit * side).astype(int), side - 1)
        first = np.unique(square[:, 0] * side + square[:, 1], return_index=True)[1]
        if len(first) > count:
            return chosen
        side, chosen = 2 * side, first
    return chosen


def _sheet(tiles: Array, columns: int, step: list[int]) -> str:
    """Return the images on one sheet, row by row, as the address of a JPEG file."""
    from PIL import Image

    n, height, width, _ = tiles.shape
    grey = np.ptp(tiles, axis=-1).max() == 0
    rest = ((0, 0), (0, step[0] - height), (0, step[1] - width), (0, 0))
    padded = np.pad(tiles[..., :1] if grey else tiles, rest, mode="edge")
    lines = -(-n // columns)
    blank = np.zeros((lines * columns - n, *padded.shape[1:]), padded.dtype)
    laid = np.concatenate([padded, blank]).reshape(lines, columns, *padded.shape[1:])
    sheet = laid.swapaxes(1, 2).reshape(lines * step[0], columns * step[1], -1)
    pixels = np.round(255 * (sheet[..., 0] if grey else sheet)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
