"""What owns the delay in each cell of an experiment, and which step of which key moves it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import simulator as xs
from tests.many import tiny
from tests.unit.results.test_bottleneck import planted

pytestmark = pytest.mark.slow

CHANGED = [{"edit": "VirtualService", "at": ["1s", "20s"]}]
AFTER, LATENCY = "control_plane.debounce.after", "network.latency"


@pytest.fixture(scope="module")
def swept() -> xs.Sweep:
    """Cells in which the debounce is slow, and cells in which the network is."""
    scenario = planted("debounce", workload=CHANGED)
    over = {AFTER: ["100ms", "1s"], LATENCY: ["1ms", "500ms", "3s"]}
    return xs.sweep(scenario, over, replications=2, executor="serial")


def test_each_run_and_each_cell_names_its_bottleneck(swept: xs.Sweep, tmp_path: Path) -> None:
    owners = ["debounce", "network", "network", "debounce", "debounce", "network"]
    assert swept.table()["bottleneck"].tolist() == owners
    assert swept.runs["bottleneck.p99"].tolist() == [owner for owner in owners for _ in range(2)]
    shares = swept.runs["bottleneck.p99.share"]
    assert ((shares > 0.4) & (shares <= 1)).all()
    assert swept.runs["bottleneck.p50.utilisation"].isna().all()  # neither is a station
    assert swept.owners("100ms, 1ms", "p50") == {"debounce": 2}
    swept.save(tmp_path)
    assert xs.Sweep.load(tmp_path).table()["bottleneck"].tolist() == owners


def test_a_station_tells_in_each_run_how_busy_it_was() -> None:
    compared = xs.compare(
        {"one": planted("registry queue"), "two": planted("debounce")}, replications=1, executor="serial"
    )
    busy = compared.runs["bottleneck.p99.utilisation"]
    assert 0 < busy.iloc[0] <= 1
    assert math.isnan(busy.iloc[1])
    assert compared.table()["bottleneck_p99"].tolist() == ["registry queue", "debounce"]


def test_owners_that_differ_between_runs_are_counted(swept: xs.Sweep) -> None:
    runs = swept.runs.copy()
    runs.loc[[0, 1], "cell"] = runs.loc[[2, 3], "cell"] = 0
    runs.loc[1, "bottleneck.p99"] = "network"
    mixed = xs.Sweep(swept.manifest, swept.cells, runs, swept.samples_of)
    assert mixed.bottleneck(0) == "network (3 of 4 runs)"
    assert mixed.bottleneck(1) == ""


def test_without_changes_no_cell_has_an_owner() -> None:
    swept = xs.sweep(tiny(pushes=[]), {"duration": ["1s", "2s"]}, executor="serial")
    assert swept.table()["bottleneck"].tolist() == ["", ""]


def test_a_step_of_a_key_is_the_paired_difference_between_neighbours(swept: xs.Sweep) -> None:
    steps = swept.steps().set_index(["key", "before", "others"])
    assert len(steps) == 3 + 2 * 2
    step = steps.loc[(LATENCY, "500ms", f"{AFTER}=1s")]
    assert step["after"] == "3s"
    table = swept.table().set_index([AFTER, LATENCY])["value"]
    assert math.isclose(step["difference"], table["1s", "3s"] - table["1s", "500ms"])
    assert step["ci_low"] <= step["difference"] <= step["ci_high"]
    debounced = steps.loc[(AFTER, "100ms", f"{LATENCY}=1ms")]
    assert math.isclose(debounced["difference"], 0.9, rel_tol=0.01)  # 100 ms to 1 s


def test_a_design_without_neighbours_has_no_steps() -> None:
    over = {LATENCY: "1ms..9ms", "duration": "1s..2s"}
    swept = xs.sweep(tiny(), over, design="lhs", points=3, executor="serial")
    assert len(swept.steps()) == 0
    assert "difference" in swept.steps().columns
