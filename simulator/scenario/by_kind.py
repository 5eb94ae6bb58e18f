"""What depends on the kind of the control plane: defaults, and keys that only a mesh gives a meaning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import PydanticCustomError

from simulator.agent.settings import ProbeSettings, readiness_probe_by_default, startup_probe_by_default
from simulator.control_plane.components.versions import READINESS_INITIAL_DELAY, READINESS_PERIOD
from simulator.control_plane.istiod.versions import behaviour
from simulator.engine.clock import S, format_duration
from simulator.scenario.durations import duration_ns
from simulator.scenario.problems import Location
from simulator.scenario.sections.control_plane import VERSIONS
from simulator.scenario.sections.workload import TrafficEntry
from simulator.scenario.settings import Settings

MESH_KINDS = ("istiod", "components", "rest-v1")
"""Istio's control planes: those that have a mesh."""

_WITHOUT_MESH = ("scripted", "none")

NEEDS_MESH = (
    ("agent",),
    ("mesh", "services"),
    ("mesh", "namespaces"),
    ("mesh", "endpoints"),
    ("mesh", "scope"),
    ("mesh", "discovery_selectors"),
    ("mesh", "zones"),
    ("mesh", "wasm_plugins"),
    ("mesh", "sizes"),
    ("mesh", "workload_group"),
    ("envoy", "connect_timeout"),
    ("envoy", "gateway_initial_fetch_timeout"),
    ("propagation", "wait"),
    ("propagation", "sync_period"),
    ("propagation", "server", "service_time"),
    ("network", "loss"),
    ("network", "bandwidth"),
    ("recording", "queues"),
    ("recording", "proxy_pushes"),
)
"""Keys that mean nothing to a scripted control plane, or to none."""

_FIRST_FETCH_TIMEOUT = {"cds": "15s", "lds": "15s"}
"""Up to Istio 1.9 the bootstrap says nothing of it, so that Envoy's own default holds (istio/istio#31825)."""

_OF_CITADEL = {"ttl": "2160h"}
"""Citadel's default of 90 days (security/pkg/cmd/constants.go at 1.4.10)."""

_OF_NODE_AGENT = {"retry_backoff": "2s"}
"""A node agent's INITIAL_BACKOFF_MSEC (security/cmd/node_agent_k8s/main.go at 1.4.10)."""

_OF_MESH = ("from", "dead_endpoint", "retries")
_OF_SCRIPTED = ("connection", "request_time")
"""Keys of `traffic` that the other kind has no meaning for."""


def kind_in(data: Mapping[str, Any]) -> str:
    """The kind of control plane that a scenario's data name."""
    kind = _given(data, ("control_plane", "kind"))
    return kind if isinstance(kind, str) else "scripted"


def filled_in_by_kind(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data with the defaults that the kind of control plane and its version bring where they say
    nothing."""
    filled, kind = dict(data), kind_in(data)
    if kind not in MESH_KINDS:
        return filled
    version = _version_in(data, kind)
    if kind != "istiod":
        _fill(filled, "control_plane", {"version": version})
    is_cold = _given(data, ("control_plane", "start")) == "cold"
    _fill(filled, "mesh", {"start": "cold" if is_cold else "connected"})
    if kind == "rest-v1":
        _fill(filled, "propagation", {"strategy": "poll", "refresh_delay": "1s", "protocol": "sotw"})
    else:
        _fill_by_pilot(filled, kind, version)
    probes = {
        "startup_probe": _probe(startup_probe_by_default(version)),
        "readiness_probe": _probe(readiness_probe_by_default(version)),
    }
    _fill(filled, "agent", probes)
    return filled


def _version_in(data: Mapping[str, Any], kind: str) -> str:
    """The version given, where it is one of the kind's; else the kind's newest."""
    version = _given(data, ("control_plane", "version"))
    known = VERSIONS[kind]
    return version if isinstance(version, str) and version in known else known[-1]


def _fill_by_pilot(filled: dict[str, Any], kind: str, version: str) -> None:
    dated = behaviour(version)
    if not dated.is_delta_default:
        _fill(filled, "propagation", {"protocol": "sotw"})
    if not dated.has_delta:
        _fill(filled, "envoy", {"initial_fetch_timeout": dict(_FIRST_FETCH_TIMEOUT)})
    if kind == "components":
        minor = int(version.split(".")[1])
        readiness = {
            "initial_delay": format_duration(READINESS_INITIAL_DELAY.at(minor)),
            "period": format_duration(READINESS_PERIOD.at(minor)),
        }
        _fill(filled, "control_plane", {"readiness": readiness})
        _fill(filled, "envoy", {"drain_strategy": "gradual"})
        is_of_node = _given(filled, ("agent", "certificates", "provider")) == "node-agent"
        _fill(filled, "agent", {"certificates": dict(_OF_NODE_AGENT if is_of_node else _OF_CITADEL)})


def _probe(settings: ProbeSettings) -> dict[str, Any]:
    return {
        "enabled": settings.enabled,
        "period": format_duration(settings.period_ns),
        "initial_delay": format_duration(settings.initial_delay_ns),
        "failure_threshold": settings.failure_threshold,
    }


def _fill(data: dict[str, Any], section: str, defaults: Mapping[str, Any]) -> None:
    """Sets keys of a section, and of mappings in it, that are not given; what is no mapping is left alone."""
    given = data.get(section, {})
    if isinstance(given, Settings):
        missing = {key: value for key, value in defaults.items() if key not in given.model_fields_set}
        own = {key: getattr(given, key) for key in given.model_fields_set}
        data[section] = {**missing, **own}
    elif isinstance(given, dict):
        filled = dict(given)
        for key, default in defaults.items():
            if isinstance(default, dict) and isinstance(filled.get(key, {}), dict):
                filled[key] = {**default, **filled.get(key, {})}
            else:
                filled.setdefault(key, default)
        data[section] = filled


def out_of_place(data: Mapping[str, Any], workload: tuple[Any, ...]) -> Iterator[tuple[Location, str]]:
    """Keys given in the data that mean nothing to this kind of control plane."""
    kind = kind_in(data)
    if kind not in (*MESH_KINDS, *_WITHOUT_MESH):
        return  # what goes with a kind that there is not, nobody knows
    is_default = _given(data, ("control_plane", "kind")) is None
    goes_with = f"goes with control_plane.kind: {_listed(MESH_KINDS)}, and kind is {kind}"
    goes_with += " (the default)" if is_default else ""
    if kind not in MESH_KINDS:
        yield from ((place, goes_with) for place in NEEDS_MESH if _given(data, place) is not None)
        if _given(data, ("propagation", "strategy")) == "long-poll":
            yield ("propagation", "strategy"), f"long-poll {goes_with}"
        start = _given(data, ("mesh", "start"))
        if "connected" in (start, getattr(start, "kind", None)):
            yield ("mesh", "start"), f"connected {goes_with}"
    else:
        yield from _impossible(data, kind)
        if _given(data, ("propagation", "watch")) is not None:
            said = (
                "goes with a scripted control plane: in a mesh files are ConfigMap volumes, swapped by link"
            )
            yield ("propagation", "watch"), said
    listed = data.get("workload", ())
    for position, entry in enumerate(workload):
        place: Location = ("workload", position)
        if not isinstance(entry, TrafficEntry):
            if kind not in entry.GOES_WITH:
                said = f"goes with control_plane.kind: {_listed(entry.GOES_WITH)}, and kind is {kind}"
                is_disabled = "hot" in entry.KIND and kind == "istiod"
                why = ": Istio runs Envoy with hot restart disabled since 1.5" if is_disabled else ""
                yield (*place, entry.KIND), said + why
            continue
        given = listed[position] if isinstance(listed, list | tuple) else None
        for key in _foreign_to(kind):
            if isinstance(given, dict) and _given(given, ("traffic", key)) is not None:
                said = (
                    f"goes with a scripted control plane, and kind is {kind}"
                    if kind in MESH_KINDS
                    else goes_with
                )
                yield (*place, "traffic", key), said


def _impossible(data: Mapping[str, Any], kind: str) -> Iterator[tuple[Location, str]]:
    """Combinations that no Istio of that kind and version could have been made of."""
    version = _version_in(data, kind)
    whose = f"{kind} of Istio {version}"
    strategy, protocol, streams = (
        _given(data, ("propagation", key)) for key in ("strategy", "protocol", "streams")
    )
    if protocol == "delta" and (kind == "rest-v1" or not behaviour(version).has_delta):
        yield ("propagation", "protocol"), f"delta came with istiod 1.10, and this is {whose}"
    if kind == "rest-v1" and strategy not in (None, "poll"):
        yield ("propagation", "strategy"), f"{whose} answers polls only"
    if kind == "components" and strategy not in (None, "push"):
        yield ("propagation", "strategy"), f"{whose} pushes only"
    if kind == "components" and streams == "separate":
        yield ("propagation", "streams"), f"{whose} serves its Envoys over ADS"
    delay = _given(data, ("propagation", "refresh_delay"))
    if kind == "rest-v1" and isinstance(delay, str) and _is_below_a_second(delay):
        said = f"must be at least 1s: {whose} takes no less (pilot/pkg/model/validation.go)"
        yield ("propagation", "refresh_delay"), said
    start = _given(data, ("mesh", "start"))
    is_cold = _given(data, ("control_plane", "start")) == "cold"
    if is_cold and "connected" in (start, getattr(start, "kind", None)):
        yield ("mesh", "start"), "connected needs control_plane.start: running"


def _is_below_a_second(text: str) -> bool:
    try:
        return duration_ns(text) < S
    except PydanticCustomError:
        return False


def _foreign_to(kind: str) -> tuple[str, ...]:
    return _OF_SCRIPTED if kind in MESH_KINDS else _OF_MESH


def _given(data: Any, place: Location) -> Any:
    """What the data say at a place; None where they say nothing."""
    for key in place:
        if isinstance(data, Settings):
            # An Envoy fills itself in from its preset: what is set there need not have been given.
            is_given = key in data.model_fields_set and type(data).__name__ != "Envoy"
            data = getattr(data, str(key)) if is_given else None
        else:
            data = data.get(key) if isinstance(data, dict) else None
    return data


def without_idle_keys(resolved: dict[str, Any], kind: str) -> dict[str, Any]:
    """A resolved scenario without the keys that mean nothing to the kind of its control plane."""
    if kind in MESH_KINDS:
        resolved["propagation"].pop("watch", None)
    else:
        for *sections, key in NEEDS_MESH:
            part: Any = resolved
            for section in sections:
                part = part[section]
            part.pop(key, None)
    for entry in resolved["workload"]:
        for key in _foreign_to(kind) if "traffic" in entry else ():
            entry["traffic"].pop(key, None)
    return resolved


def _listed(kinds: tuple[str, ...]) -> str:
    *others, last = kinds
    return f"{', '.join(others)} or {last}" if others else last
