"""``shoal sagemaker transform``: files of records in, files of answers out, as batch transform jobs make them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from shoal.cli.console import out, watching
from shoal.errors import ShoalError

FORM, FIELDS = "Formats", "Fields"


class SplitType(StrEnum):
    """How a file is cut."""

    none = "None"
    line = "Line"
    recordio = "RecordIO"
    tfrecord = "TFRecord"


class Assembly(StrEnum):
    """What stands behind each answer."""

    none = "None"
    line = "Line"


class Strategy(StrEnum):
    """Records of a request."""

    multi = "MultiRecord"
    single = "SingleRecord"


class Join(StrEnum):
    """What answers are joined to."""

    none = "None"
    input = "Input"


def run(
    model: Annotated[Path, typer.Argument(help="model.tar.gz, or its folder.", show_default=False)],
    source: Annotated[
        str,
        typer.Argument(metavar="INPUT", help="A file, folder, glob or s3:// prefix.", show_default=False),
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="OUTPUT", help="A folder or s3:// prefix: FILE becomes FILE.out.", show_default=False
        ),
    ],
    content_type: Annotated[
        str, typer.Option(help="Format of the files.", rich_help_panel=FORM)
    ] = "text/csv",
    accept: Annotated[
        str, typer.Option(help="Format of the answers.", rich_help_panel=FORM)
    ] = "application/json",
    split_type: Annotated[
        SplitType,
        typer.Option(
            help="Where a file may be cut; None: each is one request. TFRecord is not read.",
            rich_help_panel=FORM,
        ),
    ] = SplitType.none,
    assemble_with: Annotated[
        Assembly | None,
        typer.Option(
            help="What stands behind each answer. Default: Line for text split by Line, else None.",
            rich_help_panel=FORM,
            show_default=False,
        ),
    ] = None,
    strategy: Annotated[
        Strategy, typer.Option(help="As many records in a request as fit, or one.", rich_help_panel=FORM)
    ] = Strategy.multi,
    max_payload_mb: Annotated[
        int, typer.Option(min=1, help="Largest request in MiB.", rich_help_panel=FORM)
    ] = 6,
    input_filter: Annotated[
        str, typer.Option(help="What of a record is sent, such as '$[1:]'.", rich_help_panel=FIELDS)
    ] = "$",
    output_filter: Annotated[
        str,
        typer.Option(
            help="What of an answer is written, such as '$.closest_cluster'.", rich_help_panel=FIELDS
        ),
    ] = "$",
    join_source: Annotated[
        Join, typer.Option(help="Input: write each record with its answer.", rich_help_panel=FIELDS)
    ] = Join.none,
) -> None:
    """Answer files of records: the closest cluster of each, and its distance.

    Options have the names they have in batch transform jobs of Amazon SageMaker. Filters take $, .name, ['name'], [0],
    [0,2] and [1:].

    Examples:

      shoal sagemaker transform model.tar.gz rows.csv answers --split-type Line --accept text/csv

      shoal sagemaker transform model.tar.gz s3://bucket/rows s3://bucket/answers --split-type Line --accept text/csv
      --input-filter '$[1:]' --join-source Input
    """
    try:
        from shoal.sagemaker.answering import Answering
        from shoal.sagemaker.transform import TransformSettings, transform
    except ImportError as error:
        raise ShoalError(f"{error.name} is not installed: pip install 'shoal[serve]'") from error
    settings = TransformSettings(
        content_type=content_type,
        accept=accept,
        split=split_type.value,  # type: ignore[arg-type]
        assemble=None if assemble_with is None else assemble_with.value,
        strategy=strategy.value,
        max_payload_mb=max_payload_mb,
        input_filter=input_filter,
        output_filter=output_filter,
        join_source=join_source.value,
    )
    answering = Answering.of_artefact(model)
    with watching("transform") as watch:
        done = transform(answering, source, target, settings, on_progress=watch)
    files = f"{done.files} file{'s'[: done.files != 1]}"
    out.print(f"{done.rows:,} records of {files} in {done.seconds:.2f} s: answers in {target}", markup=False)
