"""One host's part in a training job: its share of the rows, read into summaries or against given centres."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.engines.reading import read_ahead
from shoal.errors import BadInputError, ShoalError
from shoal.sagemaker.channels import Channel, Rows
from shoal.sagemaker.checkpoints import load_checkpoint, save_checkpoint
from shoal.sagemaker.hyperparameters import Hyperparameters
from shoal.sagemaker.intake import Intake, check_same
from shoal.sagemaker.quality_log import QualityLog
from shoal.sagemaker.solving import ExactPass, squared_distances
from shoal.sagemaker.tree import ChannelSettings, Hosts, Tree, seconds_of
from shoal.summary.coreset import Coreset

CHECKPOINT_SECONDS = 60.0
WATCH_SECONDS = 1.0


def no_test_rows() -> BadInputError:
    """There is nothing to score."""
    return BadInputError("no rows", place="channel test", remedy="name objects with data, or no channel")


@dataclass
class Share:
    """Reads what is this host's of the channels.

    Parameters
    ----------
    stop : set when the job is to end.
    watch : called now and then while data are read; raises if another host is gone.
    on_rows : called with the rows of the train channel that have been read, after every batch of them.
    """

    tree: Tree
    asked: Hyperparameters
    hosts: Hosts
    channels: dict[str, ChannelSettings]
    log: QualityLog
    stop: threading.Event
    watch: Callable[[], None]
    on_rows: Callable[[int], None]

    def _channel(self, name: str) -> Channel:
        return Channel(self.tree, self.channels[name], self.hosts, self.asked.mini_batch_size, self.stop)

    def new_summary(self) -> Coreset:
        half_life = float(self.asked.half_life_time_size) or None
        return Coreset(k_max=max(64, self.asked.k), seed=self.asked.seed, half_life=half_life)

    def check_widths(self, known: tuple[int, str] | None = None) -> None:
        """Look at the heads of the channels before anything is read, so that nothing is trained in vain.

        Parameters
        ----------
        known : features in a row, and where, such as in an earlier model.

        Raises
        ------
        BadInputError : a channel that cannot be read, has no rows, or rows of another width.
        """
        for name in ("train", "test"):
            if name not in self.channels:
                continue
            channel = self._channel(name)
            if not channel.is_pipe and (hidden := channel.left_out()):
                more = f" and {len(hidden) - 5} more" if len(hidden) > 5 else ""
                names = ", ".join(hidden[:5]) + more
                self.log.info(f"channel {name}: not read, as names with . or _ in front are markers: {names}")
            found = channel.head()
            if found is None:
                self._check_empty(channel)
                continue
            self.asked.check_width(*found)
            check_same(found, known or found)
            known = known or found

    def _check_empty(self, channel: Channel) -> None:
        is_all = len(self.hosts.names) == 1 or channel.settings.spread == "FullyReplicated"
        if channel.settings.name == "test" and is_all and not channel.is_pipe:
            raise no_test_rows()

    def summarise(self, start: float = 0.0, known: tuple[int, str] | None = None) -> Intake:
        """The train channel, read once; from a checkpoint on if there is one.

        Parameters
        ----------
        start : of the clock in rows.
        known : features in a row, and where, if they must be so many.
        """
        channel, host = self._channel("train"), self.hosts.current
        intake = Intake(self.new_summary, len(self.hosts.names), start)
        if known is not None:
            intake.width, intake.first = known
        folder, every = self.tree.checkpoints, seconds_of("SHOAL_CHECKPOINT_SECONDS", CHECKPOINT_SECONDS)
        keeps, read_as = folder.is_dir() and not channel.is_pipe, channel.settings.read_as
        if folder.is_dir() and channel.is_pipe:
            self.log.info("no checkpoints in Pipe mode: a pipe cannot be read again from the middle")
        if keeps and load_checkpoint(intake, folder, host, read_as):
            if intake.width:
                self.asked.check_width(intake.width, f"the checkpoint in {folder}")
            self.log.info(f"going on from a checkpoint of {intake.rows} rows in {folder}")
        due = time.monotonic()
        for rows in self._batches(channel, 0, intake.done):
            intake.take(rows)
            self.on_rows(intake.rows)
            if keeps and time.monotonic() >= due + every:
                save_checkpoint(intake, folder, host, read_as)
                due = time.monotonic()
        if keeps:
            save_checkpoint(intake, folder, host, read_as)
        if self.stop.is_set():
            self.log.info(f"stopped by SIGTERM after {intake.rows} rows")
        return intake

    def exact_pass(self, epoch: int, centres: NDArray[np.float64]) -> ExactPass:
        """Totals of one more read of the train channel."""
        return ExactPass.over(self._vectors("train", epoch, centres), centres)

    def score(self, centres: NDArray[np.float64]) -> tuple[int, float]:
        """Rows of the test channel, and the sum of their squared distances."""
        return squared_distances(self._vectors("test", 0, centres), centres)

    def _vectors(self, name: str, epoch: int, centres: NDArray[np.float64]) -> Iterator[NDArray[np.float32]]:
        for rows in self._batches(self._channel(name), epoch):
            if len(rows.X):
                check_same((rows.X.shape[1], rows.name), (centres.shape[1], "the model"))
                yield rows.X

    def _batches(self, channel: Channel, epoch: int, done: dict[str, int] | None = None) -> Iterator[Rows]:
        """Batches of the width asked for, read on a thread, until the job is to stop."""
        ahead: Any = read_ahead(channel.rows(epoch, done))  # type: ignore[arg-type]
        with self._watching():
            try:
                for rows in ahead:
                    if self.stop.is_set():
                        return
                    if len(rows.X):
                        self.asked.check_width(rows.X.shape[1], rows.name)
                    yield rows
            except ShoalError:
                if not self.stop.is_set():  # what was cut short by the stop looks damaged
                    raise

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """Ask for the other hosts on a thread, as data may keep this one waiting for ever; lost ones end the job."""
        lost: list[Exception] = []
        over = threading.Event()

        def watch() -> None:
            while not over.wait(WATCH_SECONDS):
                try:
                    self.watch()
                except (
                    OSError,
                    ValueError,
                ) as error:  # a ValueError where the connection was closed meanwhile
                    lost.append(error)
                    self.stop.set()  # whatever is read from lets go
                    return

        thread = threading.Thread(target=watch, name="shoal-watch", daemon=True)
        if len(self.hosts.names) > 1:
            thread.start()
        try:
            yield
        finally:
            over.set()
            if thread.is_alive():
                thread.join()
            if lost:
                raise lost[0]
