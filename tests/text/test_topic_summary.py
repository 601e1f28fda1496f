"""A summary of texts: merges, forgets nothing of its sample, stays inside its bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.text.text_notes import KEPT_CHARS
from shoal.text.topic_summary import TopicSummary

RNG = np.random.default_rng(0)
WORDS = [f"word{i}" for i in range(50)]


def texts(n: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 8)).astype(np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X, [" ".join(rng.choice(WORDS, 5)) + f" {seed} {i}" for i in range(n)]


def filled(n: int, seed: int, **more: object) -> TopicSummary:
    X, said = texts(n, seed)
    return TopicSummary(rows=200, **more).update(X, said)  # type: ignore[arg-type]


def test_every_row_of_the_sample_has_its_own_text() -> None:
    X, said = texts(3000)
    summary = TopicSummary(rows=300)
    for i in range(0, 3000, 70):
        summary.update(X[i : i + 70], said[i : i + 70])
    sample = summary.sample()
    place = {text: i for i, text in enumerate(said)}
    assert len(sample.texts) == 300
    assert all(np.array_equal(X[place[text]], row) for text, row in zip(sample.texts, sample.X, strict=True))
    assert sample.weights.sum() == pytest.approx(3000)
    assert summary.notes.terms["word7"] == sum("word7" in t.split() for t in said)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=8))
@settings(deadline=None, max_examples=15)
def test_batches_leave_no_trace(sizes: list[int]) -> None:
    X, said = texts(sum(sizes))
    whole, parts, at = TopicSummary(rows=100).update(X, said), TopicSummary(rows=100), 0
    for size in sizes:
        parts.update(X[at : at + size], said[at : at + size])
        at += size
    assert parts.to_bytes() == whole.to_bytes()


@given(st.integers(0, 500), st.integers(0, 500), st.integers(1, 500))
@settings(deadline=None, max_examples=15)
def test_merging_is_commutative_and_associative(a: int, b: int, c: int) -> None:
    one, two, three = (filled(n, seed) for seed, n in enumerate((a, b, c)))
    assert one.merge(two).to_bytes() == two.merge(one).to_bytes()
    left, right = one.merge(two).merge(three).sample(), one.merge(two.merge(three)).sample()
    assert sorted(left.texts) == sorted(right.texts)
    assert one.merge(two).merge(three).count == a + b + c


def test_texts_with_ids_that_come_again_are_one_row() -> None:
    X, said = texts(300)
    ids = [f"message {i}" for i in range(300)]
    a = TopicSummary(rows=500).update(X, said, ids=ids)
    b = TopicSummary(rows=500).update(X[:200], said[:200], ids=ids[:200])
    assert len(a.merge(b).sample().texts) == 300
    assert (
        len(
            TopicSummary(rows=500)
            .update(X, said)
            .merge(TopicSummary(rows=500).update(X, said))
            .sample()
            .texts
        )
        == 300
    )
    two = filled(100, 1).merge(filled(100, 2))
    assert len(two.sample().texts) == 200


def test_equal_texts_are_each_a_row() -> None:
    X = np.tile(np.array([[1.0, 0.0]]), (5000, 1))
    summary = TopicSummary(rows=100).update(X, ["buy now"] * 5000)
    assert summary.count == 5000
    assert summary.sample().weights.sum() == pytest.approx(5000)
    assert set(summary.sample().texts) == {"buy now"}


def test_memory_is_bounded_whatever_comes() -> None:
    summary, most = TopicSummary(rows=200, max_bytes=1 << 20, capacity=1000), 0
    for i in range(60):
        X, said = texts(500, i)
        summary.update(X, [t + " " + "x" * 5000 for t in said])
        most = max(most, len(summary.notes))
        assert all(len(t) <= KEPT_CHARS for t in summary.sample().texts[:5])
    assert most <= 2 * 200 + 4096 + 500
    assert len(summary.to_bytes()) < 16 << 20
    assert len(summary.notes.terms) <= 2000


def test_forgetting_makes_old_texts_light() -> None:
    X, said = texts(400)
    summary = TopicSummary(rows=1000, half_life=10.0).update(X, said, times=np.repeat([0.0, 100.0], 200))
    sample = summary.sample()
    old = sample.weights[sample.times == 0.0].sum()
    assert old == pytest.approx(200 / 1024, rel=0.01)
    assert summary.notes.terms.weight == pytest.approx(200 + 200 / 1024)
    with pytest.raises(BadInputError, match="times"):
        summary.update(X, said)


def test_bytes_round_trip_and_go_on() -> None:
    one = filled(700, 3)
    again = TopicSummary.from_bytes(one.to_bytes())
    assert again.to_bytes() == one.to_bytes()
    X, said = texts(300, 9)
    assert again.update(X, said).to_bytes() == one.update(X, said).to_bytes()
    assert again.sample().texts == one.sample().texts


def test_surrogates_and_scripts_survive() -> None:
    said = ["caf\udce9", "日本語 の テキスト", "🙂🙃", "שלום עולם"]
    summary = TopicSummary().update(np.eye(4), said)
    assert sorted(TopicSummary.from_bytes(summary.to_bytes()).sample().texts) == sorted(said)


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-3], lambda b: b[:200] + b"x" + b[201:], lambda b: b"nothing"]
)
def test_damaged_bytes_are_told(damage: object) -> None:
    with pytest.raises(DamagedFileError):
        TopicSummary.from_bytes(damage(filled(50, 0).to_bytes()))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"texts": ["a"]}, "2 vectors for 1 texts"),
        ({"ids": ["a"]}, "1 ids for 2 texts"),
        ({"times": [1.0]}, "1 times for 2 texts"),
        ({"ids": ["a", 1.5]}, "1.5 is no id"),
    ],
)
def test_what_does_not_fit_is_told(given: dict, says: str) -> None:
    said = given.pop("texts", ["a", "b"])
    with pytest.raises(BadInputError, match=says):
        TopicSummary().update(np.eye(2), said, **given)


def test_other_widths_and_seeds_do_not_merge() -> None:
    with pytest.raises(ShoalError, match="columns"):
        filled(20, 0).merge(TopicSummary(rows=200).update(np.eye(3), ["a", "b", "c"]))
    with pytest.raises(ShoalError, match="seeds"):
        filled(20, 0).merge(TopicSummary(seed=4).update(np.eye(8), list("abcdefgh")))
