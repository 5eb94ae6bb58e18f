"""Rows read off plays: what bytes cost, and subscriptions that have a stream of their own, or poll."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from simulator.lab.cost_rows import CostRows
from simulator.lab.play import played
from simulator.results.result import Result
from simulator.scenario.schema import Scenario

_CLUSTERS: Final = (10, 60, 120)
_ENDPOINTS: Final = (1, 500, 1500)
_SEPARATE: Final = {"protocol": "sotw", "streams": "separate"}
_REST: Final = {"strategy": "poll", "refresh_delay": "1m"}


async def starts_on_streams_of_their_own(rows: CostRows) -> None:
    """Start-up with more and more EDS clusters, each with a stream: from CDS answered to its ACK."""
    for n in _CLUSTERS:
        result = await _start(_SEPARATE, n)
        answered_ns = _first_ns(result, "cds", "response")
        rows.note("separate.clusters", n, _first_ns(result, "cds", "request", answered_ns) - answered_ns)


async def starts_by_polls(rows: CostRows) -> None:
    """Start-up by polling: with more and more EDS clusters, to the first EDS request; with more and more
    endpoints, from EDS answered to the LDS request."""
    for n in _CLUSTERS:
        result = await _start(_REST, n)
        rows.note(
            "rest.clusters", n, _first_ns(result, "eds", "request") - _first_ns(result, "cds", "response")
        )
    for n in _ENDPOINTS:
        result = await _start(_REST, 1, n)
        rows.note(
            "rest.endpoints", n, _first_ns(result, "lds", "request") - _first_ns(result, "eds", "response")
        )


async def _start(propagation: Mapping[str, Any], clusters: int, endpoints: int = 1) -> Result:
    scenario = Scenario(
        name="start",
        duration="1s",
        envoy={"preset": "envoy"},
        propagation=dict(propagation),
        control_plane={
            "kind": "scripted",
            "resources": {
                "clusters": {"count": clusters, "type": "eds", "endpoints": endpoints},
                "listeners": {"count": 1},
            },
        },
        recording={"messages": True},
    )
    return await played(scenario)


def _first_ns(result: Result, type_name: str, direction: str, after_ns: int = -1) -> int:
    """The first message of a type behind an instant."""
    told = result.messages
    chosen = told[(told.type == type_name) & (told.direction == direction) & (told.t_ns > after_ns)]
    return int(chosen.t_ns.iloc[0])
