"""``shoal export``: a model in the formats of others."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from shoal.cli import options as o
from shoal.cli.console import err, out, print_json
from shoal.errors import BadInputError, ShoalError
from shoal.features.recipe import Recipe
from shoal.model.cluster_model import ClusterModel
from shoal.model.durable import sync_folder
from shoal.serve.opening import Contents, find


class To(StrEnum):
    """Values of --to."""

    sagemaker = "sagemaker"
    onnx = "onnx"
    csv = "csv"
    mllib = "mllib"


@dataclass(frozen=True)
class Written:
    """What a writer tells."""

    path: Path
    ids: list[int]
    """Cluster of each centre, by its position in the file."""
    differences: tuple[str, ...] = ()
    """What the format cannot say."""
    inputs: tuple[str, ...] = ()


def run(
    model: Annotated[
        Path, typer.Argument(help="Model, store of models, or a stream's --state.", show_default=False)
    ],
    to: Annotated[To, typer.Option("--to", "-t", help="The format.", show_default=False)],
    target: Annotated[
        Path,
        typer.Option("--out", "-o", help="File or folder to write.", show_default=False),
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    float32: Annotated[
        bool, typer.Option("--float32", help="onnx: for runtimes without numbers of 64 bits.")
    ] = False,
    json: o.Json = False,
) -> None:
    """Write a model in a format that other software reads. The model itself stays as it is.

    onnx: a graph that takes the columns of the data and labels rows, scaling and categories included.

    csv: a table of the clusters that people read: ids, names, shares, radii, centres in the units of the data.

    sagemaker: model.tar.gz (or a folder), compatible with the built-in k-means of Amazon SageMaker; Shoal reads it whole.

    mllib: a folder that Spark's KMeansModel.load reads, of models that cluster columns as they are.

    What each format keeps and what it loses: docs/exchange.md.

    Examples:

      shoal export houses --to onnx --out houses.onnx

      shoal export houses --to csv --out clusters.csv

      shoal export houses --to sagemaker --out model.tar.gz

      shoal export houses --to mllib --out houses_mllib
    """
    held = _open(model)
    replaces = _check_place(to, target, overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    if replaces:
        with _in_place_of(target) as beside:
            done = replace(_write(held, to, beside, float32), path=target)
    else:
        done = _write(held, to, target, float32)
    if json:
        told = {"to": to.value, "out": str(done.path), "ids": done.ids, "inputs": list(done.inputs)}
        print_json(told | {"differences": list(done.differences)})
        return
    out.print(f"{held.model.k} clusters written to {done.path}", markup=False)
    if done.inputs:
        out.print(f"inputs: {', '.join(done.inputs)}", markup=False)
    if done.ids != list(range(len(done.ids))) and to in (To.mllib, To.sagemaker):
        out.print(f"centre 0, 1, 2, ... is cluster {', '.join(map(str, done.ids[:20]))}", markup=False)
    for difference in done.differences:
        err.print(f"careful: {difference}", style="yellow", markup=False)


def _open(path: Path) -> Contents:
    found = find(path)
    if found is None:
        raise ShoalError(f"{path} holds no model yet")
    if found.kind == "topics":
        raise BadInputError(
            "topics of texts need their language model and words, which none of these formats holds",
            place=str(path),
            remedy="shoal topics show --json, or shoal topics assign, writes what others can read",
        )
    return found.read()


def _check_place(to: To, target: Path, overwrite: bool) -> bool:
    """Nothing is replaced unasked, and never what is not of the same kind. Whether a whole folder is to be replaced."""
    from shoal.engines.export_csv import FILE

    if to == To.csv and target.suffix.lower() != ".csv":
        target /= FILE
    if not target.exists():
        return False
    if to == To.onnx and target.is_dir():
        raise BadInputError("is a folder", place=str(target), remedy="name a file, such as model.onnx")
    if to == To.sagemaker and target.is_dir() and not any(target.iterdir()):
        return False
    if not overwrite:
        raise BadInputError(
            "exists already", place=str(target), remedy="choose another --out, or --overwrite to replace it"
        )
    if to == To.mllib and not ((target / "metadata").is_dir() and (target / "data").is_dir()):
        raise BadInputError("is no model of MLlib", place=str(target), remedy="choose another --out")
    if to == To.sagemaker and target.is_dir():
        from shoal.sagemaker.artefact import is_part

        if other := next((p.name for p in sorted(target.iterdir()) if not is_part(p.name)), None):
            raise BadInputError(f"holds {other} too", place=str(target), remedy="choose another --out")
    return target.is_dir()


@contextmanager
def _in_place_of(target: Path) -> Iterator[Path]:
    """Where to write a folder that takes the place of another once it is whole; until then the other stays."""
    target = target.resolve()
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".tmp-") as scratch:
        made, old = Path(scratch) / target.name, Path(scratch) / "replaced"
        yield made
        try:
            target.rename(old)
            made.rename(target)
        except OSError as error:
            raise BadInputError(
                f"cannot be replaced ({error})", place=str(target), remedy="choose another --out"
            ) from error
        finally:
            if old.exists() and not target.exists():
                old.rename(target)
        sync_folder(target.parent)


def _write(held: Contents, to: To, target: Path, float32: bool) -> Written:
    model = held.model
    if to == To.onnx:
        from shoal.engines.export_onnx import write_onnx

        made = write_onnx(model, target, precision="float32" if float32 else "float64")
        return Written(target, list(made.ids), made.differences, made.inputs)
    if to == To.csv:
        from shoal.engines.export_csv import write_centres

        file = write_centres(model, target, names=held.names)
        return Written(file, model.ids.tolist(), _of_centres_alone(model, in_units=True))
    if to == To.mllib:
        from shoal.engines.export_mllib import write_mllib_folder

        ids = write_mllib_folder(model, target)
        return Written(target, ids.tolist(), _of_centres_alone(model, in_units=True))
    from shoal.sagemaker.artefact import write_artefact

    write_artefact(target, model, held.summary())
    return Written(target, model.ids.tolist(), _of_centres_alone(model, in_units=False))


def _of_centres_alone(model: ClusterModel, *, in_units: bool) -> tuple[str, ...]:
    """What a reader that knows nothing but centres does otherwise."""
    told = []
    if model.recipe is not None:
        recipe = Recipe.from_dict(dict(model.recipe))
        if recipe.spec.where is not None:
            told.append(f"rows are not filtered: leave out those that are not {recipe.spec.where}")
        if (recipe.scale != 1).any():
            told.append(
                "distances were measured between scaled columns; the centres are in the units of the data"
                if in_units
                else "the centres are those of scaled columns; other readers need rows that are scaled alike"
            )
        if recipe.spec.one_hot:
            told.append(f"the categories of {', '.join(recipe.spec.one_hot)} are columns of 0 and 1")
    if model.metric == "cosine":
        told.append("the centres are directions: nearest is meant by the angle")
    return tuple(told)
