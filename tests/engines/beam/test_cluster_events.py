"""Windows that are followed from one to the next: their order, their panes, and what waiting costs."""

from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.transforms.window import GlobalWindow, TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from shoal.engines.beam import ClusterEvents, Summarise
from shoal.engines.beam.cluster_events import BACKLOG, FollowFn
from shoal.engines.beam.coders import Learned
from shoal.engines.beam.solving import Solving
from shoal.engines.shares import SummarySettings
from shoal.errors import BadInputError
from shoal.model.cluster_model import ClusterModel

CENTRES = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]])


class Runner:
    """One key of :class:`FollowFn`, with its states and its timer, by hand."""

    def __init__(self, k: Any = 3) -> None:
        self.fn, self.before, self.waiting, self.next, self.turn = (
            FollowFn(Solving(k)),
            Cell(),
            Bag(),
            Cell(),
            Timer(),
        )
        self.found: list[Any] = []

    def add(self, learned: Learned, seconds: float) -> None:
        self._take(
            self.fn.process(
                ("k", learned), Timestamp(seconds), self.before, self.waiting, self.next, self.turn
            )
        )

    def watermark(self, seconds: float) -> None:
        """Fire while there is something due."""
        while self.turn.at is not None and self.turn.at <= Timestamp(seconds):
            now, self.turn.at = self.turn.at, None
            self._take(self.fn.when_its_turn_comes("k", now, self.before, self.waiting, self.next, self.turn))

    def _take(self, found: Any) -> None:
        for each in found:
            held = each if isinstance(each, TimestampedValue) else each.value
            self.found.append(held.value[1])

    @property
    def models(self) -> list[ClusterModel]:
        return [each for each in self.found if isinstance(each, ClusterModel)]

    @property
    def events(self) -> list[Any]:
        return [each for each in self.found if not isinstance(each, ClusterModel)]


class Cell:
    value: Any = None

    def read(self) -> Any:
        return self.value

    def write(self, value: Any) -> None:
        self.value = value

    def clear(self) -> None:
        self.value = None


class Bag:
    def __init__(self) -> None:
        self.held: list[bytes] = []
        self.bytes_read = 0

    def add(self, content: bytes) -> None:
        self.held.append(content)

    def read(self) -> list[bytes]:
        self.bytes_read += sum(map(len, self.held))
        return list(self.held)

    def clear(self) -> None:
        self.held = []


class Timer:
    at: Any = None

    def set(self, when: Any) -> None:
        self.at = when


def learned(rows: int, seed: int = 0) -> Learned:
    rng = np.random.default_rng(seed)
    X = CENTRES[np.arange(rows) % 3] + rng.normal(size=(rows, 2))
    return Learned(SummarySettings().new().update(X))


def test_a_late_pane_of_few_rows_kills_no_cluster() -> None:
    runner = Runner()
    runner.add(learned(300), 60.0)
    runner.watermark(61.0)
    runner.add(learned(1), 60.0)
    runner.watermark(62.0)
    assert [m.k for m in runner.models] == [3]
    assert {e.kind for e in runner.events} == {"born"}


def test_a_pane_of_more_rows_is_another_version() -> None:
    runner = Runner()
    for rows in (300, 330):
        runner.add(learned(rows), 60.0)
        runner.watermark(61.0)
    assert [m.provenance.rows_seen for m in runner.models] == [300, 330]


def test_a_window_that_comes_after_a_later_one_was_told_is_left_out() -> None:
    runner = Runner()
    for seconds in (60.0, 180.0, 120.0):
        runner.add(learned(300, int(seconds)), seconds)
        runner.watermark(200.0)
    assert len(runner.models) == 2
    assert {e.time for e in runner.events} <= {60.0, 180.0}


def test_windows_are_followed_by_their_time_in_whatever_order_they_came() -> None:
    runner = Runner()
    order = np.random.default_rng(0).permutation(60).tolist()
    for number in order:
        runner.add(learned(30 + number, number), float(number))
    runner.watermark(100.0)
    assert [m.provenance.rows_seen for m in runner.models] == list(range(30, 90))


def test_a_few_windows_that_wait_are_told_as_soon_as_they_are_over() -> None:
    runner = Runner()
    for number in range(BACKLOG):
        runner.add(learned(30, number), float(number))
    runner.watermark(4.0)
    assert len(runner.models) == 5


def test_waiting_costs_nothing_until_it_is_over() -> None:
    runner = Runner()
    for number in range(150):
        runner.add(learned(30, number), float(number))
    assert runner.waiting.bytes_read == 0
    size = sum(map(len, runner.waiting.held))
    runner.watermark(200.0)
    assert len(runner.models) == 150
    assert runner.waiting.bytes_read < 6 * size


def test_panes_of_the_global_window_are_told_at_once_and_at_times_of_this_world() -> None:
    runner = Runner()
    end = GlobalWindow().max_timestamp().micros / 1e6 + 1
    for rows in (300, 60):
        runner.add(learned(rows), end)
    assert [m.provenance.rows_seen for m in runner.models] == [300, 60]
    assert runner.events
    assert {e.time for e in runner.events} == {300.0}  # of rows without times: how many were seen


@pytest.mark.parametrize("k", [0, (0, 3), (5, 2)])
def test_a_k_that_makes_no_sense_is_refused(k: Any) -> None:
    with pytest.raises(BadInputError, match="k is"):
        ClusterEvents(k)


def test_beam_has_no_doubts_about_the_key(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", "apache_beam.transforms.core"), beam.Pipeline() as p:
        found = p | beam.Create([tuple(row) for row in CENTRES.tolist()]) | Summarise() | ClusterEvents(3)
        _ = found.models | beam.Map(_check_three)
    assert "Key coder" not in caplog.text


def _check_three(model: ClusterModel) -> None:
    assert model.k == 3
