"""Fields of records chosen before they are sent and after they are answered, and answers joined to what they answer."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from shoal.errors import BadInputError, ShoalError
from shoal.sagemaker.json_path import JsonPath
from shoal.sagemaker.json_text import parsed_json
from shoal.sagemaker.requests import JSON, JSON_LINES
from shoal.sagemaker.tree import CSV, RECORDIO

INPUT, OUTPUT = "SageMakerInput", "SageMakerOutput"


class Joining:
    """Works on CSV rows as lists of their values, and on JSON values.

    Parameters
    ----------
    content_type, accept : without parameters.
    input_filter, output_filter : see :class:`JsonPath`. The former makes of a record what is sent, the latter of an answer
        (joined, if it is) what is written.
    join : put the record, as it was before the filter, beside its answer: a row before it in CSV; in JSON the object with
        the answer as ``SageMakerOutput``, and what is no object as ``SageMakerInput``.

    Raises
    ------
    ShoalError : formats that cannot be filtered or joined.

    >>> both = Joining(CSV, CSV, input_filter="$[1:]", output_filter="$[0,-2]", join=True)
    >>> records, body = both.sent(b"a,1,2\\nb,3,4"); body
    b'1,2\\n3,4'
    >>> both.answered(records, b"0.0,9.5\\n1.0,2.5")
    b'a,0.0\\nb,1.0'
    """

    def __init__(
        self,
        content_type: str,
        accept: str,
        *,
        input_filter: str = "$",
        output_filter: str = "$",
        join: bool = False,
    ) -> None:
        self._kind, self._accept, self._join = content_type, accept, join
        self._before, self._after = JsonPath(input_filter), JsonPath(output_filter)
        if self.is_needed and RECORDIO in (content_type, accept):
            raise ShoalError(
                f"{RECORDIO} has no fields to filter or join; use text/csv or application/jsonlines"
            )
        if join and content_type != accept:
            raise ShoalError(
                f"joined records and answers have one format, not {content_type} and {accept}; accept {content_type}"
            )

    @property
    def is_needed(self) -> bool:
        """Whether records and answers do not just pass."""
        return self._join or not (self._before.is_all and self._after.is_all)

    def sent(self, payload: bytes) -> tuple[list[Any], bytes]:
        """The records of a payload, and the body that is sent for them; errors as :meth:`answered`."""
        records = _parsed(self._kind, payload)
        chosen = _chosen(self._before, records)
        if self._kind == CSV and [] in chosen:  # it would be a blank line, which is no record
            raise BadInputError(
                f"has nothing at {self._before.text}",
                place=f"request, record {chosen.index([]) + 1}",
                remedy="leave such records out",
            )
        return records, _written(self._kind, chosen)

    def answered(self, records: Sequence[Any], answer: bytes) -> bytes:
        """What is written for the answer to them; raises :class:`BadInputError` for a field that it has not."""
        found = _parsed(self._accept, answer)
        if self._join:
            if len(found) != len(records):
                raise BadInputError(
                    f"has {len(records)} records, and {len(found)} answers",
                    place="request",
                    remedy="send one record in each line, and no blank ones",
                )
            found = [_beside(record, one) for record, one in zip(records, found, strict=True)]
        return _written(self._accept, _chosen(self._after, found))


def _chosen(path: JsonPath, records: Sequence[Any]) -> list[Any]:
    out = []
    for i, record in enumerate(records):
        try:
            out.append(path.of(record))
        except BadInputError as error:
            raise BadInputError(
                error.problem, place=f"request, record {i + 1}", remedy=error.remedy
            ) from error
    return out


def _beside(record: Any, answer: Any) -> Any:
    if isinstance(record, list) and isinstance(answer, list):
        return [*record, *answer]
    return {**record, OUTPUT: answer} if isinstance(record, dict) else {INPUT: record, OUTPUT: answer}


def _parsed(kind: str, text: bytes) -> list[Any]:
    try:
        if kind == CSV:
            return [row for row in csv.reader(io.StringIO(text.decode("utf-8-sig"), newline="")) if row]
        if kind == JSON:
            return [parsed_json(text)]
        return [parsed_json(line) for line in text.split(b"\n") if line.strip()]
    except (ValueError, csv.Error) as error:
        raise BadInputError(
            f"is no {kind}: {str(error)[:100]}",
            place="request",
            remedy="mend it, or name another --content-type",
        ) from None


def _written(kind: str, records: Sequence[Any]) -> bytes:
    if kind in (JSON, JSON_LINES):
        return "\n".join(json.dumps(record, ensure_ascii=False) for record in records).encode()
    out = io.StringIO(newline="")
    rows = (record if isinstance(record, list) else [record] for record in records)
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().removesuffix("\n").encode()
