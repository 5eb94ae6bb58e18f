"""Section `mesh`: which proxies there are and when they start."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import model_serializer, model_validator

from simulator.scenario.durations import DurationNs
from simulator.scenario.problems import described, refusal
from simulator.scenario.quantities import JsonSchema, Whole
from simulator.scenario.settings import FORMAT, SPELLING, Settings, setting

MOST_PROXIES = 10_000_000


class Proxies(Settings):
    """How many proxies of each kind; a bare number means sidecars."""

    shorthand: ClassVar[JsonSchema | None] = {"type": "integer", "minimum": 0, "maximum": MOST_PROXIES}

    sidecars: Annotated[int, Whole(0, MOST_PROXIES)] = setting(
        "Sidecars, named p0, p1, ...", 0, stands_for="NodeType sidecar", source=FORMAT
    )
    gateways: Annotated[int, Whole(0, MOST_PROXIES)] = setting(
        "Gateways, named gw0, gw1, ...", 0, stands_for="NodeType router", source=FORMAT
    )
    vms: Annotated[int, Whole(0, MOST_PROXIES)] = setting(
        "Proxies on virtual machines, named vm0, vm1, ...",
        0,
        stands_for="WorkloadEntry with a sidecar",
        source=FORMAT,
    )

    @property
    def total(self) -> int:
        """All proxies together."""
        return self.sidecars + self.gateways + self.vms

    def names(self) -> tuple[str, ...]:
        """The names of all proxies: sidecars, then gateways, then virtual machines."""
        kinds = (("p", self.sidecars), ("gw", self.gateways), ("vm", self.vms))
        return tuple(f"{prefix}{number}" for prefix, count in kinds for number in range(count))

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, given: Any) -> Any:
        if isinstance(given, int) and not isinstance(given, bool):
            return {"sidecars": Whole(0, MOST_PROXIES).read(given)}
        if isinstance(given, Proxies):
            return given
        if not isinstance(given, dict):
            raise refusal(
                "must be a whole number of sidecars, or a mapping such as {sidecars: 100, gateways: 2}, "
                f"not {described(given)}"
            )
        return given

    @model_validator(mode="after")
    def _not_too_many(self) -> Proxies:
        if self.total > MOST_PROXIES:
            raise refusal(f"must be at most {MOST_PROXIES} proxies in all, not {self.total}")
        return self

    @model_serializer(mode="plain")
    def _written(self) -> dict[str, int] | int:
        if self.gateways or self.vms:
            return {"sidecars": self.sidecars, "gateways": self.gateways, "vms": self.vms}
        return self.sidecars


class Start(Settings):
    """When the proxies start: all at once (`cold`), or evenly spread over some time."""

    shorthand: ClassVar[JsonSchema | None] = {"const": "cold"}

    over: DurationNs = setting(
        "Time over which the starts are spread",
        0,
        stands_for="rollout of the workloads that carry the proxies",
        source=FORMAT,
    )

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, given: Any) -> Any:
        if given == "cold":
            return {}
        if given == "connected":
            raise refusal("'connected' is not available in this version; available: cold, {over: 60s}")
        if isinstance(given, Start):
            return given
        if not isinstance(given, dict):
            raise refusal(f"must be cold, or a mapping such as {{over: 60s}}, not {described(given)}")
        return given

    @model_serializer(mode="wrap")
    def _written(self, dump: Any) -> Any:
        return dump(self) if self.over else "cold"


class Mesh(Settings):
    """The proxies under study."""

    proxies: Proxies = setting(
        "Number of sidecars, or a mapping with sidecars, gateways and vms",
        Proxies(sidecars=1),
        stands_for="the Envoys connected to the control plane",
        source=FORMAT,
    )
    start: Start = setting(
        "cold: all proxies start at t = 0; {over: 60s}: evenly spread over that time",
        Start(),
        stands_for=SPELLING,
        source="the measured start-ups begin with a cold process (rules S1 to S8)",
    )
