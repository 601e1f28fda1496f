"""Shoal's Pub/Sub server, asked by Google's client and by Beam the same questions as Google's emulator."""

import itertools
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("google.cloud.pubsub_v1", reason="needs pip install 'shoal[pubsub]'")

from google.api_core import exceptions
from google.cloud import pubsub_v1
from tests.engines.beam.pubsub import KINDS, broker

from shoal.engines.beam import pubsub_server
from shoal.engines.beam.pubsub_server import PubSubServer
from shoal.engines.beam.pubsub_store import Broker, BrokerError, Subscription
from shoal.errors import BadInputError, ShoalError

PATIENCE = (
    20  # seconds until something that must come is given up; nothing is asserted about how fast it comes
)
numbers = itertools.count()
collected: list[Any] = []


def collect(message: Any) -> None:
    """What Beam calls for every message; it runs in this process."""
    collected.append((message.data, message.attributes["place"]))


def by_place(message: Any) -> tuple[str, bytes]:
    return message.attributes["place"], message.data


def collect_group(group: tuple[str, Any]) -> None:
    collected.append((group[0], len(list(group[1]))))


@dataclass
class Client:
    """Google's clients and a topic of its own."""

    publisher: pubsub_v1.PublisherClient
    subscriber: pubsub_v1.SubscriberClient
    topic: str

    def subscribe(self, **settings: Any) -> str:
        name = f"projects/shoal-tests/subscriptions/sub-{next(numbers)}"
        self.subscriber.create_subscription(request={"name": name, "topic": self.topic, **settings})
        return name

    def publish(self, *texts: str) -> list[str]:
        return [f.result(PATIENCE) for f in [self.publisher.publish(self.topic, t.encode()) for t in texts]]

    def pull(self, name: str, seconds: float = 3, at_most: int = 100) -> list[Any]:
        """One pull; empty where the server, or the deadline, says that nothing came."""
        request = {"subscription": name, "max_messages": at_most}
        try:
            return list(self.subscriber.pull(request=request, timeout=seconds, retry=None).received_messages)
        except exceptions.DeadlineExceeded:
            return []

    def wait_for(self, name: str) -> list[Any]:
        """The first messages that come."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if found := self.pull(name):
                return found
        raise AssertionError("no message came")

    def acknowledge(self, name: str, received: list[Any]) -> None:
        self.subscriber.acknowledge(request={"subscription": name, "ack_ids": [r.ack_id for r in received]})

    def modify(self, name: str, received: list[Any], seconds: int) -> None:
        ids = [r.ack_id for r in received]
        request = {"subscription": name, "ack_ids": ids, "ack_deadline_seconds": seconds}
        self.subscriber.modify_ack_deadline(request=request)


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    with broker(request.param) as address:
        yield address


@pytest.fixture
def client(server: str) -> Iterator[Client]:
    publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
    topic = f"projects/shoal-tests/topics/topic-{next(numbers)}"
    publisher.create_topic(name=topic)
    with subscriber:
        yield Client(publisher, subscriber, topic)
    publisher.stop()


def test_streaming_pull_of_500_with_attributes(client: Client) -> None:
    name = client.subscribe()
    texts = [f"message {i}" for i in range(500)]
    futures = [
        client.publisher.publish(client.topic, t.encode(), place=str(i), é="ü") for i, t in enumerate(texts)
    ]
    ids = [future.result(PATIENCE) for future in futures]
    seen: dict[str, Any] = {}
    done = threading.Event()

    def receive(message: Any) -> None:
        seen[message.message_id] = message
        message.ack()
        if len(seen) == len(texts):
            done.set()

    future = client.subscriber.subscribe(name, receive)
    assert done.wait(PATIENCE)
    future.cancel()
    future.result(PATIENCE)
    assert len(set(ids)) == 500
    assert [seen[i].data.decode() for i in ids] == texts
    assert [dict(seen[i].attributes) for i in ids] == [{"place": str(i), "é": "ü"} for i in range(500)]
    assert all(abs(m.publish_time.timestamp() - time.time()) < 300 for m in seen.values())


def test_streaming_nack_redelivers(client: Client) -> None:
    name = client.subscribe()
    client.publish("again")
    times: list[str] = []
    done = threading.Event()

    def receive(message: Any) -> None:
        times.append(message.message_id)
        if len(times) < 3:
            message.nack()
        else:
            message.ack()
            done.set()

    future = client.subscriber.subscribe(name, receive)
    assert done.wait(PATIENCE)
    future.cancel()
    future.result(PATIENCE)
    assert len(times) == 3
    assert len(set(times)) == 1


def test_streaming_pull_holds_no_more_than_asked(client: Client) -> None:
    name = client.subscribe()
    client.publish(*map(str, range(30)))
    lock, done = threading.Lock(), threading.Event()
    held, most, seen = 0, 0, set()

    def receive(message: Any) -> None:
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        time.sleep(0.01)
        with lock:
            held -= 1
            seen.add(message.data)
            if len(seen) == 30:
                done.set()
        message.ack()

    control = pubsub_v1.types.FlowControl(max_messages=3)
    future = client.subscriber.subscribe(name, receive, flow_control=control)
    assert done.wait(PATIENCE)
    future.cancel()
    future.result(PATIENCE)
    assert most <= 3


def test_pull_nack_redelivers_the_same_message(client: Client) -> None:
    name = client.subscribe()
    [published] = client.publish("again")
    first = client.wait_for(name)
    client.modify(name, first, 0)
    second = client.wait_for(name)
    assert [r.message.message_id for r in first + second] == [published] * 2
    assert first[0].ack_id != second[0].ack_id


def test_expired_lease_redelivers(client: Client) -> None:
    name = client.subscribe()
    [published] = client.publish("late")
    client.modify(name, client.wait_for(name), 1)
    [again] = client.wait_for(name)
    assert again.message.message_id == published


def test_acknowledged_never_comes_again(client: Client) -> None:
    name = client.subscribe()
    client.publish("a", "b", "c")
    seen: list[bytes] = []
    while len(seen) < 3:
        received = client.wait_for(name)
        seen += [r.message.data for r in received]
        client.modify(name, received, 1)
        client.acknowledge(name, received)
    assert sorted(seen) == [b"a", b"b", b"c"]
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        assert client.pull(name, seconds=end - time.monotonic() + 0.1) == []


def test_two_subscriptions_each_get_all(client: Client) -> None:
    names = [client.subscribe(), client.subscribe()]
    ids = set(client.publish(*map(str, range(50))))
    for name in names:
        seen: set[str] = set()
        while len(seen) < 50:
            received = client.wait_for(name)
            client.acknowledge(name, received)
            seen |= {r.message.message_id for r in received}
        assert seen == ids


def test_synchronous_pull_obeys_max_messages(client: Client) -> None:
    name = client.subscribe()
    client.publish(*map(str, range(20)))
    received = client.pull(name, at_most=7)
    assert 1 <= len(received) <= 7
    assert {r.message.data for r in received} <= {str(i).encode() for i in range(20)}


def test_a_pull_that_waits_gets_what_is_published_meanwhile(client: Client) -> None:
    name = client.subscribe()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.wait_for, name)
        client.publish("now")
        assert [r.message.data for r in waiting.result(PATIENCE)] == [b"now"]


def test_unknown_names_are_not_found(client: Client) -> None:
    topic, name = "projects/shoal-tests/topics/nowhere", "projects/shoal-tests/subscriptions/nowhere"
    with pytest.raises(exceptions.NotFound):
        client.publisher.publish(topic, b"x").result(PATIENCE)
    with pytest.raises(exceptions.NotFound):
        client.publisher.get_topic(topic=topic)
    with pytest.raises(exceptions.NotFound):
        client.publisher.delete_topic(topic=topic)
    with pytest.raises(exceptions.NotFound):
        client.subscriber.create_subscription(name=name, topic=topic)
    with pytest.raises(exceptions.NotFound):
        client.subscriber.get_subscription(subscription=name)
    with pytest.raises(exceptions.NotFound):
        client.subscriber.delete_subscription(subscription=name)
    with pytest.raises(exceptions.NotFound):
        client.subscriber.pull(subscription=name, max_messages=1)
    with pytest.raises(exceptions.NotFound):
        client.subscriber.subscribe(name, print).result(PATIENCE)


def test_taken_names_already_exist(client: Client) -> None:
    name = client.subscribe()
    with pytest.raises(exceptions.AlreadyExists):
        client.publisher.create_topic(name=client.topic)
    with pytest.raises(exceptions.AlreadyExists):
        client.subscriber.create_subscription(name=name, topic=client.topic)


def test_bad_requests_are_invalid(client: Client) -> None:
    name = client.subscribe()
    with pytest.raises(exceptions.InvalidArgument):
        client.publisher.create_topic(name="projects/shoal-tests/topics/1")
    with pytest.raises(exceptions.InvalidArgument):
        client.subscriber.pull(subscription=name, max_messages=0)
    with pytest.raises(exceptions.InvalidArgument):
        client.publisher.publish(client.topic, b"").result(PATIENCE)
    with pytest.raises(exceptions.InvalidArgument):
        client.subscribe(ack_deadline_seconds=601)


def test_listing_and_deleting(client: Client) -> None:
    names = {client.subscribe(), client.subscribe()}
    project = "projects/shoal-tests"
    assert client.topic in {t.name for t in client.publisher.list_topics(project=project)}
    assert set(client.publisher.list_topic_subscriptions(topic=client.topic)) == names
    assert names <= {s.name for s in client.subscriber.list_subscriptions(project=project)}
    gone = names.pop()
    client.subscriber.delete_subscription(subscription=gone)
    assert set(client.publisher.list_topic_subscriptions(topic=client.topic)) == names
    client.publisher.delete_topic(topic=client.topic)
    assert client.topic not in {t.name for t in client.publisher.list_topics(project=project)}
    [left] = names
    assert client.subscriber.get_subscription(subscription=left).topic == "_deleted-topic_"


def test_beam_writes_and_reads_200(client: Client) -> None:
    beam = pytest.importorskip("apache_beam", reason="needs pip install 'shoal[beam]'")
    from apache_beam.io.gcp.pubsub import PubsubMessage, ReadFromPubSub, WriteToPubSub
    from apache_beam.options.pipeline_options import PipelineOptions

    name = client.subscribe()
    messages = [PubsubMessage(f"text {i}".encode(), {"place": str(i)}) for i in range(200)]
    with beam.Pipeline(runner="DirectRunner", options=PipelineOptions(["--project=shoal-tests"])) as batch:
        _ = batch | beam.Create(messages) | WriteToPubSub(client.topic, with_attributes=True)
    streaming = beam.Pipeline(runner="BundleBasedDirectRunner", options=PipelineOptions(["--streaming"]))
    _ = streaming | ReadFromPubSub(subscription=name, with_attributes=True) | beam.Map(collect)
    expected = {(m.data, m.attributes["place"]) for m in messages}
    assert run_until(streaming, client, len(expected)) == expected


def run_until(pipeline: Any, client: Client, n: int) -> set[Any]:
    """What a streaming pipeline has collected once there are ``n`` different things; stops the pipeline."""
    collected.clear()
    result = pipeline.run()
    end = time.monotonic() + PATIENCE
    while len(set(collected)) < n and time.monotonic() < end:
        time.sleep(0.05)
    found = set(collected)
    with ThreadPoolExecutor(1) as pool:
        cancelling = pool.submit(result.cancel)
        while not cancelling.done():  # Beam cannot end a pull: it waits until a message comes, or 30 s
            client.publisher.publish(client.topic, b"wake up", place="").result(PATIENCE)
            time.sleep(0.1)
        cancelling.result()
    return found


# What only our own server promises.


@pytest.fixture(scope="module")
def ours() -> Iterator[PubSubServer]:
    with PubSubServer() as server:
        yield server


@pytest.fixture
def own(ours: PubSubServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", ours.address)
    publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
    topic = f"projects/shoal-own/topics/topic-{next(numbers)}"
    publisher.create_topic(name=topic)
    with subscriber:
        yield Client(publisher, subscriber, topic)
    publisher.stop()


def test_an_empty_pull_returns_empty_before_its_deadline(own: Client) -> None:
    name = own.subscribe()
    for seconds in (0.5, 30):
        pulled = own.subscriber.pull(subscription=name, max_messages=10, timeout=seconds, retry=None)
        assert list(pulled.received_messages) == []


def test_beam_closes_a_window_though_nothing_more_is_published(own: Client) -> None:
    beam = pytest.importorskip("apache_beam", reason="needs pip install 'shoal[beam]'")
    from apache_beam.io.gcp.pubsub import ReadFromPubSub
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.transforms.window import FixedWindows

    name = own.subscribe()
    for i in range(3):
        own.publisher.publish(own.topic, b"text", place=str(i)).result(PATIENCE)
    pipeline = beam.Pipeline(runner="BundleBasedDirectRunner", options=PipelineOptions(["--streaming"]))
    messages = pipeline | ReadFromPubSub(subscription=name, with_attributes=True)
    windows = messages | beam.WindowInto(FixedWindows(1)) | beam.Map(by_place) | beam.GroupByKey()
    _ = windows | beam.Map(collect_group)
    assert run_until(pipeline, own, 3) == {(str(i), 1) for i in range(3)}


def test_order_and_delivery_attempts(own: Client) -> None:
    name = own.subscribe()
    texts = [b"a", b"b", b"c", b"d"]
    for text in texts:
        own.publish(text.decode())
    first = own.pull(name)
    own.modify(name, first[1:3], 0)
    again = own.pull(name)
    assert [r.message.data for r in first] == texts
    assert [(r.message.data, r.delivery_attempt) for r in again] == [(b"b", 2), (b"c", 2)]


def test_lists_come_in_pages(own: Client) -> None:
    topics = {f"projects/pages/topics/topic-{i}" for i in range(5)}
    for topic in topics:
        own.publisher.create_topic(name=topic)
    pages = own.publisher.list_topics(request={"project": "projects/pages", "page_size": 2}).pages
    sizes = [[t.name for t in page.topics] for page in pages]
    assert [len(page) for page in sizes] == [2, 2, 1]
    assert set(itertools.chain(*sizes)) == topics


def test_a_stream_is_sent_no_more_than_it_may_hold(own: Client) -> None:
    name = own.subscribe()
    own.publish(*map(str, range(30)))
    first = pubsub_v1.types.StreamingPullRequest(
        subscription=name, stream_ack_deadline_seconds=10, max_outstanding_messages=3
    )
    done = threading.Event()

    def requests() -> Iterator[Any]:
        yield first
        done.wait(PATIENCE)

    stream = iter(own.subscriber.streaming_pull(requests=requests(), retry=None, timeout=PATIENCE))
    three = list(next(stream).received_messages)
    own.acknowledge(name, three[:2])
    two = list(next(stream).received_messages)
    done.set()
    assert [r.message.data for r in three + two] == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize(
    "settings",
    [
        {"filter": 'attributes.a = "b"'},
        {"enable_message_ordering": True},
        {"enable_exactly_once_delivery": True},
    ],
)
def test_what_it_cannot_do_is_refused(own: Client, settings: dict[str, Any]) -> None:
    with pytest.raises(exceptions.MethodNotImplemented, match=next(iter(settings))):
        own.subscribe(**settings)


def test_acknowledgement_deadlines_are_those_of_the_cloud(own: Client) -> None:
    """Google's emulator is laxer here than the service it stands for."""
    with pytest.raises(exceptions.InvalidArgument, match="10 to 600"):
        own.subscribe(ack_deadline_seconds=5)


def test_deleting_a_subscription_ends_its_stream(own: Client) -> None:
    name = own.subscribe()
    future = own.subscriber.subscribe(name, print)
    own.subscriber.delete_subscription(subscription=name)
    with pytest.raises(exceptions.NotFound):
        future.result(PATIENCE)


def test_a_closed_stream_takes_no_more_messages(own: Client) -> None:
    name = own.subscribe()
    future = own.subscriber.subscribe(name, lambda message: message.ack())
    future.cancel()
    future.result(PATIENCE)
    own.publish("for another")
    [received] = own.wait_for(name)
    assert received.delivery_attempt == 1


def test_acknowledged_messages_are_dropped_and_a_full_server_refuses() -> None:
    store = Broker(max_bytes=100)
    store.create_topic("t")
    store.create_subscription("s", "t", 10)
    for _ in range(10):
        store.publish("t", [("content", 100)], lambda content, number: None)
        with pytest.raises(BrokerError) as error:
            store.publish("t", [("content", 1)], lambda content, number: None)
        assert error.value.code == "RESOURCE_EXHAUSTED"
        [lease] = store.take("s", 10, 0.0)
        store.acknowledge("s", [lease.ack_id, lease.ack_id])
        assert store.subscription("s").n_held == 0
    store.publish("t", [("content", 100)], lambda content, number: None)
    store.delete_subscription("s")
    store.create_subscription("s", "t", 10)
    store.publish("t", [("content", 100)], lambda content, number: None)


def test_leases_end_when_they_should() -> None:
    subscription = Subscription("s", "t", ack_seconds=10)
    for number in range(3):
        subscription.add(number, f"text {number}", size=10)
    a, b, c = subscription.take(now=0.0, at_most=5)
    subscription.modify([a.ack_id], 60, now=5.0)
    subscription.modify([b.ack_id], 1, now=5.0)
    assert subscription.take(now=5.9, at_most=5) == []
    assert [each.message.content for each in subscription.take(now=6.0, at_most=5)] == ["text 1"]
    assert [each.message.content for each in subscription.take(now=10.0, at_most=5)] == ["text 2"]
    assert subscription.acknowledge([b.ack_id, c.ack_id]) == 0, "those leases had ended"
    assert subscription.acknowledge([a.ack_id]) == 10
    assert subscription.n_held == 2
    again = subscription.take(now=100.0, at_most=5)
    assert [each.attempt for each in again] == [3, 3]


def test_many_leases_leave_no_trace() -> None:
    subscription = Subscription("s", "t", ack_seconds=600)
    for number in range(20_000):
        subscription.add(number, b"", size=1)
        subscription.acknowledge([lease.ack_id for lease in subscription.take(0.0, 1)])
    assert subscription.n_held == subscription.size == 0
    assert len(subscription._expiries) <= 1001


def test_large_messages_are_handed_out_a_few_at_a_time() -> None:
    subscription = Subscription("s", "t", ack_seconds=10)
    for number in range(3):
        subscription.add(number, b"", size=3_000_000)
    assert [len(subscription.take(0.0, 100)) for _ in range(4)] == [1, 1, 1, 0]


def test_errors_of_the_server_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInputError, match="70000 is not a port"):
        PubSubServer(70_000)
    idle = PubSubServer()
    idle.stop()
    with pytest.raises(ShoalError, match="does not run"):
        _ = idle.address
    with PubSubServer() as first:
        with pytest.raises(ShoalError, match="runs already"):
            first.start()
        with pytest.raises(ShoalError, match="cannot listen"):
            PubSubServer(int(first.address.split(":")[1])).start()
    first.start()
    first.stop()
    monkeypatch.setitem(sys.modules, "google.pubsub_v1", None)
    with pytest.raises(ShoalError, match=re.escape("pip install 'shoal[pubsub]'")):
        PubSubServer().start()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command_line(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "shoal.engines.beam.pubsub_server", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    lines = [process.stdout.readline() for _ in range(2)]
    match = re.fullmatch(r"export PUBSUB_EMULATOR_HOST=(127\.0\.0\.1:\d+)\n", lines[1])
    assert match
    assert match[1] in lines[0]
    code = f"from google.cloud import pubsub_v1 as p; p.PublisherClient().create_topic(name='projects/shoal-tests/topics/{'t' * 9}')"
    subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PUBSUB_EMULATOR_HOST": match[1]},
        check=True,
        timeout=60,
    )
    process.send_signal(number)
    _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, "")


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        pubsub_server.main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert "export PUBSUB_EMULATOR_HOST=" in text
    assert "create_subscription" in text


def test_a_late_acknowledgement_drops_no_message_of_a_namesake() -> None:
    broker = Broker()
    broker.create_topic("t")
    broker.create_subscription("s", "t", 10)
    broker.publish("t", [("old", 3)], stamp=lambda content, number: None)
    [stale] = broker.take("s", at_most=1, wait=0.0)
    broker.delete_subscription("s")
    broker.create_subscription("s", "t", 10)
    broker.publish("t", [("new", 3)], stamp=lambda content, number: None)
    broker.take("s", at_most=1, wait=0.0)
    broker.acknowledge("s", [stale.ack_id])
    assert broker.subscription("s").n_held == 1
