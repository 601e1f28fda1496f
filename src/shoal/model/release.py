"""Which release of the library this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def release() -> str:
    """Version of the installed package."""
    try:
        return version("shoal")
    except PackageNotFoundError:
        return "unknown"
