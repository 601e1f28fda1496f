"""``python -m benchmarks.run [--quick] [--only quality,kernel] [--out FOLDER] [--tables]``."""

from __future__ import annotations

import argparse
import tempfile
import traceback
from functools import partial
from pathlib import Path

from benchmarks import (
    THREADS,
    beam,
    birch,
    choose_k,
    events,
    exactness,
    kernel,
    memory,
    mini_batch,
    outliers,
    page,
    quality,
    sagemaker,
    serve,
    serve_mixed,
    shapes,
    soak,
    spark,
    stream,
    sweep,
    topics,
)
from benchmarks.common import RESULTS, limit_threads, machine, save, timed

PARTS = {
    "quality": quality.run,
    "kernel": kernel.run,
    "memory": memory.run,
    "sweep": sweep.run,
    "choose_k": choose_k.run,
    "exactness": exactness.run,
    "birch": birch.run,
    "mini_batch": mini_batch.run,
    "shapes": shapes.run,
    "events": events.run,
    "outliers": outliers.run,
    "stream": stream.run,
    "soak": soak.run,
    "spark": spark.run,
    "beam": beam.run,
    "topics": topics.run,
    "serve": serve.run,
    "serve_mixed": serve_mixed.run,
    "sagemaker": sagemaker.run,
}


def main() -> None:
    """Measure the parts asked for and write the page."""
    asked = _arguments()
    if asked.quick:  # proves that all runs; its numbers mean nothing and touch no kept ones
        with tempfile.TemporaryDirectory() as folder:
            out = asked.out or Path(folder)
            broken = _measure(asked.only, out, quick=True)
            page.write(out, out / "benchmarks.md")
    else:
        out = asked.out or RESULTS
        broken = [] if asked.tables else _measure(asked.only, out, quick=False)
        page.write(out, page.PAGE)
    if broken:
        raise SystemExit(
            f"did not run to the end, so the page shows what was kept before: {', '.join(broken)}"
        )


def _measure(names: list[str], out: Path, *, quick: bool) -> list[str]:
    """Names of the parts that broke; each part is kept as soon as it is done."""
    limit_threads()
    broken = []
    for name in names:
        facts = machine()
        busy = (
            "; others are using the machine, do not keep these times"
            if facts["load_at_start"] > THREADS
            else ""
        )
        print(f"== {name} (load {facts['load_at_start']}{busy})", flush=True)
        try:
            seconds, rows = timed(partial(PARTS[name], quick=quick))
        except Exception:  # half an hour of other parts is worth more than an early end
            traceback.print_exc()
            broken.append(name)
            continue
        save(out, name, facts | {"seconds": round(seconds)}, rows)
        print(f"== {name}: {seconds:.0f} s", flush=True)
    return broken


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Shoal beside its peers; under an hour on two quiet cores.")
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes, to see that all runs; keeps nothing"
    )
    parser.add_argument("--only", type=_parts, default=list(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--out", type=Path, help="folder for the raw numbers (default: benchmarks/results)")
    parser.add_argument("--tables", action="store_true", help="write the page again from the kept numbers")
    return parser.parse_args()


def _parts(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not among {', '.join(PARTS)}")
    return names


if __name__ == "__main__":
    main()
