"""One host's part in a training job: its share of the rows, read into summaries or against given centres."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.engines.reading import read_ahead
from shoal.errors import ShoalError
from shoal.sagemaker.channels import Channel, Rows
from shoal.sagemaker.checkpoints import load_checkpoint, save_checkpoint
from shoal.sagemaker.hyperparameters import Hyperparameters
from shoal.sagemaker.intake import Intake
from shoal.sagemaker.quality_log import QualityLog
from shoal.sagemaker.solving import ExactPass, squared_distances
from shoal.sagemaker.tree import ChannelSettings, Hosts, Tree
from shoal.summary.coreset import Coreset

CHECKPOINT_SECONDS = 60.0


@dataclass
class Share:
    """Reads what is this host's of the channels.

    Parameters
    ----------
    stop : set when the job is to end.
    watch : called after every batch; raises if another host is gone.
    """

    tree: Tree
    asked: Hyperparameters
    hosts: Hosts
    channels: dict[str, ChannelSettings]
    log: QualityLog
    stop: threading.Event
    watch: Callable[[], None]

    def _channel(self, name: str) -> Channel:
        return Channel(self.tree, self.channels[name], self.hosts, self.asked.mini_batch_size, self.stop)

    def new_summary(self) -> Coreset:
        half_life = float(self.asked.half_life_time_size) or None
        return Coreset(k_max=max(64, self.asked.k), seed=self.asked.seed, half_life=half_life)

    def summarise(self, start: float = 0.0) -> Intake:
        """The train channel, read once; from a checkpoint on if there is one. ``start`` is of the clock in rows."""
        channel, host = self._channel("train"), self.hosts.current
        intake = Intake(self.new_summary, len(self.hosts.names), start)
        folder = self.tree.checkpoints
        keeps = folder.is_dir() and not channel.is_pipe
        if folder.is_dir() and channel.is_pipe:
            self.log.info("no checkpoints in Pipe mode: a pipe cannot be read again from the middle")
        if keeps and load_checkpoint(intake, folder, host):
            self.log.info(f"going on from a checkpoint of {intake.rows} rows in {folder}")
        due, every = time.monotonic(), float(os.environ.get("SHOAL_CHECKPOINT_SECONDS") or CHECKPOINT_SECONDS)
        for rows in self._batches(channel, 0, intake.done):
            intake.take(rows)
            self.watch()
            if keeps and time.monotonic() >= due + every:
                save_checkpoint(intake, folder, host)
                due = time.monotonic()
        if keeps:
            save_checkpoint(intake, folder, host)
        if self.stop.is_set():
            self.log.info(f"stopped by SIGTERM after {intake.rows} rows: the model is of these")
        return intake

    def exact_pass(self, epoch: int, centres: NDArray[np.float64]) -> ExactPass:
        """Totals of one more read of the train channel."""
        return ExactPass.over(self._vectors("train", epoch), centres)

    def score(self, centres: NDArray[np.float64]) -> tuple[int, float]:
        """Rows of the test channel, and the sum of their squared distances."""
        return squared_distances(self._vectors("test", 0), centres)

    def _vectors(self, name: str, epoch: int) -> Iterator[NDArray[np.float32]]:
        for rows in self._batches(self._channel(name), epoch):
            self.watch()
            if len(rows.X):
                yield rows.X

    def _batches(self, channel: Channel, epoch: int, done: dict[str, int] | None = None) -> Iterator[Rows]:
        """Batches of the width asked for, read on a thread, until the job is to stop."""
        ahead: Any = read_ahead(channel.rows(epoch, done))  # type: ignore[arg-type]
        try:
            for rows in ahead:
                if self.stop.is_set():
                    return
                if len(rows.X):
                    self.asked.check_width(rows.X.shape[1], rows.file.partition("#")[0])
                yield rows
        except ShoalError:
            if not self.stop.is_set():  # what was cut short by the stop looks damaged
                raise
