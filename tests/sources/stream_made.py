"""Reading streams to their end in the tests, with any sizes and restarts."""

from __future__ import annotations

import json
import time

from shoal.sources.options import ReadOptions
from shoal.sources.stream_open import open_stream


def drained(stream, *, sizes=(1000,), until=None, seconds=20.0, commit=True):
    """(rows as (key, number, values)), dead letters, the last position; stops when finished or at ``until`` records."""
    rows, dead, position, i = [], [], None, 0
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        chunk = stream.poll(sizes[i % len(sizes)], 0.05)
        if chunk is not None:
            assert chunk.table.num_rows <= sizes[i % len(sizes)]
            assert len(chunk.rows) == chunk.table.num_rows
            rows += zip(
                [chunk.key] * len(chunk.rows), chunk.rows.tolist(), chunk.table.to_pylist(), strict=True
            )
            dead += chunk.dead
            position = json.loads(json.dumps(chunk.position))
            if commit:
                stream.committed(position)
            i += 1
        if chunk is None and stream.finished:
            break
        if until is not None and len(rows) + len(dead) >= until:
            break
    else:
        raise AssertionError(f"{len(rows)} rows and {len(dead)} dead letters came in time")
    return rows, dead, position


def restarted(make, sizes, stops):
    """As :func:`drained`, but after each of ``stops`` polls the stream is thrown away and begun again."""
    rows, dead, position = [], [], None
    for stop in [*stops, 10**9]:
        stream = make()
        stream.start(position)
        for i in range(stop):
            chunk = stream.poll(sizes[i % len(sizes)], 0.0)
            if chunk is None:
                if stream.finished:
                    break
                continue
            rows += zip(
                [chunk.key] * len(chunk.rows), chunk.rows.tolist(), chunk.table.to_pylist(), strict=True
            )
            dead += chunk.dead
            position = json.loads(json.dumps(chunk.position))
            stream.committed(position)
        stream.close()
    return rows, dead


def opened(source, state, *, follow=False, **options):
    return open_stream(str(source), follow=follow, options=ReadOptions(**options), state=state)
