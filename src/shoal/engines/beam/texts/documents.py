"""Texts from files, to Pub/Sub messages and back."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

import apache_beam as beam
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.metrics import Metrics

from shoal.engines.beam.elements import DEAD, NAMESPACE, DeadLetter
from shoal.errors import BadInputError

LONGEST = 100_000
"""Characters; a text that is longer goes to the dead letters."""
_LABEL = re.compile(r"[^\s;]{1,32}")


class Document(TypedDict):
    """A text with its name."""

    id: str
    text: str


def read_texts(path: Path, labels: frozenset[str] = frozenset(), field: str = "text") -> Iterator[Document]:
    """Texts of a file, or of all files of a directory: lines, or JSON lines with a field.

    A line may end in ``;label``, a label being one word of at most 32 characters.

    Parameters
    ----------
    labels : only texts of these labels, if any are named; of JSON lines it is the field ``label``.

    Raises
    ------
    BadInputError : there is no such file, or a line is no JSON.
    """
    if not path.exists():
        raise BadInputError(
            "there is no such file", place=str(path), remedy="give a file of texts with --input"
        )
    files = sorted(p for p in path.iterdir() if p.suffix in (".txt", ".jsonl")) if path.is_dir() else [path]
    for file in files:
        with file.open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                text, label = _parsed(line.strip(), f"{file}, line {number}", field, file.suffix == ".jsonl")
                if text and (not labels or label in labels):
                    yield document_of(text, str(file.resolve()), number)


def _parsed(line: str, place: str, field: str, is_json: bool) -> tuple[str, str]:
    if not is_json:
        text, _, label = line.rpartition(";")
        return (text, label) if _LABEL.fullmatch(label) and text else (line.rstrip(";"), "")
    if not line:
        return "", ""
    try:
        record = json.loads(line)
        return _sendable(str(record[field])), str(record.get("label", ""))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BadInputError(
            f"is no JSON object with a field {field!r}",
            place=place,
            remedy="name the field with --text-field",
        ) from error


def _sendable(text: str) -> str:
    """The text, with a question mark for half a surrogate pair, which an escape can spell and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()


def document_of(text: str, source: str, number: int) -> Document:
    """A text with a name made of where it stands and what it says.

    The name is the same however often it is sent, so that a reader knows what was delivered again.

    >>> document_of("hello", "a.txt", 1) == document_of("hello", "a.txt", 1)
    True
    """
    place = json.dumps([source, number, text]).encode()
    return {"id": hashlib.blake2b(place, digest_size=16).hexdigest(), "text": text}


def to_message(document: Document) -> PubsubMessage:
    """What Pub/Sub carries: the text as UTF-8, its id as an attribute."""
    return PubsubMessage(document["text"].encode(), {"id": document["id"]})


class FromMessages(beam.DoFn):  # type: ignore[misc]
    """Messages to :class:`Document`; those that hold no text go to the output ``dead_letters``."""

    def __init__(self) -> None:
        self.refused = Metrics.counter(NAMESPACE, "refused")

    def process(self, message: PubsubMessage) -> Iterator[Any]:
        """One message; its own id stands in where there is no attribute."""
        try:
            text = message.data.decode("utf-8").replace("\x00", "").strip()  # what language models read
        except UnicodeDecodeError:
            yield self._dead(message, "the message is not UTF-8")
            return
        name = (message.attributes or {}).get("id") or message.message_id
        if not text or len(text) > LONGEST:
            yield self._dead(
                message, "the text is empty" if not text else f"the text has {len(text)} characters"
            )
        elif not name:
            yield self._dead(message, "the message has no id")
        else:
            yield {"id": name, "text": text}

    def _dead(self, message: PubsubMessage, reason: str) -> Any:
        self.refused.inc()
        return beam.pvalue.TaggedOutput(DEAD, DeadLetter((message.data, message.attributes), reason))
