"""One job over all partitions of a DataFrame, whose workers answer with bytes, or with an error that can be read.

A worker that raises makes Spark try again three times and then print pages of Java. So what a user can mend is sent back as
a reply, and raised on the driver.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from shoal.errors import BadInputError, ShoalError
from shoal.model.release import release

SCHEMA = "partition int, failed boolean, reply binary"
_ARROW = pa.schema([("partition", pa.int32()), ("failed", pa.bool_()), ("reply", pa.binary())])


class Work(Protocol):
    """What every partition does; a frozen dataclass of an installed module, so that it travels by name."""

    def __call__(self, partition: int, batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
        """Read the batches and answer."""


class Join(Protocol):
    """Makes one reply of several; a frozen dataclass of an installed module."""

    def __call__(self, replies: Iterable[bytes]) -> bytes:
        """The replies come in the order of their partitions."""


def run(df: Any, work: Work, *, join: Join | None = None, barrier: bool = False) -> list[tuple[int, bytes]]:
    """Let every partition work, and collect what they answer, in the order of partitions.

    Parameters
    ----------
    df : classic or Connect DataFrame.
    join : joins replies on the workers first, as many together as fit a shuffle partition, so that the driver gets
        few however many partitions there are.
    barrier : all partitions at the same time, or none.

    Raises
    ------
    BadInputError, ShoalError : as raised in a worker; or a worker that lacks the package or has another release.
    """
    names = tuple(df.columns)  # Spark resolves them unquoted here, so that a dot would be a field
    plain = df.toDF(*[f"c{i}" for i in range(len(names))])
    answers = plain.mapInArrow(_Task(work, release(), names), SCHEMA, barrier=barrier)
    if barrier:  # Spark runs a barrier stage again after a lost worker only where another stage follows
        answers = answers.repartition(1)
    if join is not None:
        answers = answers.repartition("partition").mapInArrow(_JoinTask(join, release()), SCHEMA)
    with told(), _one_plan(df.sparkSession) if barrier else nullcontext():
        table = answers.toArrow()
    found = sorted(
        zip(*(table.column(name).to_pylist() for name in _ARROW.names), strict=True),
        key=lambda reply: reply[0],
    )
    for _, failed, reply in found:
        if failed:
            raise _error(reply)
    return [(partition, reply) for partition, _, reply in found]


@contextmanager
def _one_plan(spark: Any) -> Iterator[None]:
    """Without adaptive plans: Spark 4 stops the whole context where such a plan has a barrier stage that finds too few slots."""
    name = "spark.sql.adaptive.enabled"
    before = spark.conf.get(name)
    spark.conf.set(name, "false")
    try:
        yield
    finally:
        spark.conf.set(name, before)


@contextmanager
def told() -> Iterator[None]:
    """Turn failures of Python workers into one readable error.

    Raises
    ------
    ShoalError : with the Python part of the failure, and the remedy where it is known.
    """
    try:
        yield
    except Exception as error:
        if not _is_sparks(error):
            raise
        readable = _readable(str(error))
        if readable is None:
            raise
        raise readable from None


class NoBarrierError(ShoalError):
    """Spark cannot run all partitions at the same time."""


_NO_BARRIER = re.compile(r"SPARK-248(?:19|20)|SPARK-24942|barrier stage that requires more slots")


def _is_sparks(error: Exception) -> bool:
    """Whether Spark raised it; classic ``toArrow`` lets the bridge's own error through."""
    from pyspark.errors import PySparkException

    return isinstance(error, PySparkException) or type(error).__module__.partition(".")[0] == "py4j"


@dataclass(frozen=True)
class _Task:
    work: Work
    release: str
    names: tuple[str, ...]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import TaskContext

        context = TaskContext.get()
        partition = 0 if context is None else int(context.partitionId())
        try:
            _check_release(self.release)
            named = (pa.RecordBatch.from_arrays(b.columns, names=list(self.names)) for b in batches)
            for reply in self.work(partition, named):
                yield _answer(partition, False, reply)
        except ShoalError as error:
            yield _answer(partition, True, _message(error))


@dataclass(frozen=True)
class _JoinTask:
    join: Join
    release: str

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        found = [
            row for batch in batches for row in zip(*(c.to_pylist() for c in batch.columns), strict=True)
        ]
        if not found:
            return
        found.sort(key=lambda row: row[0])
        first = found[0][0]
        failed = [row for row in found if row[1]]
        if failed:
            yield _answer(failed[0][0], True, failed[0][2])
            return
        try:
            yield _answer(first, False, self.join(row[2] for row in found))
        except ShoalError as error:
            yield _answer(first, True, _message(error))


def _answer(partition: int, failed: bool, reply: bytes) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {"partition": [partition], "failed": [failed], "reply": [reply]}, schema=_ARROW
    )


def _check_release(driver: str) -> None:
    if release() != driver:
        raise ShoalError(
            f"the driver has shoal {driver}, a worker has {release()}; install the same release on all of them"
        )


def _message(error: ShoalError) -> bytes:
    if isinstance(error, BadInputError):
        return json.dumps([error.problem, error.place, error.remedy]).encode()
    return json.dumps([str(error)]).encode()


def _error(message: bytes) -> ShoalError:
    problem, *more = json.loads(message)
    if not more:
        return ShoalError(problem)
    place, remedy = more
    return BadInputError(problem, place=place, remedy=remedy)


_REMEDY = (
    "install shoal on every worker and set PYSPARK_PYTHON to that interpreter, or ship the environment with "
    "--archives (docs/spark_cluster.md)"
)


def _readable(text: str) -> ShoalError | None:
    """What a failure says to a person; None if it is not a Python worker's.

    >>> str(_readable("... ModuleNotFoundError: No module named 'shoal'"))[:46]
    "Spark's workers cannot import 'shoal'; install"
    """
    if _NO_BARRIER.search(text):
        return NoBarrierError(
            "Spark cannot run all tasks of a barrier stage at the same time (too few slots, or dynamic allocation)"
        )
    missing = re.search(r"No module named '((?:shoal|numpy|pyarrow|scipy|sklearn|safetensors)[\w.]*)'", text)
    if missing:
        return ShoalError(f"Spark's workers cannot import {missing.group(1)!r}; {_REMEDY}")
    other = re.search(r"(AttributeError|ImportError): .*shoal\.[\w.]+.*", text)
    if other:
        return ShoalError(
            f"Spark's workers have another release of shoal ({other.group(0)[:200]}); {_REMEDY}"
        )
    ours = re.findall(r"shoal\.errors\.\w+: (.*)", text)
    if ours:
        return ShoalError(ours[-1].strip())
    if "failed barrier" in text and "Traceback (most" not in text:
        return ShoalError(
            "a task of the barrier stage was lost (killed, out of memory, or its machine went); give executors more memory "
            "(spark.executor.pyspark.memory) or use more partitions"
        )
    if "Traceback (most recent call last)" in text:
        python = text[text.index("Traceback") :].split("\n SQLSTATE")[0].split("\n\tat ")[0]
        return ShoalError(f"a Spark worker failed:\n{python[-3000:].strip()}")
    return None
