"""The one schema of a run: what the Python API, the YAML file and the command line agree on.

Every model is frozen and refuses unknown keys, so a typing error is a sentence and not a default.

Examples
--------
>>> config = RunConfig.from_dict({"autoencoder": {"latent_dim": 8}, "seed": 3})
>>> config.autoencoder.latent_dim, config.transport.source
(8, 'box')
>>> RunConfig.from_dict({"autoencoder": {"latent_dims": 8}})
Traceback (most recent call last):
    ...
ot_latent.config.ConfigError: autoencoder.latent_dims is not a setting; did you mean 'latent_dim'?
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Literal, Self, cast

import pydantic
from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

Model = Literal["auto", "mlp", "conv", "residual"]
Loss = Literal["mse", "l1", "bce"]
Prior = Literal["none", "vae", "wae"]
SourceName = Literal["box", "ball", "gaussian"]
SolverName = Literal["auto", "exact", "sampled", "pot"]
Device = Literal["auto", "cpu", "cuda"]
Depth = int | Literal["auto"]
Initialisation = Literal["default", "critical"]
Regulariser = Literal["weight_decay", "pathprox"]
ExtensionKind = Literal["auto", "simplex", "affine", "noise", "two-cell", "none"]


class ConfigError(ValueError):
    """A setting is unknown or has a value that cannot be; the message names it."""


class _Section(BaseModel):
    """A frozen group of settings that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the settings given by a dictionary.

        Parameters
        ----------
        values : mapping
            Keys are field names; missing fields take their defaults.

        Returns
        -------
        _Section
            The validated settings.

        Raises
        ------
        ConfigError
            If a key is unknown or a value is refused.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(
                f"the configuration must be a mapping of settings, got "
                f"{type(values).__name__}; write lines such as 'seed: 0'."
            )
        try:
            return cls.model_validate(values)
        except pydantic.ValidationError as error:
            raise ConfigError(sentence(error, cls)) from None

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain Python objects that YAML and JSON can hold.

        Returns
        -------
        dict
            Nested dictionary of every field.
        """
        return self.model_dump(mode="json")


class DataSource(_Section):
    """One file that was read: where it lay and what it held."""

    path: str
    """Where the file lay."""
    sha256: str
    """SHA-256 of its content."""
    bytes: int = 0
    """Its size."""


class DataConfig(_Section):
    """Where the data come from and how they are laid out."""

    data: str | None = None
    """Named set, .npy/.npz/IDX file, folder of images, or .csv/.parquet table."""
    data_dir: str | None = None
    """Folder that holds the named sets (else the variable OT_LATENT_DATA)."""
    labels: str | None = None
    """File of labels, one per row."""
    label_column: str | None = None
    """Column of a table that holds the labels."""
    channels: Literal["first", "last"] | None = None
    """Which axis of an image holds the colours, where the shape leaves it open."""
    codes: str | None = None
    """File of codes (n, d): transport only, no autoencoder."""
    sources: tuple[DataSource, ...] = ()
    """Files that were read, with their digests (filled in by the run)."""


class AutoencoderConfig(_Section):
    """The shape of the autoencoder and what it is trained for."""

    model: Model = "auto"
    """Kind of network; auto: mlp for vectors, conv for images."""
    latent_dim: int = Field(default=16, ge=1)
    """Dimension of the codes."""
    width: int = Field(default=32, ge=1)
    """Channels of the first layer (an mlp's hidden layers have 8 times as many)."""
    depth: Depth | None = None
    """Hidden layers of an mlp (default 3), convolutions per scale of conv (0), blocks per scale of residual
    (1); auto: as many as precision and chance allow."""
    initialisation: Initialisation = "default"
    """Gain of the first weights; default: sqrt(2); critical: signals neither grow nor shrink."""
    loss: Loss = "mse"
    """Reconstruction loss."""
    code_noise: float = Field(default=0.05, ge=0, allow_inf_nan=False)
    """Noise added to codes in training, in units of their rms."""
    code_penalty: float = Field(default=1e-4, ge=0, allow_inf_nan=False)
    """Weight of the mean squared code in the loss."""
    neighbour_weight: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Weight of the term that keeps neighbours in the data together and other rows apart."""
    prior: Prior = "none"
    """Draw codes towards a standard normal law, a rival of the transport; see `latent.priors`."""
    prior_weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Weight of the prior's term over the number of values of a row (1 with bce: the evidence bound)."""
    deformation: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Smooth deformations of training images: rms of the displacement in pixels."""
    activation: Literal["auto", "silu", "relu"] = "auto"
    """silu: smooth, with norms; relu: rectifiers without norms; auto: relu with pathprox, silu else."""
    regulariser: Regulariser = "weight_decay"
    """weight_decay: of all parameters; pathprox: units of rectifiers are shrunk to exact zeros."""
    skip: bool | None = None
    """Affine path beside encoder and decoder (default: in an mlp, not in networks of images)."""
    bottleneck_rank: int | None = Field(default=None, ge=1)
    """Largest rank of the matrices between two hidden layers (default: full)."""

    @field_validator("depth", mode="before")
    @classmethod
    def _number_or_auto(cls, value: Any) -> Any:
        """Refuse other values in one sentence, not one for every kind of value."""
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        if value is None or value == "auto" or whole:
            return value
        raise PydanticCustomError("depth", "Input should be a positive integer or 'auto'")


class PriorAutoencoderConfig(AutoencoderConfig):
    """An autoencoder that generates by itself: it always has a prior, and nothing else draws its codes."""

    prior: Literal["vae", "wae"] = "vae"
    """vae: normal codes by divergence; wae: by kernel discrepancy."""
    code_noise: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Further noise of codes in training, in units of their rms (wae only; vae draws its own)."""
    code_penalty: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Weight of the mean squared code in the loss."""


class TrainingConfig(_Section):
    """How the autoencoder is trained."""

    epochs: int | None = Field(default=None, ge=1)
    """Passes over the data (default: chosen from their number)."""
    batch_size: int | None = Field(default=None, ge=1)
    """Rows per step (default: chosen from their number and size)."""
    lr: float = Field(default=4e-3, gt=0, allow_inf_nan=False)
    """Peak learning rate."""
    weight_decay: float = Field(default=1e-4, ge=0, allow_inf_nan=False)
    """Decoupled weight decay; with pathprox the weight of the path norm of the units."""
    validation_fraction: float = Field(default=0.05, ge=0, lt=1)
    """Share of the training rows held out for early stopping."""
    patience: int = Field(default=5, ge=1)
    """Epochs without a better validation loss before training stops."""
    refine_epochs: int = Field(default=0, ge=0)
    """Further epochs in which the decoder alone is trained on, to be sharper (0: none)."""
    refine_features: float = Field(default=0.3, ge=0, allow_inf_nan=False)
    """Weight of the distance in a small critic's features, in the refinement."""
    refine_adversarial: float = Field(default=0.03, ge=0, allow_inf_nan=False)
    """Weight of what the critic says of decoded codes, in the refinement."""
    refine_local: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Weight of the gap between rows and what codes beside them decode to, in the refinement."""
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    """Precision of the forward pass."""
    checkpoint_seconds: float = Field(default=20.0, ge=0, allow_inf_nan=False)
    """Time between two checkpoints."""

    @field_validator("mixed_precision", mode="before")
    @classmethod
    def _no_is_a_word(cls, value: Any) -> Any:
        """Undo YAML's reading of a bare ``no`` as false."""
        return "no" if value is False else value


class TransportConfig(_Section):
    """The semi-discrete transport from noise to codes."""

    source: SourceName = "box"
    """Noise: uniform on a box or a ball, or Gaussian."""
    solver: SolverName = "auto"
    """Solver; auto: exact for up to three dimensions and noise on a box, sampled else."""
    tolerance: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Cell error at which the solver stops (default: largest 1e-6 if exact, rms 0.1 if sampled)."""
    memory_budget: str | None = None
    """Largest block of scores held in memory, such as 512MB or 2GB."""
    max_samples: int | None = Field(default=None, ge=1)
    """Largest number of noise samples a sampled solver may draw."""


class ExtensionConfig(_Section):
    """How the map is extended from the codes to new points between them."""

    kind: ExtensionKind = "auto"
    """auto: simplex up to three dimensions, affine above; noise: drawn; none: the codes themselves."""
    neighbours: int | None = Field(default=None, ge=1)
    """Neighbours that give the local spread of a code (default: calibrated)."""
    anchor: float | None = Field(default=None, ge=0, le=1)
    """How much of a code's own position is kept against its neighbours' mean (default: calibrated)."""
    spread: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Local spread in units of the neighbours' covariance (default: calibrated)."""
    tear: float | None = Field(default=None, gt=0)
    """Jump, in local spacings, above which codes are torn apart (default: calibrated)."""


class RunConfig(_Section):
    """Everything that a run depends on; a run folder's config.yaml holds one of these."""

    data: DataConfig = DataConfig()
    """Where the data come from."""
    autoencoder: AutoencoderConfig = AutoencoderConfig()
    """What the networks are."""
    training: TrainingConfig = TrainingConfig()
    """How the autoencoder is trained."""
    transport: TransportConfig = TransportConfig()
    """How the transport is solved."""
    extension: ExtensionConfig = ExtensionConfig()
    """How new codes are made inside a cell."""
    seed: int = Field(default=0, ge=0)
    """Seed of everything random."""
    device: Device = "auto"
    """Where to compute; auto: the GPU where there is one."""
    versions: dict[str, str] = {}
    """Versions of the library and of what it computed with (filled in by the run)."""

    @classmethod
    def from_yaml(cls, text: str) -> RunConfig:
        """Return the configuration written in YAML.

        Parameters
        ----------
        text : str
            The content of a config.yaml.

        Returns
        -------
        RunConfig
            The validated configuration.

        Raises
        ------
        ConfigError
            If the text is not YAML, a key is unknown or a value is refused.

        Examples
        --------
        >>> RunConfig.from_yaml("seed: 7").seed
        7
        """
        import yaml

        try:
            values = yaml.safe_load(text)
        except yaml.YAMLError as error:
            problem = " ".join(str(error).split())
            raise ConfigError(
                f"the configuration must be YAML, got text that is not ({problem}); "
                "check the indentation and the colons."
            ) from None
        return cls.from_dict({} if values is None else values)

    def to_yaml(self) -> str:
        """Return the configuration as YAML that `from_yaml` reads back equal.

        Returns
        -------
        str
            One line per setting, in the order of the schema.
        """
        import yaml

        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)

    def updated(self, changes: Mapping[str, Any]) -> RunConfig:
        """Return a copy in which some settings are replaced.

        Parameters
        ----------
        changes : mapping
            Nested like `to_dict`; sections not named keep their values.

        Returns
        -------
        RunConfig
            The validated new configuration.

        Raises
        ------
        ConfigError
            If a key is unknown or a value is refused.

        Examples
        --------
        >>> RunConfig().updated({"transport": {"tolerance": 0.2}}).transport.tolerance
        0.2
        """
        values = self.to_dict()
        for key, change in changes.items():
            both = isinstance(change, Mapping) and isinstance(values.get(key), dict)
            values[key] = {**values[key], **change} if both else change
        return RunConfig.from_dict(values)


def suggestion(word: str, candidates: Any) -> str:
    """Return the end of a refusal that names the nearest known word.

    Parameters
    ----------
    word : str
        What was written.
    candidates : iterable of str
        What could have been meant.

    Returns
    -------
    str
        ``"did you mean 'x'?"``, or the list of all candidates where none is near.

    Examples
    --------
    >>> suggestion("sede", ["seed", "device"])
    "did you mean 'seed'?"
    """
    names = list(candidates)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(names)}."


def sentence(error: pydantic.ValidationError, schema: type[BaseModel]) -> str:
    """Turn pydantic's report into one sentence: which setting, what came, what to try.

    Parameters
    ----------
    error : pydantic.ValidationError
        The report; its first entry is told, the number of the others added.
    schema : type
        The model that was validated, for the names that could have been meant.

    Returns
    -------
    str
        The refusal.
    """
    details = error.errors(include_url=False)
    first, *rest = sorted(details, key=lambda e: e["type"] != "extra_forbidden")  # typos say most
    path = [str(part) for part in first["loc"]]
    name = ".".join(path) or schema.__name__
    if first["type"] == "extra_forbidden":
        text = f"{name} is not a setting; {suggestion(path[-1], _fields(schema, path[:-1]))}"
    elif first["type"] == "missing":
        text = f"{name} must be given; add it."
    else:
        wanted = first["msg"].removeprefix("Input should ").rstrip(".")
        text = f"{name} must {wanted}, got {first['input']!r}; change it or leave it out."
    return text + (f" ({len(rest)} more such.)" if rest else "")


def _fields(schema: type[BaseModel], path: list[str]) -> list[str]:
    """Names of the settings of the section that `path` leads to."""
    for part in path:
        if part.isdigit():  # an entry of a list: its section was found through the list's name
            continue
        inner = schema.model_fields[part].annotation
        inner = next(iter(getattr(inner, "__args__", ())), inner)
        schema = cast("type[BaseModel]", inner)
    return list(schema.model_fields)
