"""Linear pieces of ReLU networks, counted exactly, and the complexity of the manifolds they meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ot_latent._lazy import attach

if TYPE_CHECKING:
    from ot_latent.theory.rectified_linear.bounds import (
        RegionBounds as RegionBounds,
        arrangement_regions as arrangement_regions,
        region_bounds as region_bounds,
    )
    from ot_latent.theory.rectified_linear.chords import (
        SegmentChords as SegmentChords,
        segment_chords as segment_chords,
    )
    from ot_latent.theory.rectified_linear.curves import (
        CurveComplexity as CurveComplexity,
        curve_complexity as curve_complexity,
        peano_curve as peano_curve,
        spiral as spiral,
        spiral_turning as spiral_turning,
    )
    from ot_latent.theory.rectified_linear.encoding import (
        CurveEncoding as CurveEncoding,
        SurfaceEncoding as SurfaceEncoding,
        encodes as encodes,
    )
    from ot_latent.theory.rectified_linear.enumeration import (
        BoxRegion as BoxRegion,
        enumerate_regions as enumerate_regions,
        linear_pieces as linear_pieces,
    )
    from ot_latent.theory.rectified_linear.lines import (
        PathPieces as PathPieces,
        line_regions as line_regions,
        path_regions as path_regions,
        trajectory_length as trajectory_length,
    )
    from ot_latent.theory.rectified_linear.slices import (
        SliceRegion as SliceRegion,
        SliceRegions as SliceRegions,
        slice_regions as slice_regions,
    )
    from ot_latent.theory.rectified_linear.straightening import straighten as straighten
    from ot_latent.theory.rectified_linear.strokes import (
        alternating_strokes as alternating_strokes,
        stroke_limit as stroke_limit,
    )

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "bounds": ["RegionBounds", "arrangement_regions", "region_bounds"],
        "chords": ["SegmentChords", "segment_chords"],
        "curves": [
            "CurveComplexity",
            "curve_complexity",
            "peano_curve",
            "spiral",
            "spiral_turning",
        ],
        "encoding": ["CurveEncoding", "SurfaceEncoding", "encodes"],
        "enumeration": ["BoxRegion", "enumerate_regions", "linear_pieces"],
        "lines": ["PathPieces", "line_regions", "path_regions", "trajectory_length"],
        "slices": ["SliceRegion", "SliceRegions", "slice_regions"],
        "straightening": ["straighten"],
        "strokes": ["alternating_strokes", "stroke_limit"],
    },
)
