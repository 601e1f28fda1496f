#!/usr/bin/env python3
# %% [markdown]
# # k-means on Spark, first by hand, then in one call
#
# k-means is a short recipe. Choose k *centres*. Give every point to its nearest centre. Move every centre to the mean of its
# points. Repeat until no point changes its cluster.
#
# Here we cook it on Spark in four chapters: we look at the data; we do the first steps one at a time, and look at every
# number; we make functions of them and let them run to the end, with a picture of every iteration; and then we let
# `shoal.engines.spark.KMeans` do the same in one call, exactly, and once more in a single pass over the data.
#
# All Spark code is of DataFrames and SQL expressions, so it runs in classic sessions and through Spark Connect alike.

# %%
"""k-means on Spark, first by hand, then in one call: a story with numbers that are checked and pictures of every step.

python examples/spark_walkthrough.py --out pictures
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812
from sklearn.datasets import make_blobs

from shoal.engines.spark import KMeans, session
from shoal.errors import ShoalError
from shoal.report.pictures import save_picture
from shoal.report.pictures.steps_map import Steps, save_animation, step_map, steps_sheet
from shoal.solve.lloyd import Step

# %% [markdown]
# ## 1. The data
#
# 1,500 points of the plane, in three round clouds. The points are made, so we know what is right: 500 in each cloud.
#
# A Spark DataFrame is a table whose rows are spread over many machines; here two threads of one machine play that part. With
# data of your own you would begin with `spark.read.parquet(...)`, and rows would never come to the driver.


# %%
def points() -> np.ndarray:
    """(1500, 2) points in three clouds, the same ones every time."""
    return make_blobs(n_samples=1500, random_state=8)[0]


def to_spark(spark: Any, X: np.ndarray) -> DataFrame:
    """The points as a table of a number that names the row, and two coordinates."""
    table = pa.table({"id": np.arange(len(X)), "x": X[:, 0], "y": X[:, 1]})
    return spark.createDataFrame(table)


# %% tags=["active-ipynb"]
# spark = session("local[2]")
# X = points()
# df = to_spark(spark, X)
# df.show(3)
# df.count()


# %%
class Shown:
    """A figure or the file of an animation, for a notebook to show."""

    def __init__(self, what: Figure | Path) -> None:
        self.what = what

    def _repr_mimebundle_(self, **_: Any) -> dict[str, bytes]:
        if isinstance(self.what, Path):
            return {"image/gif": self.what.read_bytes()}
        content = BytesIO()
        self.what.savefig(content, format="png", dpi=90)
        return {"image/png": content.getvalue()}


# %% [markdown]
# To begin with, *any* three points may be the centres. We take the first three, which is a poor choice, for all three are of
# the same cloud: so there will be something to watch.

# %% tags=["active-ipynb"]
# K = 3
# start = X[:K].copy()
# print(start)
# Shown(step_map(Steps.of(X, np.empty((0, len(X))), [start], []), 0))

# %% [markdown]
# ## 2. The first steps, one at a time
#
# What does it cost to have a point stand for another? Here it is their distance. (What k-means makes small is the sum of the
# *squares* of these, its *inertia*; the nearest centre is the same for both.)


# %%
def cost_function(one: np.ndarray, other: np.ndarray) -> float:
    """Distance of two points of the plane."""
    return math.sqrt((one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2)


# %% tags=["active-ipynb"]
# cost_function(X[205], X[978])

# %% [markdown]
# Now the distance of every point to every centre. On Spark we do not loop over points: we say what a new column shall hold.
# Nothing is computed yet, for a DataFrame is a plan; it is carried out when somebody asks for rows, as `show` does.


# %%
def distances(df: DataFrame, centres: np.ndarray) -> DataFrame:
    """One more column: the distances of each point to all centres."""
    to_each = [F.sqrt((F.col("x") - float(x)) ** 2 + (F.col("y") - float(y)) ** 2) for x, y in centres]
    return df.withColumn("distances", F.array(*to_each))


# %% tags=["active-ipynb"]
# distances(df, start).orderBy("id").show(2, truncate=False)

# %% [markdown]
# The point belongs to the cluster of the nearest centre: the position of the least distance. The first ten points:


# %%
def assign(df: DataFrame, centres: np.ndarray) -> DataFrame:
    """Two more columns: the cluster of each point, and its distance to the cluster's centre."""
    least = F.array_min("distances")
    nearest = (F.array_position("distances", least) - 1).cast("int")
    return (
        distances(df, centres).withColumn("distance", least).withColumn("cluster", nearest).drop("distances")
    )


def labels_of(assigned: DataFrame) -> np.ndarray:
    """(n,) cluster of every point on the driver, in the order of ids: for pictures of few points only."""
    table = assigned.select("id", "cluster").toArrow()
    found = np.empty(table.num_rows, np.int64)
    found[table["id"].to_numpy()] = table["cluster"].to_numpy()
    return found


# %% tags=["active-ipynb"]
# assigned = assign(df, start)
# assigned.orderBy("id").show(10)

# %% [markdown]
# How many points does each cluster have? Count by key: every machine counts its own rows, and only the counts are sent around.

# %% tags=["active-ipynb"]
# assigned.groupBy("cluster").count().orderBy("cluster").show()

# %% [markdown]
# That is not good: one centre has both lower clouds, and the three quarrel over the upper one. So each centre moves to the mean
# of its points. A mean is a sum and a count, which travel as well as counts do. Cluster 0:

# %% tags=["active-ipynb"]
# of_0 = assigned.where("cluster = 0").agg(F.sum("x"), F.sum("y"), F.count("*")).first()
# print("sum", of_0[:2], "of", of_0[2], "points: mean", of_0[0] / of_0[2], of_0[1] / of_0[2])

# %% [markdown]
# And all three in one job, with the inertia, and how many points are not in the cluster where they were before:


# %%
class Moved(NamedTuple):
    """What one iteration found, small however many rows there are."""

    centres: np.ndarray
    """(k, 2) where they are now."""
    sizes: list[int]
    sums: np.ndarray
    """(k, 2) of the points of each cluster."""
    inertia: float
    """Sum of squared distances to the centres before the move."""
    reassigned: int


def recalculate(assigned: DataFrame, centres: np.ndarray) -> Moved:
    """The mean of each cluster; a centre without points stays where it is."""
    rows = (
        assigned.groupBy("cluster")
        .agg(
            F.count("*").alias("size"),
            F.sum("x").alias("x"),
            F.sum("y").alias("y"),
            F.sum(F.col("distance") ** 2).alias("inertia"),
            F.count_if(~F.col("cluster").eqNullSafe(F.col("before"))).alias("reassigned"),
        )
        .collect()
    )
    sizes, sums = [0] * len(centres), np.zeros_like(centres)
    for row in rows:
        sizes[row.cluster], sums[row.cluster] = row["size"], (row.x, row.y)
    counts = np.array(sizes)[:, None]
    return Moved(
        np.where(counts > 0, sums / np.maximum(counts, 1), centres),
        sizes,
        sums,
        math.fsum(row.inertia for row in rows),
        sum(row.reassigned for row in rows),
    )


# %% [markdown]
# ## 3. The whole iteration, again and again
#
# Assign, recalculate: that is an iteration. The cluster of the iteration before comes along as the column `before`; it is
# computed anew from the centres of that time, which costs less than to keep a table of it.


# %%
def iteration(
    df: DataFrame, centres: np.ndarray, before: np.ndarray | None = None
) -> tuple[DataFrame, Moved]:
    """Assign every point to its nearest centre, and move the centres to the means."""
    if before is None:
        known = df.withColumn("before", F.lit(None).cast("int"))
    else:
        known = assign(df, before).withColumnRenamed("cluster", "before").drop("distance")
    assigned = assign(known, centres)
    return assigned, recalculate(assigned, centres)


class ByHand(NamedTuple):
    """The whole way."""

    story: Steps
    moves: list[Moved]
    shifts: list[float]
    """Of each iteration, how far the centre went that went farthest."""


def until_none_moves(
    df: DataFrame, X: np.ndarray, start: np.ndarray, tell: Callable[[str], None] = print
) -> ByHand:
    """Iterate until no point is reassigned."""
    centres, labels, steps, moves, shifts = [start], [], [], [], []
    while not moves or moves[-1].reassigned:
        before = centres[-2] if moves else None
        assigned, moved = iteration(df, centres[-1], before)
        each = np.linalg.norm(moved.centres - centres[-1], axis=1)
        steps.append(
            Step(len(steps) + 1, moved.inertia, float(np.linalg.norm(each)), moved.reassigned, repaired=0)
        )
        tell(
            f"iteration {len(steps)}: sizes {moved.sizes}, {moved.reassigned:4} reassigned, "
            f"inertia {moved.inertia:12,.2f}, farthest move {each.max():.4f}"
        )
        centres.append(moved.centres)
        labels.append(labels_of(assigned))
        moves.append(moved)
        shifts.append(float(each.max()))
    return ByHand(Steps.of(X, labels, centres, steps), moves, shifts)


# %% tags=["active-ipynb"]
# by_hand = until_none_moves(df, X, start)

# %% [markdown]
# The picture of the first iteration. Colours tell where the points belong, the lines where the centres went:

# %% tags=["active-ipynb"]
# Shown(step_map(by_hand.story, 1))

# %% [markdown]
# In the second iteration and later, points that have just changed their cluster have a dark ring. All six, as they happened:

# %% tags=["active-ipynb"]
# Shown(save_animation(by_hand.story, "spark_walkthrough.gif"))

# %% [markdown]
# And side by side:

# %% tags=["active-ipynb"]
# Shown(steps_sheet(by_hand.story))

# %% [markdown]
# These numbers have been known since this walk was first taken, with other means; they must come out again, digit by digit:


# %%
class Known(NamedTuple):
    """What an iteration must find."""

    sizes: list[int]
    reassigned: int
    inertia: float
    shift: float
    centres: list[list[float]]
    first10: list[int]


_LATE = [1, 1, 1, 2, 2, 2, 1, 2, 0, 2]
_REST = [
    [-5.317382110242167, -9.81080764800744],
    [7.478715932281678, 9.430271046815426],
    [7.414294273713653, 0.6783495121754075],
]
KNOWN = (
    Known(
        [1124, 57, 319], 1500, 256604.0784780055, 12.066744035233476,
        [[1.7011395064416654, -3.1475012252046324], [5.882012216729073, 9.833078699554282],
         [7.963819894302794, 9.800038704536373]],
        [0, 1, 2, 0, 0, 0, 1, 0, 0, 0],
    ),
    Known(
        [936, 141, 423], 215, 72361.50534612793, 2.200684301260982,
        [[0.5560222529515634, -5.026787757262961], [6.181778083399852, 9.267168671418746],
         [8.027769525660847, 8.38607331825007]],
        [1, 1, 2, 0, 0, 0, 1, 0, 0, 2],
    ),
    Known(
        [632, 235, 633], 410, 59240.8028376796, 4.359669736980217,
        [[-2.7723113154658483, -7.842620826336299], [6.6664550807769585, 9.74798027845201],
         [7.856710671830034, 4.446552057345988]],
        _LATE,
    ),
    Known(
        [500, 494, 506], 391, 15686.880731782467, 3.721386325144656,
        [[-5.317382110242167, -9.81080764800744], [7.474717953934815, 9.462152567027218],
         [7.41896133152938, 0.7510018011540914]],
        _LATE,
    ),
    Known([500, 500, 500], 6, 2962.953004883543, 0.0728020365271298, _REST, _LATE),
    Known([500, 500, 500], 0, 2959.786729041356, 0.0, _REST, _LATE),
)  # fmt: skip


class DifferentError(Exception):
    """A number is not what it must be."""


def same(name: str, found: Any, known: Any) -> None:
    """Raises unless both agree: whole numbers exactly, others but for the order of additions."""
    one, other = np.asarray(found), np.asarray(known)
    whole = np.issubdtype(other.dtype, np.integer)
    agree = one.shape == other.shape and (
        (one == other).all() if whole else np.allclose(one, other, rtol=1e-9, atol=1e-9)
    )
    if not agree:
        raise DifferentError(f"{name}: found {found}, where {known} is known")


def check_by_hand(done: ByHand) -> None:
    """Every number of every iteration."""
    same("the number of iterations", len(done.story), len(KNOWN))
    for i, (known, moved) in enumerate(zip(KNOWN, done.moves, strict=True)):
        where = f"in iteration {i + 1}"
        same(f"sizes {where}", moved.sizes, known.sizes)
        same(f"points reassigned {where}", moved.reassigned, known.reassigned)
        same(f"inertia {where}", moved.inertia, known.inertia)
        same(f"farthest move {where}", done.shifts[i], known.shift)
        same(f"centres {where}", moved.centres, known.centres)
        same(f"first labels {where}", done.story.labels[i, :10], known.first10)


# %% tags=["active-ipynb"]
# check_by_hand(by_hand)

# %% [markdown]
# ## 4. The same in one call
#
# `plan="lloyd"` does just what we did: exact iterations over all rows, from the same start, to the very end (`tol=0`). Each
# step tells what happened.


# %%
def in_one_call(df: DataFrame, start: np.ndarray) -> Any:
    """Exact iterations by the library."""
    return KMeans(featuresCols=["x", "y"], plan="lloyd", initialModel=start, tol=0.0).fit(df)


def check_in_one_call(model: Any) -> None:
    """The library must go the way that we went by hand."""
    steps, trajectory = model.summary.steps, model.summary.trajectory
    same("the number of steps", len(steps), len(KNOWN))
    for step, centres, known in zip(steps, trajectory, KNOWN, strict=True):
        where = f"in step {step['iteration']}"
        same(f"inertia {where}", step["inertia"], known.inertia)
        same(f"rows moved {where}", int(step["moved"]), known.reassigned)
        same(f"centres {where}", centres, known.centres)
    same("the final centres", model.clusterCenters(), _REST)
    same("the final sizes", model.summary.clusterSizes, [500.0] * 3)
    same("the cost", model.summary.trainingCost, KNOWN[-1].inertia)


# %% tags=["active-ipynb"]
# model = in_one_call(df, start)
# check_in_one_call(model)
# for step in model.summary.steps:
#     print(*(f"{name} {value:,.10g}" for name, value in step.items()), sep=", ")

# %% [markdown]
# The model labels any DataFrame that has the columns; `distance` and `outlier_score` come along.

# %% tags=["active-ipynb"]
# model.transform(df).orderBy("id").show(5)

# %% [markdown]
# Six iterations read all rows six times. Rows may be many: so `plan="summary"`, which is the default, reads them *once*. Every
# worker makes a small summary of its rows, the summaries are merged, and k-means is solved on that. No start is needed, and a
# good one is found. As our points are few, all fit in the summary, and the cost is exact.


# %%
def in_one_pass(df: DataFrame) -> Any:
    """One pass over the rows."""
    return KMeans(k=3, featuresCols=["x", "y"]).fit(df)


def check_in_one_pass(model: Any) -> None:
    """The clouds as they were made."""
    same("the sizes", model.summary.clusterSizes, [500.0] * 3)
    same("the cost", model.summary.trainingCost, KNOWN[-1].inertia)
    order = np.lexsort(np.asarray(model.clusterCenters()).T)
    same("the centres", np.asarray(model.clusterCenters())[order], np.array(_REST)[[0, 2, 1]])


# %% tags=["active-ipynb"]
# model = in_one_pass(df)
# check_in_one_pass(model)
# print(model.summary.clusterSizes, model.summary.trainingCost)

# %% [markdown]
# How did we know that there are three? We need not: the same summary can be solved for any k, without another look at the rows.


# %%
def which_k(model: Any) -> Any:
    """Two to eight clusters, from the same pass."""
    return model.sweep(range(2, 9))


# %% tags=["active-ipynb"]
# choice = which_k(model)
# for candidate in choice.candidates:
#     print(candidate.quality.k, round(candidate.quality.inertia, 1))
# print("suggested:", choice.suggested, *choice.reasons, sep="\n")

# %% [markdown]
# That is all. `model.save(path)` keeps the model, `model.update(more)` learns new rows without the old ones, and
# `model.toMLlib(path)` writes it for `pyspark.ml`. When you are done: `spark.stop()`.


# %% tags=["active-py"]
def tell_first_steps(df: DataFrame, X: np.ndarray, start: np.ndarray) -> None:
    """Chapters 1 and 2: every number by itself."""
    rows = df.count()
    same("the number of rows", rows, 1500)
    print(f"{rows} points of the plane; the first three are the centres to start from:\n{start}\n")
    cost = cost_function(X[205], X[978])
    same("the cost of points 205 and 978", cost, 0.9590304461225516)
    print(f"cost_function(X[205], X[978]) = {cost}")
    first = [row.distances for row in distances(df, start).orderBy("id").limit(2).collect()]
    a, b, c = 1.7740516007978733, 2.646451758613209, 1.6919573226760787
    same("the distances of the first two points", first, [[0.0, a, b], [a, 0.0, c]])
    print("distances of the first two points to the three centres:", *first, sep="\n  ")
    assigned, moved = iteration(df, start)
    labels = labels_of(assigned)[:10].tolist()
    same("the first assignment", labels, KNOWN[0].first10)
    same("the sums of cluster 0", np.round(moved.sums[0], 8), [1912.08080524, -3537.79137713])
    print(f"clusters of the first ten points: {labels}")
    print(f"points in each cluster: {moved.sizes}: two clouds have one centre, the third has three")
    print(f"sum of cluster 0: {moved.sums[0]}; its mean is the new centre: {moved.centres[0]}\n")


def draw(story: Steps, out: Path) -> list[Path]:
    """One picture of each iteration, one of all, and an animation."""
    out.mkdir(parents=True, exist_ok=True)
    made = [save_picture(step_map(story, i), out / f"iteration_{i}.png") for i in range(len(story) + 1)]
    made.append(save_picture(steps_sheet(story), out / "spark_walkthrough.png"))
    made.append(save_animation(story, out / "spark_walkthrough.gif"))
    return made


def tell(spark: Any, out: Path | None) -> None:
    """The whole story."""
    X = points()
    df, start = to_spark(spark, X).persist(), X[:3].copy()
    tell_first_steps(df, X, start)
    print("by hand, until no point is reassigned:")
    done = until_none_moves(df, X, start)
    check_by_hand(done)
    if out is not None:
        print(f"{len(draw(done.story, out))} pictures in {out}")
    model = in_one_call(df, start)
    check_in_one_call(model)
    print(f'\nKMeans(plan="lloyd"): {model.summary.numIter} iterations, the same numbers')
    model = in_one_pass(df)
    check_in_one_pass(model)
    print(f"KMeans(): one pass, sizes {model.summary.clusterSizes}, cost {model.summary.trainingCost:.4f}")
    choice = which_k(model)
    same("the suggested number of clusters", choice.suggested, 3)
    print(f"from the same pass, which k of 2 to 8? {choice.suggested}: {'; '.join(choice.reasons)}")
    df.unpersist()


HELP = """
what it does:
  makes 1,500 points in three clouds, runs k-means on them by hand with DataFrame expressions, six iterations, and
  then with shoal.engines.spark.KMeans: exactly, in one pass, and for several k. Every number is compared with what
  is known; the exit status is 1 when one differs.

examples:
  on this machine, with pictures
      python examples/spark_walkthrough.py --out pictures

  on a Spark Connect server, or on a server of its own that this starts
      python examples/spark_walkthrough.py --remote sc://HOST:15002
      python examples/spark_walkthrough.py --remote 'local[2]'

needs: pip install 'shoal[spark]', and Java 17 or later
"""


def main() -> int:
    """Exit status 1 and one line on standard error where a number differs or Spark does not start."""
    parser = argparse.ArgumentParser(
        description="k-means on Spark, step by step, with numbers that are checked and pictures.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write pictures and an animation here (default: none)"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--master", metavar="URL", help="Spark master (default: local[2])")
    where.add_argument("--remote", metavar="URL", help="Spark Connect instead: sc://HOST:15002, or local[2]")
    args = parser.parse_args()
    try:
        spark = session(None if args.remote else args.master or "local[2]", args.remote)
        try:
            tell(spark, args.out)
        finally:
            spark.stop()
    except (DifferentError, ShoalError) as error:
        print(error, file=sys.stderr)
        return 1
    print("every number is as it must be")
    return 0


if __name__ == "__main__":
    sys.exit(main())
