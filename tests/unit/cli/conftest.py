"""Scenario files, and runs whose outcome a test chooses: what the commands do with it is what is tested."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import simulator as xs
from simulator.engine.clock import MS, S
from simulator.recording import Recorder
from simulator.results.result import Result


@pytest.fixture
def scenario_file(tmp_path: Path) -> Callable[..., Path]:
    """A function (text, name) -> path of a scenario file in the test's own directory."""

    def write(text: str = "question: How long?\n", name: str = "small.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def result_of(scenario: xs.Scenario, seed: int | None = None, proxies: int = 1) -> Result:
    """One start per proxy with an EDS time-out, two pushes of which the second is rejected."""
    recorder = Recorder([f"p{i}" for i in range(proxies)], messages=True, states=True)
    for proxy in range(proxies):
        row = recorder.startup(proxy, 0, "start", 0)
        for place, name in enumerate(
            ("bootstrapped", "primary_initialized", "rtds_initialized", "cds_subscribed")
        ):
            setattr(row, f"t_{name}_ns", (47 + place) * MS)
        row.t_connected_ns, row.t_cds_initialized_ns = 52 * MS, 55 * MS
        row.t_clusters_initialized_ns = 2055 * MS
        row.t_listeners_initialized_ns = row.t_workers_started_ns = row.t_ready_ns = (2060 + proxy) * MS
        row.fetch_timeouts, row.outcome = {"eds": 3}, "live"
    recorder.state(55 * MS, 0, "cluster", ["c0", "c1"], "WARMING")
    recorder.state(2055 * MS, 0, "cluster", ["c0", "c1"], "ACTIVE")
    recorder.message(60 * MS, 0, 0, 0, "request", "cds", "", "", "", [], 100)
    for at_s, active in ((10, True), (20, False)):
        change = recorder.change("cds", "c0", at_s * S, proxies)
        for proxy in range(proxies):
            delivery = recorder.delivery(change, proxy, at_s * S)
            delivery.outcome = "active" if active else "rejected"
            delivery.t_active_ns = at_s * S + 2 * MS if active else None
    recorder.warn("a queue is too long")
    manifest = {
        "name": scenario.name,
        "seed": scenario.seed if seed is None else seed,
        "scenario": scenario.resolved(),
    }
    return Result.from_recorder(recorder, manifest, scenario.expect)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[tuple[xs.Scenario, int | None]]:
    """Runs give `result_of`, with as many proxies as the scenario has; the list tells what was run."""
    calls: list[tuple[xs.Scenario, int | None]] = []

    def run(scenario: xs.Scenario, seed: int | None = None, executor: str | None = None) -> Result:
        calls.append((scenario, seed))
        return result_of(scenario, seed, scenario.mesh.proxies.sidecars)

    monkeypatch.setitem(vars(xs), "run", run)
    return calls
