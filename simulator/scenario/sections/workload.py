"""Section `workload`: what happens to the mesh."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import model_validator

from simulator.scenario.durations import DurationNs, PositiveDurationNs
from simulator.scenario.later import LATER_HAPPENINGS
from simulator.scenario.problems import refusal
from simulator.scenario.quantities import Choice, OrNone, RateValue, Text
from simulator.scenario.settings import FORMAT, SPELLING, Settings, setting


class Traffic(Settings):
    """Requests to one listener of every proxy."""

    to: Annotated[str, Text(200, meaning="the name of a listener, such as l0")] = setting(
        "Listener that the requests go to", stands_for="the clients' destination", source=FORMAT
    )
    rate: RateValue = setting("Requests to each proxy", stands_for="the clients' request rate", source=FORMAT)
    connection: Annotated[Literal["fresh", "kept"], Choice(("fresh", "kept"))] = setting(
        "A fresh connection for each request, or one that is kept open",
        "fresh",
        stands_for="HTTP keep-alive of the clients",
        source="the measurements probe with fresh connections unless they say kept",
    )


class WorkloadEntry(Settings):
    """One happening, and when it begins and ends."""

    traffic: Traffic = setting("Requests", stands_for="clients of the proxies", source=FORMAT)
    begin: DurationNs = setting(
        "When it begins, included; simulated time", 0, stands_for=SPELLING, source=FORMAT, key="from"
    )
    until: Annotated[PositiveDurationNs | None, OrNone()] = setting(
        "When it ends, not included; absent = the end of the run", None, stands_for=SPELLING, source=FORMAT
    )

    @model_validator(mode="before")
    @classmethod
    def _of_this_version(cls, given: Any) -> Any:
        if isinstance(given, dict) and "traffic" not in given:
            later = [key for key in given if key in LATER_HAPPENINGS]
            if later:
                raise refusal("is not available in this version; available: traffic", later[0])
        return given

    @model_validator(mode="after")
    def _in_order(self) -> WorkloadEntry:
        if self.until is not None and self.until <= self.begin:
            raise refusal("must be later than from", "until")
        return self
