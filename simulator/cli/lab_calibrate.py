"""``xdsim lab calibrate``: what Envoy's work costs on this machine, as a calibration file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.cli.lab_arguments import check_playable, duration_argument
from simulator.cli.refusal import BadInput
from simulator.cli.writable import check_file

if TYPE_CHECKING:
    from simulator.lab.calibration_file import Calibrated

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "execute"]

HELP = "measure what Envoy's work costs on this machine, and write it as a calibration file"
DESCRIPTION = (
    "Measures start-up, what CDS, EDS, LDS and RDS updates cost against their size (state-of-the-world and "
    "delta), the flush of statistics, REST polling and files, against a real Envoy on loopback; fits lines "
    "and writes them, with their r2, as a calibration file that a scenario beside it names: "
    "envoy: {calibration: FILE}. One round takes about a minute and a half on an idle machine. Leave the "
    "machine alone meanwhile."
)

_DEFAULT_FILE = Path("my-host.yaml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the file and how long it may take."""
    parser.add_argument(
        "--out", metavar="FILE", type=Path, default=_DEFAULT_FILE, help=f"default: {_DEFAULT_FILE}"
    )
    parser.add_argument(
        "--time-budget",
        metavar="DURATION",
        type=duration_argument,
        default=180.0,
        help="measure again as long as another round ends within it; one is always made (default: 3m)",
    )


def execute(options: argparse.Namespace) -> int:
    """0; BadInput where nothing can be measured or written."""
    if options.out.suffix not in (".yaml", ".yml"):
        raise BadInput(f"--out {options.out}: a scenario names a calibration file by its ending .yaml")
    check_file(options.out)
    check_playable([])
    from simulator.lab.bench import BenchFailed
    from simulator.lab.calibrate import calibrate
    from simulator.lab.calibration_file import written

    try:
        calibrated = calibrate(options.time_budget, _tell)
    except BenchFailed as failed:
        raise BadInput(f"nothing was written: {failed}") from failed
    options.out.write_text(written(calibrated, options.out.name), encoding="utf-8")
    _print(calibrated)
    print(f"\nwrote {options.out}; a scenario beside it: envoy: {{calibration: {options.out.name}}}")
    return 0


def _tell(step: str) -> None:
    print(f"measuring, {step}", file=sys.stderr, flush=True)


def _print(calibrated: Calibrated) -> None:
    from rich.console import Console
    from rich.text import Text

    from simulator.cli.tables import footnote, new_table, show
    from simulator.cli.terminal import WIDE
    from simulator.lab.calibration_file import compared

    console = Console(width=None if sys.stdout.isatty() else WIDE, markup=False, emoji=False, highlight=False)
    costs = new_table("what Envoy's work costs")
    for column in ("cost", "here", "envoy-1.40", "ratio"):
        costs.add_column(column, justify="left" if column == "cost" else "right")
    for name, here, shipped, ratio in compared(calibrated.solution):
        costs.add_row(
            *(Text(cell) for cell in (name, here, shipped, "" if ratio is None else f"{ratio:.2f}"))
        )
    show(console, costs)
    fits = new_table("fits")
    for column in ("row", "microseconds", "r2", "n"):
        fits.add_column(column, justify="left" if column in ("row", "microseconds") else "right")
    for row, line in sorted(calibrated.solution.fits.items()):
        said = (
            f"{line.intercept_us:.0f} + {line.slope_us:.4g} each"
            if len(line.sizes) > 1
            else (f"{line.intercept_us:.0f}")
        )
        r2 = f"{line.r2:.3f}" if len(line.sizes) > 1 and line.slope_us > 0 else ""
        fits.add_row(*(Text(cell) for cell in (row, said, r2, str(line.n))))
    show(console, fits)
    footnote(
        console,
        "Rows are times from a response written to its ACK read, loopback included, against the number of "
        f"resources. {calibrated.n} times, {calibrated.rounds} round(s), {calibrated.seconds:.0f} s.",
    )
