"""``shoal job``: training and tuning jobs as the service takes them, on this machine."""

from __future__ import annotations

import json as json_module
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from shoal.cli import options as o
from shoal.cli.console import new_table, out, print_json, print_table, watching
from shoal.errors import BadInputError

if TYPE_CHECKING:
    from shoal.sagemaker.job_run import Job
    from shoal.sagemaker.job_tune import Tuning

app = typer.Typer(
    name="job",
    help="Training jobs without the cloud, compatible with those of the built-in k-means of Amazon SageMaker.",
    epilog="Start from examples/sagemaker_job.json: write your own S3Uri, where a folder will do.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

Spec = Annotated[Path, typer.Argument(help="JSON document of the job.", show_default=False)]
Name = Annotated[str, typer.Argument(help="Name of the job.", show_default=False)]
Jobs = Annotated[Path | None, typer.Option("--jobs", help="Folder of the records; default: ~/.shoal/jobs.")]
Endpoint = Annotated[
    str | None, typer.Option("--endpoint-url", help="S3 server; default: $AWS_ENDPOINT_URL, else the cloud.")
]
Work = Annotated[
    Path | None,
    typer.Option("--work", help="Keep the folders of the instances here; default: a temporary one."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Leave out the logs of the hosts.")]


@app.command()
def run(
    spec: Spec,
    name: Annotated[str | None, typer.Option("--name", help="Instead of TrainingJobName.")] = None,
    jobs: Jobs = None,
    endpoint_url: Endpoint = None,
    work: Work = None,
    quiet: Quiet = False,
    json: o.Json = False,
) -> None:
    """Run a job as CreateTrainingJob describes it: its channels, one process for each instance, its model.

    Ctrl-C stops it, with the model of the rows read by then. The exit status is 1 unless the job has completed.

    Example:

      shoal job run examples/sagemaker_job.json
    """
    from shoal.sagemaker.job_run import run_job
    from shoal.sagemaker.job_spec import JobSpec
    from shoal.sagemaker.job_store import JobStore

    asked = JobSpec.from_file(spec, name=name)
    if asked.ignored and not (quiet or json):
        out.print(f"no meaning here: {', '.join(asked.ignored)}", style="dim", markup=False)
    with _stopping() as stop:
        job = run_job(
            asked, work, endpoint_url, store=JobStore(jobs), say=None if quiet or json else _say, stop=stop
        )
    if json:
        print_json(job.record)
    else:
        _tell(job)
    if job.status != "Completed":
        raise typer.Exit(1)


@app.command()
def describe(name: Name, jobs: Jobs = None) -> None:
    """What is known of a job, while it runs and afterwards, in the shape of DescribeTrainingJob.

    Example:

      shoal job describe customers-1
    """
    from shoal.sagemaker.job_store import JobStore

    print_json(JobStore(jobs).read(name))


@app.command("list")
def list_jobs(jobs: Jobs = None, json: o.Json = False) -> None:
    """All jobs, the oldest first."""
    from shoal.sagemaker.job_store import JobStore

    store = JobStore(jobs)
    records = [store.read(name) for name in store.names()]
    columns = ("TrainingJobName", "TrainingJobStatus", "SecondaryStatus", "CreationTime")
    if json:
        print_json([{column: record.get(column) for column in columns} for record in records])
        return
    table = new_table("name", "status", "stage", "made")
    for record in records:
        table.add_row(*(str(record.get(column, "")) for column in columns))
    print_table(table)


@app.command()
def stop(name: Name, jobs: Jobs = None) -> None:
    """Ask a job that runs to end: it has two minutes to write the model of what it has read.

    Example:

      shoal job stop customers-1
    """
    from shoal.sagemaker.job_store import JobStore

    JobStore(jobs).ask_to_stop(name)
    out.print(f"{name} is asked to stop", markup=False)


@app.command()
def follow(
    endpoint_url: Annotated[
        str, typer.Option("--endpoint-url", help="Of a stand-in of the service and of S3.")
    ],
    once: Annotated[bool, typer.Option("--once", help="End when all jobs that are there have run.")] = False,
    jobs: Jobs = None,
    work: Work = None,
    quiet: Quiet = False,
) -> None:
    """Run the jobs that other clients ask a test endpoint for, each once, and put the models where it says they are.

    Example:

      shoal job follow --endpoint-url http://127.0.0.1:5000 --once
    """
    from shoal.sagemaker.job_follow import follow as follow_endpoint
    from shoal.sagemaker.job_store import JobStore

    with _stopping() as stop:
        done = follow_endpoint(
            endpoint_url, store=JobStore(jobs), work_dir=work, once=once, say=None if quiet else _say,
            ended=_tell, stop=stop,
        )  # fmt: skip
    if any(job.status == "Failed" for job in done):
        raise typer.Exit(1)


@app.command()
def tune(
    spec: Annotated[Path, typer.Argument(help="JSON document of a training or tuning job.")],
    ks: Annotated[
        str | None, typer.Option("--k", "-k", help="Numbers of clusters: 2:12 (inclusive) or 3,5,8.")
    ] = None,
    factors: Annotated[
        str | None, typer.Option("--extra-center-factor", help="Values to try as well: 4:10, or 4,10.")
    ] = None,
    objective: Annotated[
        str | None, typer.Option(help="test:msd, test:ssd or train:msd; default: of the test channel if any.")
    ] = None,
    out_dir: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for elbow.png.")] = None,
    artefacts: Annotated[
        bool, typer.Option("--artefacts", help="Write k<number>/model.tar.gz for every k there, too.")
    ] = False,
    endpoint_url: Endpoint = None,
    json: o.Json = False,
) -> None:
    """Answer every k from one read of the train channel, instead of one training job for each.

    Examples:

      shoal job tune examples/sagemaker_job.json --k 2:12 --out ks

      shoal job tune tuning_job.json --json
    """
    from shoal.sagemaker.job_spec import read_document
    from shoal.sagemaker.job_tune import Objective
    from shoal.sagemaker.job_tune import tune as tune_job
    from shoal.sagemaker.job_tuning_spec import TuningSpec

    if artefacts and out_dir is None:
        raise BadInputError("--artefacts needs a folder", remedy="say --out DIR")
    if objective is not None and objective not in get_args(Objective):
        raise BadInputError(f"--objective {objective!r}", remedy=f"use {', '.join(get_args(Objective))}")
    asked = TuningSpec.from_dict(read_document(spec))
    tried = tuple(o.parse_ks(ks)) if ks is not None else asked.ks or tuple(range(2, 13))
    values = tuple(o.parse_ks(factors, "--extra-center-factor")) if factors is not None else asked.factors
    with watching("reading") as watch:
        tuning = tune_job(
            asked.job, tried, factors=values, endpoint_url=endpoint_url, on_progress=watch, on_solved=watch.solved,
            objective=objective or asked.objective,  # type: ignore[arg-type]
        )  # fmt: skip
    written = tuning.save(out_dir, artefacts=artefacts) if out_dir is not None else []
    if json:
        print_json(tuning.to_dict() | {"without_effect": list(asked.without_effect)})
        return
    if asked.without_effect:
        out.print(f"without effect on one read: {', '.join(asked.without_effect)}", style="dim", markup=False)
    _print_tuning(tuning)
    for path in written:
        out.print(f"written: {path}", markup=False)


def _print_tuning(tuning: Tuning) -> None:
    from shoal.cli.sweep import print_choice

    table = new_table("k", "extra_center_factor", "train msd", "test msd")
    for trial in tuning.trials:
        factor = "auto" if trial.extra_center_factor is None else str(trial.extra_center_factor)
        test = "" if trial.test_msd is None else f"{trial.test_msd:.6g}"
        table.add_row(str(trial.k), factor, f"{trial.train_msd:.6g}", test)
    print_table(table)
    out.print(f"least {tuning.objective}: k = {tuning.best.k}, as nearly always the largest", markup=False)
    print_choice(tuning.choice, [*tuning.ks, *tuning.left_out])


def _say(host: str, line: str) -> None:
    out.print(f"{host} | {line}", markup=False)


def _tell(job: Job) -> None:
    told = {"model": job.model, "reason": job.reason}
    out.print(f"{job.name}: {job.status}", style="bold green" if job.status == "Completed" else "bold red")
    for name, value in told.items():
        if value:
            out.print(f"  {name}: {value}", markup=False)
    for metric in job.record.get("FinalMetricDataList", ()):
        out.print(f"  {metric['MetricName']}: {json_module.dumps(metric['Value'])}", markup=False)


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """The first Ctrl-C or SIGTERM asks for the end; the second is as it was before."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def ask(number: int, frame: object) -> None:
        event.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in numbers:
        signal.signal(number, ask)
    try:
        yield event
    finally:
        for number in numbers:
            signal.signal(number, before[number])
