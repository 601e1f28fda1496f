"""``shoal demo``: the whole tool on real data that ships inside scikit-learn.

scikit-learn and the report (matplotlib) are imported where they are used: loading them takes longer than most
commands take to run.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from numpy.typing import NDArray

from shoal.cli.console import out, print_clusters, print_pass, watching
from shoal.cli.sweep import print_choice
from shoal.engines import local
from shoal.engines.labelling import label_files
from shoal.engines.local import Clustering


def run(
    out_dir: Annotated[Path, typer.Option("--out", "-o", help="Directory for everything it makes.")] = Path(
        "demo-out"
    ),
    serve: Annotated[
        bool, typer.Option("--serve", help="Only replay a stream, for as long as you look, and show it live.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of the live page; 0: any that is free.")
    ] = 8787,
    open_page: Annotated[bool, typer.Option("--open", help="Show the live page in a browser.")] = False,
    ask: Annotated[
        bool, typer.Option("--ask", help="At the end, ask whether to show the live page.")
    ] = False,
) -> None:
    """Cluster a photograph, handwritten digits and a stream: one pass, which k, labels, events, pictures, reports.

    Takes well under a minute; nothing is downloaded. With --serve a stream is replayed and its clusters are shown live.

    Examples:

      shoal demo

      shoal demo --serve --open
    """
    from shoal.cli.demo_live import live  # the engines of streams and the service: not for other commands
    from shoal.cli.demo_stream import replay

    began = time.monotonic()
    out_dir.mkdir(parents=True, exist_ok=True)
    if serve:
        live(out_dir, port, open_browser=open_page)
        return
    _photograph(out_dir)
    _digits(out_dir)
    _fresh(out_dir, "stream", "stream-labels.jsonl")
    replay(out_dir)
    out.rule("Done")
    out.print(f"{time.monotonic() - began:.1f} s in all. Look at:")
    for path in sorted(out_dir.rglob("*")):
        if path.suffix in (".png", ".html"):
            out.print(f"  {path}", markup=False)
    if ask and sys.stdin.isatty() and typer.confirm("See a stream live in the browser?", default=True):
        live(out_dir, port, open_browser=True)
    else:
        out.print(f"A stream, live in the browser: shoal demo --serve --out {out_dir}", markup=False)


def _fresh(folder: Path, state: str, labels: str) -> None:
    """A demonstration begins anew each time, where a stream would go on."""
    shutil.rmtree(folder / state, ignore_errors=True)
    (folder / labels).unlink(missing_ok=True)


def _photograph(folder: Path) -> None:
    from sklearn.datasets import load_sample_image

    out.rule("Colours of a photograph: 273,280 pixels, one pass")
    image = load_sample_image("china.jpg")
    height, width, _ = image.shape
    pixels = image.reshape(-1, 3)
    table = pa.table({name: pixels[:, c] for c, name in enumerate(("red", "green", "blue"))})
    file = folder / "china.parquet"
    pq.write_table(table, file)
    with watching("reading") as watch:
        found = local.fit(str(file), 12, scale="none", watch=watch).save(folder / "china")
    print_pass(found)
    print_clusters(found)
    with watching("labelling") as watch:
        done = label_files(found, str(file), folder / "china-labels.parquet", watch=watch)
    mean = done.inertia / done.assigned
    out.print(f"{done.assigned:,} labels written; mean squared distance to the centre {mean:.1f} of 255²")
    _repaint(folder, found, image.astype(np.uint8), (height, width))
    _draw(folder / "china", found, ("map", "sizes"))


def _repaint(folder: Path, found: Clustering, image: NDArray[np.uint8], shape: tuple[int, int]) -> None:
    """The photograph in the twelve colours that were found, beside the original."""
    import matplotlib.image

    labels = found.model.assign(image.reshape(-1, 3).astype(np.float32)).positions
    painted = found.model.centres.round().astype(np.uint8)[labels].reshape(*shape, 3)
    matplotlib.image.imsave(folder / "china-12-colours.png", np.concatenate([image, painted], axis=1))


def _digits(folder: Path) -> None:
    from sklearn.datasets import load_digits

    out.rule("Handwritten digits: which k?")
    digits = load_digits()
    table = pa.table(
        {"pixels": pa.FixedSizeListArray.from_arrays(digits.data.astype(np.float32).ravel(), 64)}
    )
    file = folder / "digits.parquet"
    pq.write_table(table, file)
    with watching("reading") as watch:
        choice, best = local.sweep(str(file), range(2, 17), watch=watch)
    best = best.save(folder / "digits")
    print_pass(best)
    print_choice(choice)
    _draw(folder / "digits", best, ("map", "choice"))


def _draw(stem: Path, found: Clustering, kinds: tuple[str, ...]) -> None:
    """The pictures asked for and the report, as ``stem-KIND.png`` and ``stem.html``."""
    from shoal.report import pictures
    from shoal.report.html import write_report
    from shoal.report.view import View

    points = found.summary.points()
    view = View.of(found.model, points)
    draw: dict[str, Any] = {
        "map": lambda: pictures.cluster_map(view),
        "sizes": lambda: pictures.size_bars(view),
        "choice": lambda: pictures.criteria_curves(found.model.choice or {}),
    }
    for kind in kinds:
        pictures.save_picture(draw[kind](), stem.with_name(f"{stem.name}-{kind}.png"))
    write_report(found.model, points, stem.with_suffix(".html"), choice=found.model.choice)
