"""From a configuration (configs/default.py) to the parts of a run: the only readers of config in this package."""

import dataclasses

import jax
import optax

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.protocols import find_protocol
from contextloc_jax.core.ranges import check_range
from contextloc_jax.devices.parallel import AXIS
from contextloc_jax.localization.class_scores import check_class_scores_file
from contextloc_jax.localization.contextloc import PROPOSAL_NETS, ContextLoc
from contextloc_jax.localization.decode import DetectionSettings
from contextloc_jax.localization.losses import LossWeights
from contextloc_jax.training.loop import Schedule
from contextloc_jax.training.optimizer import learning_rate_schedule, sgd

DTYPES = ("float32", "bfloat16", "float64")
COUNTS = ("gradient_accumulation", "num_epochs", "visits_per_epoch", "log_every", "evaluate_every", "keep_checkpoints")


def check_values(config) -> None:
    """Raises InputError for values that would otherwise be found wrong only when a run first uses them."""
    for name in COUNTS:
        if config[name] < 1:
            raise InputError(f"config.{name} is {config[name]}; expected at least 1")
    if config.refit and not config.data.validation_fraction:
        raise InputError(
            "config.refit needs held-out videos to choose the epoch on; set config.data.validation_fraction"
        )
    find_protocol(config.detection.protocol)
    check_range("config.detection.nms", config.detection.nms, DetectionSettings.RANGES["nms"])
    check_class_scores_file(config.detection.class_scores)
    if config.detection.class_top_k < 0:
        raise InputError(f"config.detection.class_top_k is {config.detection.class_top_k}; expected at least 0")


def make_model(config) -> ContextLoc:
    """The model of config.model."""
    _check_one_of("model.proposal_net", config.model.proposal_net, PROPOSAL_NETS)
    _check_one_of("dtype", config.dtype, DTYPES)
    if config.dtype == "float64" and not jax.config.jax_enable_x64:
        raise InputError("config.dtype is 'float64', which jax has switched off; set JAX_ENABLE_X64=1")
    fields = {field.name for field in dataclasses.fields(ContextLoc)}
    settings = {key: value for key, value in config.model.items() if key in fields}
    norm_axis = AXIS if config.model.batch_norm_global else None
    return ContextLoc(config.data.num_classes, dtype=config.dtype, norm_axis=norm_axis, **settings)


def make_optimizer(config, steps_per_epoch: int) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """The optimizer and its learning-rate schedule."""
    settings = config.optimizer
    rate = learning_rate_schedule(settings.learning_rate, settings.decay_epochs, settings.decay_factor, steps_per_epoch)
    return sgd(rate, settings.momentum, settings.weight_decay), rate


def make_loss_weights(config) -> LossWeights:
    """Weights of the losses."""
    sampling, loss = config.sampling, config.loss
    for name in ("num_foreground", "num_incomplete", "num_background"):
        if sampling[name] < 1:
            raise InputError(f"config.sampling.{name} is {sampling[name]}; every loss needs at least 1 of its centers")
    return LossWeights(
        sampling.num_foreground, sampling.num_background, loss.completeness_weight, loss.regression_weight
    )


def make_schedule(config, steps_per_epoch: int, num_epochs: int) -> Schedule:
    """When the loop ends, logs and evaluates."""
    return Schedule(
        num_steps=num_epochs * steps_per_epoch,
        log_every=config.log_every,
        evaluate_every=config.evaluate_every * steps_per_epoch,
    )


def make_detection_settings(config) -> DetectionSettings:
    """How detections are made and measured."""
    detection = config.detection
    return DetectionSettings(
        find_protocol(detection.protocol),
        detection.top_k,
        detection.nms_tiou,
        detection.nms,
        detection.class_scores,
        detection.class_top_k,
    )


def _check_one_of(key: str, value: str, expected: tuple[str, ...]) -> None:
    if value not in expected:
        raise InputError(f"config.{key} is {value!r}; expected one of {', '.join(expected)}")
