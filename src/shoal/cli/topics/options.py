"""Options that several commands about topics share, defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from shoal.errors import BadInputError

_TEXTS, _READING, _VECTORS = "Texts", "Reading", "Vectors"
DEFAULT_FILE = Path("topics.shoal")

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE",
        help="Files, globs, directories, s3:// URIs, or - for standard input.",
        show_default=False,
    ),
]
State = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="File of topics, or state directory of a topic stream.",
        show_default=False,
    ),
]
TopicId = Annotated[int, typer.Argument(metavar="TOPIC", help="Id of a topic.", show_default=False)]
TopicIds = Annotated[list[int], typer.Argument(metavar="TOPIC", help="Ids of topics.", show_default=False)]
NewFile = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Write here instead of over MODEL.", show_default=False),
]

TextColumn = Annotated[
    str | None,
    typer.Option(
        "--text-column",
        "-t",
        help="Column of the texts. Default: the only one that holds text.",
        rich_help_panel=_TEXTS,
        show_default=False,
    ),
]
Lines = Annotated[
    bool,
    typer.Option("--lines", help="Each line is one text: the default for .txt.", rich_help_panel=_TEXTS),
]
Where = Annotated[
    str | None,
    typer.Option(help="Rows to take: \"stars < 3 and kind in ('a', 'b')\".", rich_help_panel=_TEXTS),
]
Limit = Annotated[
    int | None,
    typer.Option(help="Take at most so many texts.", min=1, rich_help_panel=_TEXTS, show_default=False),
]

ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="What turns texts into vectors: a sentence-transformers model or directory, static:NAME, or hashed. "
        "Default: all-MiniLM-L6-v2.",
        rich_help_panel=_VECTORS,
        show_default=False,
    ),
]
SameModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Where the language model is now, if it has moved since the topics were made.",
        rich_help_panel=_VECTORS,
        show_default=False,
    ),
]
K = Annotated[
    str | None,
    typer.Option("--k", "-k", help="Number of topics: 20, a range 5:40, or auto (default: 5 to 100)."),
]
Language = Annotated[
    list[str] | None,
    typer.Option(
        help="ISO code of a language whose stop words are no keywords; may be repeated. Default: those found."
    ),
]
Device = Annotated[
    str | None,
    typer.Option(help="cpu, cuda, ... Default: what there is.", rich_help_panel=_VECTORS, show_default=False),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        help="Folder where vectors are kept between runs. Default: that of the user.",
        rich_help_panel=_VECTORS,
        show_default=False,
    ),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Keep no vectors.", rich_help_panel=_VECTORS)]


def parse_k(text: str) -> int | tuple[int, int] | Literal["auto"]:
    """Number of topics: ``20``, a range ``5:40``, or ``auto``.

    >>> parse_k("20"), parse_k("5:40"), parse_k("auto")
    (20, (5, 40), 'auto')
    """
    if text.strip().lower() == "auto":
        return "auto"
    try:
        numbers = [int(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) == 1 and numbers[0] >= 1:
        return numbers[0]
    if len(numbers) == 2 and 1 <= numbers[0] <= numbers[1]:
        return numbers[0], numbers[1]
    raise BadInputError(f"-k {text!r} is no number of topics", remedy="write 20, 5:40 or auto")


def cache_folder(cache: Path | None, no_cache: bool) -> Path | None:
    """Where vectors are kept, if they are."""
    if no_cache and cache is not None:
        raise BadInputError("--cache and --no-cache say opposite things", remedy="leave one of them out")
    if no_cache:
        return None
    from shoal.text.embedding_cache import default_cache_folder

    return cache or default_cache_folder()
