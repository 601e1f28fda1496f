"""The sketch of terms: within its bound, whatever the batches, the order and the merges."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import BadInputError, DamagedFileError, NewerFormatError, ShoalError
from shoal.summary import wire
from shoal.text.term_sketch import TermSketch

few = settings(deadline=None, max_examples=40)
texts_of_terms = st.lists(st.lists(st.integers(0, 30).map("t{}".format), max_size=6), max_size=60)


def true_weights(texts: list[list[str]], weights: list[float]) -> dict[str, float]:
    out: dict[str, float] = defaultdict(float)
    for text, weight in zip(texts, weights, strict=True):
        for term in set(text):
            out[term] += weight
    return out


def zipf_texts(n: int, seed: int = 0) -> list[list[str]]:
    rng = np.random.default_rng(seed)
    return [[f"t{min(i, 5000)}" for i in row] for row in rng.zipf(1.3, (n, 8))]


@few
@given(texts_of_terms, st.integers(1, 10), st.randoms(use_true_random=False))
def test_weights_are_never_too_high_and_too_low_by_error_at_most(texts, capacity, random) -> None:
    weights = [float(random.randint(0, 5)) for _ in texts]
    sketch, true = TermSketch(capacity).update(texts, weights), true_weights(texts, weights)
    for term, weight in true.items():
        assert weight - sketch.error <= sketch[term] <= weight
    assert len(sketch) <= 2 * capacity
    assert sketch.error <= sum(true.values()) / (capacity + 1)
    assert (sketch.count, sketch.weight) == (len(texts), sum(weights))


@few
@given(texts_of_terms, texts_of_terms, st.integers(1, 8), st.integers(1, 8))
def test_merging_is_commutative_bytewise_and_keeps_the_bound(a, b, m, n) -> None:
    one, two = TermSketch(m).update(a), TermSketch(n).update(b)
    before = one.to_bytes()
    both = one.merge(two)
    assert both.to_bytes() == two.merge(one).to_bytes()
    assert one.to_bytes() == before
    assert (both.capacity, both.count) == (min(m, n), len(a) + len(b))
    true = true_weights(a + b, [1.0] * len(a + b))
    for term, weight in true.items():
        assert weight - both.error <= both[term] <= weight
    assert both.error <= sum(true.values()) / (min(m, n) + 1)


def test_a_tree_of_merges_keeps_the_bound_on_heavy_tails() -> None:
    texts = zipf_texts(4000)
    parts = [TermSketch(100).update(texts[i::16]) for i in range(16)]
    while len(parts) > 1:
        parts = [a.merge(b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    true = Counter(term for text in texts for term in set(text))
    assert 0 < parts[0].error <= sum(true.values()) / 101
    assert all(n - parts[0].error <= parts[0][term] <= n for term, n in true.items())
    assert list(parts[0].items())[:3] == [term for term, _ in true.most_common(3)]


@few
@given(texts_of_terms, st.integers(1, 8), st.integers(1, 9), st.sampled_from([None, 3.0]))
def test_batch_sizes_leave_no_trace(texts, capacity, size, half_life) -> None:
    times = np.arange(len(texts)) * 7.0
    whole, parts = TermSketch(capacity, half_life), TermSketch(capacity, half_life)
    if texts:
        whole.update(texts, times=times)
    for start in range(0, len(texts), size):
        parts.update(texts[start : start + size], times=times[start : start + size])
    assert whole.to_bytes() == parts.to_bytes()


def test_ties_at_the_cut_leave_no_more_than_the_capacity() -> None:
    sketch = TermSketch(2).update([["a"], ["b"], ["c"], ["d"], ["a", "e"]])
    assert sketch.items() == {"a": 1.0}
    assert sketch.error == 1.0


def test_a_term_counts_once_per_text_times_its_weight() -> None:
    sketch = TermSketch().update([["a", "a", "b"], ["a"], ["c"]], weights=[2.0, 0.5, 0.0])
    assert sketch.items() == {"a": 2.5, "b": 2.0}
    assert (sketch["nothing"], "a" in sketch, "c" in sketch, sketch.count) == (0.0, True, False, 3)
    assert sketch.nbytes > 100
    assert not sketch.is_empty
    assert TermSketch().is_empty


@pytest.mark.parametrize("order", [1, -1])
def test_decayed_weights_equal_an_oracle(order: int) -> None:
    texts, times = zipf_texts(300)[::order], 1.7e9 + np.arange(300.0)[::order] * 40
    weights = np.linspace(0.5, 2, 300)
    sketch = TermSketch(10_000, half_life=60.0)  # 200 half-lives: the landmark moves
    for at in range(0, 300, 50):
        part = slice(at, at + 50)
        sketch.update(texts[part], weights[part], times=times[part])
    aged = weights * 2.0 ** ((times - times.max()) / 60.0)
    true = true_weights(texts, aged.tolist())
    assert set(sketch.items()) == set(true)
    for term, weight in true.items():
        assert sketch[term] == pytest.approx(weight, rel=1e-9)
    assert sketch.weight == pytest.approx(aged.sum(), rel=1e-9)
    assert sketch.newest == times.max()


def test_parts_of_different_ages_merge_as_one() -> None:
    texts, times = zipf_texts(200), np.arange(200.0)
    old = TermSketch(10_000, 1.0).update(texts[:100], times=times[:100])
    new = TermSketch(10_000, 1.0).update(texts[100:], times=times[100:])
    whole = TermSketch(10_000, 1.0).update(texts, times=times)
    both = old.merge(new)
    assert both.to_bytes() == new.merge(old).to_bytes()
    assert both.items() == pytest.approx(whole.items(), rel=1e-12)
    far = TermSketch(10, 1.0).update([["x"]], times=[5000.0])
    assert far.merge(old).items() == {"x": 1.0}  # what is forgotten is not held


def test_different_half_lives_and_bad_settings_are_errors() -> None:
    with pytest.raises(ShoalError, match="half-lives differ"):
        TermSketch(half_life=1.0).merge(TermSketch(half_life=2.0))
    with pytest.raises(ShoalError, match="forgets"):
        TermSketch(half_life=1.0).merge(TermSketch())
    with pytest.raises(ShoalError, match="capacity=0"):
        TermSketch(0)
    with pytest.raises(ShoalError, match="half_life"):
        TermSketch(half_life=-1.0)


def test_bad_input_is_named_and_changes_nothing() -> None:
    sketch = TermSketch(half_life=2.0).update([["a"]], times=[0.0])
    before = sketch.to_bytes()
    with pytest.raises(BadInputError, match="text 2: a text came whole"):
        sketch.update([["a"], "a text"], times=[0, 1])
    with pytest.raises(BadInputError, match="text 2: weight is nan"):
        sketch.update([["a"], ["b"]], [1.0, np.nan], times=[0, 1])
    with pytest.raises(BadInputError, match="shape"):
        sketch.update([["a"]], [1.0, 2.0], times=[0])
    with pytest.raises(BadInputError, match="no event times"):
        sketch.update([["a"]])
    with pytest.raises(BadInputError, match="not \\(1,\\)"):
        sketch.update([["a"]], times=[1.0, 2.0])
    assert sketch.to_bytes() == before


@pytest.mark.parametrize("half_life", [None, 5.0])
def test_bytes_round_trip_and_go_on(half_life: float | None) -> None:
    texts, times = [*zipf_texts(60), ["東京", "café", "\ud800", ""]], np.arange(61.0)
    sketch = TermSketch(30, half_life).update(texts, times=times)
    back = TermSketch.from_bytes(sketch.to_bytes())
    assert back.to_bytes() == sketch.to_bytes()
    assert (back.items(), back.error, back.weight, back.count) == (
        sketch.items(),
        sketch.error,
        sketch.weight,
        61,
    )
    more = zipf_texts(20, seed=1)
    assert back.update(more, times=times[:20]).to_bytes() == sketch.update(more, times=times[:20]).to_bytes()
    empty = TermSketch(7, half_life)
    assert TermSketch.from_bytes(empty.to_bytes()).to_bytes() == empty.to_bytes()


def test_equal_sketches_give_equal_bytes_whatever_the_order() -> None:
    texts = zipf_texts(50)
    assert TermSketch().update(texts).to_bytes() == TermSketch().update(texts[::-1]).to_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"count": -1},
        {"count": 1.5},
        {"weight": float("nan")},
        {"error": -1.0},
        {"capacity": "7"},
        {"clock": {"half_life": -1.0, "newest": None}},
        {"clock": {"half_life": 1.0, "newest": "now"}},
        {"weights": np.array([-1.0, 1.0])},
        {"weights": np.array([1.0])},
        {"offsets": np.array([0, 3, 2])},
        {"offsets": np.array([0, 2, 1])},
        {"terms": np.frombuffer(b"\xff\xff", np.uint8)},
        {"terms": np.frombuffer(b"ba", np.uint8)},
        {"capacity": 0},
    ],
)
def test_parts_that_do_not_fit_are_damage(change: dict[str, object]) -> None:
    meta, arrays = wire.unpack("terms", TermSketch(5).update([["a", "b"]]).to_bytes())
    for name, value in change.items():
        (arrays if name in arrays else meta)[name] = value
    meta.pop("kind")
    with pytest.raises(DamagedFileError):
        TermSketch.from_bytes(wire.pack("terms", meta, arrays))


def test_damaged_bytes_are_refused() -> None:
    data = TermSketch().update([["a", "b"]]).to_bytes()
    for at in range(0, len(data), 7):
        with pytest.raises((DamagedFileError, NewerFormatError)):
            TermSketch.from_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises(DamagedFileError):
        TermSketch.from_bytes(data[:-1])
