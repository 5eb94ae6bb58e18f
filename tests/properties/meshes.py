"""Strategies for whole meshes: services, who sees them, istiod of any version, any way of propagation, and a
workload of any kind.

Everything happens in the first half of a run; what is broken is mended by then, so that all of it can settle.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

import simulator as xs
from simulator.mesh.kinds import KINDS
from simulator.scenario.sections.workload import EDITED_KINDS

LAST_S = 16
"""Nothing of the workload happens later, but what a rollout has begun."""

SETTLED_S = 25
DURATION_S = 80
"""Changes older than SETTLED_S at the end have long arrived everywhere, whatever happened."""

VERSIONS = ("1.10", "1.11", "1.13", "1.20", "1.22", "1.26", "1.27", "1.30", "1.31", "1.32")
EXPORTS = ("*", "*", "*", ".", "~")


def instants(most: int = 3) -> st.SearchStrategy[list[str]]:
    return st.lists(
        st.integers(1, LAST_S * 20).map(lambda n: f"{n * 50}ms"), min_size=1, max_size=most, unique=True
    )


def instant() -> st.SearchStrategy[str]:
    return instants(1).map(lambda at: at[0])


# --- the mesh


@st.composite
def listed_services(draw: st.DrawFn, namespaces: int) -> list[dict[str, Any]]:
    services = []
    for number in range(draw(st.integers(1, 5))):
        service: dict[str, Any] = {
            "name": f"svc{number}",
            "namespace": f"ns{draw(st.integers(0, namespaces - 1))}",
            "endpoints": draw(st.integers(0, 4)),
            "export_to": draw(st.sampled_from(EXPORTS)),
            "headless": draw(st.sampled_from([False, False, False, True])),
        }
        if draw(st.booleans()):
            service["ports"] = draw(
                st.sampled_from(
                    [[80, 9090], [{"port": 5432, "protocol": "tcp"}], [80, {"port": 81, "protocol": "tcp"}]]
                )
            )
        services.append(service)
    return services


@st.composite
def meshes(draw: st.DrawFn) -> dict[str, Any]:
    namespaces = draw(st.integers(1, 3))
    is_listed = draw(st.booleans())
    mesh: dict[str, Any] = {
        "proxies": {"sidecars": draw(st.integers(1, 5)), "gateways": draw(st.sampled_from([0, 0, 1, 2]))},
        "services": draw(listed_services(namespaces)) if is_listed else draw(st.integers(1, 5)),
        "namespaces": namespaces,
        "endpoints": draw(st.integers(0, 4)),
        "scope": draw(st.sampled_from(["all", "all", "50%", "100%", {"services": 2}, {"namespaces": "own"}])),
        "zones": draw(st.sampled_from([1, 1, 2])),
        "start": draw(st.sampled_from(["connected", "connected", "cold", {"over": "5s"}])),
    }
    if namespaces > 1 and draw(st.sampled_from([False, False, True])):
        mesh["discovery_selectors"] = ["ns0"]
    return mesh


# --- the control plane and the way to the proxies


@st.composite
def control_planes(draw: st.DrawFn) -> dict[str, Any]:
    version = draw(st.sampled_from(VERSIONS))
    plane: dict[str, Any] = {
        "kind": "istiod",
        "version": version,
        "replicas": draw(st.sampled_from([1, 1, 2, 3])),
        "cpu": draw(st.sampled_from(["500m", 1, 2])),
        "debounce": {
            "after": draw(st.sampled_from(["100ms", "10ms", "0s"])),
            "max": draw(st.sampled_from(["10s", "500ms"])),
            "endpoints": draw(st.booleans()),
        },
        "push_throttle": draw(st.sampled_from(["auto", 1])),
        "max_connection_age": draw(st.sampled_from(["30m", "30m", "9s"])),
        "max_connection_age_grace": "1s",
        "keepalive": {"interval": "2s", "timeout": "1s"},
        "readiness": {"initial_delay": "1s", "period": "1s"},
        "registry": {"failure_rate": draw(st.sampled_from([0, 0, 0.2]))},
        "send_unhealthy_endpoints": draw(st.sampled_from(["auto", True, False])),
    }
    if draw(st.booleans()):
        plane["costs"] = "zero"
    if draw(st.sampled_from([False, False, True])):
        plane["cache"] = {"cds": False, "eds": False, "rds": False, "sds": False}
    if version in ("1.10", "1.11", "1.13"):
        plane["flow_control"] = draw(st.booleans())
        plane["flow_control_timeout"] = "3s"
    return plane


@st.composite
def propagations(draw: st.DrawFn, strategies: tuple[str, ...]) -> dict[str, Any]:
    strategy = draw(st.sampled_from(strategies))
    way: dict[str, Any] = {"strategy": strategy, "backoff": {"base": "500ms", "max": "2s"}}
    if strategy == "push":
        way["protocol"] = draw(st.sampled_from(["delta", "sotw"]))
        way["streams"] = draw(st.sampled_from(["ads", "ads", "separate"]))
    if strategy == "poll":
        way["refresh_delay"] = "2s"
    if strategy == "long-poll":
        way["wait"] = draw(st.sampled_from(["3s", "60s"]))
    if strategy == "file":
        way["sync_period"] = "3s"
    return way


# --- what happens

DISTURBANCES = (
    "restart",
    "restart_istiod",
    "add_istiod",
    "rollout_istiod",
    "partition",
    "slow_reader",
)


@st.composite
def edits(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from([k for k in EDITED_KINDS if k in KINDS]))
    edit: dict[str, Any] = {"edit": kind, "at": draw(instants(5))}
    if draw(st.booleans()):
        edit["name"] = draw(st.sampled_from(["one", "two"]))
    if draw(st.sampled_from([False, False, False, True])):
        edit["namespace"] = draw(st.sampled_from(["ns0", "istio-system"]))
    if draw(st.sampled_from([False, False, False, False, True])):
        edit["rejected_by_envoy"] = True
    return edit


@st.composite
def rollouts(draw: st.DrawFn) -> dict[str, Any]:
    surge = draw(st.sampled_from([0, 1, "100%"]))
    rollout = {
        "rollout": "any",
        "at": draw(instant()),
        "max_surge": surge,
        "max_unavailable": draw(st.sampled_from([1, "50%"])) if surge == 0 else 0,
        "ready_after": "500ms",
        "pre_stop": draw(st.sampled_from(["0s", "2s"])),
        "termination_grace": "3s",
        "new_service_account": draw(st.booleans()),
        "exit_on_zero": draw(st.booleans()),
    }
    if draw(st.booleans()):
        rollout["native_sidecar"] = draw(st.booleans())
    return rollout


@st.composite
def disturbances(draw: st.DrawFn, kind: str, replicas: int) -> dict[str, Any]:
    some = draw(st.sampled_from([{"proxies": 1}, {"proxies": "50%"}, {"proxies": ["p0"]}]))
    match kind:
        case "restart":
            return {"restart": some, "at": draw(instants(2))}
        case "restart_istiod":
            return {
                "restart_istiod": draw(st.integers(0, replicas - 1)),
                "at": draw(instant()),
                "down_for": "2s",
            }
        case "add_istiod":
            return {"add_istiod": 1, "at": draw(instant())}
        case "rollout_istiod":
            return {"rollout_istiod": {}, "at": draw(instant())}
    lasts = draw(st.sampled_from(["100ms", "1500ms", "10s"]))
    return {kind: some, "at": draw(instants(2)), "lasts": lasts}


@st.composite
def workloads(draw: st.DrawFn, mesh: dict[str, Any], replicas: int) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = draw(st.lists(edits(), max_size=3))
    if draw(st.booleans()):
        entries.append({"endpoints": "any", "at": draw(instants(6))})
    if draw(st.booleans()):
        entries.append({"endpoints": "any", "poisson": "2/s", "until": f"{LAST_S}s"})
    if draw(st.sampled_from([False, False, True])):
        entries.append(draw(rollouts()))
    if draw(st.sampled_from([False, False, True])):
        entries.append(
            {"scale_up": {"pods": draw(st.integers(1, 3))}, "at": draw(instant()), "ready_after": "500ms"}
        )
    for kind in draw(st.lists(st.sampled_from(DISTURBANCES), max_size=2)):
        entries.append(draw(disturbances(kind, replicas)))
    if draw(st.booleans()):
        names = [s["name"] for s in mesh["services"]] if isinstance(mesh["services"], list) else ["s0"]
        traffic: dict[str, Any] = {
            "from": draw(st.sampled_from(["any", *names])),
            "to": names[-1],
            "rate": "10/s",
        }
        entries.append(
            {"traffic": {**traffic, "dead_endpoint": draw(st.sampled_from(["reset", "blackhole"]))}}
        )
        if draw(st.booleans()):
            entries.append({"traffic": {"to": names[0], "rate": "3/s"}, "from": "4s", "until": "9s"})
    return entries


@st.composite
def scenarios(
    draw: st.DrawFn, strategies: tuple[str, ...] = ("push", "push", "push", "poll", "long-poll", "file")
) -> xs.Scenario:
    mesh, plane = draw(meshes()), draw(control_planes())
    return xs.Scenario(
        name="random-mesh",
        duration=f"{DURATION_S}s",
        seed=draw(st.integers(1, 1000)),
        mesh=mesh,
        control_plane=plane,
        propagation=draw(propagations(strategies)),
        network={
            "latency": draw(st.sampled_from(["0s", "1ms", {"uniform": ["1ms", "300ms"]}])),
            "loss": draw(st.sampled_from(["0%", "0%", "0%", "2%"])),
        },
        agent={"dns_capture": draw(st.booleans()), "init": "200ms", "app_start": "300ms"},
        envoy={"costs": "zero"} if draw(st.booleans()) else {},
        workload=draw(workloads(mesh, plane["replicas"])),
    )
