"""How time and memory grow with proxies and with changes: `python -m tests.benchmarks.growth FIGURE.png`.

Whole runs in processes of their own, results included, deliveries counted in histograms. Processor time,
since other work on the machine stretches the wall clock: of `run`, with the modules that it reads, and of the
whole process, which reads Python, numpy and pandas before. The exponents are those between the two largest
sizes, where what any run costs matters little.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PROXIES, CHANGES = (100_000, 300_000, 1_000_000, 3_000_000), (1, 4, 16, 64)

RUN = """
import json, sys, time
import simulator as xs
from tests.benchmarks import fleet_table
from tests.benchmarks.memory import own_peak_mb
proxies, count, load = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
began = time.process_time()
result = xs.run(getattr(fleet_table, load)(proxies, count))
took = time.process_time() - began
whole = time.process_time()
peak_mb = own_peak_mb()
told = result.summary().loc["active_delay"]
delivered = int(told["n"] - told["pending"])
print(json.dumps([took, whole, peak_mb, delivered, result.manifest["engine"]]))
"""


@dataclass(frozen=True)
class WholeRun:
    """One run: its size, and what it took, by itself and with its process."""

    proxies: int
    changes: int
    seconds: float
    process_seconds: float
    peak_mb: float
    deliveries: int


@dataclass(frozen=True)
class Growth:
    """Runs of many proxies and one change, and of the fewest proxies and many changes."""

    runs: list[WholeRun]

    def exponents(self) -> tuple[float, float]:
        """Of proxies and of changes: between the largest size and the one before."""
        of = {(run.proxies, run.changes): run.seconds for run in self.runs}
        few, many = ((of[proxies, 1], proxies) for proxies in PROXIES[-2:])
        seldom, often = ((of[PROXIES[0], changes], changes) for changes in CHANGES[-2:])
        return _exponent(few, many), _exponent(seldom, often)


def _exponent(small: tuple[float, int], large: tuple[float, int]) -> float:
    return math.log(large[0] / small[0]) / math.log(large[1] / small[1])


def whole_run(proxies: int, changes: int, load: str = "counted") -> WholeRun:
    """A run in a fresh process; the load is one of `fleet_table`. Modules are compiled once, as kernels are:
    their bytecode is kept."""
    told = subprocess.run(
        [sys.executable, "-c", RUN, str(proxies), str(changes), load],
        env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        capture_output=True,
        text=True,
        check=True,
    )
    took, whole, peak, delivered, engine = json.loads(told.stdout)
    assert engine == "fleet"
    return WholeRun(proxies, changes, took, whole, peak, delivered)


def measured() -> Growth:
    """Every size once, printed as it comes."""
    whole_run(20_001, 1)  # the kernel is compiled once for the machine
    sizes = [(proxies, 1) for proxies in PROXIES] + [(PROXIES[0], changes) for changes in CHANGES[1:]]
    print("\nwhole runs: proxies x changes, deliveries, seconds of processor time (with the process), peak")
    runs = []
    for proxies, changes in sizes:
        run = whole_run(proxies, changes)
        runs.append(run)
        took = f"{run.seconds:6.2f} s ({run.process_seconds:.2f})"
        print(
            f"{proxies:9,} x {changes:2}  {run.deliveries:9,}  {took}  {run.peak_mb:6.0f} MB",
            flush=True,
        )
        assert run.deliveries == proxies * changes
    return Growth(runs)


def draw(growth: Growth, path: Path) -> None:
    """Time against proxies, and against changes, beside what linear growth from the first would be."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), sharey=True)
    of_proxies, of_changes = growth.exponents()
    for ax, name, exponent, runs in (
        (axes[0], "proxies", of_proxies, [r for r in growth.runs if r.changes == 1]),
        (axes[1], "changes", of_changes, [r for r in growth.runs if r.proxies == PROXIES[0]]),
    ):
        sizes = [getattr(run, name) for run in runs]
        ax.loglog(sizes, [run.seconds for run in runs], "o-", label="measured")
        ax.loglog(sizes, [runs[0].seconds * n / sizes[0] for n in sizes], "--", color="0.6", label="linear")
        ax.set_title(f"{name}: time grows with their number to the power of {exponent:.2f}")
        ax.set_xlabel(name)
        ax.grid(visible=True, which="both", alpha=0.2)
        ax.legend()
    axes[0].set_ylabel("processor time of a whole run (s)")
    figure.suptitle(f"Left: one change. Right: {PROXIES[0]:,} proxies")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    draw(measured(), Path(sys.argv[1] if len(sys.argv) > 1 else "growth.png"))
