"""Data to codes and back, in the user's layout: a trained autoencoder, or networks of the user's.

Both kinds have ``encode(X)``, ``decode(codes)``, ``to_tensors``, ``to_config``; networks see blocks of
one fixed size, so a row's bits do not depend on the request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ot_latent._validation import DataError, check_array
from ot_latent.architectures import new_autoencoder
from ot_latent.config import AutoencoderConfig
from ot_latent.latent.autoencoder import Autoencoder, decode_rows, encode_rows
from ot_latent.latent.layers import in_blocks
from ot_latent.latent.preprocessing import DataCodec

ENCODED = 4096  # rows brought to the device at once


@dataclass(frozen=True, eq=False)
class TrainedCoder:
    """An autoencoder together with the codec of its data.

    Attributes
    ----------
    codec : DataCodec
        Layout, dtype and range of the data.
    model : Autoencoder
        The trained network.
    """

    codec: DataCodec
    model: Autoencoder

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.model.parameters()).device

    def encode(self, X: Any) -> np.ndarray:
        """Return the codes of data.

        Parameters
        ----------
        X : array-like
            Rows laid out like the training data.

        Returns
        -------
        ndarray of shape (n, latent_dim), float32
            Codes.
        """
        x = self.codec.encode(X)
        parts = [encode_rows(self.model, part.to(self.device)).cpu() for part in x.split(ENCODED)]
        return torch.cat(parts).numpy()

    def decode(self, codes: Any) -> np.ndarray:
        """Return the data of codes, in layout, dtype and range of the training data.

        Parameters
        ----------
        codes : array-like of shape (n, latent_dim)
            Codes.

        Returns
        -------
        ndarray
            Rows like those of the training data.
        """
        z = torch.from_numpy(_checked_codes(codes, self.model.config.latent_dim))
        parts = [decode_rows(self.model, part.to(self.device)) for part in z.split(ENCODED)]
        return np.concatenate([self.codec.decode(part.cpu()) for part in parts])

    def inputs(self, X: Any) -> Tensor:
        """Return rows as the network takes them, to which noise can be added.

        Parameters
        ----------
        X : array-like
            Rows laid out like the training data.

        Returns
        -------
        Tensor of shape (n, ...)
            On the device of the network.
        """
        return self.codec.encode(X).to(self.device)

    def raw_encode(self, x: Tensor) -> Tensor:
        """Return the codes of `inputs`.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Rows as the network takes them, noise and all.

        Returns
        -------
        Tensor of shape (n, d)
            Codes.
        """
        return encode_rows(self.model, x)

    def raw_decode(self, z: Tensor) -> Tensor:
        """Return what the decoder makes of codes, as the network gives it.

        Parameters
        ----------
        z : Tensor of shape (n, d)
            Codes.

        Returns
        -------
        Tensor of shape (n, ...)
            Rows comparable with `inputs`.
        """
        return decode_rows(self.model, z)

    def to_tensors(self) -> dict[str, dict[str, Tensor]]:
        """Return the parameters, encoder and decoder apart.

        Returns
        -------
        dict of str to dict of str to Tensor
            Components ``encoder`` and ``decoder``.
        """
        return {
            "encoder": self.model.encoder.state_dict(),
            "decoder": self.model.decoder.state_dict(),
        }

    def to_config(self) -> dict[str, Any]:
        """Return what builds the network, ready for JSON.

        Returns
        -------
        dict
            Keys codec, autoencoder, shape.
        """
        return {
            "codec": self.codec.to_dict(),
            "autoencoder": self.model.config.to_dict(),
            "shape": list(self.model.shape),
        }

    @classmethod
    def from_parts(
        cls, tensors: dict[str, dict[str, Tensor]], config: dict[str, Any], device: str = "cpu"
    ) -> TrainedCoder:
        """Rebuild a coder from its two parts.

        Parameters
        ----------
        tensors, config : dict
            As from `to_tensors` and `to_config`.
        device : str, default="cpu"
            Where the network goes.

        Returns
        -------
        TrainedCoder
            The coder.
        """
        settings = AutoencoderConfig.from_dict(config["autoencoder"])
        model = new_autoencoder(settings, tuple(config["shape"]), seed=0)
        model.encoder.load_state_dict(dict(tensors["encoder"]))
        model.decoder.load_state_dict(dict(tensors["decoder"]))
        return cls(DataCodec.from_dict(config["codec"]), model.to(device).eval())


@dataclass(frozen=True, eq=False)
class OwnCoder:
    """Networks of the user's: functions from rows to codes and back.

    The encoder gets a float32 tensor (n, ...) with the values of X as they are and returns codes
    (n, d); the decoder gets codes as a float32 tensor and returns rows like those of X. Both
    are called without gradients on blocks of 64 rows, the last one padded with zeros.

    Attributes
    ----------
    encoder, decoder : callable
        The two functions.
    shape : tuple of int
        Shape of a row of X.
    dtype : str
        Dtype of X; integers are rounded and kept in the range of the dtype.
    device : str
        Where the tensors go.
    """

    encoder: Callable[[Tensor], Tensor]
    decoder: Callable[[Tensor], Tensor]
    shape: tuple[int, ...]
    dtype: str
    device: str = "cpu"

    def encode(self, X: Any) -> np.ndarray:
        """Return the codes of data.

        Parameters
        ----------
        X : array-like of shape (n, *shape)
            Rows like those of the fit.

        Returns
        -------
        ndarray of shape (n, d), float32
            Codes.

        Raises
        ------
        DataError
            If a row has another shape.
        ValueError
            If the encoder does not return one code per row.
        """
        return self.raw_encode(self.inputs(X)).cpu().numpy()

    def decode(self, codes: Any) -> np.ndarray:
        """Return the data of codes.

        Parameters
        ----------
        codes : array-like of shape (n, d)
            Codes.

        Returns
        -------
        ndarray of shape (n, *shape)
            Rows in the dtype of X.

        Raises
        ------
        ValueError
            If the decoder does not return rows of the shape of X.
        """
        z = torch.from_numpy(_checked_codes(codes, None))
        rows = self.raw_decode(z).cpu().numpy()
        dtype = np.dtype(self.dtype)
        if dtype.kind == "b":
            return rows >= 0.5
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            rows = np.clip(np.rint(rows.astype(np.float64)), limits.min, limits.max)
        return rows.astype(dtype)

    def inputs(self, X: Any) -> Tensor:
        """Return rows as the encoder takes them.

        Parameters
        ----------
        X : array-like of shape (n, *shape)
            Rows like those of the fit.

        Returns
        -------
        Tensor of shape (n, *shape), float32
            The same values.

        Raises
        ------
        DataError
            If a row has another shape.
        """
        array = check_array(X, "X")
        if array.shape[1:] != self.shape:
            raise DataError(
                f"X must have rows of shape {self.shape} as in the fit, got {array.shape[1:]}; "
                "reshape them."
            )
        return torch.from_numpy(array.astype(np.float32)).to(self.device)

    def raw_encode(self, x: Tensor) -> Tensor:
        """Return the encoder's codes of `inputs`.

        Parameters
        ----------
        x : Tensor of shape (n, *shape)
            Rows.

        Returns
        -------
        Tensor of shape (n, d)
            Codes.

        Raises
        ------
        ValueError
            If the encoder does not return one code per row.
        """
        return self._run(self.encoder, x, "encoder", ndim=2)

    def raw_decode(self, z: Tensor) -> Tensor:
        """Return the decoder's rows, neither rounded nor clipped.

        Parameters
        ----------
        z : Tensor of shape (n, d)
            Codes.

        Returns
        -------
        Tensor of shape (n, *shape)
            Rows.

        Raises
        ------
        ValueError
            If the decoder does not return rows of the shape of X.
        """
        rows = self._run(self.decoder, z, "decoder", ndim=1 + len(self.shape))
        if tuple(rows.shape[1:]) != self.shape:
            raise ValueError(
                f"decoder must return rows of shape {self.shape} as in X, got "
                f"{tuple(rows.shape[1:])}; reshape its output."
            )
        return rows

    def _run(
        self, function: Callable[[Tensor], Tensor], rows: Tensor, name: str, *, ndim: int
    ) -> Tensor:
        """Apply one of the user's functions to blocks and check what comes back."""

        def checked(block: Tensor) -> Tensor:
            result = torch.as_tensor(function(block))
            if result.ndim != ndim or len(result) != len(block):
                raise ValueError(
                    f"{name} must return {len(block)} rows with {ndim} axes in all for "
                    f"{len(block)} rows, got shape {tuple(result.shape)}; return one row per row."
                )
            return result.detach().float()

        return in_blocks(checked, rows.to(self.device))

    def to_tensors(self) -> dict[str, dict[str, Tensor]]:
        """Return nothing: functions cannot be saved by value.

        Returns
        -------
        dict
            Empty.
        """
        return {}

    def to_config(self) -> dict[str, Any]:
        """Return the layout of the data.

        Returns
        -------
        dict
            Keys own, shape, dtype.
        """
        return {"own": True, "shape": list(self.shape), "dtype": self.dtype}


def _checked_codes(codes: Any, dim: int | None) -> np.ndarray:
    """Return codes as float32, refused unless finite and of the wanted dimension."""
    array = check_array(codes, "codes", ndim=2)
    if dim is not None and array.shape[1] != dim:
        raise DataError(
            f"codes must have {dim} columns, the latent dimension, got shape {array.shape}; pass "
            "codes of this model."
        )
    return array.astype(np.float32)
