"""Houses of California by where they are and what their owners earn: the example of the talk "Introduction to Clustering in
Apache Beam", with another import and nothing else.

    python examples/beam_california_houses.py --input housing.csv --checkpoints_path /tmp/houses

The CSV needs the columns longitude, latitude and median_income, as the data set "California Housing Prices" has them.
Without --input the script makes up houses around six towns: they are synthetic, and only look alike.
"""

import argparse
import csv
import random
from collections.abc import Sequence

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.io import ReadFromText
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from shoal.engines.beam.online_clustering import (
    AssignClusterLabelsInMemoryModel,
    OnlineClustering,
    OnlineKMeans,
)

FEATURES = ("longitude", "latitude", "median_income")
TOWNS = [
    (-122.4, 37.8, 6.5),
    (-118.2, 34.1, 4.5),
    (-117.2, 32.7, 5.0),
    (-121.5, 38.6, 3.5),
    (-119.8, 36.7, 2.5),
    (-124.1, 40.8, 3.0),
]


def synthetic_houses(number: int = 3000, seed: int = 7) -> list[tuple[float, float, float]]:
    """Made up; no house of these exists."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    houses = []
    for i in range(number):
        longitude, latitude, income = TOWNS[i % len(TOWNS)]
        houses.append((draw.gauss(longitude, 0.2), draw.gauss(latitude, 0.2), draw.gauss(income, 0.5)))
    return houses


def read_house(line: str, columns: Sequence[int]) -> list[float] | str:
    """Numbers of a line; a line without them stays as it is, and is counted as refused further on."""
    cells = next(csv.reader([line]), [])
    try:
        return [float(cells[i]) for i in columns]
    except (IndexError, ValueError):
        return line


def columns_of(path: str) -> list[int]:
    """Where the features are."""
    with FileSystems.open(path) as file:
        names = next(csv.reader([file.readline().decode("utf-8-sig").strip()]), [])
    missing = [name for name in FEATURES if name not in names]
    if missing:
        raise SystemExit(f"{path} has no column {', '.join(missing)}; it has {', '.join(names)}")
    return [names.index(name) for name in FEATURES]


def run(argv: Sequence[str] | None = None) -> None:
    """Train, then label every house."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--input", help="a CSV of houses; default: synthetic ones")
    parser.add_argument("--checkpoints_path", required=True, help="a folder for the models")
    known_args, pipeline_args = parser.parse_known_args(argv)

    with beam.Pipeline(options=PipelineOptions(pipeline_args)) as pipeline:
        if known_args.input:
            columns = columns_of(known_args.input)
            lines = pipeline | ReadFromText(known_args.input, skip_header_lines=1)
            housing_features = lines | beam.Map(read_house, columns)
        else:
            print("no --input: these houses are synthetic")
            housing_features = pipeline | beam.Create(synthetic_houses())

        # 1. Calculate clustering centers and save model to persistent storage
        model = housing_features | "Train clustering model" >> OnlineClustering(
            OnlineKMeans,
            n_clusters=6,
            batch_size=256,
            cluster_args={},
            checkpoints_path=known_args.checkpoints_path,
        )

        # 2. Calculate labels for all records in the dataset
        # using the trained clustering model using in memory model
        _ = (
            housing_features
            | "RunInference"
            >> AssignClusterLabelsInMemoryModel(
                model=pvalue.AsSingleton(model), model_id="kmeans", n_clusters=6, batch_size=512
            )
            | beam.Map(print)
        )


if __name__ == "__main__":
    run()
