"""Times that known costs would give are solved back into these costs, and the file written of them loads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import simulator as xs
from simulator.calibration.costs import (
    Calibration,
    cds_cost_ns,
    eds_cost_ns,
    lds_cost_ns,
    load_calibration,
    rds_cost_ns,
)
from simulator.engine.delays import Constant, Uniform
from simulator.lab.calibration_file import Calibrated, written
from simulator.lab.cost_solution import solve

Rows = dict[str, list[tuple[int, float]]]

SIZES = (1, 100, 1000)
HOPS_NS = 500_000
TRUE: Mapping[str, Any] = load_calibration().costs


def cds(is_delta: bool, present: int, **counts: Any) -> int:
    given = {
        "added": {}, "changed": {}, "removed": 0, "is_quiet": False, "starts_eds": False,
        "is_first_static": False, **counts,
    }  # fmt: skip
    return HOPS_NS + cds_cost_ns(TRUE["cds"], is_delta=is_delta, present=present, **given)


def eds(is_delta: bool, present: int, first: int, endpoints: int) -> int:
    return HOPS_NS + eds_cost_ns(
        TRUE["eds"], is_delta=is_delta, present=present, first=first, endpoints=endpoints, has_first=first > 0
    )


def lds(is_delta: bool, present: int, built: int, removed: int = 0, starts_rds: bool = False) -> int:
    return HOPS_NS + lds_cost_ns(
        TRUE["lds"], is_delta=is_delta, present=present, built=built, removed=removed, has_built=built > 0,
        has_removed=removed > 0, starts_rds=starts_rds,
    )  # fmt: skip


def rds(virtual_hosts: int, *, is_first: bool = False) -> int:
    c = TRUE["rds"]
    return HOPS_NS + rds_cost_ns(c, virtual_hosts=virtual_hosts, is_first=is_first, is_initializing=False)


def times_ns(form: str) -> dict[str, dict[int, int]]:
    """What the shipped costs would show on the bench, size by size."""
    d = form == "delta"
    sized = {
        f"cds.{form}.added_static": lambda n: cds(d, n, added={"static": n}),
        f"cds.{form}.unchanged": lambda n: cds(d, n, is_quiet=True),
        f"cds.{form}.one_changed": lambda n: cds(d, 1 if d else n, changed={"static": 1}),
        f"cds.{form}.changed_static": lambda n: cds(d, n, changed={"static": n}),
        f"cds.{form}.removed": lambda n: cds(d, 1, removed=n),
        f"cds.{form}.added_eds": lambda n: cds(d, n, added={"eds": n}, starts_eds=True),
        f"cds.{form}.changed_eds": lambda n: cds(d, n, changed={"eds": n}) + (eds(d, n, n, 0) if d else 0),
        f"eds.{form}.first": lambda n: eds(d, n, n, n),
        f"eds.{form}.one_changed": lambda n: eds(d, 1 if d else n, 0, 1),
        f"eds.{form}.endpoints": lambda n: eds(d, 1, 0, n),
        f"lds.{form}.added": lambda n: lds(d, n, n),
        f"lds.{form}.unchanged": lambda n: lds(d, n, 0),
        f"lds.{form}.one_changed": lambda n: lds(d, 1 if d else n, 1),
        f"lds.{form}.one_removed": lambda n: lds(d, n, 0, removed=1),
        f"lds.{form}.starts_rds": lambda _n: lds(d, 1, 1, starts_rds=True),
        f"rds.{form}.one_changed": rds,
        f"rds.{form}.first": lambda _n: rds(1, is_first=True),
    }
    one_size = (f"lds.{form}.starts_rds", f"rds.{form}.first")
    return {row: {n: f(n) for n in ((1,) if row in one_size else SIZES)} for row, f in sized.items()}


def rows() -> Rows:
    update, byte, begun, own = (
        TRUE[key].value_ns for key in ("rest_update", "rest_byte", "rest_subscription", "grpc_subscription")
    )
    static = cds(False, 1, added={"static": 1}, is_first_static=True)
    constant = {
        "rds.burst": rds(1) - HOPS_NS,
        "rds.refused": HOPS_NS + 600_000,
        "server.answer": 300_000,
        "start.static": 47_000_000,
        "start.subscribed": 62_000_000,
        "start.stream": 2_000_000 + HOPS_NS // 2,
        "start.rds": HOPS_NS // 2 + 40_000,
        "start.lds": 3_200_000,
        "start.cds_static": static,
        "start.cds_eds": 2_300_000,
        "start.eds": 1_500_000,
        "rest.cds": 2_300_000 + update + begun + 80 * byte,
        "rest.eds": 1_500_000 + update + 63 * byte,
        "rest.lds": 3_200_000 + update + begun + 336 * byte,
        "file.path": rds(1) - HOPS_NS,
        "file.directory": rds(1) - HOPS_NS + 1_200_000,
    }
    found = {row: [(1, ns / 1e3)] for row, ns in constant.items()}
    for form in ("sotw", "delta"):
        found |= {row: [(n, ns / 1e3) for n, ns in sized.items()] for row, sized in times_ns(form).items()}
    first = {n: cds(False, n, added={"eds": n}, starts_eds=True) for n in SIZES}
    found["separate.clusters"] = [(n, (first[n] + n * own) / 1e3) for n in SIZES]
    found["rest.clusters"] = [(n, (first[n] + n * (begun + 80 * byte)) / 1e3) for n in SIZES]
    found["rest.endpoints"] = [(n, (eds(False, 1, 1, n) + (40 + 23 * n) * byte) / 1e3) for n in SIZES]
    found["flush"] = [(n, n * us) for n in (500, 1000) for us in (12.0, 12.0, 15.0, 15.0, 18.0, 18.0)]
    return found


def loaded(tmp_path: Path, measured: Rows) -> Calibration:
    path = tmp_path / "my-host.yaml"
    calibrated = Calibrated(solve(measured), 1, sum(map(len, measured.values())), 1.0)
    path.write_text(written(calibrated, path.name), encoding="utf-8")
    return load_calibration(str(path))


def test_the_costs_behind_the_times_come_back(tmp_path: Path) -> None:
    found = loaded(tmp_path, rows())

    assert found.loopback == Constant(HOPS_NS // 2)
    assert found.answer == Constant(300_000)
    for key, law in TRUE.items():
        if isinstance(law, Mapping):
            # Three digits are written; a fixed cost is what is left of a millisecond when they are taken off.
            assert found.costs[key] == pytest.approx(law, rel=0.02, abs=12_000), key
        elif isinstance(law, Constant):
            given = found.costs[key]
            assert isinstance(given, Constant)
            assert given.value_ns == pytest.approx(law.value_ns, rel=0.01, abs=20_000), key
    assert found.costs["stats_flush_per_cluster"] == Uniform(12_000, 18_000)


def test_a_machine_of_half_the_speed_costs_twice(tmp_path: Path) -> None:
    slow = {row: [(n, 2 * us) for n, us in points] for row, points in rows().items()}

    found, usual = loaded(tmp_path, slow).costs, loaded(tmp_path, rows()).costs

    for key in ("cds", "eds", "lds", "rds"):
        once, twice = usual[key], found[key]
        assert isinstance(once, Mapping)
        assert twice == pytest.approx({name: 2 * ns for name, ns in once.items()}, rel=0.02)


def test_a_file_says_where_it_was_measured_and_how_well(tmp_path: Path) -> None:
    origin = loaded(tmp_path, rows()).origin
    text = (tmp_path / "my-host.yaml").read_text(encoding="utf-8")

    assert origin.envoy == "1.40.0"
    assert "cores" in origin.host
    assert len(origin.date) == len("2026-11-23")
    assert "times in one round" in origin.n
    assert "r2 1.000" in text
    assert "not measured here; envoy-1.40" in text


def test_a_scenario_beside_the_file_runs_with_it(tmp_path: Path) -> None:
    loaded(tmp_path, {row: [(n, 3 * us) for n, us in points] for row, points in rows().items()})
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\nduration: 5s\nenvoy: {calibration: my-host.yaml}\ncontrol_plane: {kind: scripted}\n",
        encoding="utf-8",
    )
    scenario = xs.load_scenario(path)

    mine, shipped = xs.run(scenario), xs.run(scenario.with_(**{"envoy.calibration": "envoy-1.40"}))

    ready = [result.startups.t_workers_started_ns.iloc[0] for result in (mine, shipped)]
    assert ready[0] > 2.5 * ready[1]


def test_a_calibration_that_is_not_there_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nenvoy:\n  calibration: no-host.yaml\n", encoding="utf-8")

    with pytest.raises(xs.ScenarioError, match=r"mine\.yaml:3: envoy\.calibration: 'no-host\.yaml'"):
        xs.load_scenario(path)


def test_the_shipped_file_says_where_it_was_measured() -> None:
    origin = load_calibration().origin

    assert all((origin.envoy, origin.host, origin.date, origin.n))
