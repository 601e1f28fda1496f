"""What the page of benchmarks says of codec, published algorithm and hosts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.common import median
from benchmarks.tables import Target, middle, percent, ratio, spread, table

Row = dict[str, Any]
WIDE = 400
"""Numbers in a row for which the rates are promised."""


def section(rows: list[Row], targets: list[Target]) -> Iterator[str]:
    """Lines of the section; its targets are added to those given."""
    yield "## Jobs of the built-in k-means of Amazon SageMaker\n"
    yield from _codec([r for r in rows if r["part"] == "codec"], targets)
    yield from _algorithm([r for r in rows if r["part"] == "algorithm"], targets)
    yield from _hosts([r for r in rows if r["part"] == "hosts"], targets)


def _codec(rows: list[Row], targets: list[Target]) -> Iterator[str]:
    yield "### RecordIO-protobuf, MB a second\n"
    yield (
        "float32 without labels, one thread. Ours goes to a file and comes back as arrays, from the page cache; the SDK's (2.257.7, the last that"
        " has a codec) goes to memory and comes back as one message for each row, and then as an array. The bytes are the same.\n"
    )
    read = Target("RecordIO: at least 2 GB/s read at d=400", 2000.0, least=True)
    write = Target("RecordIO: at least 0.7 GB/s written at d=400", 700.0, least=True)
    targets += [read, write]
    names = ("shoal read", "SDK read", "SDK read to an array", "shoal write", "SDK write")
    body = []
    for row in rows:
        rates = row["megabytes_per_second"]
        cells = [spread(rates[name], ",.0f") if name in rates else "absent" for name in names]
        verdicts = ["", ""]
        if row["d"] == WIDE:
            verdicts = [
                target.verdict(f"d={row['d']}", middle(rates.get(name)))
                for target, name in ((read, names[0]), (write, names[3]))
            ]
        body.append([str(row["d"]), *cells, *verdicts])
    yield from table(["d", *names, "read", "write"], body)
    for row in rows:
        if row["problem"]:
            yield f"\nd={row['d']}: {row['problem']}."


def _algorithm(rows: list[Row], targets: list[Target]) -> Iterator[str]:
    yield "\n### Cost beside the published algorithm\n"
    yield (
        "The published algorithm, not the product: mini-batches of 5,000, ten centres for each cluster out of the first of them, weighted means, ten"
        " local trials (`benchmarks/sagemaker_emulation.py`). What is not published, how centres are opened and dropped on the way, is left out, so"
        " the product may do better where rows come sorted or groups are rare. Same rows, same order; medians of three seeds. `its train msd` is what its log would"
        " print, divided by the true one.\n"
    )
    target = Target("one pass costs at most 1.01 of the published algorithm", 1.01)
    targets.append(target)
    body, lost = [], []
    for row in rows:
        ours, theirs = (median(row["cost"][name]) for name in ("shoal", "published"))
        share = ours / theirs
        shape = f"{row['set']} ({row['n']:,} x {row['d']}, k={row['k']})"
        took = [spread(row["seconds"][name], ".3g") for name in ("shoal", "published")]
        body.append(
            [shape, f"{share:.4f}", spread(row["told_of_true"], ".2f"), *took, target.verdict(row["set"], share)]
        )  # fmt: skip
        if share > 1:
            lost.append(f"cost on {row['set']} (by {percent(share - 1)})")
        slower = median(row["seconds"]["shoal"]) / median(row["seconds"]["published"])
        if slower > 1:
            lost.append(f"time on {row['set']} ({slower:.1f} times)")
    heads = ["data", "our cost / its cost", "its train msd / true", "our seconds", "its seconds", "target"]
    yield from table(heads, body)
    yield f"\nLost: {'; '.join(lost) or 'nothing'}."


def _hosts(rows: list[Row], targets: list[Target]) -> Iterator[str]:
    same = Target("2 and 4 hosts cost at most 0.5 % more than 1", 1.005)
    targets.append(same)
    for row in rows:
        yield "\n### One job on several hosts\n"
        yield (
            f"{row['set']}, {row['n']:,} rows in 8 files, k={row['k']}; the hosts are processes that share this machine's cores, so more of them"
            " cannot be much faster here. Starting the processes counts.\n"
        )
        alone = median(row["cost"]["1"])
        body = []
        for h, found in row["cost"].items():
            share = ratio(median(found), alone)
            verdict = same.verdict(f"{h} hosts", share) if h != "1" else ""
            body.append([h, f"{share:.6f}", spread(row["seconds"][h], ".3g"), verdict])
        yield from table(["hosts", "cost / that of 1", "seconds", "target"], body)
        yield f"\nThe centres are {'' if row['alike'] else 'not '}the same bit for bit."
