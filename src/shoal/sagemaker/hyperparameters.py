"""Hyperparameters as the built-in k-means takes them: strings in, checked numbers out, all complaints at once."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from shoal.errors import ShoalError
from shoal.sagemaker.json_text import parsed_json

Init = Literal["random", "kmeans++"]
Metrics = tuple[str, ...]
IGNORED = (
    "_num_gpus",
    "_num_kv_servers",
    "_num_slices",
    "_kvstore",
    "_log_level",
    "_enable_profiler",
    "_disable_wait_to_read",
    "_tuning_objective_metric",
)
"""Undocumented ones that jobs send all the same."""
EXACT_INTEGERS = 2**53
REQUIRED = "No value(s) were specified for {names} which are required hyperparameter(s)"


class HyperparameterError(ShoalError):
    """Hyperparameters that cannot be used; ``problems`` has one line for each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problems))


@dataclass(frozen=True)
class Hyperparameters:
    """What a training job asks for, and what it means here.

    Rows go into a mergeable summary instead of into centres by mini-batches, so that some of the names steer something
    else than in the built-in algorithm, and two of them nothing: :meth:`remarks` says so, for the log.

    >>> Hyperparameters.from_strings({"k": "8", "feature_dim": "34", "local_lloyd_num_trials": "auto"}).k
    8
    >>> Hyperparameters.from_strings({"k": "-1", "epochs": "many"})
    Traceback (most recent call last):
    shoal.sagemaker.hyperparameters.HyperparameterError: Hyperparameter k: -1 is not a positive integer; Hyperparameter
    epochs: 'many' is not a positive integer
    """

    k: int
    """Clusters; 1 is accepted."""
    feature_dim: int | None = None
    """Numbers in a row; None: as the data have. Checked against the data if it is given."""
    epochs: int = 1
    """Reads of the train channel: one fills the summary, each further one is an exact step of Lloyd on all rows."""
    eval_metrics: Metrics = ("msd",)
    """Of the test channel: mean (msd) and sum (ssd) of squared distances."""
    extra_center_factor: int | None = None
    """Centres per cluster that stand in for the summary while starts are tried (at least 300 in all; 1: the summary
    itself); None is ``auto``: 10."""
    half_life_time_size: int = 0
    """Rows after which a row counts half; 0: none is forgotten."""
    init_method: Init = "random"
    """Steers nothing: a summary has no first centres."""
    local_lloyd_init_method: Init = "kmeans++"
    """Starts of the solve: greedy k-means++, or rows drawn at random."""
    local_lloyd_max_iter: int = 300
    """Most iterations of the last run of Lloyd."""
    local_lloyd_num_trials: int | None = None
    """Starts; None is ``auto``: 20 on the centres that stand in (10 if at random). k-means++: these many more."""
    local_lloyd_tol: float = 1e-4
    """The last run of Lloyd ends when a step improves by less than this share."""
    mini_batch_size: int = 5000
    """Rows read at a time; the result does not depend on it."""
    force_dense: bool = True
    """Steers nothing: sparse rows are made dense."""
    seed: int = 0
    """Not of the built-in algorithm: equal seeds and equal rows give equal models."""
    objective: str = ""
    """``_tuning_objective_metric``, which a tuning job sends, such as ``test:msd``."""
    debug: bool = False
    """Whether ``_log_level`` is debug."""
    ignored: tuple[str, ...] = ()
    """Undocumented ones that were given, and steer nothing."""

    @classmethod
    def from_strings(cls, given: Mapping[str, Any]) -> Hyperparameters:
        """Checked hyperparameters from the strings of ``hyperparameters.json``.

        Raises
        ------
        HyperparameterError : a required one is missing, one is unknown, or has a value that is not allowed: all of
            them in one message.
        """
        values: dict[str, Any] = {}
        missing = [name for name in ("k",) if name not in given]
        problems = [REQUIRED.format(names=", ".join(map(repr, missing)))] if missing else []
        for name, raw in given.items():
            text = raw if isinstance(raw, str) else json.dumps(raw)
            if name in IGNORED:
                continue
            if name not in _KINDS:
                problems.append(f"Hyperparameter {name} is not known: use {', '.join(sorted(_KINDS))}")
                continue
            try:
                values[name] = _KINDS[name].read(text.strip())
            except (ValueError, OverflowError):
                problems.append(f"Hyperparameter {name}: {_shown(text)} is not {_KINDS[name].allowed}")
        if problems:
            raise HyperparameterError(problems)
        return cls(
            **values,
            objective=str(given.get("_tuning_objective_metric", "")),
            debug=str(given.get("_log_level", "info")).lower() == "debug",
            ignored=tuple(name for name in IGNORED if name in given),
        )

    def check_width(self, width: int, place: str) -> None:
        """Raises :class:`HyperparameterError` if rows of this width are not what ``feature_dim`` says."""
        if self.feature_dim is not None and self.feature_dim != width:
            text = f"Hyperparameter feature_dim: {self.feature_dim} is not the {width} numbers of a row of {place}"
            raise HyperparameterError([text])

    def remarks(self) -> list[str]:
        """What a person should know who set a hyperparameter that steers something else here, or nothing."""
        plain = {f.name: f.default for f in fields(self)}
        said = {
            "init_method": "steers nothing: rows go into a summary, which has no first centres",
            "force_dense": "steers nothing: sparse rows are always made dense",
            "mini_batch_size": "is the number of rows read at a time; the model does not depend on it",
            "extra_center_factor": "sets how many centres per cluster stand in for the summary while starts are tried",
            "half_life_time_size": "is counted in rows as they are read; hosts take what they read for equally recent, so "
            "that objects which follow each other in time belong on one host",
            "epochs": "beyond 1 are exact steps of Lloyd on all rows: one read is enough for a good model",
        }
        changed = [f"{name} {text}" for name, text in said.items() if getattr(self, name) != plain[name]]
        if self.epochs > 1 and self.half_life_time_size:
            changed.append("epochs beyond 1 are left out, as half_life_time_size weighs rows by their place")
        return changed

    @property
    def exact_passes(self) -> int:
        """Reads of the data after the first; none where rows are forgotten, as these weigh all rows alike."""
        return 0 if self.half_life_time_size else self.epochs - 1


@dataclass(frozen=True)
class _Kind:
    """How one hyperparameter is read, and what is allowed, in words."""

    read: Callable[[str], Any]
    allowed: str


def _integer(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.removeprefix("-").removeprefix("+").isascii() or "_" in text:
            raise ValueError(text)
        value = int(text)
        if not least <= value <= EXACT_INTEGERS:
            raise ValueError(text)
        return value

    return read


def _positive_or_auto(text: str) -> int | None:
    return None if text == "auto" else _integer(1)(text)


def _share(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and 0.0 <= value <= 1.0):
        raise ValueError(text)
    return value


def _one_of(*allowed: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        plain = {"k-means++": "kmeans++"}.get(text, text)  # the technical note spells it so
        if plain not in allowed:
            raise ValueError(text)
        return plain

    return read


def _metrics(text: str) -> Metrics:
    found = parsed_json(text)
    if not (isinstance(found, list) and found and all(m in ("msd", "ssd") for m in found)):
        raise ValueError(text)
    return tuple(dict.fromkeys(found))


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise ValueError(text)
    return text.lower() in ("true", "1")


def _shown(text: str) -> str:
    """Numbers as they are, all else quoted, nothing long."""
    short = text if len(text) <= 60 else text[:60] + "..."
    try:
        float(short)
    except ValueError:
        return repr(short)
    return short


_POSITIVE = _Kind(_integer(1), "a positive integer")
_AUTO = _Kind(_positive_or_auto, "a positive integer or 'auto'")
_INIT = _Kind(_one_of("random", "kmeans++"), "one of 'random', 'kmeans++'")
_KINDS: dict[str, _Kind] = {
    "k": _POSITIVE,
    "feature_dim": _POSITIVE,
    "epochs": _POSITIVE,
    "eval_metrics": _Kind(_metrics, 'a JSON list of "msd", "ssd" or both, such as ["msd"]'),
    "extra_center_factor": _AUTO,
    "half_life_time_size": _Kind(_integer(0), "an integer of 0 or more"),
    "init_method": _INIT,
    "local_lloyd_init_method": _INIT,
    "local_lloyd_max_iter": _POSITIVE,
    "local_lloyd_num_trials": _AUTO,
    "local_lloyd_tol": _Kind(_share, "a number between 0 and 1"),
    "mini_batch_size": _POSITIVE,
    "force_dense": _Kind(_truth, "true or false"),
    "seed": _Kind(_integer(0), "an integer of 0 or more"),
}
