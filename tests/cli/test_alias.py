"""``shoal alias`` as a user runs it."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from shoal.cli import alias
from shoal.errors import BadInputError
from shoal.model.aliases import aliases

app = typer.Typer()
app.command()(alias.run)


@pytest.fixture
def store(tmp_path):
    for number in (3, 4):
        (tmp_path / f"v{number:08d}").mkdir()
    return tmp_path


def said(*arguments):
    done = CliRunner().invoke(app, [*map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def test_aliases_are_set_moved_listed_and_dropped(store):
    assert said(store, "--json") == '{\n  "aliases": {}\n}\n'
    assert said(store, "champion", 3) == "champion  3\n"
    said(store, "champion", 4)
    said(store, "best", 3)
    assert said(store) == "best  3\nchampion  4\n"
    assert json.loads(said(store, "best", "--json")) == {"aliases": {"best": 3}}
    assert said(store, "best", "--drop") == "best removed\n"
    assert aliases(store) == {"champion": 4}


def test_the_state_of_a_stream_is_a_store_too(tmp_path):
    (tmp_path / "models/000012").mkdir(parents=True)
    said(tmp_path, "champion", 12)
    assert aliases(tmp_path / "models") == {"champion": 12}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["nobody"], "there are none yet"),
        (["champion", 9], "there are 3, 4"),
        (["Champion", 3], "no alias"),
        (["champion", "--drop"], "no alias 'champion'"),
        (["champion", 3, "--drop"], "name alone"),
        (["--drop"], "name alone"),
    ],
)
def test_what_makes_no_sense_is_told_and_changes_nothing(store, arguments, error):
    with pytest.raises(BadInputError, match=error):
        said(store, *arguments)
    assert aliases(store) == {}


def test_a_folder_without_versions_has_no_aliases(tmp_path):
    with pytest.raises(BadInputError, match="no numbered versions"):
        said(tmp_path)
