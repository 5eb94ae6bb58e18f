"""The two sets of Envoy defaults: as Envoy itself has them, and as Istio starts Envoy.

Each value carries where it was read. `envoy:` in a scenario names the set with `preset`; keys that the
scenario gives itself win.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

PRESET_NAMES: Final = ("istio", "envoy")

FETCHED_TYPES: Final = ("cds", "eds", "lds", "rds", "sds", "ecds", "srds", "rtds")
"""Resource types that a scenario can answer, push and bound by a fetch timeout."""


@dataclass(frozen=True, slots=True)
class Default:
    """One default: the value as a scenario would write it, and its source or why it is assumed."""

    value: Any
    source: str | None = None
    assumption: str | None = None


def _everywhere(value: str) -> Mapping[str, str]:
    return MappingProxyType(dict.fromkeys(FETCHED_TYPES, value))


_ISTIO: Final = {
    "initial_fetch_timeout": Default(
        _everywhere("0s"),
        source="Istio >= 1.10 writes 0s (for ever): tools/packaging/common/envoy_bootstrap.json (CDS, LDS), "
        "networking/core/cluster_builder.go (EDS), listener_builder.go (RDS), extensionfilter.go (ECDS), "
        "pkg/model/authentication.go (workload SDS); SRDS and RTDS, which Istio does not use, follow them",
    ),
    "concurrency": Default(
        2, source="Istio API networking/v1beta1 ProxyConfig.concurrency: if unset, defaults to 2"
    ),
    "drain_time": Default(
        "45s", source="Istio --drain-time-s from proxyConfig.drainDuration (pkg/config/mesh/mesh.go)"
    ),
    "drain_strategy": Default("immediate", source="Istio --drain-strategy immediate (pkg/envoy/proxy.go)"),
}

_ENVOY: Final = {
    "initial_fetch_timeout": Default(
        _everywhere("15s"), source="source/common/config/utility.cc (15000 ms since v1.12); measured rule T4"
    ),
    "concurrency": Default(
        2,
        assumption="Envoy takes the hardware threads (source/server/options_impl.cc); two are assumed",
    ),
    "drain_time": Default("600s", source="--drain-time-s, source/server/options_impl.cc"),
    "drain_strategy": Default("gradual", source="--drain-strategy, source/server/options_impl.cc"),
}

PRESETS: Final[Mapping[str, Mapping[str, Default]]] = MappingProxyType(
    {"istio": MappingProxyType(_ISTIO), "envoy": MappingProxyType(_ENVOY)}
)
"""Preset name -> key of the `envoy` section -> default."""


def filled_in(given: Mapping[Any, Any], preset: str) -> dict[Any, Any]:
    """The `envoy` section as given, with what it leaves open taken from the preset.

    A fetch timeout given for some types only is completed with the preset's value for the others.
    """
    section = dict(given)
    for key, default in PRESETS[preset].items():
        section.setdefault(key, dict(default.value) if isinstance(default.value, Mapping) else default.value)
    timeouts = section["initial_fetch_timeout"]
    if isinstance(timeouts, dict):
        section["initial_fetch_timeout"] = {**PRESETS[preset]["initial_fetch_timeout"].value, **timeouts}
    return section


def told(key: str) -> dict[str, Any]:
    """What the JSON Schema says about the preset defaults of one key of the `envoy` section."""
    return {
        name: {
            "default": default.value if not isinstance(default.value, Mapping) else default.value["cds"],
            **(
                {"source": default.source}
                if default.source is not None
                else {"assumption": default.assumption}
            ),
        }
        for name, default in ((name, preset[key]) for name, preset in PRESETS.items())
    }
