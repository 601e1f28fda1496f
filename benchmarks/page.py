"""``docs/benchmarks.md`` from the raw numbers: wins and losses, and every target with the distance to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import (
    beam,
    events,
    page_parts,
    page_quality,
    page_streams,
    sagemaker_page,
    serve_page,
    shapes,
    spark,
    topics,
)
from benchmarks.common import load
from benchmarks.tables import Target, table

PAGE = Path(__file__).parents[1] / "docs/benchmarks.md"
SECTIONS: dict[str, Callable[[list[dict[str, Any]], list[Target]], Iterator[str]]] = {
    "quality": page_quality.section,
    "kernel": page_parts.kernel,
    "memory": page_parts.memory,
    "sweep": page_parts.sweep,
    "choose_k": page_parts.choose_k,
    "exactness": page_parts.exactness,
    "birch": page_streams.birch,
    "mini_batch": page_streams.mini_batch,
    "shapes": shapes.section,
    "events": events.section,
    "outliers": page_streams.outliers,
    "stream": page_streams.stream,
    "soak": page_streams.soak,
    "spark": spark.section,
    "beam": beam.section,
    "topics": topics.section,
    "serve": serve_page.section,
    "serve_mixed": serve_page.mixed,
    "sagemaker": sagemaker_page.section,
}
HEAD = """# Benchmarks

Shoal beside scikit-learn, faiss, superkmeans, betula-cluster, river, BERTopic and EVoC. This page is generated; losses are printed as wins are.

```
make bench                                  # everything, under an hour on two quiet cores
python -m benchmarks.run --only quality     # one part; --quick: does everything run?
python -m benchmarks.run --tables           # this page again, from the kept numbers
```

The numbers of every single run are in `benchmarks/results/*.json`. Real data sets are read from `../shared/data` beside the
checkout, and left out with a line where it is absent; the others are made from fixed seeds.
"""
RULES = """## The rules

- One process tree, the same arrays in memory, float32, C order. Everyone has the same number of threads.
- Contenders take turns (A B C, A B C, ...), so that all feel the same drift of the machine, after a warm-up each. Figures are
  medians with their range.
- Costs are recomputed in float64 on **all** rows from the returned centres alone; our kernel sums them, SciPy checks it each time.
  What a library says of itself is not used.
- Peers that sample silently are shown as they come *and* made to use all rows. Who reads what is said in a table.
- Streams come shuffled and sorted.
- Peers run with their defaults but for what the table of contenders says. Nobody is tuned per data set; yet Shoal's defaults were
  chosen by people who looked at these very sets, and those of the peers were not.
- The reference stops where scikit-learn stops by default (`tol=1e-4` of the mean variance). Where a few far rows make the variance,
  as in KDD, that is after a handful of steps, so a run until nothing moves (`tol=0`) stands beside it, with a target of its own.
- A peer that fails is a row that says so and why. A target without a figure is missed.
- Machines are noisy and share their memory bandwidth: read ratios, not seconds.
"""
WHY = """## Why targets are missed

- **betula-cluster's time.** It solves 2,000 weighted leaves; we solve 50,000 rows, which is where our lower cost comes from. The gap is
  widest where the pass itself is short (birch1, small tables: our 20 restarts on the cover weigh most) and where rows are wide (MNIST:
  the sample is half the data, so its Lloyd steps cost half of a full one).
- **scikit-learn on small tables.** A table that fits the sample is simply solved, with many starts; one start is quicker, and a
  little costlier.
- **Sweep against one fit.** Eleven solutions share one read and one cover, but each k is also clustered anew on eight small samples
  and nine references, to answer whether there is structure at all. On small files that is more work than the read. As a command it
  also draws the curves: loading matplotlib and drawing take about half a second that `fit` does not spend.
  Where the commands meet the target, it is because `fit` itself takes longer to start than it did when they missed it (1.2 s, before 0.8): that
  is no gain.
- **Spark, 200,000 x 128.** Half of the time is the solve of 50,000 points for k = 200 on the driver, at a cost a quarter below MLlib's, and 50 MB of summaries on their way.
- **Beam, training.** Half to nine tenths of a pipeline's time is the source and what a Beam runner in Python costs for each element and each stage; five times
  faster than the whole is not to be had there. Without the source we are 2.4 to 6 times as fast.
- **Beam, training and labelling.** We are slower where all rows are labelled: a label keeps its element's window and timestamp, knows distance, outlier score and
  version, and may go to the dead letters, which costs about 5 microseconds more an element in Beam's own code than Beam's labels, which have none of these.
- **Beam, cost.** Where Beam's k-means happens to find all centres its cost is lower by 0.004 to 0.016 %: ours are solved from a sample of 50,000 rows. In seven
  of the nine rounds it missed two to four of the six centres.
- **Topics, keywords: NPMI.** It asks whether words meet in one text, and in short texts what meets is what everybody says: for the six
  emotions c-TF-IDF leads with `feel, feeling, like, im` and scores far better than ours with `angry, irritable, bothered, greedy`, for a
  tweet names one feeling. Ours also shows a bigram instead of its words, and one of singular and plural, and these meet most often. The
  examples beside the figures, and the diversity, tell more.
- **Topics, keywords: diversity of hundreds of small topics.** A word that one single text holds is no keyword for us; such words differ
  from topic to topic, and c-TF-IDF takes them. With them ours would be level: 0.456 beside 0.455 for 350 clusters of banking77.
- **Topics of emotions.** MiniLM's clusters of tweets are what these tell of, and emotions cross them: nobody's AMI reaches 0.2, and what
  is above 0.1 has eighty or more small topics. Told k, ours fits the cosines better than k-means with ten starts does, and the labels a
  little worse.
- **Topics, 2,000 texts.** All but embedding is mostly one solve with its words, which costs little more for 20,000 texts; `auto` tries
  many numbers of topics.
- **Nearest centre, d = 32, k = 100.** Both sides are bound by multiplications there, and ours subtracts first to avoid cancellation.
"""


def write(results: Path, page: Path) -> None:
    """Write the page from what results there are."""
    targets: list[Target] = []
    parts = []
    for name, section in SECTIONS.items():
        found = load(results, name)
        if found is not None and found["rows"]:
            parts.append("\n".join(section(found["rows"], targets)) + "\n\n" + _machine(found["machine"]))
    summary = "\n".join(["## Targets\n", *table(["target", "met", "missed"], [t.row() for t in targets])])
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join([HEAD, summary + "\n", WHY, RULES, *parts]))
    print(f"written: {page.parent.name}/{page.name}")
    for target in targets:
        print("  " + ": ".join((target.text, *target.row()[1:])))


def _machine(facts: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {release}" for name, release in facts["packages"].items())
    return (
        f"<sub>{facts['date']}, {facts['processor']}, {facts['cores']} cores, {facts['threads']} threads, {facts['kernel']} kernel,"
        f" {facts['system']}, load {facts['load_at_start']} at the start, {facts.get('seconds', '?')} s in all. Python"
        f" {facts['python']}, {packages}.</sub>\n"
    )
