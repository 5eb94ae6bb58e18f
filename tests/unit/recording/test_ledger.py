"""Every change has one row and one outcome per proxy, whatever carries it and in how many parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.recording.ledger import ChangeLedger
from simulator.recording.recorder import Recorder
from simulator.recording.rows import DeliveryRow
from simulator.xds.resources import Names


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(["p0", "p1"], messages=False, states=False)


@pytest.fixture
def ledger(recorder: Recorder) -> ChangeLedger[Names]:
    return ChangeLedger(recorder, Names.minus)


def change(
    ledger: ChangeLedger[Names], names: str, t_ns: int, type_name: str = "eds", proxies: int = 1
) -> None:
    ledger.announce(type_name, Names(names), names, t_ns, range(proxies))


def carry(
    ledger: ChangeLedger[Names], names: str | None, t_ns: int, proxy: int = 0, **when: int
) -> tuple[int, ...]:
    covered = None if names is None else Names(names)
    return ledger.carry(proxy, "eds", covered, t_ns, "push", **when)


def arrive(ledger: ChangeLedger[Names], carriages: tuple[int, ...], t_ns: int, proxy: int = 0) -> None:
    """Received, applied 10 ns and active 20 ns later."""
    ledger.on_received(carriages, proxy, t_ns)
    for carriage in carriages:
        ledger.on_applied(carriage, proxy, t_ns + 10)
    for carriage in carriages:
        ledger.on_active(carriage, proxy, t_ns + 20)


def times(row: DeliveryRow) -> tuple[int | None, ...]:
    return row.t_sent_ns, row.t_received_ns, row.t_applied_ns, row.t_active_ns


def test_a_change_passes_every_instant(ledger: ChangeLedger[Names], recorder: Recorder) -> None:
    change(ledger, "a", 100)
    carriages = carry(ledger, "ab", 105)
    arrive(ledger, carriages, 110)
    ledger.on_acked(carriages, 0, 125)
    (row,) = recorder.delivery_rows
    assert (row.t_observed_ns, row.t_debounced_ns, row.t_enqueued_ns, row.t_dequeued_ns) == (
        100,
        100,
        100,
        100,
    )
    assert times(row) == (105, 110, 120, 130)
    assert (row.t_acked_ns, row.outcome, row.carried_by, row.replica) == (125, "active", "push", 0)


def test_every_proxy_has_a_row_of_its_own(ledger: ChangeLedger[Names], recorder: Recorder) -> None:
    change(ledger, "a", 100, proxies=2)
    arrive(ledger, carry(ledger, "a", 105, proxy=1), 110, proxy=1)
    assert [row.outcome for row in recorder.delivery_rows] == ["pending", "active"]
    assert recorder.change_rows == [(0, "eds", "a", 100, 2)]


def test_a_message_of_other_names_or_another_type_carries_nothing(ledger: ChangeLedger[Names]) -> None:
    change(ledger, "a", 100)
    assert carry(ledger, "b", 105) == ()
    assert ledger.carry(0, "cds", None, 105, "push") == ()
    assert ledger.carry(1, "eds", None, 105, "push") == ()


def test_what_was_applied_is_not_carried_again(ledger: ChangeLedger[Names]) -> None:
    change(ledger, "a", 100)
    (first,) = carry(ledger, None, 105)
    ledger.on_received((first,), 0, 110)
    assert len(carry(ledger, None, 112)) == 1, "the first message may still be lost"
    ledger.on_applied(first, 0, 115)
    assert carry(ledger, None, 120) == ()


def test_two_parts_of_a_change_complete_it_with_the_last_one(
    ledger: ChangeLedger[Names], recorder: Recorder
) -> None:
    """As on separate streams, by polls and in files: one message for each name."""
    change(ledger, "ab", 100)
    (row,) = recorder.delivery_rows
    first, second = carry(ledger, "a", 105), carry(ledger, "b", 300)
    assert [list(ledger.type_and_names(c)[1]) for c in (*first, *second)] == [["a"], ["b"]]
    arrive(ledger, first, 110)
    ledger.on_acked(first, 0, 135)
    assert (row.outcome, row.t_applied_ns, row.t_acked_ns) == ("pending", None, None)
    arrive(ledger, second, 310)
    ledger.on_acked(second, 0, 335)
    assert (row.outcome, *times(row), row.t_acked_ns) == ("active", 300, 310, 320, 330, 335)


def test_names_a_proxy_does_not_want_are_not_waited_for(
    ledger: ChangeLedger[Names], recorder: Recorder
) -> None:
    announced = ledger.announce("eds", Names("abc"), "a,b,c", 100, [0, 1])
    ledger.narrow(announced, 0, Names("ax"))
    ledger.narrow(announced, 1, Names("x"))
    for proxy in (0, 1):
        arrive(ledger, carry(ledger, "a", 105, proxy=proxy), 110, proxy=proxy)
    assert [row.outcome for row in recorder.delivery_rows] == ["active", "pending"]


def test_a_repeated_message_changes_no_instant_of_the_one_that_arrived(
    ledger: ChangeLedger[Names], recorder: Recorder
) -> None:
    change(ledger, "a", 100)
    first = carry(ledger, None, 105)
    ledger.on_received(first, 0, 110)
    again = carry(ledger, None, 112)
    ledger.on_applied(first[0], 0, 115)
    ledger.on_active(first[0], 0, 116)
    arrive(ledger, again, 120)
    (row,) = recorder.delivery_rows
    assert (row.outcome, *times(row)) == ("active", 105, 110, 115, 116)


def test_a_message_that_was_lost_leaves_the_instants_to_the_next(
    ledger: ChangeLedger[Names], recorder: Recorder
) -> None:
    change(ledger, "a", 100)
    carry(ledger, None, 105)
    arrive(ledger, ledger.carry(0, "eds", None, 500, "reconnect"), 510)
    (row,) = recorder.delivery_rows
    assert (row.outcome, row.carried_by, *times(row)) == ("active", "reconnect", 500, 510, 520, 530)


def test_the_newer_change_of_the_same_names_in_one_message_supersedes_the_older(
    ledger: ChangeLedger[Names], recorder: Recorder
) -> None:
    change(ledger, "a", 100)
    change(ledger, "ab", 101)
    change(ledger, "c", 102)
    arrive(ledger, carry(ledger, None, 105), 110)
    assert [row.outcome for row in recorder.delivery_rows] == ["superseded", "active", "active"]
    assert {times(row) for row in recorder.delivery_rows} == {(105, 110, 120, 130)}


def test_a_newer_change_of_only_some_of_the_names_supersedes_nothing(
    ledger: ChangeLedger[Names], recorder: Recorder
) -> None:
    change(ledger, "ab", 100)
    change(ledger, "a", 101)
    arrive(ledger, carry(ledger, None, 105), 110)
    assert [row.outcome for row in recorder.delivery_rows] == ["active", "active"]


def test_content_applied_but_not_serving_gives_way_to_newer_content(
    ledger: ChangeLedger[Names], recorder: Recorder
) -> None:
    """A cluster that still warms is changed again: the first change never served."""
    change(ledger, "a", 100)
    (older,) = carry(ledger, None, 105)
    ledger.on_received((older,), 0, 106)
    ledger.on_applied(older, 0, 107)
    change(ledger, "a", 200)
    arrive(ledger, carry(ledger, None, 205), 210)
    first, second = recorder.delivery_rows
    assert (first.outcome, first.t_applied_ns, first.t_active_ns) == ("superseded", 107, 230)
    assert (second.outcome, second.t_active_ns) == ("active", 230)


def test_the_first_outcome_stays(ledger: ChangeLedger[Names], recorder: Recorder) -> None:
    change(ledger, "a", 100)
    (carriage,) = carry(ledger, None, 105)
    ledger.on_rejected(carriage, 0, 110)
    ledger.on_applied(carriage, 0, 111)
    ledger.on_active(carriage, 0, 112)
    (row,) = recorder.delivery_rows
    assert (row.outcome, row.t_applied_ns, row.t_active_ns) == ("rejected", None, None)
    assert carry(ledger, None, 120) == ()


def test_a_proxy_that_ended_is_disconnected_from_what_it_did_not_get(
    ledger: ChangeLedger[Names], recorder: Recorder
) -> None:
    change(ledger, "a", 100, proxies=2)
    arrive(ledger, carry(ledger, None, 105), 110)
    change(ledger, "a", 200, proxies=2)
    ledger.on_gone(0)
    outcomes = [(row.change_id, row.proxy, row.outcome) for row in recorder.delivery_rows]
    assert outcomes == [(0, 0, "active"), (0, 1, "pending"), (1, 0, "disconnected"), (1, 1, "pending")]


def test_a_poll_tells_when_it_came_and_when_it_was_served(
    ledger: ChangeLedger[Names], recorder: Recorder
) -> None:
    change(ledger, "a", 100)
    carry(ledger, None, 150, t_enqueued_ns=120, t_dequeued_ns=130)
    (row,) = recorder.delivery_rows
    assert (row.t_enqueued_ns, row.t_dequeued_ns, row.t_sent_ns) == (120, 130, 150)


def test_a_poll_under_way_when_the_change_happened_counts_from_the_change(
    ledger: ChangeLedger[Names], recorder: Recorder
) -> None:
    change(ledger, "a", 140)
    carry(ledger, None, 150, t_enqueued_ns=120, t_dequeued_ns=130)
    (row,) = recorder.delivery_rows
    assert (row.t_enqueued_ns, row.t_dequeued_ns, row.t_sent_ns) == (140, 140, 150)


PATH = {"eds": Names("a")}


def test_a_proxy_is_stale_from_a_change_of_its_path_until_it_is_active(ledger: ChangeLedger[Names]) -> None:
    change(ledger, "ab", 100)
    change(ledger, "b", 100)
    ledger.announce("cds", Names("a"), "a", 100, [0])
    assert ledger.stale_windows(0, PATH, 1000) == [(100, 1000)]
    arrive(ledger, carry(ledger, None, 105), 110)
    assert ledger.stale_windows(0, PATH, 1000) == [(100, 130)]
    assert ledger.stale_windows(1, PATH, 1000) == [], "that proxy is not concerned"


def test_a_refused_change_makes_stale_until_a_newer_one_of_the_same_names_is_active(
    ledger: ChangeLedger[Names],
) -> None:
    change(ledger, "a", 100)
    ledger.on_rejected(carry(ledger, None, 105)[0], 0, 110)
    assert ledger.stale_windows(0, PATH, 1000) == [(100, 1000)]
    change(ledger, "ac", 200)
    arrive(ledger, carry(ledger, None, 205), 210)
    assert ledger.stale_windows(0, PATH, 1000) == [(100, 230), (200, 230)]


def test_a_newer_change_of_other_names_of_the_path_ends_nothing(ledger: ChangeLedger[Names]) -> None:
    change(ledger, "a", 100)
    ledger.on_rejected(carry(ledger, None, 105)[0], 0, 110)
    change(ledger, "b", 200)
    arrive(ledger, carry(ledger, None, 205), 210)
    assert ledger.stale_windows(0, {"eds": Names("ab")}, 1000) == [(100, 1000), (200, 230)]


steps = st.lists(
    st.tuples(
        st.sampled_from(["change", "carry", "apply", "reject", "lose", "gone"]),
        st.sampled_from(["a", "b", "ab"]),
    ),
    max_size=40,
)


@given(steps)
def test_instants_never_decrease_and_each_row_has_one_outcome(given_steps: list[tuple[str, str]]) -> None:
    recorder = Recorder(["p0"], messages=False, states=False)
    ledger: ChangeLedger[Names] = ChangeLedger(recorder, Names.minus)
    in_flight: list[tuple[int, ...]] = []
    outcomes: dict[int, str] = {}
    for number, (step, names) in enumerate(given_steps):
        t_ns = 100 * number
        if step == "change":
            change(ledger, names, t_ns)
        elif step == "carry":
            in_flight.append(carry(ledger, names, t_ns))
        elif step == "gone":
            ledger.on_gone(0)
        elif in_flight:
            carriages = in_flight.pop(0)
            if step == "apply":
                arrive(ledger, carriages, t_ns)
            elif step == "reject":
                ledger.on_received(carriages, 0, t_ns)
                for carriage in carriages:
                    ledger.on_rejected(carriage, 0, t_ns)
        for row in recorder.delivery_rows:
            reached = [
                t
                for t in (row.t_changed_ns, row.t_enqueued_ns, row.t_dequeued_ns, *times(row))
                if t is not None
            ]
            assert reached == sorted(reached), row
            assert (row.outcome in ("active", "superseded")) == (row.t_active_ns is not None), row
            assert outcomes.get(row.change_id, "pending") in ("pending", row.outcome), "an outcome changed"
            outcomes[row.change_id] = row.outcome
