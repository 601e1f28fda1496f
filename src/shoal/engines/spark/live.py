"""Clusters that a stream keeps up to date in a store: one version for each batch that brought rows, each batch counted once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from shoal.engines.shares import Summarised, SummarySettings, check_widths
from shoal.engines.spark.building import recipe_of
from shoal.engines.spark.rows import RowColumns
from shoal.engines.stream.settings import STREAM_ROWS, Span
from shoal.errors import BadInputError, ShoalError
from shoal.model.events import Event
from shoal.model.store import ModelStore, Stored
from shoal.model.successor import Successor
from shoal.summary.coreset import DEFAULT_BYTES

KNOWN = (
    "path",
    "k",
    "featuresCol",
    "featuresCols",
    "weightCol",
    "timeCol",
    "idCol",
    "halfLife",
    "distanceMeasure",
    "sampleRows",
    "maxBytes",
    "seed",
    "handleInvalid",
    "keep",
    "query",
    "checkpointLocation",
)
"""Options of the sink; Spark hands them over in lower case, and text all of them."""


@dataclass(frozen=True)
class LiveSettings:
    """What is learned from every batch, and where it is kept."""

    path: str
    columns: RowColumns
    k: int | tuple[int, int] = 8
    summary: SummarySettings = field(default_factory=lambda: SummarySettings(rows=STREAM_ROWS))
    keep: int = 10
    query: str | None = None
    """Names the stream whose batches are numbered; several streams may feed one store."""
    checkpoint: str | None = None

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> LiveSettings:
        """From a sink's options.

        Raises
        ------
        BadInputError : an option that is missing, unknown or makes no sense.

        >>> LiveSettings.parse({"path": "m", "K": "2:12", "halfLife": "6h", "timeCol": "at"}).k
        (2, 12)
        """
        given = {name.lower(): text for name, text in options.items()}
        names = {name.lower(): name for name in KNOWN}
        for name in given:
            if name not in names:
                raise BadInputError.unknown_column(name, list(KNOWN), place="options of the sink")
        get = {names[name]: text for name, text in given.items()}.get
        path, half_life = get("path"), get("halfLife")
        if not path:
            raise BadInputError("there is no path", remedy='say where the models go: .option("path", "...")')
        if half_life is not None and get("timeCol") is None:
            raise BadInputError("halfLife needs event times", remedy="name their column in timeCol")
        k = _range(get("k") or "8")
        several = get("featuresCols")
        summary = SummarySettings(
            k_max=max(k if isinstance(k, int) else k[1], 64),
            rows=_whole("sampleRows", get("sampleRows") or str(STREAM_ROWS)),
            max_bytes=_whole("maxBytes", get("maxBytes") or str(DEFAULT_BYTES)),
            seed=_whole("seed", get("seed") or "0", least=0),
            half_life=None if half_life is None else _seconds(half_life),
        )
        summary.new()
        return cls(
            path=path,
            columns=RowColumns(
                features=tuple(n.strip() for n in several.split(","))
                if several
                else (get("featuresCol") or "features",),
                weight=get("weightCol"),
                time=get("timeCol"),
                id=get("idCol"),
                invalid=_one_of("handleInvalid", get("handleInvalid") or "error", ("error", "skip")),
                cosine=_one_of(
                    "distanceMeasure", get("distanceMeasure") or "euclidean", ("euclidean", "cosine")
                )
                == "cosine",
            ),
            k=k,
            summary=summary,
            keep=_whole("keep", get("keep") or "10"),
            query=get("query"),
            checkpoint=get("checkpointLocation"),
        )


class Told(NamedTuple):
    """What became of a batch."""

    version: int | None
    """The version it made; None if it had been counted before, or brought no rows."""
    events: list[Event]


def advance(
    settings: LiveSettings,
    query: str,
    batch: int | None,
    found: Summarised | None,
    *,
    checkpoint: str | None = None,
) -> Told:
    """Merge a batch into the newest version and publish the next one.

    Parameters
    ----------
    query : names the stream; only its own batches are compared.
    batch : its number; one that is there already is not counted again. None: always counted.
    checkpoint : names the numbering of the batches, where it is known: Spark starts at 0 again with every new checkpoint.

    Raises
    ------
    ShoalError : a batch older than the last of that query, or of another checkpoint; rows or settings that do not fit the
        store.
    """
    store = ModelStore(settings.path, settings.keep)
    while True:
        newest = store.latest_number()
        held = None if newest is None else store.load(newest)
        if held is not None:
            _check_numbering(held, query, batch, checkpoint, settings.path)
            if batch is not None and batch == held.note.get("queries", {}).get(query):
                return Told(None, [])
        if found is None or not (found.summary.weight > 0 or (held is not None and found.rejects.total)):
            return Told(None, [])
        try:
            return _published(store, settings, held, query, batch, found, checkpoint)
        except FileExistsError:
            continue  # another stream was quicker: merge with what it made


def _check_numbering(held: Stored, query: str, batch: int | None, checkpoint: str | None, path: str) -> None:
    """That batches of a query are still numbered by the checkpoint that numbered those before."""
    last, before = held.note.get("queries", {}).get(query), held.note.get("checkpoints", {}).get(query)
    if batch is None or last is None:
        return
    if batch < last or (None not in (checkpoint, before) and checkpoint != before):
        raise ShoalError(
            f"{path} holds batch {last} of query {query!r}, and now batch {batch} of a new checkpoint comes; give the "
            'stream another name with .option("query", "...") if its rows are new, or go on from the old checkpoint'
        )


def _published(
    store: ModelStore,
    settings: LiveSettings,
    held: Stored | None,
    query: str,
    batch: int | None,
    found: Summarised,
    checkpoint: str | None,
) -> Told:
    summary, rejects, note = found.summary, found.rejects, {}
    if held is not None:
        if held.summary is None:
            raise ShoalError(f"{settings.path} holds models without summaries, which cannot go on learning")
        check_widths(held.summary, summary)
        summary = held.summary.merge(summary)
        rejects = held.model.provenance.rejects.merge(rejects)
        note = held.note
    summary.n_threads = None
    successor = Successor(settings.k, seed=settings.summary.seed)
    if "successor" in note:
        successor.restore(note["successor"])
    recipe = recipe_of(settings.columns, int(summary.n_features or 0))
    if held is not None and held.model.feature_names != recipe.feature_names:
        raise BadInputError(
            f"{settings.path} holds models of {', '.join(held.model.feature_names)}, not of "
            f"{', '.join(recipe.feature_names)}",
            remedy="name the same columns in the same order, or choose another path",
        )
    made = successor.next(
        summary,
        recipe.space,
        None if held is None else held.model,
        time=float(summary.count) if summary.newest is None else summary.newest,
        rejects=rejects,
        sources=(f"Spark query {query}",),
    )
    told = {
        "queries": note.get("queries", {}) | ({} if batch is None else {query: batch}),
        "checkpoints": note.get("checkpoints", {}) | ({} if checkpoint is None else {query: checkpoint}),
        "query": query,
        "batch": batch,
        "rows": found.summary.count,
        "rejected": found.rejects.total,
        "successor": successor.to_dict(),
        "events": [event.to_dict() for event in made.events],
    }
    number = store.publish(made.model, summary, note=told, after=0 if held is None else held.number)
    return Told(number, made.events)


def _range(text: str) -> int | tuple[int, int]:
    parts = text.split(":")
    try:
        numbers = [int(p) for p in parts]
    except ValueError:
        numbers = []
    if len(numbers) == 1 and numbers[0] >= 1:
        return numbers[0]
    if len(numbers) == 2 and 1 <= numbers[0] <= numbers[1]:
        return numbers[0], numbers[1]
    raise BadInputError(f"k is {text!r}", remedy="write a number such as 8, or a range such as 2:12")


def _whole(name: str, text: str, least: int = 1) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise BadInputError(f"{name} is {text!r}", remedy=f"write a whole number of at least {least}")
    return value


def _seconds(text: str) -> float:
    try:
        seconds: float | None = float(text)
    except ValueError:
        seconds = Span.parse(text).seconds
    if seconds is None or not seconds > 0:
        raise BadInputError(f"halfLife is {text!r}", remedy="write seconds, or a time such as 6h")
    return seconds


def _one_of(name: str, text: str, allowed: tuple[str, ...]) -> Any:
    if text not in allowed:
        raise BadInputError(f"{name} is {text!r}", remedy=f"use one of {', '.join(allowed)}")
    return text
