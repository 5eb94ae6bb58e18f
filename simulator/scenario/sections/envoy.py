"""Section `envoy`: how the Envoys are started and configured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ValidationInfo, model_serializer, model_validator

from simulator.engine.clock import S
from simulator.scenario.costs import Costs, CostsValue, calibration_problem, check_costs, read_calibration
from simulator.scenario.durations import DURATION_PATTERN, DurationNs, PositiveDurationNs, duration_ns
from simulator.scenario.presets import (
    FETCHED_TYPES,
    GATEWAY_SDS_TIMEOUT,
    PRESET_NAMES,
    PRESETS,
    filled_in,
    told,
)
from simulator.scenario.problems import Location, described, refusal, refusals
from simulator.scenario.quantities import Choice, JsonSchema, OrNone, Rate, RateValue, Switch, Text, Whole
from simulator.scenario.sections.resources import StaticResources
from simulator.scenario.settings import FORMAT, Settings, setting

_TIMEOUT_SOURCE = "by preset: istio 0s, envoy 15s"


def _timeout(what: str) -> Any:
    return setting(
        f"How long Envoy waits for the first {what}; 0s = for ever",
        0,
        stands_for="ConfigSource.initial_fetch_timeout",
        source=_TIMEOUT_SOURCE,
    )


class FetchTimeouts(Settings):
    """How long the start of a subscription holds up what waits for it, per resource type; 0 = for ever."""

    shorthand: ClassVar[JsonSchema | None] = {"type": "string", "pattern": DURATION_PATTERN}

    cds: DurationNs = _timeout("clusters")
    eds: DurationNs = _timeout("endpoints of a cluster")
    lds: DurationNs = _timeout("listeners")
    rds: DurationNs = _timeout("routes")
    sds: DurationNs = _timeout("content of a secret")
    ecds: DurationNs = _timeout("configuration of an extension")
    srds: DurationNs = _timeout("scoped routes")
    rtds: DurationNs = _timeout("content of a runtime layer")

    @model_validator(mode="before")
    @classmethod
    def _from_duration(cls, given: Any) -> Any:
        if isinstance(given, FetchTimeouts | dict):
            return given
        if isinstance(given, list | tuple) or given is None:
            raise refusal(
                "must be a duration, such as 2s, or a mapping by type, such as {cds: 2s, rds: 0s}, "
                f"not {described(given)}"
            )
        duration_ns(given)
        return dict.fromkeys(FETCHED_TYPES, given)

    @model_serializer(mode="wrap")
    def _written(self, dump: Any) -> Any:
        timeouts = dump(self)
        first = next(iter(timeouts.values()))
        return first if all(timeout == first for timeout in timeouts.values()) else timeouts


class DiskLayer(Settings):
    """A layer read from files."""

    symlink_root: Annotated[str, Text(1000, r".*\S.*", "a path")] = setting(
        "Directory whose swap reloads the layers",
        stands_for="RuntimeLayer.DiskLayer.symlink_root",
        source=FORMAT,
    )

    sync_period: PositiveDurationNs = setting(
        "How often a kubelet brings a changed ConfigMap into place; each pod has a phase of its own",
        60 * S,
        stands_for="kubelet --sync-frequency",
        source="kubernetes pkg/kubelet/apis/config/v1beta1/defaults.go (1m)",
    )


class RtdsLayer(Settings):
    """A layer fetched by RTDS."""

    name: Annotated[str, Text(200, r"\S+", "a name without spaces")] = setting(
        "Name of the resource (rtds0, ...)", stands_for="RuntimeLayer.RtdsLayer.name", source=FORMAT
    )


class RuntimeLayer(Settings):
    """One layer of Envoy's runtime, of one of four kinds. Only for RTDS layers does a start-up wait."""

    KINDS: ClassVar[tuple[str, ...]] = ("static_layer", "disk_layer", "admin_layer", "rtds_layer")

    name: Annotated[str, Text(200, r"\S+", "a name without spaces")] = setting(
        "Name of the layer", stands_for="RuntimeLayer.name", source=FORMAT
    )
    static_layer: dict[str, Any] | None = setting(
        "Keys and values", None, stands_for="RuntimeLayer.static_layer", source=FORMAT
    )
    disk_layer: DiskLayer | None = setting(
        "Files: {symlink_root: PATH}", None, stands_for="RuntimeLayer.disk_layer", source=FORMAT
    )
    admin_layer: dict[str, Any] | None = setting(
        "The admin endpoint's layer: {}", None, stands_for="RuntimeLayer.admin_layer", source=FORMAT
    )
    rtds_layer: RtdsLayer | None = setting(
        "Fetched by RTDS: {name: rtds0}", None, stands_for="RuntimeLayer.rtds_layer", source=FORMAT
    )

    @property
    def kind(self) -> str:
        """static_layer, disk_layer, admin_layer or rtds_layer."""
        return self._kinds()[0]

    def _kinds(self) -> list[str]:
        return [kind for kind in self.KINDS if getattr(self, kind) is not None]

    @model_validator(mode="before")
    @classmethod
    def _with_plain_values(cls, given: Any) -> Any:
        """Numbers in a static layer need not remember how they were written."""
        return (
            {**given, "static_layer": _plain(given["static_layer"])}
            if isinstance(given, dict) and "static_layer" in given
            else given
        )

    @model_validator(mode="after")
    def _of_one_kind(self) -> RuntimeLayer:
        if len(self._kinds()) != 1:
            raise refusal(
                "must have exactly one of static_layer: {...}, disk_layer: {symlink_root: path}, "
                "admin_layer: {} and rtds_layer: {name: rtds0}"
            )
        return self

    @model_serializer(mode="wrap")
    def _written(self, dump: Any) -> Any:
        return {key: value for key, value in dump(self).items() if key in ("name", self.kind)}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(child) for child in value]
    return float(value) if isinstance(value, float) else value


class RateLimit(Settings):
    """Token bucket over the discovery requests of one stream."""

    max_tokens: Annotated[int, Whole(1, 1_000_000)] = setting(
        "Requests that may leave at once",
        100,
        stands_for="RateLimitSettings.max_tokens",
        source="source/common/config/utility.h (100)",
    )
    fill_rate: RateValue = setting(
        "Tokens that come back",
        Rate(10.0, S),
        stands_for="RateLimitSettings.fill_rate",
        source="source/common/config/utility.h (10/s)",
    )


def _by_preset(meaning: str, key: str, default: Any, stands_for: str) -> Any:
    """A key whose default the preset decides; `default` is that of the istio preset."""
    field = setting(meaning, default, stands_for=stands_for, source=f"by preset: {_preset_values(key)}")
    field.json_schema_extra["presets"] = told(key)
    return field


def _preset_values(key: str) -> str:
    return ", ".join(f"{name} {values['default']}" for name, values in told(key).items())


class Envoy(Settings):
    """How the Envoys are started and configured."""

    preset: Annotated[Literal["istio", "envoy"], Choice(PRESET_NAMES)] = setting(
        "Whose defaults hold for keys left out",
        "istio",
        stands_for="who writes Envoy's bootstrap and command line",
        source="the meshes studied are Istio's",
    )
    initial_fetch_timeout: FetchTimeouts = _by_preset(
        "One duration for all types, or a mapping by type; types left out take the preset's",
        "initial_fetch_timeout",
        FetchTimeouts(),
        "ConfigSource.initial_fetch_timeout",
    )
    gateway_initial_fetch_timeout: FetchTimeouts = setting(
        "The same for gateways; what is left out is as for all, but for secrets with preset istio: 15s",
        FetchTimeouts.model_validate({"sds": GATEWAY_SDS_TIMEOUT.value}),
        stands_for="ConfigSource.initial_fetch_timeout in what istiod sends to gateways",
        source=GATEWAY_SDS_TIMEOUT.source,
    )
    concurrency: Annotated[int, Whole(1, 1024)] = _by_preset(
        "Worker threads", "concurrency", 2, "--concurrency"
    )
    static: StaticResources = setting(
        "Clusters and listeners of the bootstrap",
        StaticResources(),
        stands_for="Bootstrap.static_resources",
        source=FORMAT,
    )
    runtime_layers: tuple[RuntimeLayer, ...] = setting(
        "Layers, later ones over earlier ones", (), stands_for="Bootstrap.layered_runtime", source=FORMAT
    )
    drain_time: DurationNs = _by_preset(
        "How long replaced listeners drain", "drain_time", 45 * S, "--drain-time-s"
    )
    drain_strategy: Annotated[Literal["gradual", "immediate"], Choice(("gradual", "immediate"))] = _by_preset(
        "How connections are discouraged meanwhile", "drain_strategy", "immediate", "--drain-strategy"
    )
    parent_shutdown_time: DurationNs = _by_preset(
        "Hot restart: from when the parent is told to drain until it is ended",
        "parent_shutdown_time",
        60 * S,
        "--parent-shutdown-time-s",
    )
    connect_timeout: PositiveDurationNs = setting(
        "How long an attempt to connect to an endpoint may take",
        10 * S,
        stands_for="Cluster.connect_timeout as istiod writes it: meshConfig.connectTimeout",
        source="pkg/config/mesh/mesh.go (10s)",
    )
    eds_cache: Switch = setting(
        "After a fetch timeout on ADS, use the endpoints last known",
        True,
        stands_for="envoy.restart_features.use_eds_cache_for_ads",
        source="true since v1.32 (changelogs/1.32.0.yaml); measured rule W5",
    )
    rate_limit: Annotated[RateLimit | None, OrNone()] = setting(
        "Limit of discovery requests; absent = none",
        None,
        stands_for="ApiConfigSource.rate_limit_settings",
        source="disabled unless the message is present (source/common/config/utility.cc)",
    )
    stats_flush_interval: PositiveDurationNs = setting(
        "How often the main thread flushes its stats",
        5 * S,
        stands_for="Bootstrap.stats_flush_interval",
        source="source/server/configuration_impl.cc (5000 ms); measured rule P2",
    )
    calibration: Annotated[
        str, Text(1000, r".*\S.*", "the name of a shipped calibration, such as envoy-1.40, or a path")
    ] = setting(
        "Measured costs: the name of a shipped file, or the path of one beside the scenario",
        "envoy-1.40",
        stands_for="the machine and the Envoy version that were measured",
        source="simulator/calibration/envoy-1.40.yaml",
    )
    costs: Annotated[Costs, CostsValue()] = setting(
        "zero, or a mapping from cost to what replaces the calibration's value",
        Costs(),
        stands_for="the main thread's time for each piece of work",
        source="the calibration file",
    )

    def fetch_timeout_ns(self, type_name: str, *, is_gateway: bool = False) -> int:
        """The fetch timeout of a resource type; 0 = for ever."""
        timeouts = self.gateway_initial_fetch_timeout if is_gateway else self.initial_fetch_timeout
        timeout: int = getattr(timeouts, type_name)
        return timeout

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        preset = given.get("preset", "istio")
        return filled_in(given, preset if isinstance(preset, str) and preset in PRESETS else "istio")

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> Envoy:
        directory = getattr(info.context, "directory", None) or Path()
        found: list[tuple[Location, str]] = []
        names: dict[str, int] = {}
        for position, layer in enumerate(self.runtime_layers):
            if names.setdefault(layer.name, position) != position:
                found.append((("runtime_layers", position, "name"), f"layer {layer.name!r} exists already"))
        admin = [
            position for position, layer in enumerate(self.runtime_layers) if layer.admin_layer is not None
        ]
        found.extend(
            (("runtime_layers", position), "only one layer may be the admin layer") for position in admin[1:]
        )
        unusable = calibration_problem(self.calibration, directory)
        if unusable is not None:
            found.append((("calibration",), unusable))
        elif self.costs.given:
            calibration = read_calibration(self.calibration, directory)
            found.extend(
                (("costs", *within), message)
                for within, message in check_costs(self.costs, calibration.costs)
            )
        if found:
            raise refusals(found)
        return self
