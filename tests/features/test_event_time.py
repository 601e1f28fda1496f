"""Event times of every type a column may have."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from shoal.errors import BadInputError
from shoal.features.event_time import event_times, parse_time

NOON = 1_767_268_800.0  # 2026-01-01T12:00:00Z


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        (pa.array([dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)]), "s"),
        (pa.array([dt.datetime(2026, 1, 1, 12)]), "s"),
        (pa.array([dt.datetime(2026, 1, 1, 12)], pa.timestamp("ns")), "s"),
        (pa.array(["2026-01-01T12:00:00Z"]), "s"),
        (pa.array(["2026-01-01T12:00:00"]), "s"),
        (pa.array(["2026-01-01 12:00:00"]), "s"),
        (pa.array(["2026-01-01T14:00:00+02:00"]), "s"),
        (pa.array(["2026-01-01T12:00:00Z"]).dictionary_encode(), "s"),
        (pa.array([NOON]), "s"),
        (pa.array([int(NOON)]), "s"),
        (pa.array([int(NOON * 1000)]), "ms"),
        (pa.array([int(NOON * 10**9)]), "ns"),
        (pa.array([str(int(NOON * 1000))]), "ms"),
    ],
    ids=str,
)
def test_one_moment_in_many_forms(column, unit):
    times, bad = event_times(column, name="t", unit=unit)
    assert times.tolist() == [NOON]
    assert not bad.any()


def test_a_date_is_its_midnight():
    times, _ = event_times(pa.array([dt.date(2026, 1, 1)]), name="t")
    assert times.tolist() == [NOON - 43_200]


def test_zones_may_be_mixed():
    times, bad = event_times(
        pa.array(["2026-01-01T12:00:00Z", "2026-01-01T12:00:00", "2026-01-01T13:00+01:00"]), name="t"
    )
    assert times.tolist() == [NOON] * 3
    assert not bad.any()


@pytest.mark.parametrize(
    "column",
    [
        pa.array([None, "noon", ""], pa.string()),
        pa.array([None, np.nan, np.inf], pa.float64()),
        pa.array([1e300, -1e16, None], pa.float64()),
        pa.nulls(3),
        pa.array([None, None, None], pa.timestamp("us")),
    ],
    ids=str,
)
def test_what_is_no_time_is_told(column):
    times, bad = event_times(column, name="t")
    assert bad.all()
    assert np.isnan(times).all()


def test_a_column_of_another_type_is_an_error():
    with pytest.raises(BadInputError, match=r"'t'.*event times are"):
        event_times(pa.array([[1.0]]), name="t")


def test_one_text():
    assert parse_time("2026-01-01T12:00:00Z") == NOON
    with pytest.raises(ValueError, match="noon"):
        parse_time("noon")
