"""``docs/benchmarks.md`` from the raw numbers: wins and losses, targets with the distance to them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import load, median

PAGE = Path(__file__).parents[1] / "docs/benchmarks.md"
HEAD = """# Benchmarks

Made by `python -m benchmarks.run` (`make bench`); the raw numbers of every run are in `benchmarks/results/`. This page is generated.

All contenders run in one process tree on the same arrays with the same number of threads, in turns, after a warm-up each. Costs are recomputed in
float64 on all rows from the centres alone. Figures are medians, ranges in brackets. Machines are noisy: read ratios, not seconds.
"""


def write() -> None:
    """Write the page from what results there are."""
    parts = [HEAD]
    for name, section in (
        ("quality", _quality),
        ("kernel", _kernel),
        ("memory", _memory),
        ("sweep", _sweep),
        ("choose_k", _choose_k),
    ):
        found = load(name)
        if found is not None:
            parts.append("\n".join(section(found["rows"])) + "\n\n" + _machine(found["machine"]))
    PAGE.write_text("\n".join(parts))
    print(f"written: {PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE.name}")


def _machine(facts: dict[str, Any]) -> str:
    packages = ", ".join(f"{n} {v}" for n, v in facts["packages"].items())
    return (
        f"<sub>{facts['date']}, {facts['processor']}, {facts['threads']} threads, {facts['kernel']} kernel, Python "
        f"{facts['python']}, {packages}.</sub>\n"
    )


def _verdict(value: float, target: float, *, least: bool = False) -> str:
    met = value >= target if least else value <= target
    return "met" if met else f"**missed** ({value:.3g} for {target:g})"


def _spread(values: list[float], digits: str) -> str:
    if not values:
        return "failed"
    return f"{median(values):{digits}} [{min(values):{digits}}-{max(values):{digits}}]"


def _table(heads: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def _quality(rows: list[dict[str, Any]]) -> Iterator[str]:
    names = list(rows[0]["ratio"])
    yield "## Quality: cost divided by the mean of three runs of k-means++ and Lloyd on all rows\n"
    yield "One pass with the default budget; below 1 is better than several passes. Target: at most 1.005 (mean of three seeds).\n"
    body = []
    for row in rows:
        mean = sum(row["ratio"]["shoal"]) / len(row["ratio"]["shoal"])
        cells = [_spread(row["ratio"][n], ".3f") for n in names]
        body.append(
            [f"{row['set']} ({row['n']:,} x {row['d']}, k={row['k']})", *cells, _verdict(mean, 1.005)]
        )
    yield from _table(["data", *names, "target"], body)
    yield "\n## Time of the same runs, in seconds\n"
    yield "Targets: no slower than scikit-learn's KMeans(n_init=1); within twice betula-cluster's time.\n"
    body = []
    for row in rows:
        s = {n: median(v) if v else float("nan") for n, v in row["seconds"].items()}
        cells = [_spread(row["seconds"][n], ".2f") for n in names]
        verdicts = [
            _verdict(s["shoal"] / s["sklearn KMeans"], 1),
            _verdict(s["shoal"] / s["betula-cluster"], 2),
        ]
        body.append([row["set"], *cells, *verdicts])
    yield from _table(["data", *names, "vs KMeans", "vs betula"], body)
    failed = {(row["set"], n, why) for row in rows for n, why in row["failed"].items()}
    for where, name, why in sorted(failed):
        yield f"\n{name} failed on {where}: `{why}`"
    yield (
        "\nfaiss and superkmeans sample the rows by default (256 per centroid, 30 %); MiniBatch reads the same rows once, in"
        " batches of 4,096; betula-cluster has a tree of 2,000 leaves."
    )


def _kernel(rows: list[dict[str, Any]]) -> Iterator[str]:
    names = list(rows[0]["rows_per_second"])
    mine = next(n for n in names if n.startswith("shoal"))
    peers = [n for n in names if not n.startswith("shoal")]
    yield "## Kernel: millions of rows per second to their nearest centre\n"
    yield "Target: at least the better peer everywhere, at least twice it for d <= 32 (widest variant).\n"
    body = []
    for row in rows:
        rate = {n: median(v) / 1e6 for n, v in row["rows_per_second"].items()}
        ratio = rate[mine] / max(rate[p] for p in peers)
        cells = [f"{rate[n]:.2f}" for n in names]
        shape = f"{row['n']:,} x {row['d']}, k={row['k']}"
        target = _verdict(ratio, 2 if row["d"] <= 32 else 1, least=True)
        body.append([shape, *cells, f"{ratio:.1f}x", str(row["labels_unlike_faiss"]), target])
    yield from _table(["shape", *names, "vs better peer", "labels unlike faiss's", "target"], body)
    yield "\nscikit-learn and faiss answer labels; Shoal answers labels and distances. Labels that differ are ties within rounding."


def _memory(rows: list[dict[str, Any]]) -> Iterator[str]:
    names = list(rows[0]["seconds"])
    yield "## Memory: fitting float32 Parquet files of 20 columns, k = 50, each run in its own process\n"
    yield "Seconds without start-up of Python, peak resident memory with it. Targets: under 500 MB; time linear in rows.\n"
    body = []
    for row in rows:
        cells = [
            f"{median(row['seconds'][n]):.2f} s, {median(row['peak_mib'][n]):.0f} MiB"
            for n in names
            if row["seconds"][n]
        ]
        per = median(row["seconds"]["shoal"]) / row["rows"] * 1e6
        mb = max(row["peak_mib"]["shoal"]) * 1.048576
        body.append([f"{row['rows']:,}", *cells, f"{per:.2f}", _verdict(mb, 500)])
    yield from _table(["rows", *names, "shoal: seconds per million", "memory"], body)


def _sweep(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield "## Sweep: eleven values of k against one fit\n"
    yield "Target: `sweep -k 2:12` costs at most twice one `fit -k 12`, as whole commands.\n"
    body = []
    for row in rows:
        call = {n: median(v) for n, v in row["calls"].items()}
        command = {n: median(v) for n, v in row["commands"].items()}
        ratio = command["sweep 2:12"] / command["fit 12"]
        cells = [f"{call[n]:.2f}" for n in ("fit 12", "sweep 2:12")] + [
            f"{command[n]:.2f}" for n in ("fit 12", "sweep 2:12")
        ]
        peer = f"{row['sklearn_on_the_sample']['11 sklearn fits'][0]:.2f}"
        within = call["sweep 2:12"] / call["fit 12"]
        body.append(
            [
                f"{row['set']} ({row['rows']:,} rows)",
                *cells,
                f"{within:.1f}x",
                f"{ratio:.1f}x",
                peer,
                _verdict(ratio, 2),
            ]
        )
    heads = ["data", "fit, call", "sweep, call", "fit, command", "sweep, command", "calls", "commands"]
    yield from _table([*heads, "11 scikit-learn fits of the sample", "target"], body)
    yield "\nThe sweep solves eleven problems and measures stability and gap for each, which no peer's figure contains."


def _choose_k(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield "## Which k: how often the suggestion is right\n"
    body = []
    for family in dict.fromkeys(row["family"] for row in rows):
        mine = [row for row in rows if row["family"] == family]
        right = sum(row["suggested"] == row["true"] for row in mine)
        wrong = ", ".join(
            f"{r['set']}: {r['suggested'] or 'none'} for {r['true'] or 'none'}"
            for r in mine
            if r["suggested"] != r["true"]
        )
        votes = []
        for criterion in ("Calinski-Harabasz", "Davies-Bouldin", "silhouette", "gap", "BIC", "stability"):
            hits = sum(row["votes"].get(criterion) == row["true"] for row in mine)
            votes.append(str(hits) if family != "none" else "-")
        body.append([family, f"**{right} of {len(mine)}**", *votes, wrong or "-"])
    heads = [
        "sets",
        "suggestion",
        "Calinski-H.",
        "Davies-B.",
        "silhouette",
        "gap",
        "BIC",
        "stability",
        "wrong (suggested for true)",
    ]
    yield from _table(heads, body)
    yield "\nSets: `benchmarks/choose_k.py`. A criterion's column counts how often its vote alone is right; BIC abstains at the end of the range."
