"""The timeline is drawn before the run; entries draw by what they say, not by where they stand."""

from __future__ import annotations

from fractions import Fraction

import pytest

from simulator.engine.clock import MS, S
from simulator.engine.draws import Draws
from simulator.mesh.services import Service
from simulator.workload.entries import (
    AddIstiodEntry,
    Arrivals,
    Bursts,
    EditEntry,
    EndpointsEntry,
    Entry,
    PartitionEntry,
    Portion,
    RestartEntry,
    RestartIstiodEntry,
    RolloutEntry,
    RolloutIstiodEntry,
    ScaleUpEntry,
    SlowReaderEntry,
    TraceRow,
)
from simulator.workload.timeline import labelled, timeline

MINUTE = 60 * S


def instants(arrivals: Arrivals, end_ns: int = 1000 * S, seed: int = 1) -> list[int]:
    return [h.t_ns for h in timeline([EditEntry("VirtualService", arrivals)], Draws(seed), end_ns)]


def test_instants_given_are_kept_in_order_of_time_up_to_the_end() -> None:
    assert instants(Arrivals(at=(7, 3, 3, 10)), end_ns=10) == [3, 3, 7]


def test_regular_happenings_include_the_begin_and_exclude_the_end() -> None:
    assert instants(Arrivals(every_ns=50 * MS, from_ns=0, until_ns=60 * S)) == [
        number * 50 * MS for number in range(1200)
    ]
    assert instants(Arrivals(every_ns=4, from_ns=3), end_ns=12) == [3, 7, 11]


def test_random_happenings_come_independently_at_their_rate() -> None:
    end_ns = 4000 * S
    times = instants(Arrivals(poisson_per_second=5.0, from_ns=S), end_ns)
    n = 5.0 * (end_ns - S) / S
    assert abs(len(times) - n) < 4 * n**0.5  # the count is Poisson: sd = sqrt(n)
    gaps = [b - a for a, b in zip([S, *times], times, strict=False)]
    longer_than_mean = sum(gap > S / 5 for gap in gaps) / len(gaps)
    p = 0.36788  # e^-1
    assert abs(longer_than_mean - p) < 4 * (p * (1 - p) / len(gaps)) ** 0.5
    assert min(times) > S


def test_random_happenings_are_the_same_whatever_the_end() -> None:
    law = Arrivals(poisson_per_second=2.0)
    short, long = instants(law, 50 * S), instants(law, 100 * S)
    assert short == [t for t in long if t < 50 * S]
    assert instants(law, 50 * S, seed=2) != short


def test_bursts_are_groups_that_may_overlap_and_be_cut() -> None:
    bursts = Bursts(size=3, spacing_ns=4, every_ns=10)
    assert instants(Arrivals(bursts=bursts, from_ns=2), end_ns=20) == [2, 6, 10, 12, 16]
    assert instants(Arrivals(bursts=Bursts(2, 30, at=(5, 10)))) == [5, 10, 35, 40]
    random = instants(Arrivals(bursts=Bursts(2, 1, poisson_per_second=1.0)), 100 * S)
    assert len(random) % 2 == 0
    assert random[1] - random[0] == 1


def test_recorded_happenings_keep_their_rows_between_begin_and_end() -> None:
    rows = (TraceRow(5, name="late"), TraceRow(1, name="early"), TraceRow(9, name="beyond"))
    entry = EditEntry("VirtualService", Arrivals(trace=rows, from_ns=1, until_ns=9))
    happenings = timeline([entry], Draws(1), 100)
    assert [(h.t_ns, h.index, h.trace.name) for h in happenings if h.trace] == [
        (1, 0, "early"),
        (5, 1, "late"),
    ]


def test_happenings_of_all_entries_are_in_order_of_time_and_then_of_their_entries() -> None:
    first = EditEntry("VirtualService", Arrivals(at=(5, 2)))
    second = EndpointsEntry(Arrivals(at=(2, 9)))
    happenings = timeline([first, second], Draws(1), 100)
    assert [(h.t_ns, h.entry, h.index) for h in happenings] == [
        (2, first, 0),
        (2, second, 0),
        (5, first, 1),
        (9, second, 1),
    ]


ANY = Arrivals(poisson_per_second=1.0)


def test_another_entry_changes_nobodys_instants() -> None:
    edits = EditEntry("VirtualService", ANY)
    other = EditEntry("DestinationRule", ANY)
    alone = timeline([edits], Draws(1), MINUTE)
    together = timeline([other, edits], Draws(1), MINUTE)
    assert [h for h in together if h.entry is edits] == list(alone)
    assert [h.t_ns for h in together if h.entry is other] != [h.t_ns for h in alone]


def test_equal_entries_draw_each_for_themselves() -> None:
    entries = [EditEntry("VirtualService", ANY), EditEntry("VirtualService", ANY)]
    assert len(set(labelled(entries))) == 2
    both = timeline(entries, Draws(1), MINUTE)
    assert [h.t_ns for h in both if h.label == both[0].label] != [
        h.t_ns for h in both if h.label != both[0].label
    ]


def test_every_kind_of_entry_has_a_label_of_its_own() -> None:
    entries: list[Entry] = [
        EditEntry("VirtualService", ANY),
        EditEntry("VirtualService", ANY, name="vs"),
        EditEntry("VirtualService", ANY, service=Service(0, 0, "s0", "ns0")),
        EditEntry("VirtualService", ANY, namespace="ns0"),
        EndpointsEntry(ANY),
        RolloutEntry(ANY),
        ScaleUpEntry(ANY, 3),
        RestartIstiodEntry(ANY, 0),
        RestartIstiodEntry(ANY, 1),
        AddIstiodEntry(ANY, 1),
        RolloutIstiodEntry(ANY),
        PartitionEntry(ANY),
        SlowReaderEntry(ANY),
        RestartEntry(ANY),
    ]
    labels = labelled(entries)
    assert len(set(labels)) == len(entries)
    assert all(label.endswith("#0") for label in labels)


@pytest.mark.parametrize(
    ("portion", "pods", "up", "down"),
    [
        (Portion(count=3), 10, 3, 3),
        (Portion(share=Fraction(1, 4)), 10, 3, 2),
        (Portion(share=Fraction(29, 100)), 100, 29, 29),
        (Portion(share=Fraction(1)), 7, 7, 7),
        (Portion(), 7, 0, 0),
    ],
)
def test_portions_round_as_kubernetes_rounds(portion: Portion, pods: int, up: int, down: int) -> None:
    assert portion.of(pods, rounds_up=True) == up
    assert portion.of(pods, rounds_up=False) == down
