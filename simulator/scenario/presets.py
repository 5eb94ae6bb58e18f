"""The two sets of Envoy defaults: as Envoy itself has them, and as Istio starts Envoy.

Each value carries where it was read. `envoy:` in a scenario names the set with `preset`; keys that the
scenario gives itself win.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from pydantic_core import PydanticCustomError

from simulator.scenario.durations import duration_ns

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
    "parent_shutdown_time": Default(
        "1m0s", source="Istio 1.4 --parent-shutdown-time-s from proxyConfig.parentShutdownDuration (1m)"
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
    "parent_shutdown_time": Default(
        "15m0s", source="--parent-shutdown-time-s, source/server/options_impl.cc"
    ),
    "drain_strategy": Default("gradual", source="--drain-strategy, source/server/options_impl.cc"),
}

PRESETS: Final[Mapping[str, Mapping[str, Default]]] = MappingProxyType(
    {"istio": MappingProxyType(_ISTIO), "envoy": MappingProxyType(_ENVOY)}
)
"""Preset name -> key of the `envoy` section -> default."""


GATEWAY_SDS_TIMEOUT: Final = Default(
    "15s",
    source="Istio leaves the timeout of a gateway's credentialName secrets to Envoy, so that a missing "
    "secret does not block the listener (pilot/pkg/security/model/authentication.go:SDSAdsConfig)",
)
"""Fetch timeout of a gateway's secrets under the preset istio, unless the scenario says otherwise."""


def filled_in(given: Mapping[Any, Any], preset: str) -> dict[Any, Any]:
    """The `envoy` section as given, with what it leaves open taken from the preset.

    A fetch timeout given for some types only is completed with the preset's value for the others.
    """
    section = dict(given)
    for key, default in PRESETS[preset].items():
        section.setdefault(key, dict(default.value) if isinstance(default.value, Mapping) else default.value)
    timeouts = section["initial_fetch_timeout"]
    if isinstance(timeouts, dict):
        timeouts = {**PRESETS[preset]["initial_fetch_timeout"].value, **timeouts}
        section["initial_fetch_timeout"] = timeouts
    section["gateway_initial_fetch_timeout"] = _of_gateways(
        given.get("gateway_initial_fetch_timeout"), timeouts, preset
    )
    return section


def _of_gateways(given: Any, of_all: Any, preset: str) -> Any:
    """The fetch timeouts of gateways: those of all proxies but for secrets, where nothing else is said.

    What cannot be read is not copied: it is told where it was written.
    """
    if given is not None and not isinstance(given, Mapping):
        return given
    copied = dict.fromkeys(FETCHED_TYPES, of_all) if isinstance(of_all, str) else of_all
    if not isinstance(copied, Mapping):
        copied = {} if not hasattr(of_all, "model_dump") else of_all.model_dump(mode="json")
        copied = dict.fromkeys(FETCHED_TYPES, copied) if isinstance(copied, str) else copied
    secrets = {"sds": GATEWAY_SDS_TIMEOUT.value} if preset == "istio" else {}
    usable = {name: value for name, value in copied.items() if name in FETCHED_TYPES and _is_duration(value)}
    return {**usable, **secrets, **(given or {})}


def _is_duration(value: Any) -> bool:
    try:
        duration_ns(value)
    except PydanticCustomError:
        return False
    return True


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
