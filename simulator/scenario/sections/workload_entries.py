"""Which class reads an entry of the workload: the key that says what happens decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, ValidationError, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from simulator.scenario.explain import relative_problems
from simulator.scenario.later import LATER_HAPPENINGS
from simulator.scenario.problems import described, nearest, refusal
from simulator.scenario.sections.workload import (
    AddIstiodEntry,
    CaOutageEntry,
    EditEntry,
    EndpointsEntry,
    HotRestartEntry,
    MigrateRevisionEntry,
    PartitionEntry,
    RestartComponentEntry,
    RestartEntry,
    RestartIstiodEntry,
    RolloutEntry,
    RolloutIstiodEntry,
    RootRotationEntry,
    RuntimeFlagEntry,
    ScaleUpEntry,
    SlowReaderEntry,
    TimedEntry,
    TrafficEntry,
    UnhealthyEntry,
)

WorkloadEntry = TimedEntry | TrafficEntry

_CLASSES = (
    EditEntry,
    EndpointsEntry,
    RolloutEntry,
    ScaleUpEntry,
    RestartEntry,
    RestartIstiodEntry,
    RestartComponentEntry,
    AddIstiodEntry,
    RolloutIstiodEntry,
    PartitionEntry,
    SlowReaderEntry,
    UnhealthyEntry,
    CaOutageEntry,
    RootRotationEntry,
    HotRestartEntry,
    RuntimeFlagEntry,
    MigrateRevisionEntry,
    TrafficEntry,
)
ENTRY_CLASSES: dict[str, type[WorkloadEntry]] = {class_.KIND: class_ for class_ in _CLASSES}
"""Key that says what happens -> class of the entry."""


@dataclass(frozen=True, slots=True)
class EntryOfItsKind:
    """Marks an entry: read by the class of its kind, so that what is told is about that kind alone."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_wrap_validator_function(self._read, handler(source))

    def _read(self, value: Any, inner: Any, info: ValidationInfo) -> WorkloadEntry:
        if isinstance(value, _CLASSES):
            return value
        if not isinstance(value, dict):
            raise refusal(
                f"must be a mapping, such as {{edit: VirtualService, at: 1s}}, not {described(value)}"
            )
        class_ = _class_for(value)
        try:
            return class_.model_validate(value, context=info.context)
        except ValidationError as error:
            raise relative_problems(error, class_) from None


def _class_for(entry: dict[str, Any]) -> type[WorkloadEntry]:
    kinds = [key for key in entry if key in ENTRY_CLASSES]
    if len(kinds) == 1:
        return ENTRY_CLASSES[kinds[0]]
    if kinds:
        raise refusal(f"an entry is about one thing, and this one is about {kinds[0]} already", kinds[1])
    if "trace" in entry:
        return EditEntry
    later = [key for key in entry if key in LATER_HAPPENINGS]
    if later:
        raise refusal(f"is not available in this version; available: {', '.join(ENTRY_CLASSES)}", later[0])
    near = next((word for key in entry if (word := nearest(str(key), ENTRY_CLASSES)) is not None), None)
    hint = f"known: {', '.join(ENTRY_CLASSES)}" if near is None else f"did you mean {near!r}?"
    raise refusal(f"does not say what happens; {hint}")


WorkloadEntryField = Annotated[WorkloadEntry, EntryOfItsKind()]
