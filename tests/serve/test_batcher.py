"""Rows labelled together are labelled as alone, and nobody suffers from those beside."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shoal.serve.batcher as batcher_module
from shoal.errors import BadInputError
from shoal.model.build import build_model
from shoal.model.cluster_model import Provenance
from shoal.serve.batcher import Batcher, together
from shoal.solve.k_means import k_means

RNG = np.random.default_rng(3)
DATA = {d: RNG.normal(size=(400, d)) for d in (1, 5, 96)}
MODELS = {
    d: build_model(X, np.ones(400), k_means(X, 7), provenance=Provenance(rows_seen=400))
    for d, X in DATA.items()
}


class Held:
    """A model whose calls wait until they are let go, and are counted by their rows."""

    def __init__(self, model):
        self.model, self.calls, self.go = model, [], threading.Event()
        self.k, self.n_features = model.k, model.n_features

    def assign(self, X):
        self.calls.append(len(X))
        assert self.go.wait(10)
        return self.model.assign(X)


@pytest.fixture
def no_haste(monkeypatch):
    """Every request is large enough for a thread."""
    monkeypatch.setattr(batcher_module, "AT_ONCE", 0)


def assert_same(found, expected):
    for got, wanted in zip(found, expected, strict=True):
        assert got.dtype == wanted.dtype
        assert got.tobytes() == wanted.tobytes()


@settings(deadline=None, max_examples=40)
@given(
    d=st.sampled_from(sorted(DATA)),
    dtype=st.sampled_from([np.float32, np.float64]),
    metric=st.sampled_from(["euclidean", "cosine"]),
    cuts=st.lists(st.integers(1, 90), min_size=1, max_size=12),
    seed=st.integers(0, 2**32 - 1),
)
def test_rows_are_labelled_the_same_to_the_bit_in_any_company(d, dtype, metric, cuts, seed):
    rng = np.random.default_rng(seed)
    model = MODELS[d].replace(metric=metric)
    parts = [(rng.choice(DATA[d], n) + rng.normal(scale=0.3)).astype(dtype) for n in cuts]
    for part, found in zip(parts, together(model, parts), strict=True):
        assert_same(found, model.assign(part))


@settings(deadline=None, max_examples=15)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=20),
    pauses=st.lists(st.sampled_from([None, 0.0, 0.001]), min_size=20, max_size=20),
    left=st.sets(st.integers(0, 19)),
    at_once=st.sampled_from([0, 1000, 10**9]),
)
def test_any_interleaving_answers_as_the_model_does_whoever_leaves(sizes, pauses, left, at_once):
    parts = [DATA[5][i : i + n] for i, n in enumerate(sizes)]
    served, before = SimpleNamespace(model=MODELS[5]), batcher_module.AT_ONCE

    async def run():
        batcher = Batcher()

        async def ask(i):
            if pauses[i] is not None:
                await asyncio.sleep(pauses[i])
            return await batcher.assign(served, parts[i])

        tasks = [asyncio.create_task(ask(i)) for i in range(len(parts))]
        await asyncio.sleep(0)
        for i in left & set(range(len(parts))):
            tasks[i].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.02)
        return answers, batcher

    batcher_module.AT_ONCE = at_once
    try:
        answers, batcher = asyncio.run(run())
    finally:
        batcher_module.AT_ONCE = before
    assert not batcher._gathered
    for i, (part, found) in enumerate(zip(parts, answers, strict=True)):
        if isinstance(found, asyncio.CancelledError):
            assert i in left
        else:
            assert_same(found, MODELS[5].assign(part))


async def until(condition):
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it never came to pass")


def test_those_that_come_while_a_call_runs_share_the_next(no_haste):
    held = Held(MODELS[5])
    served = SimpleNamespace(model=held)
    parts = [DATA[5][i : i + 10 + i] for i in range(6)]

    async def run():
        batcher = Batcher()
        tasks = [asyncio.create_task(batcher.assign(served, p)) for p in parts]
        await until(lambda: held.calls)
        await asyncio.sleep(0.01)
        assert held.calls == [10]  # a lone request goes at once
        held.go.set()
        return await asyncio.gather(*tasks)

    for part, found in zip(parts, asyncio.run(run()), strict=True):
        assert_same(found, MODELS[5].assign(part))
    assert held.calls == [10, 11 + 12 + 13 + 14 + 15]


def test_calls_stay_below_the_bound_and_larger_requests_go_alone(no_haste, monkeypatch):
    monkeypatch.setattr(batcher_module, "ROWS", 25)
    held = Held(MODELS[5])
    served = SimpleNamespace(model=held)

    async def run():
        batcher = Batcher()
        tasks = [asyncio.create_task(batcher.assign(served, DATA[5][:n])) for n in (1, 10, 10, 10, 20, 40)]
        await until(lambda: len(held.calls) == 2)
        held.go.set()
        await asyncio.gather(*tasks)

    asyncio.run(run())
    assert sorted(held.calls[:2]) == [1, 40]
    assert held.calls[2:] == [20, 10, 20]


def test_versions_and_precisions_are_never_mixed(no_haste):
    held, other = Held(MODELS[5]), Held(MODELS[5])
    one, two = SimpleNamespace(model=held), SimpleNamespace(model=other)
    X = DATA[5]

    async def run():
        batcher = Batcher()
        asked = [(one, X[:3]), (one, X[:4].astype(np.float32)), (two, X[:5])]
        tasks = [asyncio.create_task(batcher.assign(*a)) for a in asked]
        await until(lambda: len(held.calls) == 2 and other.calls)
        held.go.set()
        other.go.set()
        await asyncio.gather(*tasks)

    asyncio.run(run())
    assert (sorted(held.calls), other.calls) == ([3, 4], [5])


def test_an_error_is_only_for_the_request_that_made_it(no_haste):
    held = Held(MODELS[5])
    served = SimpleNamespace(model=held)
    spoiled = DATA[5][:4].copy()
    spoiled[2, 1] = np.nan
    parts = [DATA[5][:3], DATA[5][3:9], DATA[96][:2], spoiled, DATA[5][9:11]]

    async def run():
        batcher = Batcher()
        tasks = [asyncio.create_task(batcher.assign(served, p)) for p in parts]
        await until(lambda: held.calls)
        held.go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = asyncio.run(run())
    for i in (0, 1, 4):
        assert_same(answers[i], MODELS[5].assign(parts[i]))
    assert isinstance(answers[2], BadInputError)
    assert "columns" in str(answers[2])
    assert isinstance(answers[3], BadInputError)
    assert answers[3].place.startswith("row 2")


def test_the_first_and_the_waiting_may_leave_without_harm(no_haste):
    held = Held(MODELS[5])
    served = SimpleNamespace(model=held)
    parts = [DATA[5][i : i + 5] for i in range(4)]

    async def run():
        batcher = Batcher()
        tasks = [asyncio.create_task(batcher.assign(served, p)) for p in parts]
        await until(lambda: held.calls)
        tasks[0].cancel()
        tasks[2].cancel()
        await asyncio.sleep(0)
        held.go.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        again = await batcher.assign(served, parts[0])
        await until(lambda: not batcher._gathered)
        return answers, again

    answers, again = asyncio.run(run())
    assert [isinstance(a, asyncio.CancelledError) for a in answers] == [True, False, True, False]
    for i in (1, 3):
        assert_same(answers[i], MODELS[5].assign(parts[i]))
    assert_same(again, MODELS[5].assign(parts[0]))
    assert held.calls == [5, 10, 5]


def test_a_few_rows_do_not_wait_for_a_thread():
    served = SimpleNamespace(model=MODELS[5])
    threads = []

    class Watched(Held):
        def assign(self, X):
            threads.append(threading.current_thread())
            return self.model.assign(X)

    served.model = Watched(MODELS[5])
    asyncio.run(Batcher().assign(served, DATA[5][:3]))
    assert threads == [threading.current_thread()]
