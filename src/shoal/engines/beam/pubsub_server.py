"""A small Pub/Sub server for tests and local pipelines: Google's client and Beam talk to it as to the emulator.

It keeps everything in memory, listens on 127.0.0.1 only and asks nobody who they are: for one machine and for tests,
never for production. It knows topics, publishing, pull subscriptions, leases and redelivery. Push, filters, dead letter
topics, ordering keys, exactly-once delivery, snapshots and schemas are refused with UNIMPLEMENTED. Messages come in the
order of publishing unless they are redelivered, which Pub/Sub itself does not promise.

    python -m shoal.engines.beam.pubsub_server --port 8085
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from shoal.engines.beam.pubsub_services import handlers, packages
from shoal.engines.beam.pubsub_store import Broker
from shoal.errors import BadInputError, ShoalError

HOST = "127.0.0.1"
N_THREADS = 64  # every open StreamingPull keeps one
MAX_MESSAGE = 32 << 20


class PubSubServer:
    """Pub/Sub on this machine, in memory; a context manager.

    Parameters
    ----------
    port : where to listen on 127.0.0.1; 0 takes a free one, told by :attr:`address`.
    max_bytes : unacknowledged bytes over all subscriptions; beyond it publishers are made to wait.

    Examples
    --------
    >>> with PubSubServer() as server:  # doctest: +SKIP
    ...     os.environ["PUBSUB_EMULATOR_HOST"] = server.address
    ...     publisher = pubsub_v1.PublisherClient()
    """

    def __init__(self, port: int = 0, *, max_bytes: int = 256 << 20) -> None:
        if not 0 <= port < 65536:
            raise BadInputError(f"{port} is not a port", place="port", remedy="use 0 (any free one) to 65535")
        self._port, self._max_bytes = port, max_bytes
        self._address = ""
        self._server: Any = None
        self._broker: Broker | None = None

    @property
    def address(self) -> str:
        """``"127.0.0.1:PORT"``, for PUBSUB_EMULATOR_HOST; raises ShoalError before :meth:`start`."""
        if not self._server:
            raise ShoalError("the Pub/Sub server does not run; call start() or use it in a with statement")
        return self._address

    def start(self) -> PubSubServer:
        """Listen, with no topics yet.

        Raises ShoalError where the packages lack, where the port is taken, or where it runs already.
        """
        if self._server:
            raise ShoalError("the Pub/Sub server runs already; call stop() first")
        grpc, types = packages()
        broker = Broker(self._max_bytes)
        options = [
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", MAX_MESSAGE),
            ("grpc.max_send_message_length", MAX_MESSAGE),
        ]
        server = grpc.server(ThreadPoolExecutor(N_THREADS, "shoal-pubsub"), options=options)
        server.add_generic_rpc_handlers(handlers(grpc, types, broker))
        try:
            port = server.add_insecure_port(f"{HOST}:{self._port}")
        except RuntimeError:
            port = 0
        if not port:
            raise ShoalError(
                f"cannot listen on {HOST}:{self._port}; choose another port, or 0 for a free one"
            )
        server.start()
        self._server, self._broker, self._address = server, broker, f"{HOST}:{port}"
        return self

    def stop(self) -> None:
        """End calls in progress and forget everything; does nothing where it does not run."""
        if self._server and self._broker:
            self._broker.close()
            self._server.stop(grace=0.5).wait()
            self._server = self._broker = None

    def __enter__(self) -> PubSubServer:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()


EPILOG = """\
Then, in another terminal, any program of Google's or Beam's talks to it instead of to the cloud:

  export PUBSUB_EMULATOR_HOST=127.0.0.1:8085
  python - <<'END'
  from google.cloud import pubsub_v1
  publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
  publisher.create_topic(name="projects/local-tests/topics/texts")
  subscriber.create_subscription(name="projects/local-tests/subscriptions/texts", topic="projects/local-tests/topics/texts")
  publisher.publish("projects/local-tests/topics/texts", b"hello", source="me").result()
  END

Everything is in memory: topics, subscriptions and messages are gone when it stops. It listens on 127.0.0.1 only,
checks no passwords, and is meant for tests and for trying pipelines on one machine.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m shoal.engines.beam.pubsub_server",
        description="A Pub/Sub server in memory, for tests and local pipelines.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--port", type=int, default=8085, help="port on 127.0.0.1; 0 takes a free one (default 8085)"
    )
    settings = parser.parse_args(arguments)
    asked_to_stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked_to_stop.set())
    try:
        with PubSubServer(settings.port) as server:
            print(f"Pub/Sub listens on {server.address} (Ctrl-C ends it); in another terminal:")
            print(f"export PUBSUB_EMULATOR_HOST={server.address}", flush=True)
            asked_to_stop.wait()
    except ShoalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
