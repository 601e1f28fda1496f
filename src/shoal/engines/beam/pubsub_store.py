"""Topics and subscriptions in memory, behind :mod:`shoal.engines.beam.pubsub_server`; knows nothing of gRPC.

A subscription hands each message out on a lease: acknowledged, the message is dropped; handed back, or held for longer
than agreed, it comes again. Nothing is written to disk.
"""

from __future__ import annotations

import heapq
import itertools
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Condition
from typing import Any

DELETED_TOPIC = "_deleted-topic_"  # what Pub/Sub writes in a subscription that outlived its topic
BATCH_BYTES = 4_000_000  # a reply stays about this small, however many messages were asked for


class BrokerError(Exception):
    """A refusal; ``code`` is the name of a gRPC status."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(slots=True, order=True)
class Message:
    """A message as one subscription sees it; ``number`` is its place in the order of publishing."""

    number: int
    content: Any = field(compare=False)
    size: int = field(compare=False)
    attempts: int = field(default=0, compare=False)


@dataclass(slots=True)
class Lease:
    """A message handed out, not yet acknowledged."""

    ack_id: str
    message: Message
    until: float
    attempt: int


class Subscription:
    """The messages one subscription still has to see acknowledged. Not thread-safe: :class:`Broker` locks.

    Times are seconds on the caller's clock.

    >>> subscription = Subscription("s", "t", ack_seconds=10)
    >>> subscription.add(1, "hello", size=5)
    >>> [first] = subscription.take(now=0.0, at_most=10)
    >>> subscription.take(now=9.0, at_most=10), subscription.take(now=10.0, at_most=10)[0].attempt
    ([], 2)
    """

    def __init__(self, name: str, topic: str, ack_seconds: float, description: Any = None) -> None:
        self.name, self.topic, self.ack_seconds, self.description = name, topic, ack_seconds, description
        self.deleted = False
        # a late acknowledgement of a subscription that was deleted must not drop a message of its namesake
        self._prefix = f"{name}#{secrets.token_hex(6)}-"
        self.leased: dict[str, Lease] = {}
        self._waiting: list[Message] = []
        self._expiries: list[tuple[float, str]] = []  # may name leases that ended or were extended
        self._numbers = itertools.count(1)

    @property
    def n_held(self) -> int:
        """Messages kept: waiting or leased."""
        return len(self._waiting) + len(self.leased)

    @property
    def size(self) -> int:
        """Their bytes; walks over all of them."""
        leased = (lease.message for lease in self.leased.values())
        return sum(message.size for message in itertools.chain(self._waiting, leased))

    def add(self, number: int, content: Any, size: int) -> None:
        """Keep a message until it is acknowledged."""
        heapq.heappush(self._waiting, Message(number, content, size))

    def take(self, now: float, at_most: int, ack_seconds: float | None = None) -> list[Lease]:
        """Lease up to ``at_most`` messages, the earliest published first; empty where none waits."""
        self._expire(now)
        seconds = self.ack_seconds if ack_seconds is None else ack_seconds
        leases: list[Lease] = []
        room = BATCH_BYTES
        while self._waiting and len(leases) < at_most and (room >= self._waiting[0].size or not leases):
            message = heapq.heappop(self._waiting)
            message.attempts += 1
            room -= message.size
            lease = Lease(f"{self._prefix}{next(self._numbers)}", message, now + seconds, message.attempts)
            self.leased[lease.ack_id] = lease
            heapq.heappush(self._expiries, (lease.until, lease.ack_id))
            leases.append(lease)
        return leases

    def acknowledge(self, ack_ids: Iterable[str]) -> int:
        """Drop messages; returns the bytes freed. Leases that ended already are left out, as Pub/Sub does."""
        leases = [self.leased.pop(ack_id, None) for ack_id in ack_ids]
        self._tidy()
        return sum(lease.message.size for lease in leases if lease)

    def modify(self, ack_ids: Iterable[str], seconds: float, now: float) -> None:
        """Let leases end ``seconds`` from now; 0 hands the messages back at once."""
        for ack_id in ack_ids:
            lease = self.leased.get(ack_id)
            if lease and seconds > 0:
                lease.until = now + seconds
                heapq.heappush(self._expiries, (lease.until, ack_id))
            elif lease:
                self._hand_back(lease)
        self._tidy()

    def next_expiry(self) -> float | None:
        """When a lease may end next; None where nothing is leased."""
        return self._expiries[0][0] if self._expiries else None

    def _expire(self, now: float) -> None:
        while self._expiries and self._expiries[0][0] <= now:
            _, ack_id = heapq.heappop(self._expiries)
            lease = self.leased.get(ack_id)
            if lease and lease.until <= now:
                self._hand_back(lease)

    def _tidy(self) -> None:
        if len(self._expiries) > 2 * len(self.leased) + 1000:
            self._expiries = [(lease.until, ack_id) for ack_id, lease in self.leased.items()]
            heapq.heapify(self._expiries)

    def _hand_back(self, lease: Lease) -> None:
        del self.leased[lease.ack_id]
        heapq.heappush(self._waiting, lease.message)


class Broker:
    """Topics and subscriptions by name; thread-safe.

    Parameters
    ----------
    max_bytes : what all subscriptions may keep together; publishing more is refused until some is acknowledged.

    >>> broker = Broker()
    >>> broker.create_topic("t")
    >>> _ = broker.create_subscription("s", "t", 10)
    >>> broker.publish("t", [("hello", 5)], stamp=lambda content, number: None)
    ['1']
    >>> [lease] = broker.take("s", at_most=10, wait=0.0)
    >>> broker.acknowledge("s", [lease.ack_id]); broker.subscription("s").n_held
    0
    """

    def __init__(self, max_bytes: int = 256 << 20) -> None:
        self.max_bytes = max_bytes
        self._topics: dict[str, Any] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._held = 0
        self._numbers = itertools.count(1)
        self._changed = Condition()
        self._closed = False

    def create_topic(self, name: str, description: Any = None) -> None:
        """Raises ALREADY_EXISTS."""
        with self._changed:
            if name in self._topics:
                raise BrokerError("ALREADY_EXISTS", f"the topic {name} exists already")
            self._topics[name] = description

    def topic(self, name: str) -> Any:
        """The description it was created with; raises NOT_FOUND."""
        with self._changed:
            return self._topics[self._known(name)]

    def topics(self) -> dict[str, Any]:
        """All of them, sorted by name."""
        with self._changed:
            return dict(sorted(self._topics.items()))

    def delete_topic(self, name: str) -> None:
        """Its subscriptions stay, with what they have not delivered."""
        with self._changed:
            del self._topics[self._known(name)]
            for subscription in self._subscriptions.values():
                if subscription.topic == name:
                    subscription.topic = DELETED_TOPIC

    def create_subscription(
        self, name: str, topic: str, ack_seconds: float, description: Any = None
    ) -> Subscription:
        """It gets what is published from now on; raises NOT_FOUND, ALREADY_EXISTS."""
        with self._changed:
            self._known(topic)
            if name in self._subscriptions:
                raise BrokerError("ALREADY_EXISTS", f"the subscription {name} exists already")
            self._subscriptions[name] = Subscription(name, topic, ack_seconds, description)
            return self._subscriptions[name]

    def subscription(self, name: str) -> Subscription:
        """Raises NOT_FOUND."""
        with self._changed:
            if name not in self._subscriptions:
                raise BrokerError("NOT_FOUND", f"there is no subscription {name}")
            return self._subscriptions[name]

    def subscriptions(self, topic: str | None = None) -> dict[str, Subscription]:
        """Sorted by name; of one topic where it is given."""
        with self._changed:
            if topic is not None:
                self._known(topic)
            found = sorted(self._subscriptions.items())
            return {name: each for name, each in found if topic in (None, each.topic)}

    def delete_subscription(self, name: str) -> None:
        """Drops its messages; those who wait for them are told NOT_FOUND."""
        with self._changed:
            subscription = self.subscription(name)
            self._held -= subscription.size
            subscription.deleted = True
            del self._subscriptions[name]
            self._changed.notify_all()

    def publish(
        self, topic: str, messages: list[tuple[Any, int]], stamp: Callable[[Any, int], None]
    ) -> list[str]:
        """Give (content, bytes) pairs to every subscription of a topic; returns their ids.

        ``stamp`` writes a message's number into it. Raises NOT_FOUND, and RESOURCE_EXHAUSTED where too much is
        unacknowledged: Google's client then tries again, which slows the publisher down.
        """
        with self._changed:
            receivers = list(self.subscriptions(topic).values())
            more = len(receivers) * sum(size for _, size in messages)
            if self._held + more > self.max_bytes:
                text = f"{self._held} bytes wait to be acknowledged, of {self.max_bytes} allowed"
                raise BrokerError("RESOURCE_EXHAUSTED", text)
            self._held += more
            numbers = [next(self._numbers) for _ in messages]
            for number, (content, size) in zip(numbers, messages, strict=True):
                stamp(content, number)
                for subscription in receivers:
                    subscription.add(number, content, size)
            self._changed.notify_all()
            return [str(number) for number in numbers]

    def take(
        self,
        name: str,
        at_most: int,
        wait: float,
        ack_seconds: float | None = None,
        wanted: Callable[[], bool] = lambda: True,
    ) -> list[Lease]:
        """Lease messages as soon as there is one; empty after ``wait`` seconds, or once no longer ``wanted``."""
        end = time.monotonic() + wait
        with self._changed:
            subscription = self.subscription(name)
            while wanted():
                self._check_open()
                if subscription.deleted:
                    raise BrokerError("NOT_FOUND", f"the subscription {name} was deleted")
                now = time.monotonic()
                leases = subscription.take(now, at_most, ack_seconds)
                if leases or now >= end:
                    return leases
                self._changed.wait(min(end, subscription.next_expiry() or end) - now)
            return []

    def acknowledge(self, name: str, ack_ids: Iterable[str]) -> None:
        """Messages that never come again; raises NOT_FOUND."""
        with self._changed:
            self._held -= self.subscription(name).acknowledge(ack_ids)
            self._changed.notify_all()

    def modify(self, name: str, ack_ids: Iterable[str], seconds: float) -> None:
        """Extend leases, or end them with 0; raises NOT_FOUND."""
        with self._changed:
            self.subscription(name).modify(ack_ids, seconds, time.monotonic())
            self._changed.notify_all()

    def held_by(self, name: str, ack_ids: set[str]) -> set[str]:
        """Which of these leases still run; raises NOT_FOUND."""
        with self._changed:
            return ack_ids & self.subscription(name).leased.keys()

    def wait(self, seconds: float) -> None:
        """Until something changes, or so many seconds have passed."""
        with self._changed:
            self._check_open()
            self._changed.wait(seconds)

    def wake(self) -> None:
        """Let everyone who waits look again at whether they want to."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Send everyone who waits away: they are told UNAVAILABLE."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _check_open(self) -> None:
        if self._closed:
            raise BrokerError("UNAVAILABLE", "the server is stopping")

    def _known(self, topic: str) -> str:
        if topic not in self._topics:
            raise BrokerError("NOT_FOUND", f"there is no topic {topic}")
        return topic
