"""A stream into the sink, as a process of its own that can be killed: ``sink_job.py ROWS STORE CHECKPOINT``."""

import os
import sys


def main() -> None:
    rows, store, checkpoint = sys.argv[1:4]
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").config("spark.driver.memory", "700m")
    for name, value in {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false"}.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    from shoal.engines.spark import register

    register(spark)
    stream = spark.readStream.schema("id long, v array<double>, t double").option("maxFilesPerTrigger", 1)
    options = {"k": 3, "featuresCol": "v", "idCol": "id", "timeCol": "t", "halfLife": "1h", "path": store}
    options["checkpointLocation"] = checkpoint
    query = (
        stream.parquet(rows).writeStream.format("shoal").options(**options).trigger(availableNow=True).start()
    )
    query.awaitTermination()
    spark.stop()


if __name__ == "__main__":
    main()
