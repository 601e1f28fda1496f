"""JSON documents of a job: whatever is wrong with one is a ValueError, however deep it is nested."""

from __future__ import annotations

import json
from typing import Any


def parsed_json(text: str | bytes) -> Any:
    """What a JSON text says.

    Raises
    ------
    ValueError : it is no JSON, or nested too deeply.

    >>> parsed_json("[" * 100_000)
    Traceback (most recent call last):
    ValueError: nested too deeply
    >>> parsed_json("9" * 5000)
    Traceback (most recent call last):
    ValueError: a number of too many digits
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError("no UTF-8") from error
    except ValueError as error:  # Python reads whole numbers up to a length only
        raise ValueError("a number of too many digits") from error
