"""``shoal inspect``: names that people gave."""

from __future__ import annotations

import json

import numpy as np
import pytest

import shoal
from shoal.cli import main
from shoal.model.names import give_name


def run(*words):
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert ended.value.code == 0


@pytest.fixture
def model(tmp_path):
    shoal.fit(np.random.default_rng(0).normal(size=(200, 3)), 3).save(tmp_path / "m")
    return tmp_path / "m"


def test_names_are_shown_with_the_clusters(model, capsys):
    run("inspect", str(model))
    assert " name" not in capsys.readouterr().out
    give_name(model, 1, "[red] owls")
    run("inspect", str(model))
    assert "[red] owls" in capsys.readouterr().out


def test_names_are_in_the_json(model, capsys):
    give_name(model, 2, "owls")
    run("inspect", str(model), "--json")
    told = json.loads(capsys.readouterr().out)
    assert [c.get("name") for c in sorted(told["clusters"], key=lambda c: c["id"])] == [None, None, "owls"]
