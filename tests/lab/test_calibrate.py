"""Costs measured on a real Envoy show what the formulas say: something fixed, and something that grows."""

from __future__ import annotations

import asyncio

import pytest

from simulator.lab.cost_rows import CostRows
from simulator.lab.cost_rows_by_path import replaced_files
from simulator.lab.fits import fit


def test_routes_and_files_cost_what_a_formula_can_say() -> None:
    rows = CostRows()

    async def measured() -> None:
        await rows.routes("delta")
        await replaced_files(rows)

    asyncio.run(measured())

    table, burst = fit(rows.rows["rds.delta.one_changed"]), fit(rows.rows["rds.burst"])
    # 8 to 12 us a virtual host on the machine of the shipped file; others are slower, none is free.
    assert 2.0 < table.slope_us < 100.0
    assert table.r2 > 0.9
    # A push within a burst waits for no network.
    assert 100.0 < burst.intercept_us < table.intercept_us
    assert fit(rows.rows["file.directory"]).intercept_us > fit(rows.rows["file.path"]).intercept_us > 0


@pytest.mark.parametrize("form", ["sotw", "delta"])
def test_state_of_the_world_pays_for_what_did_not_change(form: str) -> None:
    rows = CostRows()

    asyncio.run(rows.listeners(form))

    line = fit(rows.rows[f"lds.{form}.one_changed"])
    at_most = (
        6.0 if form == "delta" else 200.0
    )  # noise of a shared machine over 120 listeners: under a millisecond
    assert line.slope_us < at_most
    if form == "sotw":
        assert line.slope_us > 3.0
    assert fit(rows.rows[f"lds.{form}.added"]).slope_us > 10 * line.slope_us
