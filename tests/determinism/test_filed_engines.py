"""Files: both engines give the same tables, bit for bit, for whatever both play."""

from __future__ import annotations

from typing import Any

import pytest

import simulator as xs
from simulator.fleet.errors import RowsTouched
from simulator.results.tables import build_tables
from simulator.scenario.build import build
from simulator.scenario.problems import ScenarioError
from tests.determinism.engine_equality import assert_equal, both
from tests.determinism.random_seeds import thinned
from tests.fleet_file_scenarios import scenario

FAST = range(130, 134)
"""The meshes of these seeds are small."""
BESIDE = (
    139,
    147,
    160,
    161,
    163,
    165,
    167,
    169,
    184,
    190,
    204,
    205,
    212,
    215,
    216,
    225,
    229,
    238,
    262,
    273,
    283,
    291,
    295,
)
SLOW = thinned(range(134, 300), 3, BESIDE)


@pytest.mark.parametrize("seed", FAST)
def test_random_meshes_that_read_files_have_equal_tables(seed: int) -> None:
    assert_equal(scenario(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW)
def test_more_random_meshes_that_read_files_have_equal_tables(seed: int) -> None:
    assert_equal(scenario(seed))


def mesh(**keys: Any) -> xs.Scenario:
    whole = xs.Scenario(
        name="fleet-files",
        duration="5s",
        mesh={"proxies": {"sidecars": 30, "gateways": 1}, "services": 3, "endpoints": 3},
        control_plane={"kind": "istiod"},
        propagation={"strategy": "file", "sync_period": "1s"},
        recording={"messages": False, "states": False, "queues": False},
        workload=[
            {"edit": "DestinationRule", "name": "one", "at": ["1s", "2s"]},
            {"edit": "WorkloadEntry", "at": ["1100ms", "2200ms"]},
            {"edit": "VirtualService", "every": "300ms", "from": "1s", "until": "3s"},
        ],
    )
    return whole.with_(**keys)


def test_pods_read_at_their_own_instants_and_clusters_warm_as_event_by_event() -> None:
    of = mesh()
    assert_equal(of)
    _, arrays = both(of)
    rows = build_tables(arrays)["deliveries"]
    assert rows["t_sent_ns"].dropna().nunique() > 60, "pods are synchronized together"
    assert set(rows["carried_by"].dropna()) == {"file"}


def test_a_run_that_ends_between_synchronizations_leaves_the_same_rows_pending() -> None:
    of = mesh(duration="2600ms")
    assert_equal(of)
    _, arrays = both(of)
    assert {"active", "pending"} <= set(build_tables(arrays)["deliveries"]["outcome"])


def test_auto_takes_the_arrays_for_many_proxies_that_read_files() -> None:
    assert build(mesh(**{"mesh.proxies": 2000}), 1).engine == "fleet"


def test_costs_of_reading_that_are_drawn_are_refused_by_name() -> None:
    with pytest.raises(ScenarioError, match=r"envoy\.costs\.directory_update"):
        mesh(**{"engine": "fleet", "envoy.costs.directory_update": {"uniform": ["1ms", "2ms"]}})


def test_rows_whose_files_come_faster_than_they_are_applied_are_played_again_by_messages() -> None:
    of = mesh(**{"propagation.sync_period": "20ms", "envoy.costs.directory_update": "900ms"})
    with pytest.raises(RowsTouched, match="rows are touched"):
        build(of.with_(engine="fleet"), 1).run()
    assert_equal(of)
