"""``shoal import``: a model from centres that other software found."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from shoal.cli import options as o
from shoal.cli.console import err, out, print_clusters, print_json, summarise
from shoal.engines.local import Clustering, load
from shoal.errors import BadInputError
from shoal.features.columns import Numeric, Vector
from shoal.features.learn import FAR_OFF
from shoal.features.recipe import Recipe
from shoal.features.spec import RecipeSpec
from shoal.model.centres_only import model_of_centres, summary_of_centres
from shoal.model.cluster_model import ClusterModel, unit_rows
from shoal.model.names import give_name, read_names
from shoal.model.persistence import MANIFEST
from shoal.solve.lloyd import Metric
from shoal.summary.coreset import Coreset

_ELEMENT = re.compile(r"(.+)\[(\d+)\]")


class From(StrEnum):
    """Values of --from."""

    auto = "auto"
    sagemaker = "sagemaker"
    mllib = "mllib"
    csv = "csv"


@dataclass(frozen=True)
class Found:
    """What a reader found."""

    model: ClusterModel
    columns: tuple[str, ...]
    """Of the centres; a single one for several numbers is a column of vectors."""
    summary: Coreset | None = None
    names: dict[int, str] = field(default_factory=dict)


def run(
    source: Annotated[Path, typer.Argument(help="What to read.", metavar="PATH", show_default=False)],
    out_dir: o.Out,
    kind: Annotated[From, typer.Option("--from", "-f", help="The format. Default: found out.")] = From.auto,
    columns: Annotated[
        str | None,
        typer.Option(
            help="What the centres' columns are called in your data: a,b,c; one name for a column of vectors.",
            show_default=False,
        ),
    ] = None,
    metric: Annotated[
        o.Metric, typer.Option(help="Of csv and sagemaker; MLlib's models say it themselves.")
    ] = o.Metric.euclidean,
    like: Annotated[
        Path | None,
        typer.Option(
            help="csv: scaling and categories of this model, for centres that `export --to csv` wrote and you changed.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the model that is there.")] = False,
    json: o.Json = False,
) -> None:
    """Make a model of centres that were found elsewhere: it labels rows, is served, and goes on learning.

    csv: a header and a row for each centre; `cluster`, `name` and `rows` are understood where there is a column `cluster`.

    sagemaker: model.tar.gz, its folder, or model_algo-1. If Shoal wrote it, all comes back; else it holds centres only.

    mllib: the folder that Spark's KMeansModel.save wrote, on this machine.

    Where sizes are unknown, all clusters count the same; the spread is unknown in any case, so no row is an outlier.
    What each format keeps and what it loses: docs/exchange.md.

    Examples:

      shoal import model.tar.gz --out customers --columns age,income,visits

      shoal import centres.csv --out customers

      shoal import clusters.csv --like houses --out houses_by_hand

      shoal import kmeans_of_spark --from mllib --out customers
    """
    if not source.exists():
        raise BadInputError("is not there", place=str(source), remedy="check the path")
    if (out_dir / MANIFEST).exists() and not overwrite:
        raise BadInputError(
            "holds a model already", place=str(out_dir), remedy="choose another --out, or --overwrite"
        )
    named = tuple(part.strip() for part in (columns or "").split(",") if part.strip())
    kind = _kind(source) if kind == From.auto else kind
    if like is not None and (kind != From.csv or named):
        raise BadInputError("--like goes with csv, and without --columns", place=str(source))
    found = _READERS[kind](source, named, metric.value, like)
    model = found.model
    if model.recipe is None:
        model = _with_recipe(model, found.columns, str(source))
    elif named:
        raise BadInputError(
            "knows its columns, as Shoal made it", place=str(source), remedy="leave out --columns"
        )
    summary = found.summary if found.summary is not None else summary_of_centres(model)
    saved = Clustering(model, summary).save(out_dir)
    for cluster in read_names(out_dir).keys() | found.names.keys():
        give_name(out_dir, cluster, found.names.get(cluster))
    _tell(saved, kind, found.names, out_dir, json)


def _tell(saved: Clustering, kind: From, names: dict[int, str], out_dir: Path, json: bool) -> None:
    if json:
        print_json({"from": kind.value, "out": str(out_dir)} | summarise(saved))
        return
    print_clusters(saved, names)
    columns = ", ".join(block.name for block in saved.recipe.blocks[:8])
    out.print(f"rows to label need: {columns}{', ...' * (len(saved.recipe.blocks) > 8)}", markup=False)
    if doubt := _unknown(saved.model):
        err.print(f"careful: {doubt}", style="yellow", markup=False)
    out.print(f"saved to {out_dir}", markup=False)


def _unknown(model: ClusterModel) -> str:
    """What centres alone do not say; nothing of models that Shoal made."""
    known = model.quality.get("sizes_known")
    if known is None:
        return ""
    what = "the spread is unknown" if known else "sizes and spread are unknown, and all shares equal"
    return f"{what}; there are no radii and no outliers until the model is taught rows"


def _kind(source: Path) -> From:
    """The format, by what is there."""
    if source.suffix.lower() == ".onnx":
        raise BadInputError(
            "graphs are written, not read", place=str(source), remedy="import the centres as csv"
        )
    if source.suffix.lower() in (".csv", ".tsv", ".txt"):
        return From.csv
    if source.is_dir():
        if (source / "metadata").is_dir() and (source / "data").is_dir():
            return From.mllib
        if (source / MANIFEST).exists():
            raise BadInputError("is a model of Shoal already", place=str(source), remedy="use it as it is")
    return From.sagemaker


def _from_csv(source: Path, named: tuple[str, ...], metric: Metric, like: Path | None) -> Found:
    from shoal.engines.export_csv import OURS, read_centres

    if like is None:
        table = read_centres(source, columns=named, metric=metric)
        return Found(table.model, table.model.feature_names, names=table.names)
    recipe = load(like).recipe
    columns = [f"{name}_in" if name in OURS else name for name in recipe.feature_names]
    table = read_centres(source, columns=columns)
    centres = (table.model.centres - recipe.centre) / recipe.scale
    if recipe.spec.metric == "cosine":
        centres = unit_rows(centres)
    model = table.model.replace(
        centres=centres,
        metric=recipe.spec.metric,
        feature_names=recipe.feature_names,
        recipe=recipe.to_dict(),
    )
    return Found(model, (), names=table.names)


def _from_sagemaker(source: Path, named: tuple[str, ...], metric: Metric, like: Path | None) -> Found:
    from shoal.sagemaker.artefact import read_artefact
    from shoal.sources.recordio_records import VALUES

    found = read_artefact(source, metric=metric)
    return Found(found.model, named or _elements(VALUES, found.model.n_features), found.summary)


def _from_mllib(source: Path, named: tuple[str, ...], metric: Metric, like: Path | None) -> Found:
    from shoal.engines.export_mllib import read_mllib_folder

    found, told = read_mllib_folder(source)
    model = model_of_centres(found.centres, place=str(source), ids=told["ids"], metric=found.metric)
    return Found(model, named or _elements(str(told.get("featuresCol", "features")), model.n_features))


_READERS = {From.csv: _from_csv, From.sagemaker: _from_sagemaker, From.mllib: _from_mllib}


def _with_recipe(model: ClusterModel, columns: tuple[str, ...], place: str) -> ClusterModel:
    """The model with columns to read rows from, which are taken as they are."""
    d = model.n_features
    vector = _vector_of(columns, d)
    if vector is None and len(columns) != d:
        raise BadInputError(
            f"{len(columns)} columns are named, the centres have {d}",
            place=place,
            remedy="name each in --columns, or one column of vectors",
        )
    blocks: tuple[Numeric | Vector, ...] = tuple(Numeric(name) for name in columns)
    if vector is not None:
        blocks = (Vector(vector, d),)
    spec = RecipeSpec(columns=tuple(b.name for b in blocks), scale="none", metric=model.metric)
    recipe = Recipe(spec, blocks, np.zeros(d), _shift(model), np.ones(d))
    return model.replace(
        centres=model.centres - recipe.centre, recipe=recipe.to_dict(), feature_names=recipe.feature_names
    )


def _shift(model: ClusterModel) -> NDArray[np.float64]:
    """(d,) what is taken from rows first: where centres are close together and far from 0, float32 would lose the rest."""
    middle, spread = model.centres.mean(axis=0), model.centres.std(axis=0)
    if model.metric == "cosine":
        return np.zeros(model.n_features)
    shift: NDArray[np.float64] = np.where((spread > 0) & (np.abs(middle) > FAR_OFF * spread), middle, 0.0)
    return shift


def _elements(column: str, d: int) -> tuple[str, ...]:
    return tuple(f"{column}[{i}]" for i in range(d))


def _vector_of(columns: tuple[str, ...], d: int) -> str | None:
    """The column of vectors that is meant, by its name or those of its elements.

    >>> _vector_of(("v",), 3), _vector_of(("v[0]", "v[1]"), 2), _vector_of(("a", "b"), 2), _vector_of(("a",), 1)
    ('v', 'v', None, None)
    """
    if len(columns) == 1 and d > 1:
        return columns[0]
    parts = [_ELEMENT.fullmatch(name) for name in columns]
    found = [(part[1], int(part[2])) for part in parts if part]
    if found and found == [(found[0][0], i) for i in range(d)] and len(columns) == d:
        return found[0][0]
    return None
