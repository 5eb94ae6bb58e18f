"""Every shipped scenario under istiod is played by both engines, or refused by the name of what it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import simulator as xs
from simulator.experiment.engines import played
from simulator.results.tables import build_tables, digest_of
from simulator.scenario.engine_choice import not_in_fleet

SHIPPED = Path(__file__).parents[2] / "scenarios"

SMALLER: dict[str, dict[str, Any]] = {
    "large-fleet": {"mesh.proxies": 300},
    "quickstart": {"mesh.proxies": 200},
    "cold-start": {"mesh.services": 100},
}
"""Sizes with which a play by events takes seconds."""

REFUSED = {}
"""What the fleet engine does not play, and the first thing that it has not."""


def shipped() -> dict[str, xs.Scenario]:
    files = [*sorted(SHIPPED.glob("*.yaml")), *sorted((SHIPPED / "published").glob("*.yaml"))]
    scenarios = {path.stem: xs.load_scenario(path) for path in files}
    return {
        name: of.with_(**SMALLER.get(name, {}))
        for name, of in scenarios.items()
        if of.control_plane.kind == "istiod"
    }


ALL = shipped()


def test_what_the_fleet_engine_does_not_play_is_named() -> None:
    missing = {name: not_in_fleet(of) for name, of in ALL.items()}
    assert {name: found[0] for name, found in missing.items() if found} == REFUSED


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ALL if name not in REFUSED])
def test_both_engines_give_the_same_tables(name: str) -> None:
    quiet = {"recording.messages": False, "recording.states": False, "recording.queues": False}
    of = ALL[name].with_(**quiet)
    digests = [
        digest_of(build_tables(played(of.with_(engine=engine), of.seed, 0).recorder))
        for engine in ("events", "fleet")
    ]
    assert digests[0] == digests[1]
