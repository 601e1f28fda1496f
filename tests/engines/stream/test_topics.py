"""Topics of a stream: told as they come, the same after a crash, open to decisions while it runs."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shoal.engines.outputs.open import open_output
from shoal.engines.stream.run import RunOptions, Status, StreamRun
from shoal.engines.stream.settings import Span
from shoal.engines.stream.topics import TopicLearner, topic_stream
from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.sources.options import ReadOptions
from shoal.sources.stream_embedded import EmbeddedSource
from shoal.sources.stream_open import open_stream
from shoal.text.embedding import load_embedder
from shoal.text.topic_model import TopicModel
from shoal.text.topic_state import TopicSettings

SUBJECTS = {
    "cards": "card lost stolen bank replace wallet",
    "rates": "exchange rate euro dollar currency fee",
    "codes": "passcode forgotten reset login phone app",
}


def records(n: int, seed: int = 0) -> list[dict[str, Any]]:
    dice = random.Random(seed)
    out: list[dict[str, Any]] = []
    for i in range(n):
        words = SUBJECTS[dice.choice(list(SUBJECTS))].split()
        out.append({"id": f"m{i}", "text": " ".join(dice.sample(words, 4)), "at": 1.7e9 + 10 * i})
    return out


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(
    source: Path, state: Path, *, chunks: int | None = None, every: str = "300", **more: Any
) -> StreamRun:
    """A run, stopped after so many chunks as a kill would, if that is asked."""
    topics = TopicSettings(3)
    stream = topic_stream("text", topics, time="at", every=Span.parse(every), keep=("id",), **more)
    embedder = load_embedder("hashed:64")
    seen = {"chunks": 0}

    def watch(status: Status) -> None:
        seen["chunks"] += 1

    learner = TopicLearner(stream, topics, "text", (embedder.name, embedder.fingerprint), state)
    options = RunOptions(
        max_rows=64,
        checkpoint_seconds=0.0,
        watch=watch,
        stopped=lambda: chunks is not None and seen["chunks"] >= chunks,
    )
    read = ReadOptions(on_error="skip", text_columns=frozenset({"text", "id"}))
    opened = EmbeddedSource(
        open_stream(str(source), follow=False, options=read, state=state), embedder, "text"
    )
    done = StreamRun(
        opened,
        stream,
        state,
        labels=open_output(str(state.parent / f"{state.name}.jsonl")),
        learner=learner,
        options=options,
    )
    done.run()
    return done


def labels(state: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (state.parent / f"{state.name}.jsonl").read_text().splitlines()]


def test_topics_are_told_labelled_and_found_again(tmp_path: Path) -> None:
    rows = records(1000)
    done = run(write(tmp_path / "in.jsonl", rows), tmp_path / "state")
    told = labels(tmp_path / "state")
    assert [t["id"] for t in told] == [r["id"] for r in rows]
    by_topic = {
        (
            t["topic"],
            frozenset(s for s, words in SUBJECTS.items() if set(t["text"].split()) <= set(words.split())),
        )
        for t in told
    }
    assert len(by_topic) == 3  # each subject has one topic from the first row to the last
    assert all(t["topic_name"] for t in told)
    model = TopicModel.load(tmp_path / "state")
    assert model.n_texts_seen_ == 1000
    assert [t.to_dict() for t in model.topics_] == [t.to_dict() for t in done.learner.topics]  # type: ignore[attr-defined]
    assert model.over_time(4).weights.sum() == pytest.approx(1000)
    assert model.search("my wallet was stolen")[0].topic.id == next(
        t["topic"] for t in told if "wallet" in t["text"]
    )


@pytest.mark.parametrize("chunks", [1, 5, 9])
def test_a_run_that_was_cut_goes_on_as_if_it_had_not(tmp_path: Path, chunks: int) -> None:
    source = write(tmp_path / "in.jsonl", [*records(900), {"id": "bad", "text": "  ", "at": 1.7e9}])
    run(source, tmp_path / "whole")
    for _ in range(20):
        run(source, tmp_path / "cut", chunks=chunks)
    run(source, tmp_path / "cut")
    assert labels(tmp_path / "cut") == labels(tmp_path / "whole")
    one, other = (TopicModel.load(tmp_path / name) for name in ("whole", "cut"))
    assert one.state_.summary.to_bytes() == other.state_.summary.to_bytes()
    assert [t.to_dict() for t in one.topics_] == [t.to_dict() for t in other.topics_]
    assert (tmp_path / "whole" / "events.jsonl").read_text() == (
        tmp_path / "cut" / "events.jsonl"
    ).read_text()
    assert len((tmp_path / "cut" / "dead_letters.jsonl").read_text().splitlines()) == 1


def test_decisions_are_taken_up_while_it_runs(tmp_path: Path) -> None:
    rows = records(2000)
    source, state = write(tmp_path / "in.jsonl", rows), tmp_path / "state"
    run(source, state, chunks=16)
    model = TopicModel.load(state)
    ids = [t.id for t in model.topics_]
    model.rename(ids[0], "by hand").merge_topics(ids[1:]).save(state)
    run(source, state)
    late = labels(state)[1500:]
    assert {t["topic"] for t in late} == {ids[0], ids[1]}
    assert "by hand" in {t["topic_name"] for t in late}
    assert {t.name for t in TopicModel.load(state).topics_ if t.by_hand} == {"by hand"}


def test_what_is_no_text_is_a_dead_letter(tmp_path: Path) -> None:
    bad = [{"id": "a", "text": ""}, {"id": "b", "text": None}, {"id": "c"}, {"id": "d", "text": "\u200b \n"}]
    rows = [*records(300), *({"at": 1.7e9} | row for row in bad)]
    run(write(tmp_path / "in.jsonl", rows), tmp_path / "state")
    dead = [json.loads(line) for line in (tmp_path / "state" / "dead_letters.jsonl").read_text().splitlines()]
    assert [
        (d["reason"], json.loads(d["raw"].replace("'", '"').replace("None", "null"))["id"]) for d in dead[:3]
    ] == [
        ("empty text", "a"),
        ("empty text", "b"),
        ("empty text", "c"),
    ]
    assert len(labels(tmp_path / "state")) == len(rows) - len(dead)


def test_columns_that_are_missing_or_numbers_are_told(tmp_path: Path) -> None:
    rows = [{"txt": "a card", "at": 1.0, "id": "1"}] * 5
    with pytest.raises(BadInputError, match="no column named 'text'"):
        run(write(tmp_path / "in.jsonl", rows), tmp_path / "state")


def test_a_state_of_numbers_is_refused(tmp_path: Path) -> None:
    from shoal.engines.stream.checkpoint import Checkpoint

    source = write(tmp_path / "in.jsonl", records(300))
    run(source, tmp_path / "state")
    known = Checkpoint.read(tmp_path / "state")
    assert known is not None
    Checkpoint(known.number, known.meta, known.summary, known.buckets).write(tmp_path / "state")
    with pytest.raises(DamagedFileError, match="not of topics"):
        run(source, tmp_path / "state")


def test_forgetting_follows_the_topics_of_now(tmp_path: Path) -> None:
    early = [r for r in records(1500, 1) if set(r["text"].split()) <= set(SUBJECTS["cards"].split())]
    late = [r for r in records(1500, 2) if not set(r["text"].split()) <= set(SUBJECTS["cards"].split())]
    rows = [r | {"at": 1.7e9 + 10 * i} for i, r in enumerate(early + late)]
    run(write(tmp_path / "in.jsonl", rows), tmp_path / "state", half_life=Span.parse("20m"), every="200")
    model = TopicModel.load(tmp_path / "state")
    named = {word for t in model.topics_ for word in t.name.replace("·", "").split()}
    assert [bool(named & set(words.split())) for words in SUBJECTS.values()] == [False, True, True]
    assert "died" in {e.kind for e in model.events_}
    sample = model.state_.summary.sample()
    assert np.nanmax(sample.times) == rows[-1]["at"]


def test_two_people_who_decide_at_once_are_told(tmp_path: Path) -> None:
    state = tmp_path / "state"
    run(write(tmp_path / "in.jsonl", records(1000)), state)
    one, other = TopicModel.load(state), TopicModel.load(state)
    first, second = (t.id for t in one.topics_[:2])
    one.rename(first, "one").save(state)
    with pytest.raises(ShoalError, match="somebody else decided"):
        other.rename(second, "other").save(state)
    one.rename(second, "again").save(state)
    assert {t.name for t in TopicModel.load(state).topics_} >= {"one", "again"}


def test_a_split_by_hand_takes_no_id_that_the_stream_has_given_out(tmp_path: Path) -> None:
    rows = records(3000)
    source, state = write(tmp_path / "in.jsonl", rows), tmp_path / "state"
    run(source, state, chunks=10)
    stale = TopicModel.load(state)
    parts = stale.split_topic(stale.topics_[0].id, 2)
    done = run(source, state, chunks=25)
    learner = done.learner
    assert isinstance(learner, TopicLearner)
    assert learner.model is not None
    # the stream gives the new part's id to a topic of its own before it hears of the split
    ids = [
        parts[1] if i != parts[0] and i == max(learner.model.ids) else i for i in learner.model.ids.tolist()
    ]
    taken = learner.model.replace(ids=np.array(ids))
    learner.model, learner._pinned = taken, set()
    told = stale.state_.curation
    assert parts[1] in learner._taken(told)
    moved = told.renumbered(learner._taken(told))
    assert set(moved.pins) & set(taken.ids.tolist()) <= {parts[0]}
    stale.save(state)
    run(source, state)
    ids = [t.id for t in TopicModel.load(state).topics_]
    assert len(ids) == len(set(ids)) == 4
    assert sum(t.pinned for t in TopicModel.load(state).topics_) == 2


def test_a_stream_takes_decisions_only_and_goes_on_with_its_own_vectors(tmp_path: Path) -> None:
    source, state = write(tmp_path / "in.jsonl", records(1500)), tmp_path / "state"
    run(source, state, chunks=12)
    model = TopicModel.load(state)
    with pytest.raises(ShoalError, match="learns by itself"):
        model.partial_fit(["my card is lost"] * 5).save(state)
    other = TopicModel(3, embedder="hashed:64").fit([r["text"] for r in records(100)])
    with pytest.raises(ShoalError, match="its own topics only"):
        other.save(state)
    for name, width in (("hashed", "hashed"), ("hashed:64", "other")):
        embedder = load_embedder(name)
        topics = TopicSettings(3)
        stream = topic_stream("text", topics, time="at", every=Span.parse("300"), keep=("id",))
        learner = TopicLearner(stream, topics, "text", (width, "another"), state)
        opened = EmbeddedSource(
            open_stream(str(source), follow=False, options=ReadOptions(on_error="skip"), state=state),
            embedder,
            "text",
        )
        with pytest.raises(BadInputError, match="not of"):
            StreamRun(opened, stream, state, learner=learner).run()
