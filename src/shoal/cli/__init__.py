"""The ``shoal`` command; one file per sub-command."""

from shoal.cli.app import main

__all__ = ["main"]
