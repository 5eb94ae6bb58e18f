"""What the table of deliveries says of each change: who carried it, when it got where, and what came of
it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from simulator.recording.ledger import ChangeLedger
from simulator.recording.recorder import Recorder
from simulator.xds.resources import Names
from tests.conformance.running import AT, both_protocols, every_stream, push, run
from tests.conformance.tolerance import assert_close
from tests.playing import NEVER, Play

CHAIN = ("changed", "observed", "debounced", "enqueued", "dequeued", "sent", "received", "applied", "active")
ARRIVED = CHAIN[:-1]


def instants(delivery: pd.Series[Any], names: tuple[str, ...] = CHAIN) -> list[int | None]:
    found = [delivery[f"t_{name}_ns"] for name in names]
    return [None if pd.isna(t) else int(t) for t in found]


def reset(after: float) -> dict[str, object]:
    return {"at": f"{AT + after}s", "close": True}


def outcomes_of(played: Play) -> list[str]:
    return list(played.result.deliveries.sort_values("change_id").outcome)


STORMS: dict[str, dict[str, Any]] = {
    "push, sotw": {"protocol": "sotw"},
    "push, delta": {"protocol": "delta"},
    "separate, sotw": {"streams": "separate"},
    "separate, delta": {"streams": "separate", "protocol": "delta"},
    "poll": {"strategy": "poll", "propagation": {"refresh_delay": "300ms"}},
    "file": {"strategy": "file"},
}


def storm(**keywords: Any) -> Play:
    """All kinds of changes, some behind each other, some refused, with a reset among them."""
    pushes = [
        push("cds", change=["c0", "c1"]),
        push("eds", after=0.001, change=["c0"]),
        push("eds", after=0.002, change=["c0", "c1"]),
        push("rds", after=0.003, change=["r0"], reject="build"),
        push("rds", after=0.1, change=["r0"]),
        push("lds", after=0.2, change=["l0"]),
        push("lds", after=0.3, change_filter_chains=["l0"]),
        push("cds", after=0.4, change=["c0"]),
        push("cds", after=0.5, change=["c0"], remove=["c1"]),
        push("eds", after=0.7, change=["c0"], reject="decode"),
        reset(1.0),
        push("rds", after=1.0001, change=["r0"]),
        push("rds", after=1.0002, change=["r0"]),
        push("cds", after=1.0003, add=["c2"]),
        push("eds", after=4.0, empty=["c0"]),
    ]
    return run(*pushes, clusters={"count": 2}, timeout="2s", duration="20s", **keywords)


@pytest.mark.parametrize("how", STORMS)
def test_instants_never_decrease_from_changed_to_active(how: str) -> None:
    rows = storm(**STORMS[how]).result.deliveries
    assert len(rows) == 14
    for _, delivery in rows.iterrows():
        known = [t for t in instants(delivery) if t is not None]
        assert known == sorted(known), delivery
        assert set(rows.outcome) <= {"active", "rejected", "superseded", "pending", "disconnected"}


@pytest.mark.parametrize("gap", [0.0001, 0.0003, 0.0005, 0.0008, 0.001, 0.0013])
@both_protocols
def test_a_change_close_behind_another_keeps_both_in_order(wire: dict[str, str], gap: float) -> None:
    played = run(push("rds", change=["r0"]), push("rds", after=gap, change=["r0"]), **wire)
    for number in (0, 1):
        known = [t for t in instants(played.delivery(number)) if t is not None]
        assert known == sorted(known)
    assert played.delivery(0).t_sent_ns < played.delivery(1).t_sent_ns


@pytest.mark.parametrize("how", STORMS)
def test_an_active_delivery_has_every_instant_and_others_have_no_active_one(how: str) -> None:
    rows = storm(**STORMS[how]).result.deliveries
    assert "active" in set(rows.outcome)
    for _, delivery in rows.iterrows():
        if delivery.outcome in ("active", "superseded"):
            assert None not in instants(delivery)
            assert not pd.isna(delivery.carried_by)
        else:
            assert pd.isna(delivery.t_active_ns)


@pytest.mark.parametrize("how", STORMS)
def test_every_change_has_one_row_for_the_proxy(how: str) -> None:
    result = storm(**STORMS[how]).result
    assert sorted(result.deliveries.change_id) == sorted(result.changes.change_id)
    assert (result.changes.proxies_concerned == 1).all()


# --- active


@every_stream
def test_a_pushed_change_is_carried_by_a_push_and_active_with_the_data_plane(wire: dict[str, str]) -> None:
    played = run(push("rds", change=["r0"]), **wire)
    delivery = played.delivery()
    assert (delivery.outcome, delivery.carried_by) == ("active", "push")
    changed, *_, sent, received, applied, active = instants(delivery)
    assert changed == sent, "a script has no queue and no debounce"
    assert sent is not None
    assert received == sent + 250_000, "one way of the link"
    assert received < (applied or 0) < (active or 0)
    assert delivery.t_acked_ns < active, "the ACK stands outside the chain"


@both_protocols
def test_a_cluster_change_is_applied_at_once_and_active_when_it_is_warm(wire: dict[str, str]) -> None:
    delivery = run(push("cds", change=["c0"]), timeout="3s", **wire).delivery()
    assert delivery.outcome == "active"
    assert (delivery.t_applied_ns - delivery.t_changed_ns) / 1e9 < 0.005
    assert_close((delivery.t_active_ns - delivery.t_changed_ns) / 1e9, 3.0)
    assert_close((delivery.t_acked_ns - delivery.t_changed_ns) / 1e9, 3.0)


@both_protocols
def test_hosts_sent_to_a_warming_cluster_are_active_when_it_is(wire: dict[str, str]) -> None:
    played = run(
        push("cds", change=["c0"]),
        push("eds", after=1, change=["c0"]),
        timeout="9s",
        duration="20s",
        resources={"health_check": {"answers": {"after": "2s"}, "timeout": "5s"}},
        **wire,
    )
    clusters, hosts = played.delivery(0), played.delivery(1)
    assert_close((hosts.t_applied_ns - hosts.t_changed_ns) / 1e9, 1.2e-3)
    assert_close((hosts.t_active_ns - hosts.t_changed_ns) / 1e9, 2.0)
    assert clusters.t_active_ns == hosts.t_active_ns


@both_protocols
def test_removals_are_active_once_the_workers_have_forgotten(wire: dict[str, str]) -> None:
    played = run(push("cds", remove=["c0"]), **wire)
    assert played.delivery().outcome == "active"
    at = (played.delivery().t_active_ns - played.origin_ns) / 1e9
    assert at == pytest.approx(next(t for t, o in played.outcomes() if o == "NC"))


# --- request, reconnect


@every_stream
def test_removing_a_warming_cluster_is_active_at_once_and_supersedes_what_it_warmed_for(
    wire: dict[str, str],
) -> None:
    played = run(
        push("cds", change=["c1"]),
        push("cds", after=0.5, remove=["c1"]),
        clusters={"count": 2},
        answers={"eds": [{}, NEVER]},
        **wire,
    )
    assert outcomes_of(played) == ["superseded", "active"]
    changed, removed = (row for _, row in played.result.deliveries.iterrows())
    assert removed.t_active_ns - removed.t_changed_ns < 10e6
    assert changed.t_active_ns == removed.t_active_ns


@both_protocols
def test_a_change_of_two_clusters_is_active_with_the_one_that_is_not_removed(wire: dict[str, str]) -> None:
    played = run(
        push("cds", change=["c0", "c1"]),
        push("cds", after=0.5, remove=["c1"]),
        push("eds", after=1.0, send=["c0"]),
        clusters={"count": 2},
        answers={"eds": [{}, NEVER]},
        **wire,
    )
    assert outcomes_of(played) == ["active", "active", "active"]


@both_protocols
def test_a_change_before_its_type_is_asked_for_travels_in_the_answer(wire: dict[str, str]) -> None:
    played = run(
        {"at": "500ms", "type": "lds", "change": ["l0"]},
        answers={"cds": {"after": "1s"}},
        duration="5s",
        **wire,
    )
    delivery = played.delivery()
    assert (delivery.outcome, delivery.carried_by) == ("active", "request")
    changed, observed, debounced, enqueued, dequeued, sent, *_ = instants(delivery)
    assert changed == observed == debounced == enqueued == dequeued, (
        "what was skipped equals the instant before"
    )
    assert sent is not None
    assert changed is not None
    assert_close((sent - changed) / 1e9, 0.5)


@both_protocols
def test_a_change_while_the_stream_is_down_travels_in_the_answer_after_the_reconnect(
    wire: dict[str, str],
) -> None:
    played = run(reset(0), push("rds", after=0.001, change=["r0"]), **wire)
    delivery = played.delivery()
    assert (delivery.outcome, delivery.carried_by) == ("active", "reconnect")
    assert delivery.t_sent_ns > delivery.t_changed_ns + 1_000_000


@both_protocols
def test_a_push_lost_with_its_stream_is_carried_again(wire: dict[str, str]) -> None:
    """The reset overtakes nothing, so what was sent before it arrives; what is sent after it cannot be."""
    played = run(push("rds", change=["r0"]), reset(0.00001), **wire)
    delivery = played.delivery()
    assert delivery.outcome == "active"
    assert delivery.carried_by == "push"


# --- superseded


@both_protocols
def test_a_change_replaced_before_it_was_sent_is_superseded_and_gets_the_later_instants(
    wire: dict[str, str],
) -> None:
    played = run(
        reset(0), push("rds", after=0.001, change=["r0"]), push("rds", after=0.002, change=["r0"]), **wire
    )
    older, newer = played.delivery(0), played.delivery(1)
    assert (older.outcome, newer.outcome) == ("superseded", "active")
    later = ("sent", "received", "applied", "active")
    assert instants(older, later) == instants(newer, later)


def test_polls_carry_only_the_newest_of_several_changes() -> None:
    pushes = [push("eds", after=k / 1000, change=["c0"]) for k in range(3)]
    played = run(*pushes, strategy="poll", propagation={"refresh_delay": "2s"}, duration="12s")
    assert outcomes_of(played) == ["superseded", "superseded", "active"]
    assert len({d.t_active_ns for _, d in played.result.deliveries.iterrows()}) == 1


def test_changes_of_different_names_do_not_supersede_each_other() -> None:
    played = run(
        reset(0),
        push("eds", after=0.001, change=["c0"]),
        push("eds", after=0.002, change=["c1"]),
        clusters={"count": 2},
    )
    assert outcomes_of(played) == ["active", "active"]


def test_a_change_applied_before_the_next_one_came_was_active_itself() -> None:
    played = run(push("rds", change=["r0"]), push("rds", after=0.1, change=["r0"]))
    assert outcomes_of(played) == ["active", "active"]


# --- rejected


@every_stream
@pytest.mark.parametrize("how", ["decode", "build"])
@pytest.mark.parametrize(("type_", "name"), [("cds", "c0"), ("eds", "c0"), ("lds", "l0"), ("rds", "r0")])
def test_a_refused_change_is_rejected(wire: dict[str, str], how: str, type_: str, name: str) -> None:
    played = run(push(type_, change=[name], reject=how), **wire)
    delivery = played.delivery()
    assert delivery.outcome == "rejected"
    assert not pd.isna(delivery.t_received_ns)
    assert pd.isna(delivery.t_active_ns)


@pytest.mark.parametrize("strategy", ["poll", "file"])
@pytest.mark.parametrize("how", ["decode", "build"])
def test_a_refused_change_is_rejected_when_it_is_fetched_too(strategy: str, how: str) -> None:
    played = run(
        push("rds", change=["r0"], reject=how),
        push("rds", after=3, change=["r0"]),
        strategy=strategy,
        propagation={"refresh_delay": "300ms"},
    )
    assert outcomes_of(played) == ["rejected", "active"]


# --- pending, disconnected


@both_protocols
def test_a_change_that_never_gets_through_is_pending(wire: dict[str, str]) -> None:
    played = run(push("cds", change=["c0"]), timeout="0s", duration="60s", **wire)
    assert played.delivery().outcome == "pending"
    assert instants(played.delivery())[-2] is not None, "applied, yet not active"


@both_protocols
def test_a_change_of_a_type_that_is_never_answered_is_pending(wire: dict[str, str]) -> None:
    played = run({"at": "1s", "type": "lds", "change": ["l0"]}, answers={"cds": NEVER}, timeout="0s", **wire)
    delivery = played.delivery()
    assert delivery.outcome == "pending"
    assert pd.isna(delivery.t_sent_ns)


def test_what_a_proxy_that_ended_did_not_get_is_disconnected() -> None:
    """No scripted proxy ends after a change, so the ledger is asked itself."""
    recorder = Recorder(("p0", "p1"), messages=False, states=False)
    ledger: ChangeLedger[Names] = ChangeLedger(recorder, Names.minus)
    change = ledger.announce("rds", Names(("r0",)), "r0", 5, [0, 1])
    ledger.carry(1, "rds", None, 6, "push")
    ledger.on_applied(change.id, 1, 7)
    ledger.on_active(change.id, 1, 8)
    ledger.on_gone(0)
    ledger.on_gone(1)
    assert [row.outcome for row in recorder.delivery_rows] == ["disconnected", "active"]


def test_every_proxy_has_its_own_row() -> None:
    played = run(push("rds", change=["r0"]), mesh={"proxies": 3})
    rows = played.result.deliveries
    assert sorted(rows.proxy_id) == ["p0", "p1", "p2"]
    assert played.result.changes.proxies_concerned.tolist() == [3]
