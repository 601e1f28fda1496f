"""The ``shoal`` command; one file per sub-command."""

import os

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Run the command. Loading it takes a moment, in which Ctrl-C is no error either."""
    try:
        from shoal.cli.app import main as run
    except KeyboardInterrupt:
        os._exit(130)
    run(arguments)
