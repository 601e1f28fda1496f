"""What a host has read so far, in a folder that outlives the job: a job that starts again goes on from there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from shoal.errors import DamagedFileError, NewerFormatError, ShoalError
from shoal.model.durable import replace_durably
from shoal.sagemaker.intake import Intake, check_same
from shoal.summary import wire
from shoal.summary.coreset import Coreset

KIND = "training-checkpoint"
STALE = "empty the checkpoint folder to start afresh"


def save_checkpoint(intake: Intake, folder: Path, host: str, read_as: str = "") -> None:
    """Replace the host's checkpoint in one step; ``read_as`` says which columns were read.

    >>> import tempfile
    >>> from shoal.sagemaker.channels import Rows
    >>> folder, intake = Path(tempfile.mkdtemp()), Intake(Coreset)
    >>> intake.take(Rows(np.ones((2, 1), np.float32), 7, np.arange(2), "a", 0, 2))
    >>> save_checkpoint(intake, folder, "algo-1")
    >>> again = Intake(Coreset); load_checkpoint(again, folder, "algo-1"), again.rows, again.done
    (True, 2, {'a': 2})
    """
    meta: dict[str, Any] = {"done": intake.done, "rows": intake.rows, "share": intake.share}
    meta |= {"hosts": intake.hosts, "start": intake.start, "read_as": read_as}
    meta |= {"width": intake.width, "first": intake.first}
    parts = {"closed": _bytes(intake.settled())}
    if intake.open is not None:
        parts["open"] = _bytes(intake.open)
    folder.mkdir(parents=True, exist_ok=True)
    replace_durably(_path(folder, host), wire.pack(KIND, meta, parts))


def load_checkpoint(intake: Intake, folder: Path, host: str, read_as: str = "") -> bool:
    """Put an empty intake where the host's checkpoint was, if there is one; answers whether.

    Raises
    ------
    ShoalError : the checkpoint is of a job with other settings.
    DamagedFileError, NewerFormatError : it is not whole, or of a newer release.
    """
    path = _path(folder, host)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return False
    try:
        meta, parts = wire.unpack(KIND, data)
        summaries = {name: Coreset.from_bytes(content.tobytes()) for name, content in parts.items()}
        done = {str(file): int(rows) for file, rows in meta["done"].items()}
        rows, hosts, start, share = int(meta["rows"]), int(meta["hosts"]), float(meta["start"]), meta["share"]
        closed, was_read_as = summaries["closed"], str(meta["read_as"])
        width, first = int(meta["width"]), str(meta["first"])
    except NewerFormatError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DamagedFileError(f"{path} cannot be read ({error}); {STALE}") from error
    _check(closed, hosts, intake)
    if was_read_as != read_as:
        raise ShoalError(
            f"the checkpoint is of rows read as {was_read_as}, this job reads {read_as}; {STALE}"
        )
    if width and intake.width:
        check_same((width, f"checkpoint {path.name}"), (intake.width, intake.first))
    if width:
        intake.width, intake.first = width, first
    intake.closed, intake.open, intake.share = [closed], summaries.get("open"), str(share)
    intake.done, intake.rows, intake.start = done, rows, start
    return True


def _check(summary: Coreset, hosts: int, intake: Intake) -> None:
    fresh = intake.new()
    was = {"seed": summary.seed, "half_life_time_size": summary.half_life or 0, "hosts": hosts}
    now = {"seed": fresh.seed, "half_life_time_size": fresh.half_life or 0, "hosts": intake.hosts}
    if was != now:
        raise ShoalError(f"the checkpoint is of a job with {was}, this one has {now}; {STALE}")


def _bytes(summary: Coreset) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.frombuffer(summary.to_bytes(), np.uint8)


def _path(folder: Path, host: str) -> Path:
    return folder / f"shoal-{host}.checkpoint"
