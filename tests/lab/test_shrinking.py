"""Fuzzing with a model that is wrong on purpose: what disagrees is kept, replays, and is made small."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

import simulator as xs
from simulator.envoy.cluster_manager import ClusterManager
from simulator.lab.fuzz import Fuzzer, fuzz
from simulator.lab.inventions import Mapping
from simulator.lab.verify import verify
from tests.lab.scripts import told

UNNEEDED: Mapping = {
    "name": "fuzz-cds-gate",
    "duration": "3s",
    "envoy": {"preset": "envoy", "initial_fetch_timeout": "1150ms", "drain_time": "1s"},
    "propagation": {"strategy": "push", "protocol": "sotw"},
    "control_plane": {
        "kind": "scripted",
        "resources": {
            "clusters": [{"count": 1}, {"count": 1, "type": "static"}],
            "listeners": [{"count": 1}, {"count": 1, "routes": "inline"}],
        },
        "answers": {"rds": [{"after": "300ms"}]},
        "pushes": [
            {"at": "720ms", "type": "rds", "change": ["r0"]},
            {"at": "1s", "type": "cds", "change": ["c0"]},
            {"at": "1500ms", "type": "eds", "send": ["c0"]},
        ],
    },
}
"""A cluster's change whose ACK waits for warming, among much that has nothing to do with it."""


def _things(control_plane: Mapping) -> int:
    resources = control_plane["resources"]
    return sum(
        len(part)
        for part in (
            control_plane["pushes"],
            control_plane.get("answers", {}),
            resources["clusters"],
            resources["listeners"],
        )
    )


def test_a_disagreement_is_saved_as_files_that_replay_and_shrinks_to_what_it_takes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as wrong:
        wrong.setattr(ClusterManager, "_update_cds_gate", lambda manager: None)
        # One play decides: the wrong model is wrong in every one.
        found = fuzz(
            1,
            0,
            directory=tmp_path,
            fuzzer=Fuzzer(runs=1),
            invent=lambda seed, number: copy.deepcopy(UNNEEDED),
        )
        if found.unjudged:
            pytest.skip("NOT JUDGED: the machine was too busy")
        (case,) = found.disagreeing
        assert [path.name for path in case.files] == ["fuzz-cds-gate.yaml", "fuzz-cds-gate-small.yaml"]
        again = verify(xs.load_scenario(case.files[1]))
        assert not again.agrees, "the small scenario no longer shows the mistake"

    assert case.small is not None
    small = case.small["control_plane"]
    assert {"at": "1s", "type": "cds", "change": ["c0"]} in small["pushes"]
    assert _things(small) <= 5, "four things show it; one may stay where the machine was too busy to tell"
    for path in case.files:
        right = verify(xs.load_scenario(path))
        assert right.agrees or not right.is_judged, f"the right model is told to be wrong\n{told(right)}"
