"""The other parts of the page, one function each: kernel, memory, sweep, which k, exactness."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.common import median
from benchmarks.tables import Target, middle, ratio, spread, table

Row = dict[str, Any]
LINEAR = 1.1
"""Time per row at the largest size may be this times that at the smallest: clocks are not better than that."""


def kernel(rows: list[Row], targets: list[Target]) -> Iterator[str]:
    """Rates, and labels."""
    names = list(dict.fromkeys(name for row in rows for name in row["rows_per_second"]))
    mine = next(n for n in names if n.startswith("shoal"))
    everywhere = Target("nearest centre: at least the better of scikit-learn and faiss", 1.0, least=True)
    narrow = Target("nearest centre, d <= 32: at least twice the better of them", 2.0, least=True)
    targets += [everywhere, narrow]
    yield "## Kernel: millions of rows per second to their nearest centre\n"
    yield (
        f"Median of the rounds [lowest, highest]. Targets are for {mine} against the better of scikit-learn and faiss; superkmeans"
        " stands beside them.\n"
    )
    body = []
    for row in rows:
        rates = {n: [v / 1e6 for v in found] for n, found in row["rows_per_second"].items()}
        gain = ratio(median(rates[mine]), _best(rates, ("sklearn", "faiss")))
        other = ratio(median(rates[mine]), _best(rates, ("superkmeans",)))
        case = f"{row['n']:,} x {row['d']}, k={row['k']}"
        verdict = everywhere.verdict(case, gain)
        if row["d"] <= 32:
            verdict += f"; for twice: {narrow.verdict(case, gain)}"
        times = ["-" if g is None else f"{g:.2f}x" for g in (gain, other)]
        body.append([case, *(spread(rates.get(n), ".3g") for n in names), *times, verdict])
    yield from table(["shape", *names, "vs the better of two", "vs superkmeans", "target"], body)
    yield (
        "\nShoal answers labels *and* squared distances, as faiss does; scikit-learn and superkmeans answer labels only. The first six"
        " shapes are those of the design, the others were added."
    )
    yield from _labels(rows, names)


def _best(rates: dict[str, list[float]], families: tuple[str, ...]) -> float | None:
    return max((median(v) for n, v in rates.items() if n.startswith(families)), default=None)


def _labels(rows: list[Row], names: list[str]) -> Iterator[str]:
    yield "\n### Do they find the same centres?\n"
    yield (
        "Rows labelled unlike Shoal's widest variant, and in brackets those of them that are no ties within float32 rounding."
        " Last: labels among the first 5,000 rows that no rounding excuses, by SciPy's float64 distances.\n"
    )
    body = []
    for row in rows:
        found = [row["unlike_shoal"].get(n) for n in names[1:]]
        cells = ["failed" if f is None else f"{f['rows']} ({f['no_ties']})" for f in found]
        wrong = ", ".join(f"{n} {count}" for n, count in row["wrong"].items() if count) or "none"
        body.append([f"{row['n']:,} x {row['d']}, k={row['k']}", *cells, wrong])
    yield from table(["shape", *names[1:], "wrong"], body)
    for row in rows:
        for name, reason in row["failed"].items():
            yield f"\n{name} **failed** at d={row['d']}, k={row['k']}: `{reason}`"


def memory(rows: list[Row], targets: list[Target]) -> Iterator[str]:
    """Peak and time by rows."""
    small = Target("up to 10 million x 20 rows of Parquet: peak resident memory below 500 MB", 500.0)
    targets.append(small)
    names = list(dict.fromkeys(name for row in rows for name in (*row["seconds"], *row["failed"])))
    yield "## Memory: one pass over Parquet files of 20 float32 columns, k = 50\n"
    yield (
        "Each run in a process of its own, batches of 65,536 rows, file in the page cache. Seconds after the imports, median [lowest,"
        " highest]; highest peak resident memory of the whole process (VmHWM).\n"
    )
    body = []
    for row in rows:
        cells = [_seconds_and_peak(row, n) for n in names]
        peak = max(row["peak_mb"]["shoal"]) if "shoal" in row["peak_mb"] else None
        body.append(
            [f"{row['rows']:,}", *cells, _per_million(row), small.verdict(f"{row['rows']:,} rows", peak)]
        )
    yield from table(["rows", *names, "shoal: seconds per million", "below 500 MB"], body)
    if len(rows) > 1:
        linear = Target(f"time per row of the largest file at most {LINEAR} of that of the smallest", LINEAR)
        targets.append(linear)
        first, last = (ratio(middle(r["seconds"].get("shoal")), r["rows"]) for r in (rows[0], rows[-1]))
        case = f"{rows[-1]['rows']:,} rows"
        yield f"\nLinear in rows: {linear.verdict(case, ratio(last, first))}."
    for row in rows:
        for name, reason in row["failed"].items():
            yield f"\n{name} **failed** at {row['rows']:,} rows: `{reason}`"


def _seconds_and_peak(row: Row, name: str) -> str:
    if name not in row["seconds"]:
        return "failed"
    return f"{spread(row['seconds'][name], '.2f')} s, {max(row['peak_mb'][name]):.0f} MB"


def _per_million(row: Row) -> str:
    found = middle(row["seconds"].get("shoal"))
    return "-" if found is None else f"{found / row['rows'] * 1e6:.3f}"


def sweep(rows: list[Row], targets: list[Target]) -> Iterator[str]:
    """Eleven answers against one."""
    calls = Target("sweep 2:12 takes at most twice fit 12, as function calls", 2.0)
    commands = Target("`shoal sweep -k 2:12` takes at most twice `shoal fit -k 12`, as whole commands", 2.0)
    targets += [calls, commands]
    yield "## Sweep: eleven values of k against one fit\n"
    yield "Seconds from the file to the answer, median [lowest, highest]. Target: at most twice.\n"
    body = []
    for row in rows:
        cells = [spread(v, ".2f") for part in ("calls", "commands") for v in row[part].values()]
        peer = spread(next(iter(row["peer"].values())), ".2f")
        verdicts = []
        for target, part in ((calls, "calls"), (commands, "commands")):
            one, many = (median(v) for v in row[part].values())
            verdicts.append(f"{many / one:.2f}x: {target.verdict(row['set'], many / one)}")
        body.append([f"{row['set']} ({row['n']:,} x {row['d']})", *cells, peer, *verdicts])
    heads = ["data", "fit, call", "sweep, call", "fit, command", "sweep, command", "11 scikit-learn fits"]
    yield from table([*heads, "calls", "commands"], body)
    yield (
        "\nThe scikit-learn column is eleven `KMeans(n_init=1)` on all rows already in memory, no file read and no criteria. A sweep"
        " also measures seven criteria, stability and gap for each k; the command draws the curves."
    )


def choose_k(rows: list[Row], _: list[Target]) -> Iterator[str]:
    """How often the suggested k is right."""
    yield "## Which k: how often the suggestion is right\n"
    criteria = ("Calinski-Harabasz", "Davies-Bouldin", "silhouette", "gap", "BIC", "stability")
    body = []
    for family in dict.fromkeys(row["family"] for row in rows):
        mine = [row for row in rows if row["family"] == family]
        wrong = [r for r in mine if r["suggested"] != r["true"]]
        names = ", ".join(f"{r['set']}: {r['suggested'] or 'none'} for {r['true'] or 'none'}" for r in wrong)
        votes = [str(sum(r["votes"].get(c) == r["true"] for r in mine)) for c in criteria]
        right = f"**{len(mine) - len(wrong)} of {len(mine)}**"
        body.append([family, right, *(votes if family != "none" else "-" * len(criteria)), names or "-"])
    yield from table(["sets", "suggestion", *criteria, "wrong (suggested for true)"], body)
    yield (
        "\nSets: `benchmarks/choose_k.py`. A criterion's column counts how often its vote alone is right; BIC abstains at the end"
        " of the range."
    )


def exactness(rows: list[Row], _: list[Target]) -> Iterator[str]:
    """Errors by offset."""
    yield "## Exactness: the same rows, moved away from zero\n"
    yield (
        "Largest relative error of the columns' scatter, and of the inertia at given centres. The truth is that of the rows after"
        " they were rounded to their type. faiss has float32 only.\n"
    )
    heads = [f"{part}: {name}" for part in ("scatter", "inertia") for name in rows[0][part]]
    body = []
    for row in rows:
        errors = [e for part in ("scatter", "inertia") for e in row[part].values()]
        cells = ["not finite" if e is None else f"{e:.0e}" for e in errors]
        body.append([f"{row['offset']:.0e}", row["dtype"], *cells])
    yield from table(["offset", "type", *heads], body)
