"""The reason of a failed job, where the service looks for it."""

from __future__ import annotations

import re
from pathlib import Path

from shoal.errors import BadInputError, ShoalError

LONGEST = 1024
"""Characters of the reason that are shown to a person."""
OPTION = re.compile(r"(?<!\S)--\w")
MEND = "mend the object, or leave it out of the channel"


def reason_of(error: BaseException) -> str:
    """Whose fault it was and what, in one line: what a user can mend is a ClientError.

    >>> reason_of(ShoalError("Hyperparameter k: -1 is not a positive integer"))
    'ClientError: Hyperparameter k: -1 is not a positive integer'
    >>> reason_of(MemoryError())
    'AlgorithmError: MemoryError'
    >>> reason_of(BadInputError("is damaged", place="train/a", remedy="use --on-error skip"))
    'ClientError: train/a: is damaged; mend the object, or leave it out of the channel'
    """
    text = " ".join(_said(error).split())
    if isinstance(error, ShoalError):
        return _short(
            text if text.startswith(("ClientError:", "AlgorithmError:")) else f"ClientError: {text}"
        )
    kind = type(error).__name__
    return _short(f"AlgorithmError: {kind}: {text}" if text else f"AlgorithmError: {kind}")


def write_failure(path: Path, reason: str) -> None:
    """Leave the reason for the service; a disc that is full must not hide it from the log, so nothing is raised."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(reason + "\n", encoding="utf-8")
    except OSError:
        return


def _said(error: BaseException) -> str:
    """Without a remedy that is an option of the command line: a job has none."""
    if isinstance(error, BadInputError) and OPTION.search(error.remedy or ""):
        return str(BadInputError(error.problem, place=error.place, remedy=MEND))
    return str(error)


def _short(text: str) -> str:
    return text if len(text) < LONGEST else text[: LONGEST - 4] + "..."
