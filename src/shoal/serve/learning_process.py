"""The process that learns what the service is sent: ``shoal stream`` over the inbox, as long as the service runs."""

from __future__ import annotations

import json
import logging
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from shoal.engines.stream.checkpoint import LOCK, Checkpoint, refuse_models
from shoal.engines.stream.state import is_new_stream, is_stream_state
from shoal.errors import ShoalError
from shoal.model.durable import replace_durably

_log = logging.getLogger(__name__)

_ARGUMENTS, _RECIPE = ".arguments.json", ".recipe.toml"
_LONGEST_PAUSE = 60.0
_WELL = 60.0
"""Seconds after which a process counts as having run well."""
_PATIENCE = 20.0
"""Seconds that a process has to write its last checkpoint."""
_BEGINS, _OPENS = 10.0, 0.5
"""Seconds until a process has its state at the latest, and those it then has to look whether its options fit."""
_USAGE = 2
"""Exit status for options that cannot be used."""
_BOX = "\u2500\u2502\u256d\u256e\u256f\u2570 \t\r\n"
"""What the command line draws around an error."""
_WIDE = "1000"
"""Columns of its terminal, so that no error is broken in two."""


class Child:
    """A process that is started again when it dies, until it is stopped.

    It ends by itself when this process is gone, however that came.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = list(arguments)
        self._process: subprocess.Popen[str] | None = None
        self._began = 0.0
        self._failures = 0
        """Processes in a row that did not run well."""
        self._last = ""
        """What the last that ended said at its end."""
        self._code: int | None = None
        """Its exit status."""
        self._ends = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name="shoal-learning", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it runs now."""
        process = self._process
        return process is not None and process.poll() is None

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def trouble(self) -> str | None:
        """What was said last, while it does not run or has ended again and again; None while all is well."""
        alive = self.alive
        if self._ends.is_set() or (self._process is None and not self._failures):
            return None
        if alive and (self._failures < 2 or time.monotonic() - self._began > _WELL):
            return None
        return self._last or "it ended without a word"

    def check_options(self, lock: Path) -> None:
        """Wait until it has its state, so that options which cannot be used are told at once.

        Parameters
        ----------
        lock : the file that it takes for itself when its options are read.

        Raises
        ------
        ShoalError : they cannot be used; it is stopped.
        """
        before, deadline = _changed(lock), time.monotonic() + _BEGINS
        while time.monotonic() < deadline and self._code is None:
            if _changed(lock) != before:
                deadline, before = min(deadline, time.monotonic() + _OPENS), _changed(lock)
            time.sleep(0.05)
        if self._code == _USAGE:
            self.stop()
            raise ShoalError(self._last.removeprefix("shoal: "))

    def stop(self) -> None:
        """Ask it to write its checkpoint and end, and wait for that."""
        with self._lock:
            self._ends.set()
            process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
        self._thread.join(timeout=5.0)

    def _keep(self) -> None:
        pause = 1.0
        while not self._ends.is_set():
            code = self._run_once()
            if self._ends.is_set():
                return
            ran_well = time.monotonic() - self._began > _WELL
            self._failures = 1 if ran_well else self._failures + 1
            is_told = code == _USAGE and self._code is None and not ran_well  # by check_options
            self._code = code
            pause = 1.0 if ran_well else min(pause * 2, _LONGEST_PAUSE)
            level = logging.INFO if is_told else logging.WARNING
            _log.log(level, "learning ended with %d (%s); it starts again in %g s", code, self._last, pause)
            self._ends.wait(pause)

    def _run_once(self) -> int:
        """Start it, pass on what it says, and answer its exit status."""
        with self._lock:
            if self._ends.is_set():
                return 0
            self._began = time.monotonic()
            try:
                process = self._process = self._start()
            except OSError as error:  # no memory, or too many processes: there may be later
                self._last = f"it cannot be started ({error.strerror})"
                return 1
        last = ""
        assert process.stderr is not None
        for line in process.stderr:
            text = line.strip(_BOX)[:500]
            if text and text != "Error":
                last = text
                _log.info("learning: %s", last)
        code = process.wait()
        self._last = last
        return code

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "shoal.serve.learning_process", str(os.getpid()), *self.arguments]
        return subprocess.Popen(  # noqa: S603 - options of whoever starts the service
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=os.environ | {"COLUMNS": _WIDE},
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is for the service, which then ends this in good order
        )


def start_learning(
    state: Path, inbox: Path, args: Sequence[str] = (), *, topics: bool = False, waits: bool = False
) -> Child:
    """Run ``shoal stream`` (or ``shoal topics stream``) over an inbox, for as long as the service runs.

    Parameters
    ----------
    args : options of that command. What a state was begun with need not be said again; without any, those of the
        last start are taken.
    waits : until it is known whether the options can be used.

    Raises
    ------
    ShoalError, DamagedFileError : the state cannot be used, or the options.
    """
    check_state(state)
    state.mkdir(parents=True, exist_ok=True)
    inbox.mkdir(parents=True, exist_ok=True)
    held = inbox / _ARGUMENTS
    before = held.read_bytes() if held.exists() else None
    child = Child(stream_arguments(state, inbox, args, topics=topics))
    try:
        if waits:
            child.check_options(state / LOCK)
    except ShoalError:  # the next start shall not take them for those of the last
        if before is None:
            held.unlink(missing_ok=True)
        else:
            replace_durably(held, before)
        raise
    return child


def check_state(state: Path) -> None:
    """Look that a stream may be begun or gone on with in a directory, before anything is written there.

    Raises
    ------
    ShoalError : it holds something else.
    """
    refuse_models(state)
    if not state.exists() or is_stream_state(state) or is_new_stream(state):
        return
    if not state.is_dir() or any(not child.name.startswith(".") for child in state.iterdir()):
        raise ShoalError(
            f"{state} is not the state of a stream; choose an empty or new directory for --learn"
        )


def stream_arguments(state: Path, inbox: Path, args: Sequence[str], *, topics: bool = False) -> list[str]:
    """The command line: options that a state was begun with, and then those given."""
    held = inbox / _ARGUMENTS
    if args:
        replace_durably(held, json.dumps(list(args)).encode())
    elif held.exists():
        args = [str(a) for a in json.loads(held.read_bytes())]
    known = Checkpoint.read(state)
    topics = topics or (known is not None and "topics" in known.extra)
    begun: list[str] = []
    if known is not None:
        told = known.meta["settings"]
        options = {
            "--time": told["time"],
            "--time-unit": told["time_unit"],
            "--half-life": None if told["half_life"] == "None" else told["half_life"],
            "--sample-rows": told["sample_rows"],
            "--seed": told["seed"],
        }
        if topics:
            options["--model"] = json.loads(known.extra["topics"])["source"][0]
        else:
            bucket = told["bucket"]
            options |= {
                "--learn-rows": told["learn_rows"],
                "--max-bytes": told["max_bytes"],
                "--bucket": None if bucket is None else f"{bucket}s",
                "--recipe": _recipe_file(inbox, told["recipe"]),
            }
        begun = [text for name, value in options.items() if value is not None for text in (name, str(value))]
    command = ["topics", "stream"] if topics else ["stream"]
    return [*command, str(inbox), "--follow", "--state", str(state), *begun, *args]


def _recipe_file(inbox: Path, spec: dict[str, object]) -> Path:
    """A recipe as a file, since names may hold what separates them on a command line."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in spec.items() if value is not None]
    replace_durably(inbox / _RECIPE, "\n".join(lines).encode())
    return inbox / _RECIPE


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _run_beside(parent: int, arguments: Sequence[str]) -> None:
    """The command line, which is asked to end when its parent is gone: no orphan shall keep the state."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    sys.argv = ["shoal", *arguments]
    runpy.run_module("shoal", run_name="__main__")


if __name__ == "__main__":
    _run_beside(int(sys.argv[1]), sys.argv[2:])
