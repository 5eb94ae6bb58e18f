"""What the arrays gain, and how they grow: `python -m tests.benchmarks [--figure growth.png]`, with the extra
`benchmarks`.

Prints fleet engine, event engine and the twins of one change in one table (`ratios`); then how time and
memory of whole runs grow (`growth`), which `--figure` draws.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.benchmarks.growth import draw, measured
from tests.benchmarks.ratios import table

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description="Measures the fleet engine."
    )
    parser.add_argument("--figure", type=Path, help="draws the growth here (PNG, SVG, PDF)")
    asked = parser.parse_args()
    table()
    growth = measured()
    of_proxies, of_changes = growth.exponents()
    print(f"time grows with the power of {of_proxies:.2f} of proxies, of {of_changes:.2f} of changes")
    if asked.figure is not None:
        draw(growth, asked.figure)
