"""``python -m benchmarks.run [--quick] [--only quality,kernel] [--set NAME] [--tables]``."""

from __future__ import annotations

import argparse
import os

from benchmarks import choose_k, kernel, memory, page, quality, sweep

PARTS = {
    "kernel": kernel.run,
    "quality": quality.run,
    "sweep": sweep.run,
    "memory": memory.run,
    "choose_k": choose_k.run,
}


def main() -> None:
    """Measure the parts asked for and write the page."""
    parser = argparse.ArgumentParser(
        description="Shoal beside its peers; about half an hour on two quiet cores."
    )
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes, to see that all runs; nothing is kept"
    )
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--tables", action="store_true", help="write the page again from the kept numbers")
    asked = parser.parse_args()
    if not asked.tables:
        print(f"load of the machine: {os.getloadavg()[0]:.2f}")
        for name in asked.only.split(","):
            print(f"== {name}")
            PARTS[name](quick=asked.quick)
    if not asked.quick:
        page.write()


if __name__ == "__main__":
    main()
