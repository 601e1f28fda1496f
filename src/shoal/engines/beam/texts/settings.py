"""What both programs are told on the command line, and Beam's options made of it."""

from __future__ import annotations

import argparse
import os
import re
import socket
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from shoal.errors import BadInputError, ShoalError

LOCAL_PROJECT = "local-project"
TOPIC = "texts"
EMULATOR = "PUBSUB_EMULATOR_HOST"
DEFAULT_EMULATOR = "127.0.0.1:8085"
_NAME = re.compile(r"[A-Za-z][\w.~+%-]{2,254}")


def parser_of(program: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """A parser with the options of both programs."""
    parser = argparse.ArgumentParser(
        prog=f"python -m shoal.engines.beam.texts.{program}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--mode",
        choices=("local", "cloud"),
        default="local",
        help="this machine with a local Pub/Sub, or Dataflow (default: local)",
    )
    parser.add_argument("--topic", default=TOPIC, help=f"Pub/Sub topic (default: {TOPIC})")
    cloud = parser.add_argument_group("cloud")
    cloud.add_argument("--project", help="Google Cloud project")
    cloud.add_argument("--region", default="us-central1", help="(default: us-central1)")
    cloud.add_argument("--bucket", help="gs:// folder for staging and temporary files")
    cloud.add_argument(
        "--job-name", default=f"shoal-{program}", help="name of the Dataflow job (default: shoal-{program})"
    )
    cloud.add_argument("--workers", type=int, default=1, help="Dataflow workers (default: 1)")
    cloud.add_argument(
        "--requirements", help="requirements file or container with shoal[beam,text] for the workers"
    )
    return parser


def options_of(args: argparse.Namespace, *, streaming: bool) -> PipelineOptions:
    """Beam's options.

    Raises
    ------
    BadInputError : something that the mode needs is missing or no valid name.
    """
    for name, value in {"--topic": args.topic, "--subscription": getattr(args, "subscription", None)}.items():
        if value is not None and not _NAME.fullmatch(value):
            raise BadInputError(
                f"{name} is {value!r}", remedy="use a letter, then letters, digits and dashes, 3 or more"
            )
    if args.mode == "local":
        return PipelineOptions(
            [], runner="BundleBasedDirectRunner" if streaming else "DirectRunner", streaming=streaming
        )
    missing = [name for name in ("project", "bucket") if not getattr(args, name)]
    if missing:
        raise BadInputError(
            f"--mode cloud needs {' and '.join('--' + m for m in missing)}", remedy="or leave --mode local"
        )
    if not args.bucket.startswith("gs://"):
        raise BadInputError(
            f"--bucket is {args.bucket!r}", remedy="give a folder such as gs://my-bucket/shoal"
        )
    told: dict[str, Any] = {
        "runner": "DataflowRunner",
        "streaming": streaming,
        "project": args.project,
        "region": args.region,
        "job_name": args.job_name,
        "staging_location": f"{args.bucket}/staging",
        "temp_location": f"{args.bucket}/temp",
        "num_workers": args.workers,
        "save_main_session": False,
        "enable_streaming_engine": streaming,
    }
    if args.requirements:
        is_file = os.path.exists(args.requirements)  # noqa: PTH110 - a container's name is no path
        told["requirements_file" if is_file else "sdk_container_image"] = args.requirements
    return PipelineOptions([], **told)


def project_of(args: argparse.Namespace) -> str:
    """The project that topics belong to."""
    return str(args.project or LOCAL_PROJECT)


def topic_of(args: argparse.Namespace) -> str:
    """A topic's full name."""
    return f"projects/{project_of(args)}/topics/{args.topic}"


def subscription_of(args: argparse.Namespace) -> str:
    """A subscription's full name; by default it is called after the topic."""
    name = getattr(args, "subscription", None) or f"{args.topic}-clusters"
    return f"projects/{project_of(args)}/subscriptions/{name}"


def in_one_line(error: BaseException) -> str:
    """What a person should read of an error of somebody else's.

    >>> in_one_line(ValueError("no disk", "at all")), in_one_line(KeyError())
    ("ValueError: ('no disk', 'at all')", 'KeyError')
    """
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said[:300]}" if said else type(error).__name__


def find_local() -> None:
    """Name the local Pub/Sub to Google's client.

    Raises
    ------
    ShoalError : nobody listens there.
    """
    address = os.environ.setdefault(EMULATOR, DEFAULT_EMULATOR)
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=3).close()
    except (OSError, ValueError) as error:
        raise ShoalError(
            f"no Pub/Sub listens at {address}: start one with python -m shoal.engines.beam.pubsub_server --port 8085, or the "
            f"official emulator, and set {EMULATOR} to its address"
        ) from error


def ready_local(args: argparse.Namespace) -> None:
    """Make the topic and its subscription in the local Pub/Sub, if they are not there.

    What is published before there is a subscription is lost, so the program that sends sees to one too; but a topic that has
    one already, by whatever name, is given no second, where messages would pile up.

    Raises
    ------
    ShoalError : nobody listens there, or the subscription is another topic's.
    """
    find_local()
    from google.api_core.exceptions import AlreadyExists, GoogleAPIError
    from google.cloud import pubsub_v1

    topic, name = topic_of(args), subscription_of(args)
    try:
        publisher = pubsub_v1.PublisherClient()
        with pubsub_v1.SubscriberClient() as subscriber:
            try:
                publisher.create_topic(name=topic)
            except AlreadyExists:
                if not hasattr(args, "subscription") and list(
                    publisher.list_topic_subscriptions(topic=topic)
                ):
                    return
            try:
                subscriber.create_subscription(name=name, topic=topic)
            except AlreadyExists:
                _check_topic(name, subscriber.get_subscription(subscription=name).topic, topic)
    except GoogleAPIError as error:
        raise ShoalError(f"the local Pub/Sub refused: {in_one_line(error)}") from error


def _check_topic(name: str, found: str, wanted: str) -> None:
    if found != wanted:
        raise ShoalError(
            f"{name} is a subscription of {found}, so nothing of {wanted} would arrive there; "
            "name another with --subscription of texts.cluster, or delete it"
        )
