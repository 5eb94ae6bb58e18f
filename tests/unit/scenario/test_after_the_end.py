"""What the run does not reach is said aloud."""

from __future__ import annotations

from typing import Any

import pytest

import simulator as xs
from simulator.scenario.after_the_end import after_the_end

MESH: dict[str, Any] = {"mesh": {"proxies": 2}, "control_plane": {"kind": "istiod"}, "duration": "10s"}
SCRIPT: dict[str, Any] = {"kind": "scripted", "resources": {"clusters": {"count": 1}}}


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"edit": "VirtualService", "at": "20s"}, "workload[0] (edit) never happens, at 20s"),
        ({"edit": "VirtualService", "at": "10s"}, "workload[0] (edit) never happens, at 10s"),
        ({"edit": "VirtualService", "at": ["1s", "20s", "30s"]}, "workload[0] (edit) happens 1 of 3 times"),
        (
            {"endpoints": "s0", "poisson": "2/s", "from": "1m"},
            "workload[0] (endpoints) never happens, from 1m0s",
        ),
        (
            {"traffic": {"to": "s0", "rate": "1/s"}, "from": "11s"},
            "workload[0] (traffic) never happens, from 11s",
        ),
        ({"edit": "VirtualService", "at": ["1s", "9999ms"]}, None),
        ({"edit": "VirtualService", "every": "1s"}, None),
    ],
)
def test_instants_at_or_after_the_end_are_told_of(entry: dict[str, Any], told: str | None) -> None:
    warnings = after_the_end(xs.Scenario(**MESH, workload=[entry]))
    assert warnings == ([] if told is None else [f"{told}: the run ends after 10s (duration)"])


def test_pushes_of_a_script_are_told_of_and_the_run_warns() -> None:
    pushes = [{"at": "1s", "type": "cds", "change": ["c0"]}, {"at": "1h", "type": "cds", "change": ["c0"]}]
    result = xs.run(xs.Scenario(duration="3s", control_plane={**SCRIPT, "pushes": pushes}))
    assert result.warnings == [
        "control_plane.pushes[1] never happens, at 1h0m0s: the run ends after 3s (duration)"
    ]
