"""`LatentGenerator`: autoencoder, transport and decoder as one model with the habits of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from sklearn.utils.validation import check_is_fitted

from ot_latent._apart import check_groups
from ot_latent._codes import check_labels, resolve_device
from ot_latent._random import seed_from
from ot_latent._validation import DataError, check_array, check_positive
from ot_latent.architectures import new_autoencoder
from ot_latent.coders import OwnCoder, TrainedCoder
from ot_latent.config import AutoencoderConfig, RunConfig, TrainingConfig
from ot_latent.estimators import OTSampler
from ot_latent.evidence import reconstruction_error
from ot_latent.features import ClassFeatures
from ot_latent.fitted import FittedGenerator
from ot_latent.latent.batches import split_rows
from ot_latent.latent.preprocessing import DataCodec
from ot_latent.latent.training import train_autoencoder

Callback = Callable[[dict[str, Any]], bool | None]


class LatentGenerator(FittedGenerator):
    """Learn to generate data like X: encode, transport noise to the codes, decode.

    Parameters
    ----------
    latent_dim : int, default=16
        Dimension of the codes.
    model : {"auto", "mlp", "conv", "residual"}, default="auto"
        Kind of autoencoder.
    source, solver, tolerance, extension, neighbours, anchor, spread, tear, max_samples, memory_budget
        As in `OTSampler`. The default source is the uniform box: it is bounded, so there
        are no rare extremes, and a product measure, so one can walk along its axes.
    loss : {"mse", "l1", "bce"}, default="mse"
        Reconstruction loss.
    width, depth, initialisation, code_noise, code_penalty, neighbour_weight, deformation
        As in `config.AutoencoderConfig`.
    prior, prior_weight
        As in `config.AutoencoderConfig`: codes drawn towards a standard normal law, a rival of the
        transport, which `evaluate` judges by ``baselines=["prior"]``.
    activation, regulariser, skip, bottleneck_rank
        As in `config.AutoencoderConfig`.
    epochs, batch_size, lr, weight_decay, validation_fraction, patience, mixed_precision
        As in `config.TrainingConfig`.
    refine_epochs, refine_features, refine_adversarial, refine_local
        As in `config.TrainingConfig`: a sharper decoder, the codes stay.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where to compute; "auto" takes the GPU where there is one.
    channels : {"first", "last"}, optional
        Which axis of images holds the colours, where the shape leaves it open.
    encoder, decoder : callable, optional
        Networks of your own (`coders.OwnCoder` says what they get); both or none.
    random_state : int, numpy generator or None, default=0
        Seed of everything.

    Attributes
    ----------
    transport_ : SemiDiscreteSolution
        The solved transport, in units of the standardised codes.
    sampler_ : OTSampler
        Codes in, codes out.
    coder_ : coders.TrainedCoder or coders.OwnCoder
        Data in, codes out, and back.
    classifier_ : features.ClassFeatures or None
        Classifier of the labels; gives `evaluate` its features.
    history_ : list of dict
        Training of the autoencoder, epoch by epoch.
    train_error_ : float
        Root mean square error of the training rows' reconstructions, over their deviation.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
    >>> gen = LatentGenerator(latent_dim=3, epochs=2, random_state=0).fit(X)
    >>> gen.sample(4, random_state=7).shape
    (4, 6)
    """

    def __init__(
        self,
        latent_dim: int = 16,
        *,
        model: str = "auto",
        source: Any = "box",
        solver: str = "auto",
        tolerance: float | None = None,
        loss: str = "mse",
        epochs: int | None = None,
        batch_size: int | None = None,
        lr: float = 4e-3,
        weight_decay: float = 1e-4,
        validation_fraction: float = 0.05,
        patience: int = 5,
        refine_epochs: int = 0,
        refine_features: float = 0.3,
        refine_adversarial: float = 0.03,
        refine_local: float = 0.0,
        mixed_precision: str = "no",
        width: int = 32,
        depth: int | str | None = None,
        initialisation: str = "default",
        code_noise: float = 0.05,
        code_penalty: float = 1e-4,
        neighbour_weight: float = 0.0,
        prior: str = "none",
        prior_weight: float = 1.0,
        deformation: float = 0.0,
        activation: str = "auto",
        regulariser: str = "weight_decay",
        skip: bool | None = None,
        bottleneck_rank: int | None = None,
        extension: str = "auto",
        neighbours: int | None = None,
        anchor: float | None = None,
        spread: float | None = None,
        tear: float | None = None,
        max_samples: int | None = None,
        memory_budget: int | str | None = None,
        device: str = "auto",
        channels: Literal["first", "last"] | None = None,
        encoder: Callable[..., Any] | None = None,
        decoder: Callable[..., Any] | None = None,
        random_state: Any = 0,
    ) -> None:
        self.latent_dim = latent_dim
        self.model = model
        self.source = source
        self.solver = solver
        self.tolerance = tolerance
        self.loss = loss
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.refine_epochs, self.refine_local = refine_epochs, refine_local
        self.refine_features, self.refine_adversarial = refine_features, refine_adversarial
        self.mixed_precision = mixed_precision
        self.width = width
        self.depth = depth
        self.initialisation = initialisation
        self.code_noise = code_noise
        self.code_penalty = code_penalty
        self.neighbour_weight = neighbour_weight
        self.prior = prior
        self.prior_weight = prior_weight
        self.deformation = deformation
        self.activation = activation
        self.regulariser = regulariser
        self.skip = skip
        self.bottleneck_rank = bottleneck_rank
        self.extension = extension
        self.neighbours = neighbours
        self.anchor = anchor
        self.spread = spread
        self.tear = tear
        self.max_samples = max_samples
        self.memory_budget = memory_budget
        self.device = device
        self.channels = channels
        self.encoder = encoder
        self.decoder = decoder
        self.random_state = random_state

    @classmethod
    def from_config(cls, config: RunConfig) -> LatentGenerator:
        """Return the unfitted generator that a run's configuration describes.

        Parameters
        ----------
        config : RunConfig
            The configuration.

        Returns
        -------
        LatentGenerator
            Not fitted.
        """
        sections = (config.autoencoder, config.training, config.transport, config.extension)
        settings = {key: value for part in sections for key, value in part.to_dict().items()}
        settings["extension"] = settings.pop("kind")
        settings |= {"device": config.device, "channels": config.data.channels}
        settings["random_state"] = config.seed
        known = set(cls._get_param_names())
        return cls(**{key: value for key, value in settings.items() if key in known})

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        groups: Any = None,
        callback: Callback | None = None,
        state: dict[str, Any] | None = None,
    ) -> LatentGenerator:
        """Train the autoencoder, solve the transport, extend the map.

        Parameters
        ----------
        X : array-like
            Images (n, h, w), (n, c, h, w), (n, h, w, c), or vectors (n, features).
        y : array-like of shape (n,), optional
            Labels.
        groups : array-like of shape (n,), optional
            Rows of one group are variants of one thing, such as the skin tones of an emoji. Early
            stopping and the calibration of the extension (`OTSampler.fit`) hold whole groups out.
        callback : callable, optional
            Called with a dictionary: stage ("autoencoder", "encode", "transport", "extension",
            "classifier"), progress in [0, 1], state (a resumable state, a function that
            builds it, or None) and numbers; the last event of "encode" carries the codes and
            labels. Returning True ends the stage, not the fit.
        state : dict of str to object, optional
            States of interrupted stages by name; they continue bit for bit.

        Returns
        -------
        LatentGenerator
            The fitted generator.

        Raises
        ------
        DataError
            If the data cannot be learnt from; the message says why.
        ValueError
            If a parameter cannot be what it is.
        """
        tell = callback or (lambda event: None)
        state = state or {}
        known = self.encoder is None  # else only the codes tell their dimension
        if known:
            check_positive(self.latent_dim, "latent_dim", integer=True)
        sampler = self._new_sampler().check_parameters(self.latent_dim if known else None)
        labels = None if y is None else check_labels(y, len(X))
        kinds = check_groups(groups, len(X))
        self.seed_ = seed_from(self.random_state)
        self.history_: list[dict[str, Any]] = []
        self.coder_ = self._own_coder(X) or self._train(X, kinds, tell, state.get("autoencoder"))
        tell({"stage": "encode", "progress": 0.0, "state": None})
        codes = self.coder_.encode(X)
        self.train_error_ = reconstruction_error(self.coder_, X, seed=self.seed_)
        tell({"stage": "encode", "progress": 1.0, "state": None, "codes": codes, "labels": labels})
        self.sampler_ = sampler.set_params(random_state=self.seed_).fit(
            codes, labels, groups=kinds, callback=callback, state=state.get("transport")
        )
        self.classifier_ = None
        if labels is not None and isinstance(self.coder_, TrainedCoder):
            self.classifier_ = ClassFeatures.fit(
                self.coder_.codec,
                X,
                labels,
                seed=self.seed_,
                callback=tell,
                device=resolve_device(self.device),
            )
        return self

    def refit_transport(
        self,
        tolerance: float | None = None,
        *,
        callback: Callback | None = None,
        state: Any = None,
    ) -> LatentGenerator:
        """Solve the transport again from the stored heights; the autoencoder stays.

        Parameters
        ----------
        tolerance : float, optional
            New tolerance; by default the last one.
        callback, state
            As in `OTSampler.resolve`.

        Returns
        -------
        LatentGenerator
            This generator.
        """
        check_is_fitted(self)
        self.sampler_.resolve(tolerance, callback=callback, state=state)
        return self

    def reweight(
        self, class_weights: Any = None, sample_weight: Any = None, **options: Any
    ) -> LatentGenerator:
        """Give the codes other masses and solve from the old heights; the networks stay.

        Parameters
        ----------
        class_weights, sample_weight, **options
            As in `OTSampler.reweight`.

        Returns
        -------
        LatentGenerator
            This generator.
        """
        check_is_fitted(self)
        self.sampler_.reweight(class_weights, sample_weight, **options)
        return self

    def _new_sampler(self) -> OTSampler:
        """Return the unfitted sampler of the parameters."""
        names = set(OTSampler._get_param_names()) - {"device", "random_state"}
        return OTSampler(**{n: getattr(self, n) for n in names}, device=resolve_device(self.device))

    def _train(self, X: Any, kinds: Any, tell: Callback, state: Any) -> TrainedCoder:
        """Train the autoencoder."""
        parameters = self.get_params(deep=False)
        shapes, settings = AutoencoderConfig.model_fields, TrainingConfig.model_fields
        architecture = AutoencoderConfig.from_dict({k: parameters[k] for k in shapes})
        training = {k: parameters[k] for k in settings if k in parameters}
        codec = DataCodec.fit(X, self.channels)
        precision = TrainingConfig.from_dict(training).mixed_precision
        network = new_autoencoder(architecture, codec.shape, self.seed_, precision)
        rows, unseen = codec.encode(X), None
        if kinds is not None:
            rows, unseen = split_rows(rows, self.validation_fraction, self.seed_, kinds)
        result = train_autoencoder(
            network,
            rows,
            TrainingConfig.from_dict(training),
            seed=self.seed_,
            x_validation=unseen if unseen is not None and len(unseen) else None,
            state=state,
            callback=lambda event: tell(event | {"stage": "autoencoder"}),
            device=resolve_device(self.device),
        )
        self.history_ = result.history
        tell({"stage": "autoencoder", "progress": 1.0, "state": result.state})
        return TrainedCoder(codec, result.model)

    def _own_coder(self, X: Any) -> OwnCoder | None:
        """Return the user's networks, if there are any."""
        if self.encoder is None and self.decoder is None:
            return None
        networks = self._networks(needed="LatentGenerator")
        array = check_array(X, "X", min_rows=2)
        if array.ndim < 2:
            raise DataError(f"X must have at least 2 axes, got shape {array.shape}; pass rows.")
        return OwnCoder(*networks, array.shape[1:], str(array.dtype), resolve_device(self.device))
