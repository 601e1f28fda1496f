"""The part of JSONPath by which batch transform jobs choose fields: ``$``, ``.name``, ``['a', 'b']``, ``[0, 2]``, ``[1:]``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from shoal.errors import BadInputError, ShoalError

_NAME = re.compile(r"\.([A-Za-z_][\w-]*)")
_NAMES = re.compile(r"\[\s*('[^']*'(?:\s*,\s*'[^']*')*)\s*\]")
_NUMBERS = re.compile(r"\[\s*(-?\d+(?:\s*,\s*-?\d+)*)\s*\]")
_SLICE = re.compile(r"\[\s*(-?\d+)?\s*:\s*(-?\d+)?\s*\]")

_Step = Callable[[Any], Any]


class JsonPath:
    """A path into one record: a JSON value, or the list of a CSV row's values.

    One name or number chooses a value, several choose an object or a list of them.

    Raises
    ------
    ShoalError : the path has something else, such as ``*``, ``..``, ``@`` or a filter.

    >>> JsonPath("$[1:]").of(["id", 1.5, 2.5]), JsonPath("$.data.features").of({"data": {"features": [7]}})
    ([1.5, 2.5], [7])
    >>> JsonPath("$['a','b']").of({"a": 1, "b": 2, "c": 3}), JsonPath("$[0,-1]").of([5, 6, 7])
    ({'a': 1, 'b': 2}, [5, 7])
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._steps: list[_Step] = []
        rest = text.strip()
        if not rest.startswith("$"):
            raise self._unknown(rest)
        rest = rest[1:]
        while rest:
            for pattern, step_of in _STEPS:
                match = pattern.match(rest)
                if match is not None:
                    self._steps.append(step_of(match))
                    rest = rest[match.end() :]
                    break
            else:
                raise self._unknown(rest)

    @property
    def is_all(self) -> bool:
        """Whether it leaves a record as it is."""
        return not self._steps

    def of(self, record: Any) -> Any:
        """What the path chooses.

        Raises
        ------
        BadInputError : the record has no such field.
        """
        for step in self._steps:
            try:
                record = step(record)
            except (KeyError, IndexError, TypeError) as error:
                raise BadInputError(
                    f"has nothing at {self.text}", remedy="choose fields that all records have"
                ) from error
        return record

    def _unknown(self, rest: str) -> ShoalError:
        return ShoalError(
            f"the filter {self.text!r} cannot be read at {rest!r}; use $, .name, ['name'], [0], [0,2] or [1:]"
        )


def _by_names(names: list[str]) -> _Step:
    if len(names) == 1:
        return lambda record: _object(record)[names[0]]
    return lambda record: {name: _object(record)[name] for name in names}


def _by_numbers(numbers: list[int]) -> _Step:
    if len(numbers) == 1:
        return lambda record: _list(record)[numbers[0]]
    return lambda record: [_list(record)[i] for i in numbers]


def _by_slice(start: str | None, stop: str | None) -> _Step:
    part = slice(None if start is None else int(start), None if stop is None else int(stop))
    return lambda record: _list(record)[part]


def _object(record: Any) -> Any:
    if not isinstance(record, dict):
        raise TypeError
    return record


def _list(record: Any) -> Any:
    if not isinstance(record, list):
        raise TypeError
    return record


_STEPS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], _Step]], ...] = (
    (_NAME, lambda match: _by_names([match[1]])),
    (_NAMES, lambda match: _by_names(re.findall(r"'([^']*)'", match[1]))),
    (_NUMBERS, lambda match: _by_numbers([int(n) for n in match[1].split(",")])),
    (_SLICE, lambda match: _by_slice(match[1], match[2])),
)
