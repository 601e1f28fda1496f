"""A model as an ONNX graph: the columns of a table in, cluster ids and distances out, without Python."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shoal.errors import ShoalError
from shoal.features.columns import Numeric, Vector
from shoal.features.one_hot import OneHot
from shoal.features.recipe import Block, Recipe
from shoal.features.spec import RecipeSpec
from shoal.model.cluster_model import ClusterModel
from shoal.model.durable import replace_durably

Precision = Literal["float64", "float32"]
OUTPUTS = ("cluster", "distance", "distances")
NONE = -1
"""The cluster of a row that Shoal would not label."""
VECTORS = "features"
"""The input of a model that has no recipe."""
_OPSETS = {"": 17, "ai.onnx.ml": 3}
_IR_VERSION = 8
_LARGEST = 2**31 - 2**20
"""Bytes that a protobuf message may hold, with some room."""


@dataclass(frozen=True)
class OnnxExport:
    """What was written."""

    inputs: tuple[str, ...]
    """In the order of the recipe: (n, 1) numbers or text for a column, (n, width) numbers for one of vectors."""
    outputs: tuple[str, ...]
    """Cluster id (n,), distance to its centre (n,), distances to all centres (n, k)."""
    ids: tuple[int, ...]
    """Cluster of each column of the distances."""
    differences: tuple[str, ...]
    """What Shoal does with rows and this graph does not."""


def write_onnx(
    model: ClusterModel, path: str | os.PathLike[str], *, precision: Precision = "float64"
) -> OnnxExport:
    """Write a graph that labels rows as :meth:`ClusterModel.assign` does, from the columns as they are in the data.

    Scaling, categories, filled gaps and the cosine are in the graph. Rows that Shoal would not label (a missing value, a
    category that is dropped, a row of zeros under the cosine) get cluster -1 and the distance NaN. Equal models give
    equal bytes.

    Parameters
    ----------
    path : file to write; one that is there is replaced.
    precision : of the inputs that are numbers, and of the arithmetic; ``float32`` is for runtimes that lack the other,
        and rows about half way between two centres may then get the other label.

    Raises
    ------
    ShoalError : the package ``onnx`` is missing, or the centres are more than a file of ONNX can hold.

    Examples
    --------
    ::

        write_onnx(shoal.load("houses").model, "houses.onnx").inputs  # ('longitude', 'latitude', 'ocean_proximity')
        session = onnxruntime.InferenceSession("houses.onnx")
        cluster, distance, distances = session.run(None, {"longitude": longitude[:, None], ...})
    """
    onnx = _onnx()
    if model.centres.nbytes > _LARGEST:
        raise ShoalError(f"centres of {model.centres.nbytes} bytes are too many for one file of ONNX (2 GB)")
    recipe = None if model.recipe is None else Recipe.from_dict(dict(model.recipe))
    made = _Graph(onnx, precision)
    if recipe is None:
        rows = made.input(VECTORS, made.number, model.n_features)
    else:
        rows = _add_recipe(made, recipe)
    _add_clusters(made, model, rows)
    differences = _differences(recipe)
    whole = made.model(model, differences)
    onnx.checker.check_model(whole, full_check=True)
    replace_durably(Path(path), whole.SerializeToString(deterministic=True))
    return OnnxExport(tuple(made.inputs), made.outputs, tuple(model.ids.tolist()), differences)


@dataclass
class _Graph:
    """Nodes and constants, in the order they are added; names of our own begin with ``shoal:``."""

    onnx: Any
    precision: Precision
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    inputs: dict[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = OUTPUTS
    refused: list[str] = field(default_factory=list)
    """(n, 1) booleans: rows without a label."""

    @property
    def number(self) -> int:
        """ONNX's type of the numbers."""
        return int(self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(self.precision)))

    def input(self, name: str, kind: int, width: int) -> str:
        self.inputs[name] = self.onnx.helper.make_tensor_value_info(name, kind, ["n", width])
        return name

    def node(self, operator: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        name = out or f"shoal:{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, [name], **attributes))
        return name

    def floats(self, values: Any) -> str:
        return self.constant(np.asarray(values, self.precision))

    def constant(self, values: NDArray[Any]) -> str:
        name = f"shoal:c{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def sum_of_rows(self, values: str, *, keep: bool = True) -> str:
        return self.node("ReduceSum", values, self.constant(np.array([1])), keepdims=int(keep))

    def model(self, model: ClusterModel, differences: tuple[str, ...]) -> Any:
        """The whole as ONNX's message."""
        helper, kinds = self.onnx.helper, self.onnx.TensorProto
        shapes = ((kinds.INT64, ["n"]), (self.number, ["n"]), (self.number, ["n", model.k]))
        told = [helper.make_tensor_value_info(n, *s) for n, s in zip(self.outputs, shapes, strict=True)]
        text = "Nearest centre of a clustering by Shoal. " + " ".join(f"{d}." for d in differences)
        graph = helper.make_graph(
            self.nodes, "shoal", list(self.inputs.values()), told, self.constants, doc_string=text.strip()
        )
        opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS.items()]
        whole = helper.make_model(graph, opset_imports=opsets, producer_name="shoal", ir_version=_IR_VERSION)
        facts = {
            "ids": ",".join(map(str, model.ids.tolist())),
            "metric": model.metric,
            "version": model.version,
        }
        helper.set_model_props(whole, {f"shoal.{name}": fact for name, fact in facts.items()})
        return whole


def _add_recipe(made: _Graph, recipe: Recipe) -> str:
    """(n, d) rows as the recipe makes them, rounded to float32 as it does."""
    taken = {block.name for block in recipe.blocks}
    made.outputs = tuple(f"{name}_out" if name in taken else name for name in OUTPUTS)
    parts = [_add_block(made, block, recipe.spec) for block in recipe.blocks]
    rows = made.node("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
    if recipe.spec.nulls in ("mean", "zero"):
        fill = recipe.means if recipe.spec.nulls == "mean" else np.zeros(recipe.n_features)
        rows = made.node("Where", made.node("IsNaN", rows), made.floats(fill), rows)
    if (recipe.centre != 0).any() or (recipe.scale != 1).any():
        rows = made.node("Sub", rows, made.floats(recipe.centre))
        rows = made.node("Div", rows, made.floats(recipe.scale))
    if recipe.spec.metric == "cosine":
        rows = _add_unit_length(made, rows)
    single = made.node("Cast", rows, to=made.onnx.TensorProto.FLOAT)
    return made.node("Cast", single, to=made.number)


def _add_block(made: _Graph, block: Block, spec: RecipeSpec) -> str:
    if isinstance(block, (Numeric, Vector)):
        return made.input(block.name, made.number, block.width)
    words = made.input(block.name, made.onnx.TensorProto.STRING, 1)
    known = made.node(
        "OneHotEncoder", words, domain="ai.onnx.ml", cats_strings=list(block.categories), zeros=1
    )
    flat = made.node("Reshape", known, made.constant(np.array([-1, len(block.categories)])))
    ones = made.node("Cast", flat, to=made.number)
    if not (block.has_other or spec.other == "drop"):
        return ones
    others = made.node("Sub", made.floats([[1.0]]), made.sum_of_rows(ones))
    if block.has_other:
        return made.node("Concat", ones, others, axis=1)
    made.refused.append(made.node("Greater", others, made.floats([[0.5]])))
    return ones


def _add_unit_length(made: _Graph, rows: str) -> str:
    """Rows of length 1; one of zeros becomes NaN, and so gets no label."""
    # the largest first, so that no square overflows or vanishes
    rows = made.node("Div", rows, made.node("ReduceMax", made.node("Abs", rows), axes=[1], keepdims=1))
    squares = made.sum_of_rows(made.node("Mul", rows, rows))
    return made.node("Div", rows, made.node("Sqrt", squares))


def _add_clusters(made: _Graph, model: ClusterModel, rows: str) -> None:
    """Distances to all centres, the nearest, and its distance by itself, which is exact for near rows too."""
    if model.metric == "cosine" and model.recipe is None:
        rows = _add_unit_length(made, rows)
    middle = model.centres.mean(axis=0)  # differences from it are small, so that less is lost to cancellation
    centres = model.centres - middle
    moved = made.node("Sub", rows, made.floats(middle))
    lengths = made.sum_of_rows(made.node("Mul", moved, moved))
    away = made.floats(np.square(centres).sum(axis=1)[None])
    table = made.floats(centres)
    crossed = made.node("Gemm", moved, table, away, alpha=-2.0, beta=1.0, transB=1)
    squared = made.node("Max", made.node("Add", crossed, lengths), made.floats([[0.0]]))
    at = made.node("ArgMin", squared, axis=1, keepdims=0)
    apart = made.node("Sub", moved, made.node("Gather", table, at, axis=0))
    nearest = made.sum_of_rows(made.node("Mul", apart, apart), keep=False)
    refused = _refused(made, nearest)
    cluster, distance, distances = made.outputs
    ids = made.node("Gather", made.constant(model.ids.astype(np.int64)), at)
    made.node("Where", refused, made.constant(np.array(NONE)), ids, out=cluster)
    nothing = made.floats(np.nan)
    made.node("Where", refused, nothing, _distance(made, nearest, model.metric), out=distance)
    flags = made.node("Unsqueeze", refused, made.constant(np.array([1])))
    made.node("Where", flags, nothing, _distance(made, squared, model.metric), out=distances)


def _distance(made: _Graph, squared: str, metric: str) -> str:
    return made.node("Mul", squared, made.floats(0.5)) if metric == "cosine" else made.node("Sqrt", squared)


def _refused(made: _Graph, nearest: str) -> str:
    """(n,) whether a row gets no label: what is missing or infinite in it shows in its distance."""
    flags = made.node("Or", made.node("IsNaN", nearest), made.node("IsInf", nearest))
    for column in made.refused:
        flags = made.node("Or", flags, made.node("Squeeze", column, made.constant(np.array([1]))))
    return flags


def _differences(recipe: Recipe | None) -> tuple[str, ...]:
    """What the recipe does that the graph cannot."""
    if recipe is None:
        return ()
    told = []
    if recipe.spec.where is not None:
        told.append(f"Rows are not filtered: leave out those that are not {recipe.spec.where}")
    if any(isinstance(block, OneHot) for block in recipe.blocks):
        told.append("Categories are text, as numbers would be written whole: 43, not 43.0")
        if recipe.spec.nulls in ("error", "skip") and recipe.spec.other == "column":
            told.append("A missing category is one of the rarer ones; Shoal gives such a row no label")
    return tuple(told)


def _onnx() -> Any:
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as error:
        raise ShoalError("writing ONNX needs a package: pip install 'shoal[onnx]'") from error
    return onnx
