"""Options that several commands share, defined once."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from shoal.engines.local import Budget, load
from shoal.errors import BadInputError
from shoal.features.recipe import Recipe
from shoal.features.recipe_file import load_recipe, read_names
from shoal.features.spec import RecipeSpec
from shoal.sources.options import ReadOptions
from shoal.summary.coreset import DEFAULT_BYTES

MAX_BYTES = f"{DEFAULT_BYTES >> 20}MiB"
"""Default of --max-bytes."""
_COLUMNS, _READING, _SIZE = "Columns", "Reading", "Size and speed"


class Scale(StrEnum):
    """Values of --scale."""

    auto = "auto"
    none = "none"
    standard = "standard"
    minmax = "minmax"


class Nulls(StrEnum):
    """Values of --nulls."""

    error = "error"
    skip = "skip"
    mean = "mean"
    zero = "zero"


class Other(StrEnum):
    """Values of --other."""

    column = "column"
    drop = "drop"


class Metric(StrEnum):
    """Values of --metric."""

    euclidean = "euclidean"
    cosine = "cosine"


class OnError(StrEnum):
    """Values of --on-error."""

    stop = "raise"
    skip = "skip"


Sources = Annotated[
    list[str],
    typer.Argument(
        help="Files, globs, directories, s3:// URIs, or - for standard input; with --engine spark also table:NAME.",
        show_default=False,
    ),
]
Model = Annotated[Path, typer.Argument(help="Directory of a fitted model.", show_default=False)]
Out = Annotated[
    Path, typer.Option("--out", "-o", help="Directory to write the model to.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Seed = Annotated[int, typer.Option(help="Equal seeds give equal answers.", rich_help_panel=_SIZE)]
Threads = Annotated[int | None, typer.Option(help="Default: all processors.", min=1, rich_help_panel=_SIZE)]
MaxBytes = Annotated[
    str, typer.Option(help="Memory the summary may take: 64MB, 1GB, ...", rich_help_panel=_SIZE)
]
SampleRows = Annotated[
    int | None,
    typer.Option(
        help="Rows the summary keeps. Default: the larger of 50,000 and 200 per cluster.",
        min=1,
        rich_help_panel=_SIZE,
    ),
]

Columns = Annotated[
    str | None,
    typer.Option(
        help="Columns to cluster by: a,b,c. Default: all numbers and vectors.", rich_help_panel=_COLUMNS
    ),
]
OneHot = Annotated[str | None, typer.Option(help="Columns of categories: a,b.", rich_help_panel=_COLUMNS)]
Top = Annotated[
    int | None,
    typer.Option(help="Categories kept of each. Default: the 20 most frequent.", rich_help_panel=_COLUMNS),
]
OtherOption = Annotated[
    Other | None,
    typer.Option(
        help="Rarer categories: a column of their own (default), or drop the row.", rich_help_panel=_COLUMNS
    ),
]
Where = Annotated[
    str | None,
    typer.Option(help="Rows to take: \"price > 0 and kind in ('a', 'b')\".", rich_help_panel=_COLUMNS),
]
ScaleOption = Annotated[
    Scale | None,
    typer.Option(
        help="Default auto: standardise two or more columns, leave vectors.", rich_help_panel=_COLUMNS
    ),
]
NullsOption = Annotated[
    Nulls | None, typer.Option(help="Missing values: stop (default), or ...", rich_help_panel=_COLUMNS)
]
MetricOption = Annotated[
    Metric | None, typer.Option(help="Default euclidean; cosine for directions.", rich_help_panel=_COLUMNS)
]
Weight = Annotated[str | None, typer.Option(help="Column of row weights.", rich_help_panel=_COLUMNS)]
RecipeFile = Annotated[
    Path | None,
    typer.Option(
        "--recipe", help="TOML file with any of these; options win over it.", rich_help_panel=_COLUMNS
    ),
]
Like = Annotated[
    Path | None,
    typer.Option(
        help="Take columns, scaling and categories of this model, to merge later.", rich_help_panel=_COLUMNS
    ),
]

Names = Annotated[
    str | None,
    typer.Option(
        help="Column names of a file without header: a,b,c or a file of names.", rich_help_panel=_READING
    ),
]
Delimiter = Annotated[str | None, typer.Option(help="Default: found out.", rich_help_panel=_READING)]
Format = Annotated[
    str | None,
    typer.Option(
        help="parquet, csv, tsv, arrow, jsonl, npy, npz, recordio. Default: by name.",
        rich_help_panel=_READING,
    ),
]
Encoding = Annotated[
    str | None, typer.Option(help="Of text files: utf-8 (default), latin-1, ...", rich_help_panel=_READING)
]
OnErrorOption = Annotated[
    OnError, typer.Option(help="Bad rows: stop, or skip and count.", rich_help_panel=_READING)
]


def features(
    recipe: Path | None,
    like: Path | None,
    *,
    columns: str | None,
    one_hot: str | None,
    top: int | None,
    other: Other | None,
    where: str | None,
    scale: Scale | None,
    nulls: Nulls | None,
    metric: Metric | None,
    weight: str | None,
) -> tuple[RecipeSpec | Recipe, dict[str, Any]]:
    """The recipe the options ask for, and what its file says about reading."""
    given = {
        "columns": _split(columns),
        "one_hot": _split(one_hot),
        "top": top,
        "other": other and other.value,
        "where": where,
        "scale": scale and scale.value,
        "nulls": nulls and nulls.value,
        "metric": metric and metric.value,
        "weight": weight,
    }
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if like is not None:
        if changes or recipe is not None:
            raise BadInputError(
                f"--like takes the whole recipe of {like}",
                remedy=f"leave out {', '.join(changes) or '--recipe'}",
            )
        return load(like).recipe, {}
    spec, read = load_recipe(recipe) if recipe is not None else (RecipeSpec(), {})
    return replace(spec, **changes), read


def reading(
    from_recipe: dict[str, Any],
    *,
    names: str | None = None,
    delimiter: str | None = None,
    format: str | None = None,
    encoding: str | None = None,
    on_error: OnError = OnError.stop,
) -> ReadOptions:
    """How to read, from options and what the recipe file says."""
    settings = dict(from_recipe)
    if names is not None:
        is_file = "," not in names and Path(names).is_file()
        settings["names"] = read_names(names) if is_file else _split(names)
    if delimiter is not None:
        settings["delimiter"] = delimiter.encode().decode("unicode_escape")
    if format is not None:
        settings["format"] = format
    if encoding is not None:
        settings["encoding"] = encoding
    return ReadOptions(**settings, on_error=on_error.value)


def budget(sample_rows: int | None, max_bytes: str) -> Budget:
    """The summary's budget."""
    return Budget(rows=sample_rows, max_bytes=parse_bytes(max_bytes))


def parse_bytes(text: str) -> int:
    """Bytes of ``64MB``, ``1.5GB``, ``2000``.

    >>> parse_bytes("64MB"), parse_bytes("1 GiB"), parse_bytes("2000")
    (64000000, 1073741824, 2000)
    """
    units = {"": 1, "B": 1}
    for power, prefix in enumerate("KMGT", start=1):
        units |= {prefix: 1000**power, f"{prefix}B": 1000**power, f"{prefix}IB": 1024**power}
    number = text.strip().rstrip("BKMGTIbkmgti ")
    unit = text.strip()[len(number) :].strip().upper()
    try:
        return int(float(number) * units[unit])
    except (KeyError, ValueError):
        raise BadInputError(f"{text!r} is no size", remedy="write 64MB, 1GB or a number of bytes") from None


MOST_KS = 1000
"""Numbers of clusters in one answer; each takes a solve of its own."""


def parse_ks(text: str, option: str = "-k") -> list[int]:
    """Numbers of clusters: ``2:12`` is 2 to 12 inclusive, ``2:20:3`` every third, ``2,4,8`` those.

    >>> parse_ks("2:5"), parse_ks("2:10:4"), parse_ks("8,2")
    ([2, 3, 4, 5], [2, 6, 10], [2, 8])
    """
    found: set[int] = set()
    try:
        for part in text.split(","):
            numbers = [int(n) for n in part.split(":")]
            if len(numbers) == 1:
                found.add(numbers[0])
            else:
                low, high, step = (*numbers, 1)[:3]
                span = range(low, high + 1, step)
                found |= set(span[: MOST_KS + 1])
    except ValueError:
        found = set()
    if not found or min(found) < 1:
        raise BadInputError(
            f"{option} {text!r} is no range of whole numbers", remedy="write 2:12, 2:20:2 or 3,5,8"
        )
    if len(found) > MOST_KS:
        raise BadInputError(
            f"{option} {text!r} are more than {MOST_KS:,} numbers", remedy="write a step: 2:1000:10"
        )
    return sorted(found)


def _split(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())
