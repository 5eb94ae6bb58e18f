"""Parts of section `control_plane` that only the scripted one has: connections, answers and pushes."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import model_serializer, model_validator

from simulator.scenario.delay_values import DelayField
from simulator.scenario.durations import DurationNs
from simulator.scenario.presets import FETCHED_TYPES
from simulator.scenario.problems import Location, described, refusal, refusals
from simulator.scenario.quantities import Choice, JsonSchema, Names, Switch
from simulator.scenario.sections.resources import NO_DELAY
from simulator.scenario.settings import FORMAT, Settings, setting

ResourceTypeName = Annotated[str, Choice(FETCHED_TYPES, later=("vhds",))]
Rejection = Annotated[Literal["decode", "build"] | None, Choice(("decode", "build"), nothing="none")]

_REJECT = (
    "Spoils the first resource by name: decode = an invalid message, build = a resource that cannot be built"
)
_REJECT_SOURCE = "measured rule N4: what becomes of the good resources depends on where it fails"
_CONNECTS = ("accept", "refuse", "close")


class Connect(Settings):
    """What becomes of connections: ``accept``, ``refuse``, ``close`` (at once) or ``{refuse_until: 5s}``."""

    shorthand: ClassVar[JsonSchema | None] = {"enum": list(_CONNECTS)}

    kind: Annotated[
        Literal["accept", "refuse", "close", "refuse_until"], Choice((*_CONNECTS, "refuse_until"))
    ] = setting(
        "What becomes of a connection", "accept", stands_for="the management server's socket", source=FORMAT
    )
    refuse_until: DurationNs = setting(
        "Refuse before this time, counted from the last Envoy's first xDS subscription, then accept",
        0,
        stands_for="a management server that comes up late",
        source=FORMAT,
    )

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"kind": Choice(_CONNECTS).read(given)}
        if isinstance(given, dict) and given:
            return given if "kind" in given else {"kind": "refuse_until", **given}
        if isinstance(given, Connect):
            return given
        raise refusal(
            f"must be one of {', '.join(_CONNECTS)}, or {{refuse_until: 5s}}, not {described(given)}"
        )

    @model_serializer(mode="wrap")
    def _written(self, dump: Any) -> Any:
        return {"refuse_until": dump(self)["refuse_until"]} if self.kind == "refuse_until" else self.kind


class Answer(Settings):
    """How one subscription request of a type is answered."""

    after: DelayField = setting(
        "Time until the answer leaves",
        NO_DELAY,
        stands_for="the control plane's response time",
        source=FORMAT,
    )
    never: Switch = setting("No answer at all", False, stands_for="a missing resource", source=FORMAT)
    omit: Names = setting("Names left out of the answer", (), stands_for="a missing resource", source=FORMAT)
    remove: Names = setting(
        "Names listed as removed (delta)",
        (),
        stands_for="DeltaDiscoveryResponse.removed_resources",
        source=FORMAT,
    )
    reject: Rejection = setting(_REJECT, None, stands_for="an invalid resource", source=_REJECT_SOURCE)
    close: Switch = setting(
        "Closes the stream in place of an answer (REST: the connection fails)",
        False,
        stands_for="a stream reset",
        source=FORMAT,
    )

    @model_validator(mode="after")
    def _not_contradictory(self) -> Answer:
        if self.never:
            keys = [key for key in ("omit", "remove", "reject") if getattr(self, key)]
            if keys:
                raise refusals([((key,), "says something about an answer that never comes") for key in keys])
        return self


class Push(Settings):
    """One response that nobody asked for, or a reset of streams."""

    at: DurationNs = setting(
        "When, counted from the last Envoy's first xDS subscription",
        stands_for="the time of a change",
        source=FORMAT,
    )
    type: Annotated[str | None, Choice(FETCHED_TYPES, later=("vhds",), nothing="none")] = setting(
        "Resource type; needed unless the push only closes",
        None,
        stands_for="DiscoveryResponse.type_url",
        source=FORMAT,
    )
    change: Names = setting(
        "Names whose content changes; of a listener, all but its route name",
        (),
        stands_for="a changed resource",
        source=FORMAT,
    )
    change_filter_chains: Names = setting(
        "Listeners of which only the filter chains change, which Envoy does in place (LDS)",
        (),
        stands_for="Listener.filter_chains",
        source="measured rule W9",
    )
    add: Names = setting(
        "New names; each copies the last mapping of its kind", (), stands_for="a new resource", source=FORMAT
    )
    remove: Names = setting("Names that cease to exist", (), stands_for="a removed resource", source=FORMAT)
    send: Names = setting(
        "Names sent again unchanged, also those omitted or removed before",
        (),
        stands_for="a resource sent again",
        source=FORMAT,
    )
    empty: Names = setting(
        "Clusters whose endpoints are all taken away (EDS)",
        (),
        stands_for="an empty ClusterLoadAssignment",
        source=FORMAT,
    )
    reject: Rejection = setting(_REJECT, None, stands_for="an invalid resource", source=_REJECT_SOURCE)
    close: Switch = setting(
        "The stream is reset: that of the type, or all without a type",
        False,
        stands_for="a stream reset",
        source=FORMAT,
    )

    NAMING: ClassVar[tuple[str, ...]] = ("change", "change_filter_chains", "add", "remove", "send", "empty")

    @model_validator(mode="after")
    def _sensible(self) -> Push:
        found: list[tuple[Location, str]] = []
        names = [key for key in self.NAMING if getattr(self, key)]
        if self.type is None and (names or self.reject or not self.close):
            found.append(
                ((), f"needs a type ({', '.join(FETCHED_TYPES)}), unless all it says is close: true")
            )
        elif not (names or self.reject or self.close):
            found.append(((), f"does nothing: give one of {', '.join(self.NAMING)}, reject or close"))
        for key, only in (("empty", "eds"), ("change_filter_chains", "lds")):
            if getattr(self, key) and self.type not in (only, None):
                found.append(((key,), f"goes with type: {only} only"))
        if "all" in self.add:
            found.append(
                (("add",), "must name each one: the word all means nothing for what does not exist yet")
            )
        if found:
            raise refusals(found)
        return self
