"""A document that asks for a training job, as clients of the built-in k-means send it, checked field by field."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shoal.errors import BadInputError, ShoalError
from shoal.sagemaker.hyperparameters import HyperparameterError, Hyperparameters
from shoal.sagemaker.job_fields import USED, Fields
from shoal.sagemaker.json_text import parsed_json
from shoal.sagemaker.tree import FORMATS, MODES, RECORDIO, SPREADS, content_type

DAY = 24 * 3600
MOST_INSTANCES = 64
"""Processes that one machine is asked to start."""
KINDS = ("S3Prefix", "ManifestFile")
PACKINGS = ("None", "Gzip")
NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
CHANNEL = re.compile(r"[A-Za-z0-9._-]{1,64}")
OURS = "SHOAL_"


class JobSpecError(ShoalError):
    """A document that cannot be run; ``problems`` has one line for each complaint."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problems))


@dataclass(frozen=True)
class ChannelSpec:
    """One entry of ``InputDataConfig``."""

    name: str
    uri: str
    kind: str = "S3Prefix"
    spread: str = "FullyReplicated"
    mode: str = "File"
    content_type: str = RECORDIO
    packing: str = "None"
    """``Gzip``: objects are unpacked on their way."""

    def settings(self) -> dict[str, str]:
        """Its entry of ``inputdataconfig.json``.

        >>> ChannelSpec("train", "s3://b/p").settings()["TrainingInputMode"]
        'File'
        """
        return {
            "ContentType": self.content_type,
            "TrainingInputMode": self.mode,
            "S3DistributionType": self.spread,
            "RecordWrapperType": "None",
        }


@dataclass(frozen=True)
class JobSpec:
    """What a job is asked to do.

    >>> spec = JobSpec.from_dict({"TrainingJobName": "houses", "HyperParameters": {"k": "8"}, "RoleArn": "any",
    ...     "OutputDataConfig": {"S3OutputPath": "models"}, "InputDataConfig": [
    ...     {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3Uri": "houses/"}}}]})
    >>> spec.channels[0].uri, spec.instances, spec.ignored
    ('houses/', 1, ('$.RoleArn',))
    """

    name: str
    hyperparameters: Mapping[str, str]
    channels: tuple[ChannelSpec, ...]
    output: str
    instances: int = 1
    max_runtime: float = DAY
    """Seconds of training."""
    checkpoints: str | None = None
    """Where checkpoints are kept."""
    environment: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    """Fields of the document that have no meaning here."""
    document: Mapping[str, Any] = field(default_factory=dict)
    """As it was given."""

    @classmethod
    def from_dict(cls, document: Any, *, name: str | None = None, only_s3: bool = False) -> JobSpec:
        """A checked document.

        Parameters
        ----------
        name : of the job, instead of ``TrainingJobName``.
        only_s3 : refuse paths of this machine, as for documents that come from elsewhere.

        Raises
        ------
        JobSpecError : with every complaint, each with its place, such as ``$.HyperParameters.k``.
        """
        reader = _Reader(only_s3=only_s3)
        if not isinstance(document, dict):
            raise JobSpecError(["$: is no JSON object"])
        if name is not None:
            document = document | {"TrainingJobName": name}
        spec = reader.read(document)
        if reader.problems or spec is None:
            raise JobSpecError(reader.problems)
        return spec

    @classmethod
    def from_file(cls, path: Path, *, name: str | None = None) -> JobSpec:
        """The document in a JSON file.

        Raises
        ------
        BadInputError : it cannot be read as JSON.
        JobSpecError : as :meth:`from_dict`.
        """
        return cls.from_dict(read_document(path), name=name)

    def checked(self) -> Hyperparameters:
        """The hyperparameters as numbers."""
        return Hyperparameters.from_strings(self.hyperparameters)


def read_document(path: Path) -> Any:
    """The JSON of a file; raises :class:`BadInputError` with the place of what is wrong."""
    try:
        return parsed_json(path.read_bytes())
    except OSError as error:
        raise BadInputError(f"cannot be read ({error.strerror})", place=str(path)) from error
    except ValueError as error:
        raise BadInputError(f"is no JSON ({error})", place=str(path)) from error


class _Reader(Fields):
    """Reads a document."""

    def read(self, document: dict[str, Any]) -> JobSpec | None:
        for name in document.keys() - set(USED):
            self.unused(name)
        training = self.part(document, "AlgorithmSpecification")
        self.leftovers(training, "$.AlgorithmSpecification", "TrainingInputMode")
        mode = self.choice(training, "$.AlgorithmSpecification", "TrainingInputMode", MODES)
        resources = self.part(document, "ResourceConfig")
        self.leftovers(resources, "$.ResourceConfig", "InstanceCount")
        stopping = self.part(document, "StoppingCondition")
        self.leftovers(stopping, "$.StoppingCondition", "MaxRuntimeInSeconds")
        checkpoints = self.part(document, "CheckpointConfig")
        self.leftovers(checkpoints, "$.CheckpointConfig", "S3Uri")
        output = self.part(document, "OutputDataConfig")
        self.leftovers(output, "$.OutputDataConfig", "S3OutputPath")
        where = "$.CheckpointConfig.S3Uri"
        return JobSpec(
            name=self._name(document.get("TrainingJobName")),
            hyperparameters=self._hyperparameters(document.get("HyperParameters", {})),
            channels=self._channels(document.get("InputDataConfig", []), mode),
            output=self.uri(output.get("S3OutputPath"), "$.OutputDataConfig.S3OutputPath"),
            instances=self.number(resources, "$.ResourceConfig", "InstanceCount", 1, MOST_INSTANCES),
            max_runtime=self.number(stopping, "$.StoppingCondition", "MaxRuntimeInSeconds", DAY, 28 * DAY),
            checkpoints=self.uri(checkpoints.get("S3Uri"), where) if checkpoints else None,
            environment=self._environment(document.get("Environment", {})),
            ignored=tuple(sorted(self.ignored)),
            document=document,
        )

    def _name(self, name: Any) -> str:
        if not (isinstance(name, str) and NAME.fullmatch(name)):
            self.say(
                "$.TrainingJobName", f"{name!r} is no name", "use 1 to 63 letters, digits and inner hyphens"
            )
        return str(name)

    def _hyperparameters(self, given: Any) -> dict[str, str]:
        if not isinstance(given, dict):
            self.say("$.HyperParameters", "is no JSON object", 'write {"k": "8"}')
            return {}
        for name, value in given.items():
            if not isinstance(value, str):
                place = f"$.HyperParameters.{name}"
                remedy = "leave it out" if value is None else f"write {json.dumps(json.dumps(value))}"
                self.say(place, f"{json.dumps(value)} is no string", remedy)
        if all(isinstance(value, str) for value in given.values()):
            try:
                Hyperparameters.from_strings(given)
            except HyperparameterError as error:
                for problem in error.problems:
                    found = re.match(r"Hyperparameter (\w+)", problem)
                    self.say("$.HyperParameters" + (f".{found[1]}" if found else ""), problem)
        return given

    def _channels(self, given: Any, mode: str) -> tuple[ChannelSpec, ...]:
        if not isinstance(given, list):
            self.say("$.InputDataConfig", "is no list", "write one entry for each channel")
            return ()
        found = [self._channel(entry, f"$.InputDataConfig[{i}]", mode) for i, entry in enumerate(given)]
        names = [channel.name for channel in found if channel is not None]
        for name in {name for name in names if names.count(name) > 1}:
            self.say("$.InputDataConfig", f"channel {name!r} is there twice", "give each its own name")
        if "train" not in names:
            self.say(
                "$.InputDataConfig", "there is no train channel", "give one; test and model are optional"
            )
        return tuple(channel for channel in found if channel is not None)

    def _channel(self, entry: Any, place: str, mode: str) -> ChannelSpec | None:
        if not isinstance(entry, dict):
            self.say(place, "is no JSON object")
            return None
        used = (
            "ChannelName",
            "DataSource",
            "InputMode",
            "ContentType",
            "CompressionType",
            "RecordWrapperType",
        )
        self.leftovers(entry, place, *used)
        name = entry.get("ChannelName")
        if not (isinstance(name, str) and CHANNEL.fullmatch(name)) or name.startswith("."):
            self.say(f"{place}.ChannelName", f"{name!r} is no name", "use train, test or model")
        self.choice(entry, place, "RecordWrapperType", ("None",))
        kind = entry.get("ContentType") or RECORDIO
        try:
            plain, _ = content_type(str(kind), f"{place}.ContentType")
            if name in ("train", "test") and plain not in FORMATS:
                self.say(f"{place}.ContentType", f"{plain!r} cannot be read", f"use {' or '.join(FORMATS)}")
        except BadInputError as error:
            self.problems.append(str(error))
        source = self.part(entry, "DataSource", place)
        if "S3DataSource" not in source:
            self.say(f"{place}.DataSource", "has no S3DataSource", "give one; it may name a local path")
            return None
        data, where = (
            self.part(source, "S3DataSource", f"{place}.DataSource"),
            f"{place}.DataSource.S3DataSource",
        )
        self.leftovers(data, where, "S3Uri", "S3DataType", "S3DataDistributionType")
        return ChannelSpec(
            name=str(name),
            uri=self.uri(data.get("S3Uri"), f"{where}.S3Uri"),
            kind=self.choice(data, where, "S3DataType", KINDS),
            spread=self.choice(data, where, "S3DataDistributionType", SPREADS),
            mode=self.choice(entry, place, "InputMode", MODES, mode),
            content_type=str(kind),
            packing=self.choice(entry, place, "CompressionType", PACKINGS),
        )

    def _environment(self, given: Any) -> dict[str, str]:
        if not (isinstance(given, dict) and all(isinstance(v, str) for v in given.values())):
            self.say("$.Environment", "is no JSON object of strings")
            return {}
        # anything else, such as LD_PRELOAD, could change what this machine runs
        self.ignored += [f"$.Environment.{name}" for name in given if not name.startswith(OURS)]
        return {name: value for name, value in given.items() if name.startswith(OURS)}
