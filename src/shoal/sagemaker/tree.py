"""The folders and files under ``/opt/ml`` by which a training job and its container talk to each other."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from shoal.errors import BadInputError
from shoal.sagemaker.json_text import parsed_json

ROOT = "/opt/ml"
MODES = ("File", "Pipe", "FastFile")
SPREADS = ("FullyReplicated", "ShardedByS3Key")
RECORDIO, CSV = "application/x-recordio-protobuf", "text/csv"
FORMATS = {RECORDIO: "recordio", CSV: "csv"}
"""Content types that are trained on, and what our readers call them."""


@dataclass(frozen=True)
class ChannelSettings:
    """One entry of ``inputdataconfig.json``."""

    name: str
    content_type: str = RECORDIO
    """Without its parameters."""
    parameters: Mapping[str, str] | None = None
    """Of the content type, such as ``label_size``."""
    mode: str = "File"
    spread: str = "FullyReplicated"

    @property
    def read_as(self) -> str:
        """The content type with what steers which columns are read.

        >>> ChannelSettings("train", "text/csv").read_as
        'text/csv;label_size=1'
        """
        label = (self.parameters or {}).get("label_size", "1")
        return (
            f"{self.content_type};label_size={int(label)}" if self.content_type == CSV else self.content_type
        )

    @classmethod
    def from_dict(cls, name: str, entry: Mapping[str, Any]) -> Self:
        """Checked settings of a channel.

        Raises
        ------
        BadInputError : a mode, distribution or wrapper that is not known.

        >>> ChannelSettings.from_dict("train", {"ContentType": "text/csv; label_size=0"}).parameters
        {'label_size': '0'}
        """
        place = f"channel {name}"
        kind, parameters = content_type(str(entry.get("ContentType") or RECORDIO), place)
        mode = str(entry.get("TrainingInputMode") or "File")
        spread = str(entry.get("S3DistributionType") or "FullyReplicated")
        for what, value, allowed in (
            ("TrainingInputMode", mode, MODES),
            ("S3DistributionType", spread, SPREADS),
        ):
            if value not in allowed:
                raise BadInputError(
                    f"{what} is {value!r}", place=place, remedy=f"use one of {', '.join(allowed)}"
                )
        if str(entry.get("RecordWrapperType") or "None") != "None":
            raise BadInputError(
                f"RecordWrapperType is {entry['RecordWrapperType']!r}", place=place, remedy="use None"
            )
        return cls(name, kind, parameters, mode, spread)


def content_type(text: str, place: str) -> tuple[str, dict[str, str]]:
    """A content type and its parameters, both in lower case.

    >>> content_type("text/csv;charset=utf-8;label_size=0", "channel train")
    ('text/csv', {'charset': 'utf-8', 'label_size': '0'})
    """
    kind, *rest = (part.strip().lower() for part in text.split(";"))
    pairs = (part.partition("=") for part in rest if part)
    parameters = {name.strip(): value.strip() for name, _, value in pairs}
    label = parameters.get("label_size", "1")
    if not (label.isascii() and label.isdigit()):
        raise BadInputError(
            f"label_size is {label!r}",
            place=place,
            remedy="write how many columns in front are labels: 0 or more",
        )
    return kind, parameters


def seconds_of(variable: str, default: float) -> float:
    """Seconds that a variable of the environment asks for.

    Raises
    ------
    BadInputError : it is no number of 0 or more.
    """
    text = os.environ.get(variable) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value < math.inf:
        raise BadInputError(f"{text[:60]!r} is no number of seconds", place=variable, remedy="write 60")
    return value


@dataclass(frozen=True)
class Hosts:
    """``resourceconfig.json``: the machines of the job, in order of their names, and which one this is."""

    current: str = "algo-1"
    names: tuple[str, ...] = ("algo-1",)

    @property
    def rank(self) -> int:
        """Position of this machine; 0 is the one that writes the model."""
        return self.names.index(self.current)


@dataclass(frozen=True)
class Tree:
    """The places of a job.

    >>> Tree(Path("/opt/ml")).fifo("train", 0).as_posix()
    '/opt/ml/input/data/train_0'
    """

    root: Path

    @classmethod
    def at(cls, root: str | os.PathLike[str] | None = None) -> Self:
        """At ``root``, else where ``SAGEMAKER_DATA_PATH`` says, else ``/opt/ml``."""
        return cls(Path(root if root is not None else os.environ.get("SAGEMAKER_DATA_PATH") or ROOT))

    @property
    def model(self) -> Path:
        """What is packed into ``model.tar.gz``."""
        return self.root / "model"

    @property
    def failure(self) -> Path:
        """The reason, should the job fail."""
        return self.root / "output" / "failure"

    @property
    def checkpoints(self) -> Path:
        """Kept between the attempts of a job; where it is missing none are written."""
        return self.root / "checkpoints"

    @property
    def data(self) -> Path:
        """One folder for each channel."""
        return self.root / "input" / "data"

    def folder(self, channel: str) -> Path:
        """Files of a channel."""
        return self.data / channel

    def fifo(self, channel: str, epoch: int) -> Path:
        """Named pipe of one read of a channel."""
        return self.data / f"{channel}_{epoch}"

    def hyperparameters(self) -> dict[str, Any]:
        """The strings of ``hyperparameters.json``."""
        return self._config("hyperparameters.json", {})

    def channels(self) -> dict[str, ChannelSettings]:
        """Settings of each channel; without ``inputdataconfig.json`` every folder of data is one in File mode.

        Raises
        ------
        BadInputError : as :meth:`ChannelSettings.from_dict`.
        """
        folders = sorted(p.name for p in self.data.iterdir() if p.is_dir()) if self.data.is_dir() else []
        entries = self._config("inputdataconfig.json", {name: {} for name in folders})
        for name, entry in entries.items():
            if not isinstance(entry, dict) or not name or "/" in name or name.startswith("."):
                raise BadInputError(
                    f"channel {name!r} is described by {entry!r}", place="inputdataconfig.json"
                )
        return {name: ChannelSettings.from_dict(name, entry) for name, entry in entries.items()}

    def hosts(self) -> Hosts:
        """The machines of the job; without ``resourceconfig.json`` this one alone.

        Raises
        ------
        BadInputError : this machine is none of them.
        """
        entry = self._config("resourceconfig.json", {"current_host": "algo-1", "hosts": ["algo-1"]})
        current, names = entry.get("current_host"), entry.get("hosts")
        if not (isinstance(names, list) and all(isinstance(n, str) for n in names) and current in names):
            raise BadInputError(
                f"current_host {current!r} is none of the hosts {names!r}", place="resourceconfig.json"
            )
        return Hosts(str(current), tuple(sorted(set(names))))

    def _config(self, name: str, default: dict[str, Any]) -> dict[str, Any]:
        path = self.root / "input" / "config" / name
        try:
            found = parsed_json(path.read_bytes())
        except FileNotFoundError:
            return default
        except (OSError, ValueError) as error:
            raise BadInputError(f"cannot be read ({error})", place=str(path)) from error
        if not isinstance(found, dict):
            raise BadInputError("holds no JSON object", place=str(path))
        return found
