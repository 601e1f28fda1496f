#!/usr/bin/env python3
"""Make the notebook of the Spark walkthrough from its script, so that there is one text of both.

The script is in the percent format that Jupytext and editors know: ``# %%`` begins a cell, ``# %% [markdown]`` one of text.
Cells with the tag ``active-ipynb`` are comments in the script and code in the notebook; those with ``active-py`` stay here.

python examples/make_notebook.py --run
"""

from __future__ import annotations

import argparse
import ast
import base64
import os
import re
import sys
import tempfile
from contextlib import chdir, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from nbformat import v4

HERE = Path(__file__).resolve().parent
SCRIPT, NOTEBOOK = HERE / "spark_walkthrough.py", HERE / "spark_walkthrough.ipynb"


class Cell(NamedTuple):
    """Text or code, as the notebook has it."""

    markdown: bool
    source: str


def cells_of(text: str) -> list[Cell]:
    """The notebook's cells in a script.

    >>> cells_of("# %% [markdown]\\n# # Title\\n# %%\\na = 1\\n# %% tags=[\\"active-ipynb\\"]\\n# a")
    [Cell(markdown=True, source='# Title'), Cell(markdown=False, source='a = 1'), Cell(markdown=False, source='a')]
    """
    _, *parts = re.split(r"^# %%(.*)\n", text, flags=re.MULTILINE)
    found = []
    for head, body in zip(parts[::2], parts[1::2], strict=True):
        if "active-py" in head:
            continue
        commented = "[markdown]" in head or "active-ipynb" in head
        source = re.sub(r"^# ?", "", body, flags=re.MULTILINE) if commented else body
        found.append(Cell("[markdown]" in head, source.strip("\n")))
    return found


def notebook_of(cells: list[Cell], outputs: dict[int, list[Any]] | None = None) -> Any:
    """A notebook, the same bytes for the same cells and outputs."""
    made = []
    for i, cell in enumerate(cells):
        if cell.markdown:
            node = v4.new_markdown_cell(cell.source)
        else:
            ran = None if outputs is None else 1 + sum(not c.markdown for c in cells[:i])
            node = v4.new_code_cell(cell.source, outputs=(outputs or {}).get(i, []), execution_count=ran)
        node["id"] = f"cell-{i}"
        made.append(node)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return v4.new_notebook(cells=made, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def run(cells: list[Cell], namespace: dict[str, Any]) -> dict[int, list[Any]]:
    """Execute the code in order, and keep what is printed, and the value of a last expression, as notebooks do."""
    outputs: dict[int, list[Any]] = {}
    count = 0
    for i, cell in enumerate(cells):
        if cell.markdown:
            continue
        count += 1
        printed = StringIO()
        with redirect_stdout(printed):
            value = _execute(cell.source, f"<cell {i}>", namespace)
        outputs[i] = []
        if printed.getvalue():
            outputs[i].append(v4.new_output("stream", name="stdout", text=printed.getvalue()))
        if value is not None:
            outputs[i].append(v4.new_output("execute_result", data=_bundle(value), execution_count=count))
    return outputs


def _execute(source: str, name: str, namespace: dict[str, Any]) -> Any:
    tree = ast.parse(source, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), namespace)  # noqa: S102  # the code is our own script
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), name, "eval"), namespace)  # noqa: S307


def _bundle(value: Any) -> dict[str, str]:
    """What a notebook keeps of a value."""
    if not hasattr(value, "_repr_mimebundle_"):
        return {"text/plain": repr(value)}
    pictures = {kind: base64.b64encode(data).decode() for kind, data in value._repr_mimebundle_().items()}
    return {"text/plain": f"<{type(value).__name__}>"} | pictures


def main() -> int:
    """Exit status 1 where the notebook in place is not that of the script, if only asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--run", action="store_true", help="execute the cells on Spark, and keep their outputs")
    how.add_argument(
        "--check", action="store_true", help="write nothing; tell whether the notebook is up to date"
    )
    args = parser.parse_args()
    cells = cells_of(SCRIPT.read_text(encoding="utf-8"))
    if args.check:
        same = NOTEBOOK.exists() and sources_of(NOTEBOOK) == [cell.source for cell in cells]
        print("up to date" if same else f"{NOTEBOOK.name} is out of date; run {Path(__file__).name} --run")
        return 0 if same else 1
    outputs = _run_apart(cells) if args.run else None
    nbformat.write(notebook_of(cells, outputs), NOTEBOOK)
    return 0


def sources_of(notebook: Path) -> list[str]:
    """Sources of all cells of a notebook file."""
    return [cell.source for cell in nbformat.read(notebook, as_version=4).cells]


def _run_apart(cells: list[Cell]) -> dict[int, list[Any]]:
    """In a folder of their own, as cells write pictures; the session is stopped at the end."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        try:
            return run(cells, namespace)
        finally:
            if "spark" in namespace:
                namespace["spark"].stop()


if __name__ == "__main__":
    sys.exit(main())
