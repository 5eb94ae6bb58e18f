"""Polling: one loop per subscription, the same jittered interval after success and failure."""

from __future__ import annotations

import itertools

import pytest

from tests.playing import NEVER, Play, play


def polls(played: Play, type_: str) -> list[float]:
    return [m.t for m in played.messages(type=type_, direction="request")]


def poll(**keywords: object) -> Play:
    return play(strategy="poll", propagation={"refresh_delay": "1s", "request_timeout": "500ms"}, **keywords)


def gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(times)]


def test_each_loop_waits_between_one_and_two_refresh_delays_after_its_answer_r1() -> None:
    played = poll(duration="30s")
    for type_ in ("cds", "eds", "lds", "rds"):
        waits = gaps(polls(played, type_))
        assert len(waits) > 12
        assert all(1.0 <= wait < 2.02 for wait in waits), type_
        assert max(waits) - min(waits) > 0.4, type_
    assert polls(played, "cds")[1:5] != polls(played, "lds")[1:5]


def test_a_poll_that_is_not_answered_in_time_is_made_again_at_the_same_interval_r4() -> None:
    waits = gaps(polls(poll(answers={"cds": NEVER}, timeout="0s", duration="30s"), "cds"))
    assert len(waits) > 10
    assert all(1.5 <= wait < 2.52 for wait in waits), "request time-out, then one to two refresh delays"


def test_an_unchanged_version_is_not_sent_again() -> None:
    played = poll(duration="10s")
    assert len(played.messages(type="cds", direction="response")) == 1


def test_a_version_refused_is_not_told_as_accepted() -> None:
    played = poll(answers={"cds": [{"reject": "decode"}, {}]}, duration="10s")
    versions = [m.version_info for m in played.messages(type="cds", direction="request")]
    assert versions[:3] == ["", "", "1"]


def test_a_change_arrives_with_the_next_poll() -> None:
    played = poll(pushes=[{"at": "5s", "type": "rds", "change": ["r0"]}], duration="10s")
    delivery = played.delivery()
    assert (delivery.outcome, delivery.carried_by) == ("active", "poll")
    next_poll = next(t for t in polls(played, "rds") if t >= 5.0)
    assert played.seconds(delivery.t_received_ns) == pytest.approx(next_poll, abs=0.002)
    assert pytest.approx(played.seconds(delivery.t_enqueued_ns)) == next_poll


def test_a_loop_ends_with_its_subscription() -> None:
    played = poll(
        clusters={"count": 2, "type": "eds"},
        pushes=[{"at": "5s", "type": "cds", "remove": ["c1"]}],
        duration="20s",
    )
    asked = [(m.t, m.resources[0]) for m in played.messages(type="eds", direction="request")]
    assert max(t for t, name in asked if name == "c1") < 7.2
    assert max(t for t, name in asked if name == "c0") > 17.0


def test_a_server_of_one_slot_serves_polls_one_after_another() -> None:
    def busy(concurrency: int) -> Play:
        return play(
            strategy="poll",
            propagation={
                "refresh_delay": "30s",
                "request_timeout": "10s",
                "server": {"concurrency": concurrency},
            },
            clusters={"count": 3, "type": "eds"},
            answers={"eds": {"after": "1s"}},
            timeout="0s",
        )

    answered = {n: [round(m.t) for m in busy(n).messages(type="eds", direction="response")] for n in (1, 3)}
    assert answered == {1: [1, 2, 3], 3: [1, 1, 1]}
