"""The services of section `mesh`: so many alike, or a list of named ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, model_serializer, model_validator
from pydantic_core import CoreSchema, core_schema

from simulator.scenario.problems import described, refusal
from simulator.scenario.quantities import Choice, JsonSchema, OrNone, Switch, Text, Whole
from simulator.scenario.settings import FORMAT, Settings, setting

MOST_SERVICES = 1_000_000
MOST_ENDPOINTS = 1_000_000
"""Endpoints of one service beyond this are taken for a mistake."""

LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
DnsLabel = Annotated[
    str,
    Text(63, LABEL, "a Kubernetes name: lower-case letters, digits and dashes"),
]
EndpointCount = Annotated[int, Whole(0, MOST_ENDPOINTS)]


class Port(Settings):
    """A port of a service; a bare number is one for HTTP."""

    shorthand: ClassVar[JsonSchema | None] = {"type": "integer", "minimum": 1, "maximum": 65535}

    port: Annotated[int, Whole(1, 65535)] = setting("Number", stands_for="ServicePort.port", source=FORMAT)
    protocol: Annotated[Literal["http", "tcp"], Choice(("http", "tcp"))] = setting(
        "http makes routes (RDS), tcp a listener of its own",
        "http",
        stands_for="ServicePort.appProtocol, or the prefix of the port's name",
        assumption="most ports of a mesh carry HTTP; Istio would detect the protocol where nothing says it",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, given: Any) -> Any:
        if isinstance(given, dict | Port):
            return given
        if isinstance(given, int) and not isinstance(given, bool):
            return {"port": Whole(1, 65535).read(given)}
        raise refusal(
            "must be a port number, or a mapping such as {port: 80, protocol: http}, "
            f"not {described(given)}"
        )

    @model_serializer(mode="wrap")
    def _written(self, dump: Any) -> Any:
        return self.port if self.protocol == "http" else dump(self)


class ServiceMapping(Settings):
    """One service; a bare text is its name."""

    shorthand: ClassVar[JsonSchema | None] = {"type": "string", "pattern": f"^{LABEL}$"}

    name: DnsLabel = setting("Name in its namespace", stands_for="Service metadata.name", source=FORMAT)
    namespace: Annotated[DnsLabel | None, OrNone()] = setting(
        "Its namespace; absent = the namespaces in turn",
        None,
        stands_for="Service metadata.namespace",
        source=FORMAT,
    )
    endpoints: Annotated[EndpointCount | None, OrNone()] = setting(
        "How many endpoints it has; absent = mesh.endpoints",
        None,
        stands_for="EndpointSlice.endpoints",
        source=FORMAT,
    )
    ports: tuple[Port, ...] = setting(
        "Ports, each with clusters of its own",
        (Port(port=80),),
        stands_for="Service spec.ports",
        assumption="one HTTP port, 80, as Istio's own samples have",
    )
    headless: Switch = setting(
        "Without a cluster IP",
        False,
        stands_for="Service spec.clusterIP: None",
        source="Kubernetes allocates a cluster IP unless told otherwise (core/v1 ServiceSpec.clusterIP)",
    )
    export_to: Annotated[Literal["*", ".", "~"], Choice(("*", ".", "~"))] = setting(
        "Who sees it: all namespaces (*), its own (.), nobody (~)",
        "*",
        stands_for="annotation networking.istio.io/exportTo",
        source="meshConfig.defaultServiceExportTo is * (pkg/config/mesh/mesh.go)",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _ports_apart(self) -> ServiceMapping:
        seen: dict[int, None] = {}
        for position, port in enumerate(self.ports):
            if port.port in seen:
                raise refusal(f"port {port.port} is listed twice", "ports", position)
            seen[port.port] = None
        if not self.ports:
            raise refusal("must hold at least one port: leave the key out for port 80", "ports")
        return self


@dataclass(frozen=True, slots=True)
class ServicesValue:
    """Marks a field that holds a number of services, or a list of them."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(
            self._read,
            handler(tuple[ServiceMapping, ...]),
            serialization=core_schema.wrap_serializer_function_ser_schema(
                self._written, schema=handler(tuple[ServiceMapping, ...])
            ),
        )

    @staticmethod
    def _read(value: Any, listed: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            return Whole(0, MOST_SERVICES).read(value)
        if not isinstance(value, list | tuple):
            raise refusal(
                "must be a whole number of services, or a list such as [{name: reviews, endpoints: 3}], "
                f"not {described(value)}"
            )
        return listed(value)

    @staticmethod
    def _written(value: Any, listed: Any) -> Any:
        return value if isinstance(value, int) else listed(value)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        number: JsonSchema = {"type": "integer", "minimum": 0, "maximum": MOST_SERVICES}
        return {"anyOf": [number, handler(schema)]}


ServicesField = Annotated[int | tuple[ServiceMapping, ...], ServicesValue()]
