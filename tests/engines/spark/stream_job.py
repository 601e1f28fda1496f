"""The job that the crash test kills: files of rows, one to a batch, into the sink, until all are learned."""

from __future__ import annotations

import sys

from pyspark.sql import SparkSession

from shoal.engines.spark import register

SETTINGS = {
    # A JVM that lives for seconds: no second compiler, one thread for garbage.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto",
    "spark.driver.memory": "512m",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
}
OPTIONS = {"k": 3, "featuresCol": "v", "timeCol": "t", "idCol": "id", "halfLife": "1h"}


def main(rows: str, store: str, checkpoint: str) -> None:
    """Learn the files in the folder ``rows`` that were not learned yet."""
    builder = SparkSession.builder.master("local[2]").appName("test of crashes")
    for name, value in SETTINGS.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    register(spark)
    df = spark.readStream.schema("id long, v array<double>, t double").option("maxFilesPerTrigger", 1)
    writer = df.parquet(rows).writeStream.format("shoal").options(**OPTIONS)
    query = writer.option("checkpointLocation", checkpoint).trigger(availableNow=True).start(store)
    query.awaitTermination()
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
