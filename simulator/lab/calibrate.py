"""Measures what Envoy's work costs on this machine, in rounds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from simulator.lab.calibration_file import Calibrated
from simulator.lab.cost_rows import CostRows, Step, plan
from simulator.lab.cost_rows_by_path import replaced_files, rest_starts
from simulator.lab.cost_rows_in_plays import starts_by_polls, starts_on_streams_of_their_own
from simulator.lab.cost_solution import solve
from simulator.lab.requirements import check

DEFAULT_BUDGET_S: Final = 180.0


def calibrate(budget_s: float = DEFAULT_BUDGET_S, on_step: Callable[[str], None] | None = None) -> Calibrated:
    """Measures; one round always, and another as long as it would end within the budget.

    Raises:
        LabUnavailable: Envoy or a library is missing.
        BenchFailed: An Envoy did not do what a measurement needs.
    """
    check()
    return asyncio.run(_calibrated(budget_s, on_step or (lambda _step: None)))


async def _calibrated(budget_s: float, on_step: Callable[[str], None]) -> Calibrated:
    rows, rounds, begun = CostRows(), 0, time.monotonic()
    steps: list[tuple[str, Step]] = [
        *plan(rows),
        ("starts on streams of their own", partial(starts_on_streams_of_their_own, rows)),
        ("polling", partial(rest_starts, rows)),
        ("starts by polls", partial(starts_by_polls, rows)),
        ("files", partial(replaced_files, rows)),
    ]
    while True:
        round_begun = time.monotonic()
        for what, step in steps:
            on_step(f"round {rounds + 1}: {what}")
            await step()
        rounds += 1
        now = time.monotonic()
        if now - begun + (now - round_begun) > budget_s:
            break
    n = sum(map(len, rows.rows.values()))
    return Calibrated(solve(rows.rows), rounds, n, time.monotonic() - begun)
