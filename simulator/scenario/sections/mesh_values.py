"""Values of section `mesh` with a form of their own: namespaces and what a sidecar sees."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from simulator.mesh.visibility import ScopeSettings
from simulator.scenario.kubernetes_quantities import PortionValue, written_percentage
from simulator.scenario.problems import described, refusal, suggestion
from simulator.scenario.quantities import JsonSchema, Marker, Whole
from simulator.scenario.sections.services import LABEL, MOST_SERVICES

MOST_NAMESPACES = 100_000


def generated_namespaces(count: int) -> tuple[str, ...]:
    """ns0, ns1, ..."""
    return tuple(f"ns{number}" for number in range(count))


@dataclass(frozen=True, slots=True)
class NamespaceNames(Marker):
    """A number of namespaces, or their names; a tuple of names for the model."""

    may_be_number: bool = True

    def read(self, value: Any) -> tuple[str, ...]:
        """The names."""
        if self.may_be_number and isinstance(value, int) and not isinstance(value, bool):
            return generated_namespaces(Whole(1, MOST_NAMESPACES).read(value))
        if isinstance(value, str):
            value = (value,)
        if not isinstance(value, list | tuple) or not value:
            number = "a whole number of namespaces, or " if self.may_be_number else ""
            raise refusal(
                f"must be {number}a list of names, such as [shop, payments], not {described(value)}"
            )
        seen: dict[str, None] = {}
        for position, name in enumerate(value):
            if not isinstance(name, str) or len(name) > 63 or re.fullmatch(LABEL, name) is None:
                raise refusal(f"must be a Kubernetes name, such as shop, not {described(name)}", position)
            if name in seen:
                raise refusal(f"{name!r} is listed twice", position)
            seen[name] = None
        return tuple(seen)

    def written(self, value: Any) -> Any:
        """The number where the names are the numbered ones, else the names."""
        if self.may_be_number and value == generated_namespaces(len(value)):
            return len(value)
        return list(value)

    def json_schema(self) -> JsonSchema:
        """An integer or a list of names."""
        names: JsonSchema = {
            "type": "array",
            "items": {"type": "string", "pattern": f"^{LABEL}$"},
            "minItems": 1,
            "uniqueItems": True,
        }
        number: JsonSchema = {"type": "integer", "minimum": 1, "maximum": MOST_NAMESPACES}
        return {
            "anyOf": [number, {"type": "string"}, names]
            if self.may_be_number
            else [{"type": "string"}, names]
        }


@dataclass(frozen=True, slots=True)
class ScopeValue(Marker):
    """What a sidecar sees: ``all``, ``25%``, ``{services: 20}`` or ``{namespaces: own}``."""

    def read(self, value: Any) -> ScopeSettings:
        """The scope for the model."""
        if isinstance(value, ScopeSettings):
            return value
        if isinstance(value, str) and value == "all":
            return ScopeSettings()
        if isinstance(value, str) and "%" in value:
            portion = PortionValue().read(value)
            assert portion.share is not None, "a text is a percentage"
            return ScopeSettings("share", float(portion.share))
        if isinstance(value, dict) and len(value) == 1:
            ((key, of),) = value.items()
            if key == "services":
                return ScopeSettings("services", services=self._count(of))
            if key == "namespaces" and of == "own":
                return ScopeSettings("own")
            if key == "namespaces":
                raise refusal(f"must be own, not {described(of)}", "namespaces")
            raise refusal(f"unknown key; {suggestion(str(key), ('services', 'namespaces'))}", key)
        raise refusal(
            "must be all, a percentage such as 25%, {services: 20} or {namespaces: own}, "
            f"not {described(value)}"
        )

    @staticmethod
    def _count(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_SERVICES:
            raise refusal(f"must be a whole number up to {MOST_SERVICES}, not {described(value)}", "services")
        return value

    def written(self, value: Any) -> Any:
        """The form it is written in."""
        match value.kind:
            case "share":
                return written_percentage(value.share)
            case "services":
                return {"services": value.services}
            case "own":
                return {"namespaces": "own"}
        return "all"

    def json_schema(self) -> JsonSchema:
        """Its four forms."""

        def one(key: str, of: JsonSchema) -> JsonSchema:
            return {
                "type": "object",
                "properties": {key: of},
                "required": [key],
                "additionalProperties": False,
            }

        return {
            "anyOf": [
                {"const": "all"},
                {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?%$"},
                one("services", {"type": "integer", "minimum": 0}),
                one("namespaces", {"const": "own"}),
            ]
        }


NamespacesField = Annotated[tuple[str, ...], NamespaceNames()]
SelectedNamespaces = Annotated[tuple[str, ...], NamespaceNames(may_be_number=False)]
ScopeField = Annotated[ScopeSettings, ScopeValue()]
