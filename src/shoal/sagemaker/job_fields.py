"""Fields of a document that asks for a job: which there are, and what is wrong with those that were given."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from shoal.errors import BadInputError

USED = (
    "TrainingJobName",
    "HyperParameters",
    "AlgorithmSpecification",
    "InputDataConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "StoppingCondition",
    "CheckpointConfig",
    "Environment",
)
UNUSED = (
    "RoleArn",
    "VpcConfig",
    "Tags",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "DebugHookConfig",
    "DebugRuleConfigurations",
    "TensorBoardOutputConfig",
    "ExperimentConfig",
    "ProfilerConfig",
    "ProfilerRuleConfigurations",
    "RetryStrategy",
    "RemoteDebugConfig",
    "InfraCheckConfig",
    "SessionChainingConfig",
    "ServerlessJobConfig",
    "MlflowConfig",
    "ModelPackageConfig",
)
"""Of the interface, and without a meaning on one machine."""


class Fields:
    """Reads fields and collects what is wrong with them, and which have no meaning here.

    Parameters
    ----------
    only_s3 : refuse paths of this machine.

    >>> fields = Fields(only_s3=False)
    >>> fields.choice({"Mode": "Slow"}, "$", "Mode", ("File", "Pipe")), fields.problems
    ('File', ["$.Mode: 'Slow' is not known; use one of File, Pipe"])
    """

    def __init__(self, *, only_s3: bool) -> None:
        self.problems: list[str] = []
        self.ignored: list[str] = []
        self._only_s3 = only_s3

    def part(self, whole: Mapping[str, Any], name: str, place: str = "$") -> dict[str, Any]:
        """An object inside another one; an empty one if it is not there."""
        part = whole.get(name) or {}
        if isinstance(part, dict):
            return part
        self.say(f"{place}.{name}", "is no JSON object")
        return {}

    def choice(
        self, part: Mapping[str, Any], place: str, name: str, allowed: tuple[str, ...], default: Any = None
    ) -> str:
        """One of several words; the first, or ``default``, if it is not there."""
        value = part.get(name) or default or allowed[0]
        if value not in allowed:
            self.say(f"{place}.{name}", f"{value!r} is not known", f"use one of {', '.join(allowed)}")
            return allowed[0]
        return str(value)

    def number(self, part: Mapping[str, Any], place: str, name: str, default: int, most: int) -> int:
        """An integer from 1 to ``most``."""
        value = part.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            self.say(f"{place}.{name}", f"{value!r} is no integer from 1 to {most}")
            return default
        return value

    def uri(self, value: Any, place: str) -> str:
        """Where something is."""
        if not isinstance(value, str) or not value:
            self.say(place, "is missing", "write s3://bucket/folder or a path")
        elif self._only_s3 and not value.startswith("s3://"):
            self.say(place, f"{value!r} is not on S3", "write s3://bucket/folder")
        return str(value)

    def unused(self, name: str) -> None:
        """Take note of a field that is not used, or say that there is none of that name."""
        if name in UNUSED:
            self.ignored.append(f"$.{name}")
            return
        near = get_close_matches(name, [*USED, *UNUSED], n=1)
        self.say(f"$.{name}", "is not known", f"did you mean {near[0]}?" if near else "leave it out")

    def leftovers(self, part: Mapping[str, Any], place: str, *used: str) -> None:
        """Fields inside a part are not all known here, so none is refused."""
        self.ignored += [f"{place}.{name}" for name in part if name not in used]

    def say(self, place: str, problem: str, remedy: str | None = None) -> None:
        """Complain."""
        self.problems.append(str(BadInputError(problem, place=place, remedy=remedy)))
