"""What the page of benchmarks says of the service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.tables import Target, table

OURS, ALL, RAW = "shoal", "shoal, all it says", "shoal, raw floats"
PEERS = ("FastAPI + scikit-learn", "MLflow")
Row = dict[str, Any]


def section(rows: list[Row], targets: list[Target]) -> Iterator[str]:
    """Load beside the peers."""
    yield "## Serving: requests on loopback\n"
    yield (
        "`wrk`, one thread, beside the servers on the same two cores; 20 clusters; every server one process, three rounds of 4 s in turns after a"
        " warm-up. The same rows go to all as JSON, and all answer with cluster ids. `all it says` adds two distances and the outlier score;"
        " `raw floats` sends float32 instead of JSON, which the peers do not take.\n"
    )
    rate = Target("serve: more requests a second than every peer, same JSON", 1.0, least=True)
    slow = Target("serve: p99 at most that of every peer, same JSON", 1.0)
    targets += [rate, slow]
    cases = sorted({(r["width"], r["batch"], r["connections"]) for r in rows})
    body = []
    for case in cases:
        found = {r["server"]: r for r in rows if (r["width"], r["batch"], r["connections"]) == case}
        peers = [found[p] for p in PEERS if p in found and found[p]["requests_per_second"] > 0]
        name = "d={}, {} rows, {} connections".format(*case)
        ours, best = found[OURS], max(peers, key=lambda r: r["requests_per_second"])
        verdict = rate.verdict(name, ours["requests_per_second"] / best["requests_per_second"])
        quickest = min(p["p99_ms"] for p in peers)
        later = slow.verdict(name, ours["p99_ms"] / quickest)
        cells = [_cell(found.get(server)) for server in (OURS, ALL, RAW, *PEERS)]
        body.append([*map(str, case), *cells, verdict, later])
    heads = ["d", "rows", "connections", OURS, ALL, RAW, *PEERS, "requests/s", "p99"]
    yield "Requests a second (p50 / p99 in ms):\n"
    yield from table(heads, body)
    failed = sum(r["failed"] for r in rows)
    yield f"\n{failed} requests failed.\n"


def _cell(row: Row | None) -> str:
    if row is None:
        return "absent"
    if not row["requests_per_second"]:
        return "no answer in 4 s"
    return f"{row['requests_per_second']:,.0f} ({row['p50_ms']:.3g} / {row['p99_ms']:.3g})"


def mixed(rows: list[Row], targets: list[Target]) -> Iterator[str]:
    """All kinds of requests while versions change."""
    yield "## Serving: a quarter of an hour of everything\n"
    none = Target("serve: no failed request while versions change", 0.5)
    flat = Target("serve: memory late over early in the mixed load at most 1.05", 1.05)
    targets += [none, flat]
    for row in rows:
        failures = sum(row["failed"].values())
        growth = row["mib_late"] / row["mib_early"]
        yield (
            f"Mixed load for {row['seconds'] / 60:.0f} minutes: rows as JSON and raw, explain, scene, events, another k, metrics, on six"
            f" connections, with a listener to events: {row['requests']:,} requests, {failures} failed ({none.verdict('mixed', failures)});"
            f" {row['versions_published']} versions published, {row['versions_seen']} seen by clients, {row['events_heard']} messages heard;"
            f" resident memory {row['mib_early']:.0f} MiB early, {row['mib_late']:.0f} MiB late, at most {row['mib_most']:.0f}"
            f" ({flat.verdict('mixed', growth)})."
        )
        if failures:
            yield f"\nFailed: {row['failed']}."
