"""What a scenario's pushes add is named and joined as what it has from the start."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.calibration.costs import load_calibration
from simulator.control_plane.script import Push
from simulator.engine.delays import Constant
from simulator.mesh.configuration import ScopedRouteConfiguration
from simulator.scenario.resources import script_of
from simulator.xds.resource_types import EDS, RDS, SRDS
from tests.playing import scenario


def added(type_: str, name: str, **keywords: Any) -> Push:
    """The push of a scenario that adds one name."""
    case = scenario(pushes=[{"at": "1s", "type": type_, "add": [name]}], **keywords)
    (push,) = script_of(case, load_calibration(), Constant(0)).pushes
    return push


@pytest.mark.parametrize(("prefix", "route"), [("l", "r7"), ("web", "web-r7")])
def test_an_added_route_has_the_name_that_was_given(prefix: str, route: str) -> None:
    push = added("rds", route, listeners={"count": 1, "prefix": prefix})
    assert list(push.add[RDS].names) == [route]


@pytest.mark.parametrize(("prefix", "route"), [("l", "r7"), ("web", "web-r7")])
def test_an_added_listener_brings_the_route_of_its_number(prefix: str, route: str) -> None:
    push = added("lds", f"{prefix}7", listeners={"count": 1, "prefix": prefix})
    assert list(push.add[RDS].names) == [route]


def test_an_added_cluster_brings_its_endpoints_only_if_they_are_discovered() -> None:
    assert list(added("cds", "c7", clusters={"count": 1, "type": "eds"}).add[EDS].names) == ["c7"]
    assert EDS not in added("cds", "c7", clusters={"count": 1, "type": "static"}).add


def test_an_added_scope_leads_to_a_scoped_listener_where_there_is_one() -> None:
    with_scopes = added("srds", "srds5", listeners=[{"routes": "rds"}, {"routes": "scoped"}])
    assert with_scopes.add[SRDS]["srds5"].body == ScopedRouteConfiguration("r1")
    assert list(added("srds", "srds5", listeners={"routes": "inline"}).add[SRDS].names) == ["srds5"]
