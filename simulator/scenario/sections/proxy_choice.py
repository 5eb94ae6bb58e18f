"""Which proxies an entry of the workload meets."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any

from simulator.scenario.kubernetes_quantities import PortionValue
from simulator.scenario.problems import described, refusal
from simulator.scenario.quantities import JsonSchema, Marker
from simulator.scenario.settings import FORMAT, Settings, setting
from simulator.workload.entries import Portion


@dataclass(frozen=True, slots=True)
class ProxyChoice:
    """Some proxies: a portion of those alive, chosen by lot, or named ones; exactly one of the two."""

    portion: Portion | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProxyChoiceValue(Marker):
    """A count of proxies, a percentage, or a list of names."""

    def read(self, value: Any) -> ProxyChoice:
        """The choice."""
        if isinstance(value, ProxyChoice):
            return value
        if isinstance(value, str) and "%" not in value and value.strip():
            value = (value,)
        if not isinstance(value, list | tuple):
            if not isinstance(value, int | str) or isinstance(value, bool):
                raise refusal(
                    "must be a number of proxies, a percentage, or names such as [p0, gw0], "
                    f"not {described(value)}"
                )
            return ProxyChoice(PortionValue(low=1).read(value))
        seen: dict[str, None] = {}
        for position, name in enumerate(value):
            if not isinstance(name, str) or not name.strip() or len(name) > 200:
                raise refusal(f"must be the name of a proxy, such as p0, not {described(name)}", position)
            if name in seen:
                raise refusal(f"{name!r} is listed twice", position)
            seen[name] = None
        if not seen:
            raise refusal("must name at least one proxy")
        return ProxyChoice(names=tuple(seen))

    def written(self, value: Any) -> Any:
        """The number, the percentage or the list."""
        return list(value.names) if value.portion is None else PortionValue().written(value.portion)

    def json_schema(self) -> JsonSchema:
        """An integer, text or a list of names."""
        return {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True},
            ]
        }


class ChosenProxies(Settings):
    """Which proxies an entry meets."""

    proxies: Annotated[ProxyChoice, ProxyChoiceValue()] = setting(
        "How many (drawn), which percentage (drawn), or a list of names",
        ProxyChoice(Portion(share=Fraction(1))),
        stands_for="the pods affected",
        source=FORMAT,
    )
