"""A document that asks for a tuning job: which hyperparameters are to be tried, and what is to be small."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

from shoal.errors import BadInputError
from shoal.sagemaker.job_spec import JobSpec, JobSpecError
from shoal.sagemaker.job_tune import Objective

CONFIG = "HyperParameterTuningJobConfig"
DEFINITION = "TrainingJobDefinition"
OF_TUNING = (
    "StaticHyperParameters",
    "DefinitionName",
    "TuningObjective",
    "HyperParameterRanges",
    "HyperParameterTuningResourceConfig",
)
"""Fields of the definition that a training job has not."""
STEERING = ("k", "extra_center_factor")
MOST_VALUES = 1000
WITHOUT_EFFECT = ("epochs", "init_method", "mini_batch_size")
"""Documented as tunable; one read into a summary does not depend on them."""


@dataclass(frozen=True)
class TuningSpec:
    """What a tuning job is to try."""

    job: JobSpec
    ks: tuple[int, ...]
    """Empty: none is given."""
    factors: tuple[int | None, ...]
    objective: Objective | None
    without_effect: tuple[str, ...] = ()
    """Hyperparameters whose ranges change nothing here."""

    @classmethod
    def from_dict(cls, document: Any) -> TuningSpec:
        """From the document of a tuning job, or of a training job.

        Raises
        ------
        ShoalError : with the place of what cannot be used.

        >>> ranges = {"IntegerParameterRanges": [{"Name": "k", "MinValue": "2", "MaxValue": "4"}]}
        >>> spec = TuningSpec.from_dict({
        ...     "HyperParameterTuningJobName": "t", "HyperParameterTuningJobConfig": {"ParameterRanges": ranges},
        ...     "TrainingJobDefinition": {"OutputDataConfig": {"S3OutputPath": "out"}, "InputDataConfig": [
        ...         {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3Uri": "rows"}}}]}})
        >>> spec.ks, spec.factors
        ((2, 3, 4), (None,))
        """
        if not (isinstance(document, dict) and CONFIG in document):
            return cls.of_job(document)
        config, definition = _part(document, CONFIG, "$"), _part(document, DEFINITION, "$")
        ranges = _ranges(_part(config, "ParameterRanges", f"$.{CONFIG}"))
        fixed = _part(definition, "StaticHyperParameters", f"$.{DEFINITION}")
        given = fixed | ({"k": str(ranges["k"][0])} if "k" in ranges else {})
        training = {name: value for name, value in definition.items() if name not in OF_TUNING}
        training |= {"HyperParameters": given or {"k": "2"}}
        try:
            job = JobSpec.from_dict(training, name="tuning")
        except JobSpecError as error:
            problems = [text.replace("$.", f"$.{DEFINITION}.", 1) for text in error.problems]
            raise JobSpecError(problems) from error
        objective = _objective(_part(config, "HyperParameterTuningJobObjective", f"$.{CONFIG}"))
        asked = job.checked()
        ks = ranges.get("k") or ((asked.k,) if "k" in given else ())
        factors = ranges.get("extra_center_factor") or (asked.extra_center_factor,)
        return cls(job, ks, factors, objective, tuple(n for n in WITHOUT_EFFECT if n in ranges))

    @classmethod
    def of_job(cls, document: Any) -> TuningSpec:
        """From the document of a training job: its k may be missing, and is tried only if no other is."""
        if isinstance(document, dict) and isinstance(document.get("HyperParameters"), dict):
            document = document | {"HyperParameters": {"k": "2"} | document["HyperParameters"]}
        job = JobSpec.from_dict(document)
        return cls(job, (), (job.checked().extra_center_factor,), None)


def _part(whole: Mapping[str, Any], name: str, place: str) -> dict[str, Any]:
    part = whole.get(name) or {}
    if not isinstance(part, dict):
        raise BadInputError("is no JSON object", place=f"{place}.{name}")
    return part


def _ranges(part: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Values of the ranges of integers; of the others only the names count."""
    found: dict[str, tuple[int, ...]] = {}
    for kind, entries in part.items():
        for i, entry in enumerate(entries if isinstance(entries, list) else ()):
            place = f"$.{CONFIG}.ParameterRanges.{kind}[{i}]"
            name = entry.get("Name") if isinstance(entry, dict) else None
            if name in WITHOUT_EFFECT:
                found[name] = ()
            elif name not in STEERING:
                allowed = ", ".join((*STEERING, *WITHOUT_EFFECT))
                raise BadInputError(f"{name!r} cannot be tuned", place=place, remedy=f"use {allowed}")
            else:
                found[name] = _values(entry, place)
    return found


def _values(entry: Mapping[str, Any], place: str) -> tuple[int, ...]:
    try:
        values = [int(v) for v in entry["Values"]] if "Values" in entry else None
        low, high = (0, 0) if values else (int(entry["MinValue"]), int(entry["MaxValue"]))
    except (KeyError, TypeError, ValueError) as error:
        raise BadInputError(
            "has no MinValue and MaxValue that are integers", place=place, remedy='write "MinValue": "2"'
        ) from error
    if not values and high - low >= MOST_VALUES:
        raise BadInputError(f"has more than {MOST_VALUES} values", place=place, remedy="give a smaller range")
    found = tuple(sorted(set(values or range(low, high + 1))))
    if not found or found[0] < 1:
        raise BadInputError(f"{low} to {high} is no range of positive integers", place=place)
    return found


def _objective(part: Mapping[str, Any]) -> Objective | None:
    name, place = part.get("MetricName"), f"$.{CONFIG}.HyperParameterTuningJobObjective"
    if name is None:
        return None
    if name not in get_args(Objective):
        raise BadInputError(
            f"{name!r} is not known",
            place=f"{place}.MetricName",
            remedy=f"use {', '.join(get_args(Objective))}",
        )
    if part.get("Type", "Minimize") != "Minimize":
        raise BadInputError(f"{part['Type']!r} makes no sense here", place=f"{place}.Type", remedy="Minimize")
    return cast(Objective, name)
