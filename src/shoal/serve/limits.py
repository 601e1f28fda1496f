"""The limit on rows, and its error."""

from __future__ import annotations

from shoal.errors import BadInputError


class TooManyRowsError(BadInputError):
    """A request with more rows than the service takes at once."""


def check_rows(count: int, most: int) -> None:
    """Raises :class:`TooManyRowsError` for more rows than ``most``, and :class:`BadInputError` for none.

    >>> check_rows(3, 2)
    Traceback (most recent call last):
    shoal.serve.limits.TooManyRowsError: request: has 3 rows, at most 2 are taken; send several requests
    """
    if count > most:
        raise TooManyRowsError(
            f"has {count} rows, at most {most} are taken", place="request", remedy="send several requests"
        )
    if count == 0:
        raise BadInputError("has no rows", place="request", remedy="send at least one")
