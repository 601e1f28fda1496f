"""Reading ahead changes nothing but the moment: order, ends, errors and acknowledgements stay."""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa
import pytest

from shoal.errors import BadInputError
from shoal.sources.stream_ahead import DEPTH, ReadAhead
from shoal.sources.stream_protocol import Chunk


class Counting:
    name = "counting"

    def __init__(self, chunks, *, fails_at=None, endless=False):
        self.chunks, self.fails_at, self.endless = chunks, fails_at, endless
        self.at, self.busy, self.told, self.closed = 0, False, [], False

    def start(self, position):
        self.at = 0 if position is None else position["at"]

    def poll(self, max_rows, timeout):
        assert not self.busy
        self.busy = True
        try:
            if self.at == self.fails_at:
                raise BadInputError("broken", place="chunk 3")
            if self.at >= self.chunks:
                time.sleep(timeout if self.endless else 0)
                return None
            self.at += 1
            table = pa.record_batch({"x": [float(self.at)]})
            return Chunk(table, "o", 1, np.array([self.at]), {"at": self.at})
        finally:
            self.busy = False

    @property
    def finished(self):
        return not self.endless and self.at >= self.chunks

    def committed(self, position):
        assert not self.busy
        self.told.append(position["at"])

    def backlog(self):
        return self.chunks - self.at

    def close(self):
        self.closed = True


def drained(ahead):
    found = []
    while not ahead.finished:
        chunk = ahead.poll(10, 0.5)
        if chunk is not None:
            found.append(chunk.position["at"])
    return found


def test_all_chunks_in_order_then_the_end():
    source = Counting(50)
    ahead = ReadAhead(source, 10)
    ahead.start({"at": 7})
    assert drained(ahead) == list(range(8, 51))
    ahead.close()
    assert source.closed


def test_a_slow_reader_holds_the_source_back():
    source = Counting(1000)
    ahead = ReadAhead(source, 10)
    ahead.start(None)
    time.sleep(0.5)
    assert source.at <= DEPTH + 1
    ahead.close()


def test_an_error_comes_after_the_chunks_before_it():
    ahead = ReadAhead(Counting(10, fails_at=3), 10)
    ahead.start(None)
    assert [ahead.poll(10, 1.0).position["at"] for _ in range(3)] == [1, 2, 3]
    with pytest.raises(BadInputError, match="chunk 3"):
        ahead.poll(10, 1.0)
    ahead.close()


def test_an_idle_source_lets_others_have_their_turn():
    source = Counting(2, endless=True)
    ahead = ReadAhead(source, 10)
    ahead.start(None)
    assert ahead.poll(10, 1.0).position == {"at": 1}
    began = time.monotonic()
    for _ in range(5):
        ahead.committed({"at": 1})
    assert time.monotonic() - began < 30  # it comes to an end at all
    assert source.told == [1] * 5
    assert not ahead.finished
    ahead.close()
