"""The reason of a failed job, where the service looks for it."""

from __future__ import annotations

from pathlib import Path

from shoal.errors import ShoalError

LONGEST = 1024
"""Characters of the reason that are shown to a person."""


def reason_of(error: BaseException) -> str:
    """Whose fault it was and what, in one line: what a user can mend is a ClientError.

    >>> reason_of(ShoalError("Hyperparameter k: -1 is not a positive integer"))
    'ClientError: Hyperparameter k: -1 is not a positive integer'
    >>> reason_of(MemoryError())
    'AlgorithmError: MemoryError'
    """
    text = " ".join(str(error).split())
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


def _short(text: str) -> str:
    return text if len(text) < LONGEST else text[: LONGEST - 4] + "..."
