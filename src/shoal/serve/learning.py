"""A stream that learns what the service is sent: its inbox, and the process that reads it."""

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
from functools import cached_property
from pathlib import Path

from shoal.engines.stream.checkpoint import Checkpoint
from shoal.model.durable import replace_durably
from shoal.serve.inbox import Inbox

_log = logging.getLogger(__name__)

MOST_UNREAD = 1 << 30
"""Bytes that may wait for the stream."""
_LOOK = 2.0
_ARGUMENTS, _RECIPE = ".arguments.json", ".recipe.toml"
_LONGEST_PAUSE = 60.0
_WELL = 60.0
"""Seconds after which a process counts as having run well."""
_PATIENCE = 20.0
"""Seconds that a process has to write its last checkpoint."""


class Learning:
    """Where rows for one stream go.

    Parameters
    ----------
    folder : of the inbox. state : of the stream.
    """

    def __init__(self, folder: Path, state: Path | None) -> None:
        self.folder, self.state = folder, state
        self._lock = threading.Lock()
        self._looked = 0.0
        self._unread = 0
        self._time: tuple[str, str] | None = None
        self._knows_time = False

    @cached_property
    def _inbox(self) -> Inbox:
        return Inbox(self.folder)

    @property
    def inbox(self) -> Inbox:
        """Opened when the first row comes; errors as :class:`Inbox` has them."""
        with self._lock:
            return self._inbox

    @property
    def time(self) -> tuple[str, str] | None:
        """Column of event times that the stream was begun with, and its unit."""
        with self._lock:
            if not self._knows_time and self.state is not None:
                known = Checkpoint.read(self.state)
                if known is not None:
                    told = known.meta["settings"]
                    self._time = None if told["time"] is None else (told["time"], told["time_unit"])
                    self._knows_time = True
            return self._time

    def has_room(self) -> bool:
        """Whether less than a gibibyte waits. Where there is more, files that are in a checkpoint are removed."""
        inbox = self.inbox
        with self._lock:
            now = time.monotonic()
            if now - self._looked >= _LOOK:
                self._unread = _size(inbox.files())
                if self._unread > MOST_UNREAD and self.state is not None:
                    for file in inbox.files()[:-1]:
                        if file.name in self._read():
                            file.unlink(missing_ok=True)
                    self._unread = _size(inbox.files())
                self._looked = time.monotonic()
            return self._unread <= MOST_UNREAD

    def close(self) -> None:
        """Finish what was begun."""
        if "_inbox" in vars(self):
            self._inbox.close()

    def _read(self) -> set[str]:
        """Names of the files that the stream's checkpoint is behind."""
        known = None if self.state is None else Checkpoint.read(self.state)
        at = None if known is None else known.meta["position"]
        if (
            not at
            or at.get("kind") != "files"
            or Path(at["name"] or "").parent.resolve() != self.folder.resolve()
        ):
            return set()
        names: list[str] = []
        for log in (self.state or Path()).glob("received-*.jsonl"):
            held = [json.loads(line)["name"] for line in log.read_bytes().splitlines() if line.endswith(b"}")]
            if Path(at["name"]).name in held:
                names = held
        return set(names[: at["file"] + bool(at["end"])])


class Child:
    """A process that is started again when it dies, until it is stopped.

    It ends by itself when this process is gone, however that came.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = list(arguments)
        self._process: subprocess.Popen[str] | None = None
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
            began, last = time.monotonic(), ""
            with self._lock:
                if self._ends.is_set():
                    return
                process = self._process = self._start()
            if process.stderr is not None:
                for line in process.stderr:
                    if line.strip():
                        last = line.strip()[:500]
                        _log.info("learning: %s", last)
            code = process.wait()
            if self._ends.is_set():
                return
            pause = 1.0 if time.monotonic() - began > _WELL else min(pause * 2, _LONGEST_PAUSE)
            _log.warning("learning ended with %d (%s); it starts again in %g s", code, last, pause)
            self._ends.wait(pause)

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "shoal.serve.learning", str(os.getpid()), *self.arguments]
        return subprocess.Popen(  # noqa: S603 - options of whoever starts the service
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is for the service, which then ends this in good order
        )


def start_learning(state: Path, inbox: Path, args: Sequence[str] = (), *, topics: bool = False) -> Child:
    """Run ``shoal stream`` (or ``shoal topics stream``) over an inbox, for as long as the service runs.

    Parameters
    ----------
    args : options of that command. What a state was begun with need not be said again; without any, those of the
        last start are taken.

    Raises
    ------
    DamagedFileError : the state cannot be used.
    """
    state.mkdir(parents=True, exist_ok=True)
    inbox.mkdir(parents=True, exist_ok=True)
    return Child(stream_arguments(state, inbox, args, topics=topics))


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


def _size(files: Sequence[Path]) -> int:
    total = 0
    for file in files:
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue
    return total


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
