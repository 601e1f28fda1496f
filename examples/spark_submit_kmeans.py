#!/usr/bin/env python3
"""k-means of a Parquet or CSV file or a table on a Spark cluster: sizes, cost, a saved model and, if wanted, labels.

spark-submit --master spark://HOST:7077 examples/spark_submit_kmeans.py points.parquet -k 8 --features a,b --out model
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession

from shoal.engines.spark import KMeans, KMeansModel
from shoal.errors import ShoalError

HELP = """
examples:
  a column of vectors or arrays called "features", the model to a directory that all workers can reach
      spark-submit --master spark://HOST:7077 spark_submit_kmeans.py hdfs:///points -k 50 --out hdfs:///models/points

  columns of numbers; rows that Spark reads twice count once; labels as Parquet
      spark-submit --master yarn spark_submit_kmeans.py clicks.csv -k 8 --features x,y --id row --out model --labels labelled

  Spark Connect: the same script, without spark-submit
      python spark_submit_kmeans.py warehouse.points -k 8 --out model --remote sc://HOST:15002

The model is a directory: KMeansModel.load(PATH) of shoal.engines.spark reads it.
"""


def main() -> int:
    """Exit status 1 and one line on standard error where the data or the settings are at fault."""
    args = arguments()
    builder = SparkSession.builder.appName(args.name)
    spark = (builder.remote(args.remote) if args.remote else builder).getOrCreate()
    try:
        began = time.monotonic()
        rows = read(spark, args.input, args.format)
        model = estimator(args).fit(rows)
        seconds = time.monotonic() - began
        model.write().overwrite().save(args.out)
        if args.labels:
            model.transform(rows).write.mode("overwrite").parquet(args.labels)
        report(model, seconds, as_json=args.json)
    except (ShoalError, AnalysisException) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        spark.stop()
    return 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="k-means on a Spark cluster: fits, prints sizes and cost, saves the model.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", metavar="INPUT", help="Parquet or CSV file or folder, or a table's name")
    parser.add_argument("-k", type=int, default=8, help="number of clusters (default 8)")
    parser.add_argument(
        "--out", required=True, metavar="PATH", help="where to save the model; replaced if it is there"
    )
    parser.add_argument(
        "--features",
        default="features",
        metavar="NAMES",
        help="one column of vectors or arrays, or several columns of numbers with commas (default: features)",
    )
    parser.add_argument("--weight", metavar="NAME", help="column of weights")
    parser.add_argument(
        "--id", metavar="NAME", help="column of whole numbers that name a row; makes the sample repeatable"
    )
    parser.add_argument(
        "--format", choices=["parquet", "csv", "table"], help="default: by the name's ending, else parquet"
    )
    parser.add_argument(
        "--plan", choices=["summary", "lloyd"], default="summary", help="one pass, or exact iterations"
    )
    parser.add_argument(
        "--refine", type=int, default=0, metavar="N", help="exact passes after the one of the summary"
    )
    parser.add_argument("--cosine", action="store_true", help="compare directions instead of positions")
    parser.add_argument(
        "--skip-invalid", action="store_true", help="leave out rows with nulls instead of stopping"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the sample and the solver (default 0)")
    parser.add_argument(
        "--labels", metavar="PATH", help="write all rows with their cluster to this Parquet folder"
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of a table")
    parser.add_argument("--name", default="shoal k-means", help="name of the application on Spark's pages")
    parser.add_argument("--remote", metavar="URL", help="Spark Connect server, as sc://HOST:15002")
    return parser.parse_args()


def read(spark: SparkSession, name: str, kind: str | None) -> Any:
    """A DataFrame of the input."""
    if kind is None:
        kind = "csv" if name.removesuffix(".gz").endswith(".csv") else "parquet"
        if (
            "/" not in name
            and not name.endswith((".parquet", ".csv", ".csv.gz"))
            and spark.catalog.tableExists(name)
        ):
            kind = "table"
    if kind == "table":
        return spark.table(name)
    if kind == "csv":
        return spark.read.csv(name, header=True, inferSchema=True)
    return spark.read.parquet(name)


def estimator(args: argparse.Namespace) -> KMeans:
    """KMeans as the command line has it."""
    names = args.features.split(",")
    chosen: dict[str, Any] = {"featuresCols": names} if len(names) > 1 else {"featuresCol": names[0]}
    if args.weight:
        chosen["weightCol"] = args.weight
    if args.id:
        chosen["idCol"] = args.id
    return KMeans(
        k=args.k,
        plan=args.plan,
        refine=args.refine,
        seed=args.seed,
        distanceMeasure="cosine" if args.cosine else "euclidean",
        handleInvalid="skip" if args.skip_invalid else "error",
        **chosen,
    )


def report(model: KMeansModel, seconds: float, *, as_json: bool) -> None:
    """What was found, on standard output."""
    found = model.summary
    if as_json:
        told = {
            "k": found.k,
            "rows": found.rowsSeen,
            "cost": found.trainingCost,
            "cost_is_exact": found.costIsExact,
            "sizes": found.clusterSizes,
            "centres": [centre.tolist() for centre in model.clusterCenters()],
            "ids": model.clusterIds(),
        }
        print(json.dumps(told))
        return
    about = "" if found.costIsExact else ", estimated from the sample"
    print(f"{found.rowsSeen} rows, {found.k} clusters, cost {found.trainingCost:.6g}{about}, {seconds:.1f} s")
    for i, size, centre in zip(model.clusterIds(), found.clusterSizes, model.clusterCenters(), strict=True):
        head = ", ".join(f"{x:.4g}" for x in centre[:6])
        print(f"cluster {i:3}  {size:12.0f} rows  [{head}{', ...' if len(centre) > 6 else ''}]")


if __name__ == "__main__":
    sys.exit(main())
