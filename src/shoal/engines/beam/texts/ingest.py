"""Send texts to Pub/Sub: read a file, give each text an id, make messages, write them.

python -m shoal.engines.beam.texts.ingest --input texts.txt
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import apache_beam as beam
from apache_beam.io.gcp.pubsub import WriteToPubSub

from shoal.engines.beam.texts.documents import read_texts, to_message, with_id
from shoal.engines.beam.texts.settings import options_of, parser_of, ready_local, topic_of
from shoal.errors import BadInputError, ShoalError

EMOTION = Path("../shared/data/emotion")
EXAMPLES = """examples:
  python -m shoal.engines.beam.pubsub_server --port 8085 &
  python -m shoal.engines.beam.texts.ingest --input train.txt --labels joy,love,fear
  python -m shoal.engines.beam.texts.ingest --input news.jsonl --text-field title --limit 1000
  python -m shoal.engines.beam.texts.ingest --mode cloud --project my-project --bucket gs://my-bucket/shoal --input gs-copied.txt
"""


def build(pipeline: beam.Pipeline, texts: Sequence[str], topic: str) -> None:
    """The pipeline: texts, ids, messages, Pub/Sub."""
    (
        pipeline
        | "Texts" >> beam.Create(texts, reshuffle=False)
        | "Give ids" >> beam.Map(with_id)
        | "Make messages" >> beam.Map(to_message)
        | "Write" >> WriteToPubSub(topic, with_attributes=True)
    )


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = parser_of("ingest", __doc__.splitlines()[0], EXAMPLES)
    parser.add_argument(
        "--input",
        type=Path,
        default=EMOTION,
        help="file or directory of 'text;label' lines, or of JSON lines (.jsonl)",
    )
    parser.add_argument("--text-field", default="text", help="field of JSON lines (default: text)")
    parser.add_argument("--labels", default="", help="only texts of these labels, such as joy,love,fear")
    parser.add_argument("--limit", type=int, help="at most so many texts")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Run it; 0, or 1 with a line that says what is wrong."""
    args = arguments(given)
    try:
        labels = frozenset(name for name in args.labels.split(",") if name)
        texts = list(read_texts(args.input, labels, args.text_field))[: args.limit]
        if not texts:
            raise BadInputError(
                "there are no texts", place=str(args.input), remedy="check --labels and --text-field"
            )
        options = options_of(args, streaming=False)
        if args.mode == "local":
            ready_local(args)
        with beam.Pipeline(options=options) as pipeline:
            build(pipeline, texts, topic_of(args))
    except ShoalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{len(texts):,} texts sent to {topic_of(args)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
