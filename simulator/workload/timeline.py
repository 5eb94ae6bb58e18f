"""The timeline: everything that will happen to the mesh, drawn before the run begins.

An entry draws by its own *label*, which says what it does to what, and its number among entries of equal
label; so neither its place in the list nor any other entry changes when it happens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from simulator.engine.clock import S
from simulator.engine.delays import Exponential
from simulator.engine.draws import Draws
from simulator.mesh.services import Service
from simulator.workload.entries import (
    AddIstiodEntry,
    Arrivals,
    Bursts,
    CaOutageEntry,
    EditEntry,
    EndpointsEntry,
    Entry,
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
    TraceRow,
    UnhealthyEntry,
)


@dataclass(frozen=True, slots=True)
class Happening:
    """One entry happens, once.

    Attributes:
        t_ns: When.
        entry: What.
        label: Key of the entry's draws.
        index: Counts the entry's happenings, in order of time.
        trace: The recorded row it comes from, if any.
    """

    t_ns: int
    entry: Entry
    label: str
    index: int
    trace: TraceRow | None = None


def timeline(entries: Sequence[Entry], draws: Draws, end_ns: int) -> tuple[Happening, ...]:
    """All happenings before ``end_ns``, in order of time; those of one instant in the order of their
    entries."""
    labels = labelled(entries)
    happenings = [
        Happening(t_ns, entry, label, index, trace)
        for entry, label in zip(entries, labels, strict=True)
        for index, (t_ns, trace) in enumerate(_instants(entry.arrivals, draws, label, end_ns))
    ]
    return tuple(sorted(happenings, key=lambda happening: happening.t_ns))


def labelled(entries: Sequence[Entry]) -> list[str]:
    """The label of each entry: what it does to what, and its number among equals."""
    seen: dict[str, int] = {}
    labels = []
    for entry in entries:
        text = _label(entry)
        number = seen[text] = seen.get(text, -1) + 1
        labels.append(f"workload.{text}#{number}")
    return labels


def _label(entry: Entry) -> str:
    # What the entry's key is in a scenario, and the object that it names. A service is told by name: its
    # position would shift with other services.
    match entry:
        case EditEntry():
            return f"edit/{entry.kind}/{entry.namespace}/{entry.name}/{_named(entry.service)}"
        case EndpointsEntry():
            return f"endpoints/{entry.namespace}/{_named(entry.service)}"
        case RolloutEntry():
            return f"rollout/{entry.namespace}/{_named(entry.service)}"
        case ScaleUpEntry():
            return f"scale_up/{entry.namespace}/{_named(entry.service)}"
        case RestartIstiodEntry():
            return f"restart_istiod/{entry.replica}"
        case RestartComponentEntry():
            return f"restart_component/{entry.component}"
        case RuntimeFlagEntry():
            return f"runtime_flag/{entry.key}"
        case MigrateRevisionEntry():
            return f"migrate_revision/{entry.to}"
        case _:
            return _LABELS[type(entry)]


_LABELS: dict[type, str] = {
    AddIstiodEntry: "add_istiod",
    RolloutIstiodEntry: "rollout_istiod",
    PartitionEntry: "partition",
    SlowReaderEntry: "slow_reader",
    UnhealthyEntry: "unhealthy",
    RestartEntry: "restart",
    CaOutageEntry: "ca_outage",
    RootRotationEntry: "root_rotation",
    HotRestartEntry: "hot_restart",
}
"""Entries that are about nothing that has a name."""


def _named(service: Service | None) -> str:
    return "any" if service is None else service.label


def _instants(arrivals: Arrivals, draws: Draws, label: str, end_ns: int) -> list[tuple[int, TraceRow | None]]:
    """The instants of one entry in order of time, each with its recorded row if it has one."""
    until_ns = end_ns if arrivals.until_ns is None else min(arrivals.until_ns, end_ns)
    given: list[tuple[int, TraceRow | None]]
    if arrivals.trace:
        given = [(row.t_ns, row) for row in arrivals.trace if row.t_ns >= arrivals.from_ns]
    else:
        given = [(t_ns, None) for t_ns in _drawn(arrivals, until_ns, draws, label)]
    return sorted((pair for pair in given if pair[0] < until_ns), key=lambda pair: pair[0])


def _drawn(arrivals: Arrivals, until_ns: int, draws: Draws, label: str) -> Iterable[int]:
    bursts = arrivals.bursts
    if bursts is None:
        return arrivals.at or _beginnings(arrivals, arrivals.from_ns, until_ns, draws, label)
    groups = bursts.at or _beginnings(bursts, arrivals.from_ns, until_ns, draws, label)
    return (begin + number * bursts.spacing_ns for begin in groups for number in range(bursts.size))


def _beginnings(
    law: Arrivals | Bursts, from_ns: int, until_ns: int, draws: Draws, label: str
) -> Iterator[int]:
    """Regular instants, or those of a Poisson process: its gaps are independent and exponential."""
    if law.every_ns is not None:
        assert law.every_ns > 0, "happenings without time between them"
        yield from range(from_ns, until_ns, law.every_ns)
    elif law.poisson_per_second:
        gap = Exponential(S / law.poisson_per_second)
        t_ns = from_ns
        for index in count():
            t_ns += gap.ns(draws.uniform(label, 0, index))
            if t_ns >= until_ns:
                return
            yield t_ns
