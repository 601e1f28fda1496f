"""Send texts to Pub/Sub: read a file, name each text, make messages, write them.

python -m shoal.engines.beam.texts.ingest --input texts.txt
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import apache_beam as beam
from apache_beam.io.gcp.pubsub import WriteToPubSub

from shoal.engines.beam.texts.documents import Document, document_of, read_texts, to_message
from shoal.engines.beam.texts.samples import TEXTS
from shoal.engines.beam.texts.settings import in_one_line, options_of, parser_of, ready_local, topic_of
from shoal.errors import BadInputError, ShoalError

EXAMPLES = """examples:
  python -m shoal.engines.beam.pubsub_server --port 8085 &
  python -m shoal.engines.beam.texts.ingest                            # thirty texts that come with it
  python -m shoal.engines.beam.texts.ingest --input train.txt --labels joy,love,fear
  python -m shoal.engines.beam.texts.ingest --input news.jsonl --text-field title --limit 1000
  python -m shoal.engines.beam.texts.ingest --mode cloud --project my-project --bucket gs://my-bucket/shoal --input gs-copied.txt
"""


def build(pipeline: beam.Pipeline, texts: Sequence[Document], topic: str) -> None:
    """The pipeline: texts, messages, Pub/Sub."""
    (
        pipeline
        | "Texts" >> beam.Create(texts, reshuffle=False)
        | "Make messages" >> beam.Map(to_message)
        | "Write" >> WriteToPubSub(topic, with_attributes=True)
    )


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = parser_of("ingest", __doc__.splitlines()[0], EXAMPLES)
    parser.add_argument(
        "--input",
        type=Path,
        help="file or directory of lines, of 'text;label' lines, or of JSON lines (.jsonl); default: a handful of texts. "
        "The same text of the same line has the same id when it is sent again, so it is learned once",
    )
    parser.add_argument("--text-field", default="text", help="field of JSON lines (default: text)")
    parser.add_argument("--labels", default="", help="only texts of these labels, such as joy,love,fear")
    parser.add_argument("--limit", type=int, help="at most so many texts")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Run it; 0, or 1 with a line that says what is wrong."""
    args = arguments(given)
    try:
        texts = _texts(args)
        if not texts:
            raise BadInputError(
                "there are no texts", place=str(args.input), remedy="check --labels and --text-field"
            )
        options = options_of(args, streaming=False)
        if args.mode == "local":
            ready_local(args)
        try:
            with beam.Pipeline(options=options) as pipeline:
                build(pipeline, texts, topic_of(args))
        except Exception as error:  # a runner raises what it likes
            raise ShoalError(f"the pipeline failed: {in_one_line(error)}") from error
    except ShoalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{len(texts):,} texts sent to {topic_of(args)}")
    return 0


def _texts(args: argparse.Namespace) -> list[Document]:
    if args.input is None:
        found: Iterator[Document] = (
            document_of(text, "samples", number) for number, text in enumerate(TEXTS, 1)
        )
    else:
        labels = frozenset(name for name in args.labels.split(",") if name)
        found = read_texts(args.input, labels, args.text_field)
    return list(islice(found, args.limit))


if __name__ == "__main__":
    sys.exit(main())
