"""``fit`` and ``sweep`` as the embedded engine has them, with a Beam runner's workers reading the files.

Files are read by Shoal's own readers, so formats, recipes, errors and the summary itself are the embedded engine's; the runner says who
reads which part.
"""

from __future__ import annotations

import difflib
import os
import tempfile
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import (
    DirectOptions,
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
    WorkerOptions,
)

from shoal.engines.file_parts import FilesWork, JoinCounted
from shoal.engines.local import Budget, Clustering, Watch
from shoal.engines.shares import framed, unframed
from shoal.engines.worker_read import Asked, Found, read_files, wanted_ks
from shoal.errors import BadInputError, ShoalError
from shoal.features.recipe import Recipe
from shoal.features.spec import RecipeSpec
from shoal.solve.choose_k import KChoice
from shoal.sources.options import ReadOptions

_DONE, _REFUSED, _FAILED = 0, 1, 2


def fit(
    data: Any,
    k: int,
    *,
    options: PipelineOptions | None = None,
    recipe: RecipeSpec | Recipe | None = None,
    read: ReadOptions | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    watch: Watch | None = None,
    **features: Any,
) -> Clustering:
    """Cluster files of any size into k groups, in one read, on all workers of a Beam runner.

    Parameters
    ----------
    data : a path, glob or URI or a list of them, which the workers must see under the same names.
    options : of the pipeline, with its runner; default: the local one. ``temp_location`` must be a folder that the workers and this
        machine share, unless they are one machine.

    The others are those of :func:`shoal.fit`, and so is the answer: the same files give the same summary.

    Raises
    ------
    BadInputError : with the file, row, column and remedy; files that a worker does not see; an option that no runner knows,
        unless it is from the command line of your own program or for a job server, which has options of its own.

    Examples
    --------
    >>> fit("gs://bucket/events/*.parquet", 20, options=PipelineOptions(["--runner=DataflowRunner"]))  # doctest: +SKIP
    """
    return _read(data, options, Asked.checked(k, recipe, features, read, budget, seed, watch)).solved(k)


def sweep(
    data: Any,
    ks: Iterable[int],
    *,
    options: PipelineOptions | None = None,
    recipe: RecipeSpec | Recipe | None = None,
    read: ReadOptions | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    watch: Watch | None = None,
    solved: Callable[[int], None] | None = None,
    **features: Any,
) -> tuple[KChoice, Clustering]:
    """Answer every k from one read on all workers; see :func:`shoal.sweep` and :func:`fit`."""
    wanted = wanted_ks(ks)
    asked = Asked.checked(wanted[-1], recipe, features, read, budget, seed, watch)
    return _read(data, options, asked).swept(wanted, solved)


def _read(data: Any, options: PipelineOptions | None, asked: Asked) -> Found:
    if isinstance(data, (str, os.PathLike)):
        data = [data]
    if not (isinstance(data, Sequence) and data and all(isinstance(p, (str, os.PathLike)) for p in data)):
        raise BadInputError(
            f"files are read by Beam's workers, not {type(data).__name__}",
            remedy="give paths, use shoal.fit for what is in memory, or FitClusters for a PCollection",
        )
    options = options or PipelineOptions([])
    check_options(options)
    return read_files(data, asked, slots=lambda: slots_of(options), run=lambda work: [_run(work, options)])


def check_options(options: PipelineOptions) -> None:
    """Beam leaves out what it does not know, so a misspelt number of workers would go unnoticed.

    Raises
    ------
    BadInputError : an option that no runner knows, with the nearest names that there are.

    >>> check_options(PipelineOptions(["--direct_num_wrkers=2"]))
    Traceback (most recent call last):
    ...
    shoal.errors.BadInputError: Beam has no option 'direct_num_wrkers'; did you mean direct_num_workers, num_workers?
    """
    from_program = getattr(options, "_flags", None) is None  # sys.argv, which has words of the program's own
    if from_program or options.view_as(PortableOptions).job_endpoint:
        return
    known = set(options.get_all_options())
    for name in sorted(set(options.get_all_options(retain_unknown_options=True)) - known):
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.7)
        remedy = f"did you mean {', '.join(near)}?" if near else "see the options of its PipelineOptions"
        raise BadInputError(f"Beam has no option {name!r}", remedy=remedy)


def slots_of(options: PipelineOptions) -> int:
    """Tasks that run at the same time, as far as options tell."""
    workers = options.view_as(WorkerOptions).num_workers or options.view_as(DirectOptions).direct_num_workers
    return int(workers) or os.cpu_count() or 1


def _run(work: FilesWork, options: PipelineOptions) -> bytes:
    """One pipeline: a task for each worker, joined on the way; the answer comes back by a file."""
    shared = options.view_as(GoogleCloudOptions).temp_location
    with tempfile.TemporaryDirectory(prefix="shoal-beam-") as local:
        answer = FileSystems.join(shared or local, f"summary-{uuid.uuid4().hex}")
        with beam.Pipeline(options=options) as pipeline:
            (
                pipeline
                | "Tasks" >> beam.Create(range(len(work.tasks)))
                | "Read" >> beam.Map(_summarised, work)
                | "Join" >> beam.CombineGlobally(JoinFn()).without_defaults()
                | "Answer" >> beam.Map(_write, answer)
            )
        with FileSystems.open(answer) as file:
            state, content = unframed(file.read())
        FileSystems.delete([answer])
    if state == _REFUSED:
        problem, place, remedy = unframed(content)[0]
        raise BadInputError(problem, place=place, remedy=remedy)
    if state == _FAILED:
        raise ShoalError(unframed(content)[0])
    return bytes(content)


def _summarised(task: int, work: FilesWork) -> bytes:
    """What a user can mend is an answer too: an exception would be tried again, and end in pages of the runner's own."""
    try:
        return framed(_DONE, work.summarised(task))
    except BadInputError as error:
        return framed(_REFUSED, framed([error.problem, error.place, error.remedy], b""))
    except ShoalError as error:
        return framed(_FAILED, framed(str(error), b""))


class JoinFn(beam.CombineFn):  # type: ignore[misc]
    """Answers of tasks to one; the first failure wins."""

    def create_accumulator(self) -> bytes:
        """Nothing yet."""
        return b""

    def add_input(self, accumulator: bytes, element: bytes) -> bytes:
        """One more."""
        if not accumulator:
            return element
        states = [unframed(reply) for reply in (accumulator, element)]
        for (state, _), reply in zip(states, (accumulator, element), strict=True):
            if state != _DONE:
                return reply
        try:
            return framed(_DONE, JoinCounted()(content for _, content in states))
        except ShoalError as error:
            return framed(_FAILED, framed(str(error), b""))

    def merge_accumulators(self, accumulators: Iterable[bytes]) -> bytes:
        """One of all."""
        out = b""
        for accumulator in accumulators:
            out = self.add_input(out, accumulator) if accumulator else out
        return out

    def extract_output(self, accumulator: bytes) -> bytes:
        """As it is."""
        return accumulator


def _write(content: bytes, path: str) -> None:
    with FileSystems.create(path, "application/octet-stream") as file:
        file.write(content)
