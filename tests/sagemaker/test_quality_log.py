"""Log lines in the form that tuning jobs and people look for."""

from __future__ import annotations

import io
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.sagemaker import quality_log
from shoal.sagemaker.quality_log import QualityLog

TUNER = r"#quality_metric: host=\S+, test msd <loss>=(\S+)"


@settings(deadline=None, max_examples=50)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_tuning_job_reads_back_the_very_number(value):
    out = io.StringIO()
    QualityLog("algo-2", out).quality("test", "msd", value)
    assert float(re.search(TUNER, out.getvalue())[1]) == value


def test_lines_have_the_form_of_the_documentation():
    out = io.StringIO()
    log = QualityLog("algo-1", out)
    log.progress(50)
    log.throughput(100, 2.0)
    log.metrics({"epochs": 1.0})
    first, second, third = out.getvalue().splitlines()
    assert first.endswith("#progress_metric: host=algo-1, completed 50.0 % of epochs")
    assert second.endswith("#throughput_metric: host=algo-1, train throughput=50.0 records/second")
    told = json.loads(third.removeprefix("#metrics "))
    assert told["Metrics"]["epochs"] == {"count": 1, "sum": 1.0, "min": 1.0, "max": 1.0}
    assert told["Dimensions"]["Host"] == "algo-1"
    assert told["StartTime"] <= told["EndTime"]


@pytest.mark.parametrize("debug", [False, True])
def test_debug_lines_only_where_they_are_wanted(debug):
    out = io.StringIO()
    QualityLog("algo-1", out, debug=debug).debug("detail")
    assert ("detail" in out.getvalue()) is debug


def test_a_remark_is_one_line():
    out = io.StringIO()
    QualityLog("algo-1", out).info("a\nb")
    assert len(out.getvalue().splitlines()) == 1


def test_rows_read_are_told_now_and_then(monkeypatch):
    out, moment = io.StringIO(), [0.0]
    monkeypatch.setattr(quality_log.time, "monotonic", lambda: moment[0])
    log = QualityLog("algo-1", out)
    for second in range(26):
        moment[0] = float(second)
        log.rows_read(1000 * second)
    assert re.findall(r"([\d,]+) rows read", out.getvalue()) == ["10,000", "20,000"]
