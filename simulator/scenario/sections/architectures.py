"""Parts of section `control_plane` that only the architectures before istiod have."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from simulator.control_plane.components.settings import COLLECTIONS
from simulator.engine.clock import S, format_duration
from simulator.engine.delays import Constant
from simulator.scenario.delay_values import DelayField
from simulator.scenario.durations import Duration, PositiveDurationNs, duration_ns
from simulator.scenario.kubernetes_quantities import Auto, Bytes
from simulator.scenario.problems import described, refusal, suggestion
from simulator.scenario.quantities import JsonSchema, Marker, Switch, Whole
from simulator.scenario.settings import Settings, setting

Sizes = tuple[tuple[int, int], ...]
"""(since when in ns, bytes), in order of time."""


class CollectionSizes(Marker):
    """Bytes of collections: a quantity, or steps ``[{from: 0s, size: 4Mi}, ...]``."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.read,
            serialization=core_schema.plain_serializer_function_ser_schema(self.written, when_used="json"),
        )

    def read(self, value: Any) -> dict[str, Sizes]:
        """Kind -> steps."""
        if not isinstance(value, dict):
            raise refusal(f"must be a mapping from kind to size, not {described(value)}")
        for kind in value:
            if kind not in COLLECTIONS:
                raise refusal(
                    f"is not handed over by Galley; {suggestion(str(kind), COLLECTIONS)}", str(kind)
                )
        return {kind: _steps(kind, size) for kind, size in value.items()}

    def written(self, value: Any) -> Any:
        """As it may be read again."""
        return {
            kind: [{"from": format_duration(t), "size": Bytes().written(size)} for t, size in steps]
            for kind, steps in value.items()
        }

    def json_schema(self) -> JsonSchema:
        """A mapping from kind to a quantity or a list of steps."""
        size = Bytes().json_schema()
        step = {
            "type": "object",
            "properties": {"from": {"type": "string"}, "size": size},
            "required": ["from", "size"],
            "additionalProperties": False,
        }
        steps = {"anyOf": [*size["anyOf"], {"type": "array", "items": step, "minItems": 1}]}
        return {
            "type": "object",
            "properties": dict.fromkeys(COLLECTIONS, steps),
            "additionalProperties": False,
        }


def _steps(kind: str, value: Any) -> Sizes:
    if isinstance(value, tuple):
        return value
    if not isinstance(value, list):
        return ((0, Bytes().read(value)),)
    steps: list[tuple[int, int]] = []
    for position, step in enumerate(value):
        if not isinstance(step, dict) or set(step) != {"from", "size"}:
            raise refusal(f"must be {{from: 10s, size: 4Mi}}, not {described(step)}", kind, position)
        since_ns = duration_ns(step["from"], kind, position, "from")
        if steps and since_ns <= steps[-1][0]:
            raise refusal("must be later than the step before", kind, position, "from")
        steps.append((since_ns, Bytes().read(step["size"])))
    if not steps:
        raise refusal("must have at least one step", kind)
    return tuple(steps)


class Galley(Settings):
    """Galley's own debounce, before Pilot's."""

    quiesce: Annotated[int | Literal["auto"], Auto(Duration())] = setting(
        "Quiet time, counted from the last event, after which a snapshot is published; auto: 1s in Istio 1.1 "
        "to 1.3, 500ms in 1.4",
        "auto",
        stands_for="defaultQuiesceDuration",
        source="galley/pkg/runtime/publish/strategy.go; snapshotter/strategy/debounce.go at 1.4.10",
    )
    max: Annotated[int | Literal["auto"], Auto(Duration())] = setting(
        "Time from the first event at which it is published in any case; auto: 1s",
        "auto",
        stands_for="defaultMaxWaitDuration",
        source="galley/pkg/runtime/publish/strategy.go; snapshotter/strategy/debounce.go at 1.4.10",
    )


class Mcp(Settings):
    """The Mesh Configuration Protocol, over which Galley hands whole collections to Pilot."""

    max_message: Annotated[int, Bytes()] = setting(
        "Largest message that Pilot accepts; a larger one ends the stream",
        4 * 2**20,
        stands_for="grpc.MaxCallRecvMsgSize of Pilot's MCP client",
        source="pilot/pkg/bootstrap/server.go at 1.4.10 (4 MiB)",
    )
    retry: PositiveDurationNs = setting(
        "From the end of a stream to the next attempt",
        1 * S,
        stands_for="reestablishStreamDelay",
        source="pkg/mcp/sink/client_sink.go (1s)",
    )
    collections: Annotated[dict[str, Sizes], CollectionSizes()] = setting(
        "Encoded sizes: {VirtualService: 4100Ki}, or steps {VirtualService: [{from: 0s, size: 3Mi}, ...]}",
        {},
        stands_for="the configuration of the cluster",
        assumption="those not named: an object of object_size for each service in VirtualService and in "
        "DestinationRule, nothing in the others",
    )
    object_size: Annotated[int, Bytes()] = setting(
        "Encoded bytes of one VirtualService or DestinationRule",
        1024,
        stands_for="the configuration of the cluster",
        assumption="a short object with its metadata, of the order of the route that comes of it",
    )


class Components(Settings):
    """Galley, Citadel and the injector as processes."""

    start: DelayField = setting(
        "From the start of a process until it has read what it needs",
        Constant(2 * S),
        stands_for="start of Galley, Citadel and the injector",
        assumption="as the cache_sync of Pilot: Go processes that list some hundred objects",
    )
    security: Switch = setting(
        "Whether the components have certificates of Citadel: at an installation they wait for them, and "
        "Pilot stands behind an Envoy of its own",
        True,
        stands_for="global.controlPlaneSecurityEnabled",
        assumption="the charts of the versions differ; true is what production was told to use",
    )
    sidecar_hop: DelayField = setting(
        "Time that a message spends in the Envoy in front of Pilot, each way",
        Constant(100_000),
        stands_for="istio-proxy in the pod of Pilot, port 15011",
        assumption="as the istio-agent's hop of later versions",
    )


EventRate = Annotated[int | Literal["auto"], Auto(Whole(1, 1_000_000))]
