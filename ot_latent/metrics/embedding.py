"""Features of images by any torch module, so that distances can stand beside published ones.

A figure such as the Frechet distance belongs to its features: network, weights, resizing, range of the
pixels. `ModuleFeatures` says all of these; `inception_features` and `dinov2_features` fill in the
public protocols for networks whose weights you have. The package ships and fetches none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ot_latent._validation import DataError, check_array, check_positive

_IMAGENET_MEAN, _IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, eq=False)
class ModuleFeatures:
    """Rows of image data to features: to bytes, to three channels, resized, normalised, embedded.

    Calling it with rows returns an array (n, f), float64, whatever the precision of the module;
    distances are then computed in float64. Rows pass in batches: memory is that of one batch
    and of the features.

    Parameters
    ----------
    module : torch.nn.Module
        Network; called in evaluation mode, without gradients. Of a list or tuple that it returns the
        first entry counts; axes after the first are flattened.
    size : int, optional
        Height and width that images are resized to; by default they stay.
    resize : {"bilinear", "bicubic", "area", "nearest"}, default="bilinear"
        Interpolation.
    antialias : bool, default=False
        Whether resizing filters first (bilinear and bicubic only).
    mean, deviation : tuple of float
        Pixels p in [0, 1] enter the module as (p - mean) / deviation, per channel.
    channels : {1, 3}, default=3
        Channels that the module takes; one is repeated, three are averaged.
    layout : {"auto", "first", "last"}, default="auto"
        Where the channels of rows with four axes are.
    highest : float, optional
        Value of a white pixel; by default 255 for integers, 1 for floats. Floats are rounded to
        256 levels, as images in files are.
    batch : int, default=64
        Rows embedded at once.
    name : str, default="module"
        What the features are called in a record.

    Examples
    --------
    >>> pool = torch.nn.AdaptiveAvgPool2d(1)
    >>> features = ModuleFeatures(pool, name="mean colour")
    >>> features(np.full((2, 4, 4), 255, dtype=np.uint8)).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """

    module: torch.nn.Module
    size: int | None = None
    resize: str = "bilinear"
    antialias: bool = False
    mean: tuple[float, ...] = (0.0,)
    deviation: tuple[float, ...] = (1.0,)
    channels: int = 3
    layout: Literal["auto", "first", "last"] = "auto"
    highest: float | None = None
    batch: int = 64
    name: str = "module"

    def __post_init__(self) -> None:
        """Refuse options that no image can be prepared with."""
        check_positive(self.batch, "batch", integer=True)
        if self.size is not None:
            check_positive(self.size, "size", integer=True)
        if self.channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3, got {self.channels}; pass 3.")

    @property
    def __name__(self) -> str:
        """Name in a record."""
        return self.name

    def __call__(self, rows: Any) -> np.ndarray:
        """Return the features of rows of images.

        Parameters
        ----------
        rows : array-like of shape (n, h, w), (n, c, h, w) or (n, h, w, c)
            Images, bytes or floats.

        Returns
        -------
        numpy.ndarray
            Shape (n, f), float64.

        Raises
        ------
        DataError
            If the rows are no images, lie outside of the range, or the features are not finite.
        """
        images = check_array(rows, "rows")
        device = next((p.device for p in self.module.parameters()), torch.device("cpu"))
        training = self.module.training
        self.module.eval()
        try:
            parts = [
                self._embedded(images[i : i + self.batch], device)
                for i in range(0, len(images), self.batch)
            ]
        finally:
            self.module.train(training)
        return check_array(np.concatenate(parts), "features", ndim=2)

    @torch.no_grad()
    def _embedded(self, images: np.ndarray, device: torch.device) -> np.ndarray:
        """Features of one batch."""
        found = self.module(self.prepared(images).to(device))
        found = found[0] if isinstance(found, list | tuple) else found
        return found.flatten(1).to(torch.float64).cpu().numpy()

    def prepared(self, images: Any) -> Tensor:
        """Return images as the module sees them.

        Parameters
        ----------
        images : array-like
            As in a call.

        Returns
        -------
        Tensor
            Shape (n, channels, size, size), float32.
        """
        x = self._unit(self._channels_first(check_array(images, "rows")))
        if x.shape[1] != self.channels:
            x = x.expand(-1, 3, -1, -1) if self.channels == 3 else x.mean(1, keepdim=True)
        if self.size is not None and tuple(x.shape[2:]) != (self.size, self.size):
            smooth = {"align_corners": False} if self.resize in ("bilinear", "bicubic") else {}
            x = torch.nn.functional.interpolate(
                x, (self.size, self.size), mode=self.resize, antialias=self.antialias, **smooth
            )
        mean, deviation = (torch.tensor(v)[:, None, None] for v in (self.mean, self.deviation))
        return (x - mean) / deviation

    def _channels_first(self, images: np.ndarray) -> np.ndarray:
        """Shape (n, c, h, w) with one channel or three."""
        if images.ndim == 3:
            return images[:, None]
        first, last = (images.ndim == 4 and images.shape[axis] in (1, 3) for axis in (1, -1))
        if first and last and self.layout == "auto":
            raise DataError(
                f"rows must say where their channels are, got shape {images.shape}; pass "
                "layout='first' or layout='last'."
            )
        if last and self.layout != "first":
            return images.transpose(0, 3, 1, 2)
        if first and self.layout != "last":
            return images
        raise DataError(
            f"rows must be images of one or three channels, got shape {images.shape}; pass "
            "(n, h, w), (n, c, h, w) or (n, h, w, c)."
        )

    def _unit(self, images: np.ndarray) -> Tensor:
        """Pixels in [0, 1], one of 256 levels."""
        highest = self.highest or (1.0 if images.dtype.kind == "f" else 255.0)
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(torch.float32) / highest
        if float(pixels.min()) < -1e-3 or float(pixels.max()) > 1.0 + 1e-3:
            raise DataError(
                f"rows must lie between 0 and {highest:g}, got {images.min():g} to {images.max():g}; "
                "pass highest=, the value of a white pixel."
            )
        return (pixels * 255.0).round().clamp(0.0, 255.0) / 255.0


def inception_features(module: torch.nn.Module, **options: Any) -> ModuleFeatures:
    """Return features by the public protocol of the Frechet inception distance (FID).

    Images become 299 x 299 by bilinear interpolation without a filter and enter in [-1, 1], as in
    the PyTorch port of the original weights. The module must return the 2048 numbers after
    the last pooling, and must neither resize nor rescale by itself (else pass ``size=None`` or
    ``mean=(0,), deviation=(1,)``).

    Parameters
    ----------
    module : torch.nn.Module
        Inception v3 with the weights that you have.
    **options
        Further fields of `ModuleFeatures`.

    Returns
    -------
    ModuleFeatures
        Callable on rows of images.

    Examples
    --------
    >>> inception_features(torch.nn.AdaptiveAvgPool2d(1)).prepared(np.zeros((1, 8, 8))).min()
    tensor(-1.)
    """
    protocol: dict[str, Any] = {"size": 299, "mean": (0.5,), "deviation": (0.5,)}
    return ModuleFeatures(module, **(protocol | {"name": "inception"} | options))


def dinov2_features(module: torch.nn.Module, **options: Any) -> ModuleFeatures:
    """Return features by the public protocol of distances in DINOv2 features (FD-DINOv2).

    Images become 224 x 224 by filtered bicubic interpolation and are standardised by the mean and
    deviation of ImageNet's channels (Stein et al., Exposing flaws of generative model evaluation
    metrics, NeurIPS 2023, with the model ViT-L/14).

    Parameters
    ----------
    module : torch.nn.Module
        A DINOv2 network with the weights that you have.
    **options
        Further fields of `ModuleFeatures`.

    Returns
    -------
    ModuleFeatures
        Callable on rows of images.

    Examples
    --------
    >>> dinov2_features(torch.nn.Identity()).prepared(np.ones((1, 8, 8, 3))).shape
    torch.Size([1, 3, 224, 224])
    """
    protocol = {"size": 224, "resize": "bicubic", "antialias": True}
    standard = {"mean": _IMAGENET_MEAN, "deviation": _IMAGENET_DEVIATION, "name": "dinov2"}
    return ModuleFeatures(module, **(protocol | standard | options))  # type: ignore[arg-type]
