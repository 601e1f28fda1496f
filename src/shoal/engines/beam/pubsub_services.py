"""The two gRPC services of Pub/Sub, publisher and subscriber, over a broker in memory; run by :mod:`shoal.engines.beam.pubsub_server`."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from shoal.engines.beam.pubsub_store import Broker, BrokerError, Lease, Subscription
from shoal.errors import ShoalError

PULL_WAIT = 1.0  # Beam's DirectRunner moves its watermark, and so fires timers, only when a pull has returned
NAME = re.compile(r"projects/[^/]+/(topics|subscriptions)/(?!goog)[A-Za-z][A-Za-z0-9\-_.~+%]{2,254}")
UNSUPPORTED = (
    "push_config", "bigquery_config", "cloud_storage_config", "filter", "dead_letter_policy",
    "enable_message_ordering", "enable_exactly_once_delivery", "retain_acked_messages", "message_transforms",
)  # fmt: skip


def packages() -> tuple[Any, Any]:
    """gRPC, and the types of Pub/Sub; raises ShoalError where they lack."""
    try:
        import grpc
        from google.pubsub_v1 import types
    except ImportError as error:
        raise ShoalError("Google's Pub/Sub package is missing: pip install 'shoal[pubsub]'") from error
    return grpc, types


class Publisher:
    """The service google.pubsub.v1.Publisher."""

    def __init__(self, types: Any, broker: Broker) -> None:
        self.types, self.broker = types, broker

    def CreateTopic(self, request: Any, call: Call) -> Any:  # noqa: N802
        _check_name(request.name, "topics")
        self.broker.create_topic(request.name, request)
        return request

    def GetTopic(self, request: Any, call: Call) -> Any:  # noqa: N802
        return self.broker.topic(request.topic)

    def ListTopics(self, request: Any, call: Call) -> Any:  # noqa: N802
        found = {k: v for k, v in self.broker.topics().items() if k.startswith(f"{request.project}/")}
        names, token = _page(list(found), request)
        reply = self.types.ListTopicsResponse.pb()
        return reply(topics=[found[name] for name in names], next_page_token=token)

    def DeleteTopic(self, request: Any, call: Call) -> Any:  # noqa: N802
        self.broker.delete_topic(request.topic)
        return _empty()

    def ListTopicSubscriptions(self, request: Any, call: Call) -> Any:  # noqa: N802
        names, token = _page(list(self.broker.subscriptions(request.topic)), request)
        reply = self.types.ListTopicSubscriptionsResponse.pb()
        return reply(subscriptions=names, next_page_token=token)

    def Publish(self, request: Any, call: Call) -> Any:  # noqa: N802
        self.broker.topic(request.topic)
        if not request.messages:
            raise BrokerError("INVALID_ARGUMENT", "a request to publish needs at least one message")
        if not all(message.data or message.attributes for message in request.messages):
            raise BrokerError("INVALID_ARGUMENT", "a message needs data or at least one attribute")
        now = time.time_ns()

        def stamp(message: Any, number: int) -> None:
            message.message_id = str(number)
            message.publish_time.FromNanoseconds(now)

        sized = [(message, message.ByteSize()) for message in request.messages]
        return self.types.PublishResponse.pb()(message_ids=self.broker.publish(request.topic, sized, stamp))


class Subscriber:
    """The service google.pubsub.v1.Subscriber."""

    def __init__(self, types: Any, broker: Broker) -> None:
        self.types, self.broker = types, broker

    def CreateSubscription(self, request: Any, call: Call) -> Any:  # noqa: N802
        _check_name(request.name, "subscriptions")
        asked = [name for name in UNSUPPORTED if _given(request, name)]
        if asked:
            raise BrokerError("UNIMPLEMENTED", f"the local Pub/Sub server does not know {', '.join(asked)}")
        request.ack_deadline_seconds = request.ack_deadline_seconds or 10
        _check_seconds(request.ack_deadline_seconds, 10)
        self.broker.create_subscription(request.name, request.topic, request.ack_deadline_seconds, request)
        return request

    def GetSubscription(self, request: Any, call: Call) -> Any:  # noqa: N802
        return self._described(self.broker.subscription(request.subscription))

    def ListSubscriptions(self, request: Any, call: Call) -> Any:  # noqa: N802
        every = self.broker.subscriptions()
        names, token = _page([name for name in every if name.startswith(f"{request.project}/")], request)
        reply = self.types.ListSubscriptionsResponse.pb()
        return reply(subscriptions=[self._described(every[name]) for name in names], next_page_token=token)

    def DeleteSubscription(self, request: Any, call: Call) -> Any:  # noqa: N802
        self.broker.delete_subscription(request.subscription)
        return _empty()

    def Acknowledge(self, request: Any, call: Call) -> Any:  # noqa: N802
        self.broker.acknowledge(request.subscription, request.ack_ids)
        return _empty()

    def ModifyAckDeadline(self, request: Any, call: Call) -> Any:  # noqa: N802
        _check_seconds(request.ack_deadline_seconds, 0)
        self.broker.modify(request.subscription, request.ack_ids, request.ack_deadline_seconds)
        return _empty()

    def Pull(self, request: Any, call: Call) -> Any:  # noqa: N802
        if request.max_messages < 1:
            raise BrokerError("INVALID_ARGUMENT", "max_messages must be at least 1")
        wait = 0.0 if request.return_immediately else min(PULL_WAIT, 0.8 * call.time_remaining())
        leases = self.broker.take(request.subscription, request.max_messages, wait, wanted=call.is_open)
        return self.types.PullResponse.pb()(received_messages=[self._received(lease) for lease in leases])

    def StreamingPull(self, requests: Iterator[Any], call: Call) -> Iterator[Any]:  # noqa: N802
        first = next(requests, None)
        if first is None:
            return
        name = first.subscription
        self.broker.subscription(name)
        seconds = float(first.stream_ack_deadline_seconds)
        _check_seconds(seconds, 10)
        self._obey(name, first)
        # The requests need a thread of their own: this one waits for messages.
        threading.Thread(target=self._follow, args=(name, requests, call), daemon=True).start()
        limit = first.max_outstanding_messages if first.max_outstanding_messages > 0 else 1000
        mine: set[str] = set()
        while call.is_open():
            if len(mine) >= limit:
                mine = self.broker.held_by(name, mine)
            if len(mine) >= limit:
                self.broker.wait(0.05)
                continue
            leases = self.broker.take(name, limit - len(mine), PULL_WAIT, seconds, call.is_open)
            mine.update(lease.ack_id for lease in leases)
            if leases:
                received = [self._received(lease) for lease in leases]
                yield self.types.StreamingPullResponse.pb()(received_messages=received)

    def _follow(self, name: str, requests: Iterator[Any], call: Call) -> None:
        grpc, _ = packages()
        try:
            for request in requests:
                self._obey(name, request)
        except BrokerError as error:
            call.error = error
        except grpc.RpcError:
            pass  # the client has gone
        finally:
            call.close()

    def _obey(self, name: str, request: Any) -> None:
        self.broker.acknowledge(name, request.ack_ids)
        pairs = zip(request.modify_deadline_ack_ids, request.modify_deadline_seconds, strict=False)
        for ack_id, seconds in pairs:
            _check_seconds(seconds, 0)
            self.broker.modify(name, [ack_id], seconds)

    def _received(self, lease: Lease) -> Any:
        received = self.types.ReceivedMessage.pb()
        return received(ack_id=lease.ack_id, message=lease.message.content, delivery_attempt=lease.attempt)

    def _described(self, subscription: Subscription) -> Any:
        description = type(subscription.description)()
        description.CopyFrom(subscription.description)
        description.topic = subscription.topic
        return description


class Call:
    """One request's life: whether its client still waits, and what went wrong beside it."""

    def __init__(self, context: Any, wake: Callable[[], None]) -> None:
        self._context, self._wake = context, wake
        self._closed = threading.Event()
        self.error: BrokerError | None = None
        if not context.add_callback(self.close):
            self._closed.set()

    def is_open(self) -> bool:
        return not self._closed.is_set()

    def close(self) -> None:
        self._closed.set()
        self._wake()

    def time_remaining(self) -> float:
        """Seconds until the client gives up."""
        remaining = self._context.time_remaining()
        return float("inf") if remaining is None else float(remaining)


def handlers(grpc: Any, types: Any, broker: Broker) -> list[Any]:
    """What a gRPC server answers with: both services over one broker."""
    publisher, subscriber = Publisher(types, broker), Subscriber(types, broker)

    def refuse(context: Any, error: BrokerError) -> None:
        context.abort(grpc.StatusCode[error.code], str(error))

    def unary(work: Callable[[Any, Call], Any]) -> Callable[[Any, Any], Any]:
        def handle(request: Any, context: Any) -> Any:
            try:
                return work(request, Call(context, broker.wake))
            except BrokerError as error:
                return refuse(context, error)

        return handle

    def stream(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        call = Call(context, broker.wake)
        try:
            yield from subscriber.StreamingPull(requests, call)
        except BrokerError as error:
            refuse(context, error)
        if call.error:
            refuse(context, call.error)

    def rpc(service: object, name: str) -> Any:
        request = getattr(types, _REQUESTS.get(name, f"{name}Request")).pb()
        return grpc.unary_unary_rpc_method_handler(
            unary(getattr(service, name)),
            request_deserializer=request.FromString,
            response_serializer=_serialise,
        )

    of_subscriber = {name: rpc(subscriber, name) for name in _SUBSCRIBER}
    of_subscriber["StreamingPull"] = grpc.stream_stream_rpc_method_handler(
        stream,
        request_deserializer=types.StreamingPullRequest.pb().FromString,
        response_serializer=_serialise,
    )
    of_publisher = {name: rpc(publisher, name) for name in _PUBLISHER}
    return [
        grpc.method_handlers_generic_handler("google.pubsub.v1.Publisher", of_publisher),
        grpc.method_handlers_generic_handler("google.pubsub.v1.Subscriber", of_subscriber),
    ]


_REQUESTS = {"CreateTopic": "Topic", "CreateSubscription": "Subscription"}
_PUBLISHER = ("CreateTopic", "GetTopic", "ListTopics", "DeleteTopic", "ListTopicSubscriptions", "Publish")
_SUBSCRIBER = (
    "CreateSubscription", "GetSubscription", "ListSubscriptions", "DeleteSubscription",
    "Acknowledge", "ModifyAckDeadline", "Pull",
)  # fmt: skip


def _serialise(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _empty() -> Any:
    from google.protobuf.empty_pb2 import Empty

    return Empty()


def _check_name(name: str, kind: str) -> None:
    match = NAME.fullmatch(name)
    if not match or match[1] != kind:
        text = f"{name!r} is not a name: use projects/PROJECT/{kind}/NAME, NAME of 3 to 255 characters, a letter first"
        raise BrokerError("INVALID_ARGUMENT", text)


def _check_seconds(seconds: float, least: int) -> None:
    if not least <= seconds <= 600:
        raise BrokerError(
            "INVALID_ARGUMENT", f"an acknowledgement deadline is {least} to 600 s, not {seconds}"
        )


def _given(request: Any, name: str) -> bool:
    value = getattr(request, name)
    return value.ByteSize() > 0 if hasattr(value, "ByteSize") else bool(value)


def _page(names: list[str], request: Any) -> tuple[list[str], str]:
    """Sorted names after the request's token, and the token of the next page."""
    left = [name for name in names if name > request.page_token]
    page = left[: request.page_size or None]
    return page, page[-1] if len(page) < len(left) else ""
