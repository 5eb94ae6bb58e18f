"""Publications take effect on the workers in order, and before they run with their start."""

from __future__ import annotations

from simulator.engine.clock import MS
from simulator.engine.events import Clock
from simulator.envoy.process import Process, Workers
from simulator.xds.resources import Names


def test_posts_take_effect_in_order(clock: Clock) -> None:
    workers, seen = Workers(clock, 0), []
    workers.start(0)
    workers.watchers.append(seen.append)
    workers.publish(5 * MS)
    workers.publish(1 * MS)
    clock.run(10 * MS)
    workers.publish(2 * MS)
    assert seen == [5 * MS, 5 * MS, 12 * MS]


def test_what_is_published_before_the_workers_run_takes_effect_with_their_start(clock: Clock) -> None:
    workers, active, seen = Workers(clock, 0), [], []
    workers.watchers.append(seen.append)
    workers.publish(1 * MS, active.append)
    assert not workers.are_running
    assert (active, seen) == ([], [])
    clock.run(20 * MS)
    assert workers.start(3 * MS) == 23 * MS
    assert workers.are_running
    assert (active, seen) == ([23 * MS], [23 * MS])


def test_a_change_is_active_when_the_last_of_its_names_is(process: Process) -> None:
    ledger = process.changes
    ledger.announce("cds", Names("ab"), "a,b", 0, [0])  # type: ignore[attr-defined]
    carriages = ledger.carry(0, "cds", None, 0, "push")  # type: ignore[attr-defined]
    done = process.activations.applied(carriages, "cds", 10, refused=Names(), awaited=Names("abc"))
    assert done == []
    assert process.activations.activated("eds", Names("ab")) == []
    assert process.activations.activated("cds", Names("a")) == []
    assert process.activations.activated("cds", Names("bc")) == list(carriages)
    assert process.activations.activated("cds", Names("ab")) == []


def test_a_change_with_a_refused_name_is_rejected(process: Process) -> None:
    ledger = process.changes
    ledger.announce("cds", Names("ab"), "a,b", 0, [0])  # type: ignore[attr-defined]
    carriages = ledger.carry(0, "cds", None, 0, "push")  # type: ignore[attr-defined]
    assert process.activations.applied(carriages, "cds", 10, refused=Names("b"), awaited=Names()) == []
    assert process.recorder.delivery_rows[0].outcome == "rejected"
