"""What a version of istiod does differently, seen in whole runs."""

from __future__ import annotations

import pytest

import simulator as xs
from simulator.scenario.istiod import istiod_settings
from tests.conformance.istiod import histogram, mesh, requests, responses, run

EDIT = {"edit": "AuthorizationPolicy", "namespace": "ns0", "at": "1s"}


def at_a_time(version: str, cpu: float) -> int:
    """How many of 105 proxies are pushed to at once."""
    result = run(
        EDIT,
        proxies=105,
        services=1,
        endpoints=1,
        duration="3s",
        version=version,
        costs={"push": "10s"},
        plane={"cpu": cpu},
    )
    waiting = result.queues[result.queues.queue == "push"].depth.iloc[-1]
    return 105 - int(waiting)


@pytest.mark.parametrize(
    ("version", "cpu", "throttle", "is_played"),
    [
        ("1.10", 2, 100, False),
        ("1.20", 8, 100, True),
        ("1.21", 1, 20, True),
        ("1.21", 2, 25, False),
        ("1.32", 4, 35, True),
        ("1.32", 8, 55, False),
        ("1.32", 17, 100, False),
        ("1.32", 64, 100, False),
        ("1.32", 0.5, 20, True),
    ],
)
def test_the_throttle_follows_the_version_and_the_cores(
    version: str, cpu: float, throttle: int, is_played: bool
) -> None:
    assert istiod_settings(mesh(version=version, plane={"cpu": cpu})).push_throttle == throttle
    if is_played:
        assert at_a_time(version, cpu) == throttle


@pytest.mark.parametrize(
    ("version", "cpu", "limit"),
    [
        ("1.10", 2, None),
        ("1.11", 2, None),
        ("1.12", 2, 100),
        ("1.13", 2, 25),
        ("1.20", 8, 25),
        ("1.21", 2, 25),
        ("1.32", 8, 55),
        ("1.32", 32, 100),
    ],
)
def test_the_limit_on_new_streams_follows_the_version_and_the_cores(
    version: str, cpu: int, limit: int | None
) -> None:
    assert istiod_settings(mesh(version=version, plane={"cpu": cpu})).requests_per_second == limit
    result = run(
        {"restart": {"proxies": "100%"}, "at": "1s"},
        proxies=40,
        services=1,
        endpoints=1,
        duration="1.5s",
        version=version,
        plane={"cpu": cpu},
        agent={"bootstrap": "0s"},
    )
    arrived = sorted({(m.proxy_id, m.t) for m in responses(result, type_="cds")}, key=lambda pair: pair[1])
    times = [t for _, t in arrived]
    if limit is None:
        assert times[-1] - times[0] < 1e-9
    else:
        assert times[1] - times[0] == pytest.approx(1 / limit, rel=0.01)


@pytest.mark.parametrize(("version", "protocol"), [("1.21", "sotw"), ("1.22", "delta")])
def test_delta_is_the_default_from_1_22(version: str, protocol: str) -> None:
    assert mesh(version=version).propagation.protocol == protocol
    result = run(EDIT, version=version)
    [ack] = requests(result, "p0")
    # A delta ACK names no version; a state-of-the-world one does.
    assert bool(ack.version_info) == (protocol == "sotw")


@pytest.mark.parametrize(("version", "is_eager"), [("1.26", True), ("1.27", False)])
def test_sidecar_scopes_are_computed_with_the_context_up_to_1_26(version: str, is_eager: bool) -> None:
    costs = {"push_context": {"per_scope_service": "100ms"}, "sidecar_scope": {"per_service": "100ms"}}
    result = run(
        {"edit": "VirtualService", "service": "s0", "at": "1s"},
        proxies=2,
        services=4,
        namespaces=2,
        version=version,
        costs=costs,
        plane={"cpu": 8},
        in_mesh={"scope": {"namespaces": "own"}},
    )
    [push] = result.pushes.itertuples()
    build = (push.t_context_ready_ns - push.t_started_ns) / 1e9
    # Two scopes of two services each; lazily, the one that sees the service pays for itself alone.
    assert build == pytest.approx(0.4 if is_eager else 0.0, abs=0.001)
    [sent] = {m.t for m in responses(result)}
    assert sent == pytest.approx(1.1 + (0.4 if is_eager else 0.2), abs=0.001)


def test_a_lazy_scope_is_paid_for_once_by_the_first_proxy_that_needs_it() -> None:
    result = run(
        {"edit": "VirtualService", "service": "s0", "at": "1s"},
        proxies=4,
        services=2,
        costs={"sidecar_scope": "1s"},
        plane={"cpu": 8},
    )
    assert sorted({m.t for m in responses(result)}) == [1.1, 2.1]
    assert len({m.proxy_id for m in responses(result) if m.t == 2.1}) == 1


@pytest.mark.parametrize(("version", "is_sent"), [("1.30", False), ("1.31", True)])
def test_a_pod_that_is_not_ready_is_pushed_from_1_31(version: str, is_sent: bool) -> None:
    result = run(
        {"scale_up": {"pods": 1}, "service": "s0", "ready_after": "60s", "at": "1s"},
        version=version,
        duration="20s",
    )
    told = responses(result, "p0", "eds")
    assert bool(told) == is_sent


def test_flow_control_and_the_send_time_out_are_refused_where_istio_has_them_not() -> None:
    with pytest.raises(xs.ScenarioError, match=r"1\.9 to 1\.14"):
        mesh(version="1.15", plane={"flow_control": True})
    with pytest.raises(xs.ScenarioError, match="send_timeout"):
        mesh(version="1.22", plane={"send_timeout": "5s"})
    assert mesh(version="1.14", plane={"flow_control": True}).control_plane.flow_control
    assert istiod_settings(mesh(version="1.10")).send_timeout_ns == 5_000_000_000
    assert istiod_settings(mesh(version="1.11")).send_timeout_ns == 0
    assert (
        istiod_settings(mesh(version="1.21", plane={"send_timeout": "5s"})).send_timeout_ns == 5_000_000_000
    )


@pytest.mark.parametrize(("version", "is_cached"), [("1.10", False), ("1.11", False), ("1.12", True)])
def test_clusters_are_cached_from_1_12(version: str, is_cached: bool) -> None:
    # The cache was filled before: four clusters and three fixed ones are generated again, or not.
    result = run(
        {"restart": {"proxies": ["p0"]}, "at": "1s"},
        version=version,
        services=4,
        duration="9s",
        costs={"generate": {"cds_per_miss": "50ms"}},
        agent={"bootstrap": "0s"},
    )
    count, total = histogram(result, "pilot_xds_push_time", type="cds")
    assert (count, total) == (1, pytest.approx(0.0 if is_cached else 7 * 0.05, abs=0.001))
