"""What depends on the kind of the control plane: defaults, and keys that only istiod gives a meaning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from simulator.agent.settings import ProbeSettings, readiness_probe_by_default, startup_probe_by_default
from simulator.control_plane.istiod.versions import NEWEST, SUPPORTED, behaviour
from simulator.engine.clock import format_duration
from simulator.scenario.problems import Location
from simulator.scenario.sections.workload import TrafficEntry
from simulator.scenario.settings import Settings

NEEDS_ISTIOD = (
    ("agent",),
    ("mesh", "services"),
    ("mesh", "namespaces"),
    ("mesh", "endpoints"),
    ("mesh", "scope"),
    ("mesh", "discovery_selectors"),
    ("mesh", "zones"),
    ("mesh", "wasm_plugins"),
    ("mesh", "sizes"),
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

_OF_ISTIOD = ("from", "dead_endpoint", "retries")
_OF_SCRIPTED = ("connection", "request_time")
"""Keys of `traffic` that the other kind has no meaning for."""


def kind_in(data: Mapping[str, Any]) -> str:
    """The kind of control plane that a scenario's data name."""
    kind = _given(data, ("control_plane", "kind"))
    return kind if isinstance(kind, str) else "scripted"


def filled_in_by_kind(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data with the defaults that istiod and its version bring where they say nothing."""
    filled = dict(data)
    if kind_in(data) != "istiod":
        return filled
    version = _given(data, ("control_plane", "version"))
    known = version if isinstance(version, str) and version in SUPPORTED else f"1.{NEWEST}"
    _fill(filled, "mesh", {"start": "connected"})
    if not behaviour(known).is_delta_default:
        _fill(filled, "propagation", {"protocol": "sotw"})
    probes = {
        "startup_probe": _probe(startup_probe_by_default(known)),
        "readiness_probe": _probe(readiness_probe_by_default(known)),
    }
    _fill(filled, "agent", probes)
    return filled


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
    goes_with = f"goes with control_plane.kind: istiod, and kind is {kind}"
    if kind != "istiod":
        yield from ((place, goes_with) for place in NEEDS_ISTIOD if _given(data, place) is not None)
        if _given(data, ("propagation", "strategy")) == "long-poll":
            yield ("propagation", "strategy"), f"long-poll {goes_with}"
        start = _given(data, ("mesh", "start"))
        if "connected" in (start, getattr(start, "kind", None)):
            yield ("mesh", "start"), f"connected {goes_with}"
    elif _given(data, ("propagation", "watch")) is not None:
        said = "goes with a scripted control plane: with istiod files are ConfigMap volumes, swapped by link"
        yield ("propagation", "watch"), said
    listed = data.get("workload", ())
    for position, entry in enumerate(workload):
        place: Location = ("workload", position)
        if not isinstance(entry, TrafficEntry):
            if kind not in entry.GOES_WITH:
                owners = " or ".join(entry.GOES_WITH)
                said = f"goes with control_plane.kind: {owners}, and kind is {kind}"
                why = ": Istio runs Envoy with hot restart disabled since 1.5" if "hot" in entry.KIND else ""
                yield (*place, entry.KIND), said + why
            continue
        given = listed[position] if isinstance(listed, list | tuple) else None
        for key in _foreign_to(kind):
            if isinstance(given, dict) and _given(given, ("traffic", key)) is not None:
                said = (
                    "goes with a scripted control plane, and kind is istiod"
                    if kind == "istiod"
                    else goes_with
                )
                yield (*place, "traffic", key), said


def _foreign_to(kind: str) -> tuple[str, ...]:
    return _OF_SCRIPTED if kind == "istiod" else _OF_ISTIOD


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
    if kind == "istiod":
        resolved["propagation"].pop("watch", None)
    else:
        for *sections, key in NEEDS_ISTIOD:
            part: Any = resolved
            for section in sections:
                part = part[section]
            part.pop(key, None)
    for entry in resolved["workload"]:
        for key in _foreign_to(kind) if "traffic" in entry else ():
            entry["traffic"].pop(key, None)
    return resolved
