"""The only reader of a configuration: flat keys and values -> the parts of a run, checked before anything else happens.

`read_settings` takes the flat mapping {'model.graph_width': 512, ...} that `workdir.config_file.flatten` makes from a
configuration, and that every checkpoint holds. RANGES, here and in the classes that use the values, says which values
a key may have. A value out of range is refused here, at the start of every mode.
"""

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import jax
import optax

from contextloc_jax.commands.inputs import InputValues
from contextloc_jax.core.errors import InputError
from contextloc_jax.core.protocols import PROTOCOLS, find_protocol
from contextloc_jax.core.ranges import Range, above, at_least, below, between, check_ranges, one_of
from contextloc_jax.devices.kinds import KINDS
from contextloc_jax.devices.parallel import AXIS, Parallel
from contextloc_jax.localization.contextloc import ContextLoc
from contextloc_jax.localization.decode import DetectionSettings
from contextloc_jax.localization.losses import LossWeights
from contextloc_jax.localization.proposal_nets import PROPOSAL_NETS
from contextloc_jax.localization.retrieval_forms import FORMS, check_form
from contextloc_jax.training.loop import Schedule
from contextloc_jax.training.optimizer import learning_rate_schedule, sgd

RATE = below(0, 1)
RANGES: dict[str, Range] = {
    "seed": between(0, 2**32 - 1, "a whole number"),
    "batch_size": at_least(1),
    "gradient_accumulation": at_least(1),
    "num_epochs": at_least(1),
    "visits_per_epoch": at_least(1),
    "log_every": at_least(1),
    "evaluate_every": at_least(1),
    "keep_checkpoints": at_least(1),
    "parallel": one_of(*KINDS),
    "dtype": one_of("float32", "bfloat16", "float64"),
    "model.context_width": at_least(1),
    "model.graph_width": at_least(1),
    "model.proposal_net": one_of(*PROPOSAL_NETS),
    "model.gcn_dropout": RATE,
    "model.head_dropout": RATE,
    "model.retrieval": one_of(*FORMS),
    "loss.completeness_weight": at_least(0),
    "loss.regression_weight": at_least(0),
    "optimizer.learning_rate": above(0),
    "optimizer.decay_epochs": Range("epochs in rising order, such as (15, 30)", lambda epochs: _rises(epochs)),
    "optimizer.decay_factor": above(0),
    "optimizer.momentum": RATE,
    "optimizer.weight_decay": at_least(0),
    "sampling.num_foreground": at_least(1, "centers"),
    "sampling.num_incomplete": at_least(1, "centers"),
    "sampling.num_background": at_least(1, "centers"),
    "detection.protocol": one_of(*PROTOCOLS),
    "data.validation_fraction": RATE,
    "data.cache_gigabytes": at_least(0),
} | {f"detection.{key}": allowed for key, allowed in DetectionSettings.RANGES.items()}

# Keys that workdirs of earlier versions do not have, with the value that means what those versions did.
ADDED_KEYS = {"model.retrieval": "auto"}


@dataclass(frozen=True)
class Settings:
    """The parts of a run. flat: the configuration, as every checkpoint holds it."""

    flat: dict[str, Any]
    model: ContextLoc
    loss_weights: LossWeights
    detection: DetectionSettings
    inputs: InputValues
    kind: type[Parallel]
    seed: int
    batch_size: int
    gradient_accumulation: int
    num_epochs: int
    log_every: int
    evaluate_every: int
    keep_checkpoints: int
    refit: bool
    profile: bool
    optimizer: Mapping[str, Any]

    def make_parallel(self) -> Parallel:
        """All devices, as config.parallel says. InputError: they cannot run config.model.retrieval."""
        check_form(self.model.retrieval)
        return self.kind()

    def make_optimizer(self, steps_per_epoch: int) -> tuple[optax.GradientTransformation, optax.Schedule]:
        """The optimizer and its learning-rate schedule."""
        values = self.optimizer
        rate = learning_rate_schedule(
            values["learning_rate"], values["decay_epochs"], values["decay_factor"], steps_per_epoch
        )
        return sgd(rate, values["momentum"], values["weight_decay"]), rate

    def make_schedule(self, steps_per_epoch: int, num_epochs: int) -> Schedule:
        """When the training loop ends, logs and evaluates."""
        return Schedule(num_epochs * steps_per_epoch, self.log_every, self.evaluate_every * steps_per_epoch)


def read_settings(flat: Mapping[str, Any]) -> Settings:
    """The settings of a flat configuration. InputError: a value is out of range; the message names config.KEY."""
    values = ChainMap(flat, ADDED_KEYS)
    check_ranges("config.", values, RANGES)
    if values["refit"] and not values["data.validation_fraction"]:
        raise InputError(
            "config.refit needs held-out videos to choose the best epoch; set config.data.validation_fraction above 0"
        )
    return Settings(
        flat=dict(values),
        model=_model(values),
        loss_weights=LossWeights(
            values["sampling.num_foreground"],
            values["sampling.num_background"],
            values["loss.completeness_weight"],
            values["loss.regression_weight"],
        ),
        detection=_detection(values),
        inputs=_inputs(values),
        kind=KINDS[values["parallel"]],
        seed=values["seed"],
        batch_size=values["batch_size"],
        gradient_accumulation=values["gradient_accumulation"],
        num_epochs=values["num_epochs"],
        log_every=values["log_every"],
        evaluate_every=values["evaluate_every"],
        keep_checkpoints=values["keep_checkpoints"],
        refit=values["refit"],
        profile=values["profile"],
        optimizer=_section(values, "optimizer."),
    )


def _model(values: Mapping[str, Any]) -> ContextLoc:
    if values["dtype"] == "float64" and not jax.config.jax_enable_x64:
        raise InputError(
            "config.dtype is 'float64', which is off in jax by default; set the environment variable JAX_ENABLE_X64=1"
        )
    names = [field.name for field in fields(ContextLoc) if f"model.{field.name}" in values]
    return ContextLoc(
        num_classes=values["data.num_classes"],
        dtype=values["dtype"],
        norm_axis=AXIS if values["model.batch_norm_global"] else None,
        **{name: values[f"model.{name}"] for name in names},
    )


def _detection(values: Mapping[str, Any]) -> DetectionSettings:
    section = _section(values, "detection.")
    return DetectionSettings(**section | {"protocol": find_protocol(section["protocol"])})


def _inputs(values: Mapping[str, Any]) -> InputValues:
    sampling = _section(values, "sampling.")
    counts = ("num_foreground", "num_incomplete", "num_background")
    return InputValues(
        dataset=values["data.dataset"],
        data=_section(values, "data."),
        data_dir=values["data.data_dir"],
        beam_runner=values["data.beam_runner"],
        cache_gigabytes=values["data.cache_gigabytes"],
        validation_fraction=values["data.validation_fraction"],
        labels={name: value for name, value in sampling.items() if name not in counts},
        centers=tuple(sampling[name] for name in counts),
        batch_size=values["batch_size"],
        visits_per_epoch=values["visits_per_epoch"],
        seed=values["seed"],
    )


def _section(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The keys and values of one section. The keys lose the prefix."""
    return {key.removeprefix(prefix): values[key] for key in values if key.startswith(prefix)}


def _rises(epochs: Any) -> bool:
    return list(epochs) == sorted(set(epochs)) and all(isinstance(epoch, int) and epoch >= 0 for epoch in epochs)
