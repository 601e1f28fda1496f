"""Hashed words and pairs of words: the formula, and what it is good for."""

import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.text import hashed_terms
from shoal.text.embedding import load_embedder
from shoal.text.hashed_terms import BUCKETS, HashedTerms
from shoal.text.tokens import terms

BANKING = Path(__file__).parents[3] / "shared/data/banking77/train.csv"
needs_banking = pytest.mark.skipif(not BANKING.exists(), reason="../shared/data is not here")
SOME = [
    "my card has not arrived",
    "where is my card",
    "rate of exchange for euros",
    "Straße? STRASSE!",
    "我的卡丢了",
    "🙂 ?!",
]


def banking(n: int) -> tuple[list[str], list[str]]:
    with BANKING.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    step = len(rows) // n
    return [r["text"] for r in rows[::step][:n]], [r["category"] for r in rows[::step][:n]]


def oracle(text: str, width: int, idf: "np.ndarray | None") -> np.ndarray:
    """The formula, one term at a time, with the projection computed in Python's whole numbers."""
    out = np.zeros(width)
    for term in set(terms(text)):
        found = int.from_bytes(hashlib.blake2b(term.encode(), digest_size=8).digest(), "little")
        weight = 0.25 if " " in term else 1.0 if term > "\u3400" else min(len(term), 8) / 8
        bucket = found % 65536
        value = (weight if found >= 2**63 else -weight) * (1.0 if idf is None else float(idf[bucket]))
        for j in range(8):
            z = (bucket * 8 + j + 1) * 0x9E3779B97F4A7C15 % 2**64
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
            z ^= z >> 31
            low, high = width * j // 8, width * (j + 1) // 8
            out[low + (z >> 1) % (high - low)] += value if z & 1 else -value
    return out / np.linalg.norm(out)


@pytest.mark.parametrize("width", [8, 100, 256])
@pytest.mark.parametrize("learn", [False, True])
def test_agrees_with_the_formula(width: int, learn: bool) -> None:
    embedder = HashedTerms(width)
    if learn:
        embedder = embedder.learn(SOME)
    for text in ["my card, my lost card: my card", *SOME[:5]]:
        assert np.allclose(embedder.embed([text])[0], oracle(text, width, embedder.idf), atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text(min_size=1).filter(lambda t: t.replace("\0", "").strip()), min_size=1, max_size=8))
def test_a_vector_does_not_depend_on_its_company(texts: list[str]) -> None:
    embedder = HashedTerms(64)
    together = embedder.embed(texts)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    assert together.tobytes() == b"".join(embedder.embed([t]).tobytes() for t in texts)


def test_another_process_gets_the_same_bits() -> None:
    code = (
        "import json,sys; from shoal.text.hashed_terms import HashedTerms; "
        "sys.stdout.write(HashedTerms().embed(json.loads(sys.argv[1])).tobytes().hex())"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code, json.dumps(SOME)],
            capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed},
        )  # fmt: skip
        assert done.stdout == HashedTerms().embed(SOME).tobytes().hex()


def test_hashes_stay_what_they_were() -> None:
    """Stored vectors outlive a release: change the fingerprint if this must change."""
    assert hashed_terms._hashed("card") == (8680, -0.5)
    columns, signs = hashed_terms._projection(256)
    assert (columns[7].tolist(), signs[7].tolist()) == (
        [0, 44, 75, 103, 157, 184, 206, 253],
        [1.0, -1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0],
    )
    assert HashedTerms().fingerprint == "39f8425a829f866498af92846f881521"


def test_case_and_forms_do_not_matter_and_texts_without_words_are_alike() -> None:
    found = HashedTerms().embed(["Straße", "STRASSE", "ﬁne", "fine", "?!", "🙂", "word"])
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[2], found[3])
    assert np.array_equal(found[4], found[5])
    assert found[4] @ found[6] < 0.9


def test_texts_with_shared_words_are_nearer() -> None:
    found = HashedTerms().embed(["my card has not arrived", "card not arrived", "exchange rate of the euro"])
    assert found[0] @ found[1] > 0.5 > abs(found[0] @ found[2]) + 0.2
    chinese = HashedTerms().embed(["我的卡丢了", "我的卡没到", "汇率是多少"])
    assert chinese[0] @ chinese[1] > chinese[0] @ chinese[2] + 0.2


def test_what_was_learnt_is_kept_to_the_bit() -> None:
    learnt = HashedTerms(100).learn(["my card", "my rate", "my account"])
    again = HashedTerms.from_dict(json.loads(json.dumps(learnt.to_dict())))
    assert again.embed(SOME).tobytes() == learnt.embed(SOME).tobytes()
    assert again.fingerprint == learnt.fingerprint != HashedTerms(100).fingerprint
    assert HashedTerms.from_dict(HashedTerms(9).to_dict()).fingerprint == HashedTerms(9).fingerprint
    assert learnt.embed(["my card"])[0] @ learnt.embed(["my rate"])[0] < (
        HashedTerms(100).embed(["my card"])[0] @ HashedTerms(100).embed(["my rate"])[0]
    )


@pytest.mark.parametrize(
    "change",
    [
        {"idf": "!"}, {"idf": 3}, {"idf": "no base 85 \x7f"}, {"width": "9"}, {"width": None},
        {"idf": hashed_terms.b85encode(hashed_terms.zlib.compress(b"\xff" * 2 * BUCKETS)).decode()},
        {"idf": hashed_terms.b85encode(hashed_terms.zlib.compress(b"\0" * 40 * BUCKETS)).decode()},
    ],
)  # fmt: skip
def test_damaged_data_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(DamagedFileError, match="use another copy"):
        HashedTerms.from_dict({**HashedTerms().learn(["a b"]).to_dict(), **change})


def test_what_cannot_be_embedded() -> None:
    with pytest.raises(BadInputError, match="text 2: empty text; leave it out"):
        HashedTerms().embed(["a", " \t"])
    for name in ("hashed:7", "hashed:99999999", "hashed:x", "hashed:²", "hashed:-8"):
        with pytest.raises(ShoalError, match="width"):
            load_embedder(name)
    assert load_embedder("hashed").width == 256
    assert load_embedder("hashed:").embed([]).shape == (0, 256)


@needs_banking
def test_k_means_finds_real_topics() -> None:
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    texts, topics = banking(2000)
    embedder = HashedTerms().learn(texts)
    labels = KMeans(77, n_init=1, random_state=0).fit_predict(embedder.embed(texts))
    assert adjusted_rand_score(topics, labels) > 0.15
