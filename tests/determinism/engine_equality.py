"""Whether both engines give the same tables, bit for bit, for one scenario."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import pandas as pd

import simulator as xs
from simulator.experiment.engines import played
from simulator.fleet.errors import CannotTakeFleet, RowsTouched
from simulator.recording.recorder import Recorder
from simulator.results.tables import build_tables, digest_of
from simulator.scenario.build import build
from simulator.scenario.fleet.world import FleetWorld
from simulator.scenario.problems import ScenarioError

World = TypeVar("World", bound=FleetWorld)


def table(recorder: Recorder, name: str) -> pd.DataFrame:
    return build_tables(recorder)[name].astype(str)


def both(of: xs.Scenario) -> tuple[Recorder, Recorder]:
    """What each engine recorded."""
    by_events = build(of.with_(engine="events"), of.seed)
    by_events.run()
    return by_events.recorder, by_rows(of)


def by_rows(of: xs.Scenario) -> Recorder:
    """What the fleet engine recorded."""
    try:
        return played(of.with_(engine="fleet"), of.seed, 0).recorder
    except ScenarioError as error:
        raise CannotTakeFleet(str(error)) from error


def ended_as(kind: type[World], of: xs.Scenario) -> World:
    """A world of this kind at the end of the run, with those by messages who are no rows."""
    touched: list[int] = []
    while True:
        world = kind(of.with_(engine="fleet"), of.seed, 0, touched)
        try:
            world.world().run()
        except RowsTouched as error:
            touched += error.proxies.tolist()
        else:
            return world


def assert_equal(of: xs.Scenario) -> tuple[Recorder, Recorder]:
    """Returns what each engine recorded."""
    events, arrays = both(of)
    assert digest_of(build_tables(events)) == digest_of(build_tables(arrays))
    assert table(events, "proxy_pushes").equals(table(arrays, "proxy_pushes"))
    assert events.xds_messages == arrays.xds_messages
    assert events.xds_bytes == arrays.xds_bytes
    assert events.control_plane_busy_ns == arrays.control_plane_busy_ns
    assert events.utilisation == arrays.utilisation
    return events, arrays


def assert_equal_or_beyond(of: xs.Scenario, limits: Sequence[str]) -> tuple[Recorder, Recorder] | None:
    """Some come to what shows in the run alone, and the fleet engine then says which of its limits it is.
    Returns what each engine recorded, if both played it.
    """
    try:
        return assert_equal(of)
    except CannotTakeFleet as error:
        assert any(limit in str(error) for limit in limits), error  # noqa: PT017 -- which limit it is
        return None
