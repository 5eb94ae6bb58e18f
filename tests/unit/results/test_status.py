"""The status of proxies is what istioctl would say, nonce by nonce, with ages; and what it would not say."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.engine.clock import MS, S
from simulator.recording.recorder import Recorder
from simulator.results.result import Result
from simulator.results.status import (
    ProxyStatus,
    Sync,
    TypeStatus,
    UnknownStatus,
    proxy_statuses,
    types_shown,
)

SYNCED, STALE, ERROR, NOT_SENT, POLLED = Sync.SYNCED, Sync.STALE, Sync.ERROR, Sync.NOT_SENT, Sync.POLLED


class Told:
    """Messages and changes recorded by hand, and the status read from them."""

    def __init__(self, proxies: int = 1, states: bool = True) -> None:
        self.recorder = Recorder([f"p{i}" for i in range(proxies)], messages=True, states=states)
        self.scenario: dict[str, Any] = {"mesh": {"proxies": proxies, "start": "cold"}}

    def say(
        self, at_ms: int, direction: str, kind: str, nonce: str = "", error: str = "",
        proxy: int = 0, stream: int = 1, replica: int = 0,
    ) -> None:  # fmt: skip
        version = "1" if direction == "response" else ""
        self.recorder.message(
            at_ms * MS, proxy, replica, stream, direction, kind, version, nonce, error, (), 9
        )

    def change(self, at_ms: int, active_ms: int | None, outcome: str = "active", proxy: int = 0) -> None:
        row = self.recorder.delivery(
            self.recorder.change("VirtualService", "a", at_ms * MS, 1), proxy, at_ms * MS
        )
        row.outcome, row.t_active_ns = outcome, None if active_ms is None else active_ms * MS

    def at(self, at_ms: int) -> list[ProxyStatus]:
        result = Result.from_recorder(self.recorder, {"name": "told", "scenario": self.scenario})
        return proxy_statuses(result, at_ms * MS)

    def of(self, at_ms: int, kind: str) -> tuple[Sync, int | None]:
        status = self.at(at_ms)[0].types[kind]
        return status.sync, None if status.age_ns is None else status.age_ns // MS


def subscribed() -> Told:
    """CDS asked for at 10 ms, sent at 20 and acknowledged at 30; LDS asked for and not sent."""
    told = Told()
    told.say(10, "request", "cds")
    told.say(20, "response", "cds", "n1")
    told.say(30, "request", "cds", "n1")
    told.say(35, "request", "lds")
    return told


@pytest.mark.parametrize(
    ("at_ms", "status"),
    [
        (10, (NOT_SENT, None)),
        (20, (STALE, 0)),
        (29, (STALE, 9)),
        (30, (SYNCED, 0)),
        (90, (SYNCED, 60)),
    ],
)
def test_a_type_is_stale_from_its_response_to_its_ack(at_ms: int, status: tuple[Sync, int | None]) -> None:
    assert subscribed().of(at_ms, "cds") == status


def test_a_type_that_was_asked_for_and_not_sent_is_not_sent() -> None:
    assert subscribed().of(90, "lds") == subscribed().of(90, "ecds") == (NOT_SENT, None)


def test_a_nack_is_an_error_until_the_next_ack() -> None:
    told = subscribed()
    told.say(50, "response", "cds", "n2")
    told.say(60, "request", "cds", "n2", "bad cluster")
    told.say(80, "response", "cds", "n3")
    told.say(90, "request", "cds", "n3")
    assert [told.of(at_ms, "cds") for at_ms in (59, 75, 85, 90)] == [
        (STALE, 9), (ERROR, 15), (ERROR, 25), (SYNCED, 0),
    ]  # fmt: skip


def test_the_ack_of_an_older_nonce_leaves_a_type_stale() -> None:
    told = subscribed()
    told.say(50, "response", "cds", "n2")
    told.say(55, "response", "cds", "n3")
    told.say(60, "request", "cds", "n2")
    assert told.of(70, "cds") == (STALE, 15)


def test_a_request_with_an_older_nonce_does_not_end_an_error() -> None:
    told = subscribed()
    told.say(50, "response", "cds", "n2")
    told.say(60, "request", "cds", "n2", "bad cluster")
    told.say(70, "response", "cds", "n3")
    told.say(71, "request", "cds", "n2")
    assert told.of(80, "cds") == (ERROR, 20)


def test_asking_again_with_an_acknowledged_nonce_makes_nothing_younger() -> None:
    told = subscribed()
    told.say(50, "request", "cds", "n1")
    assert told.of(60, "cds") == (SYNCED, 30)


def test_a_new_stream_begins_with_nothing_sent_and_shows_its_replica() -> None:
    told = subscribed()
    told.say(50, "request", "lds", stream=2, replica=1)
    (status,) = told.at(60)
    assert status.types["cds"].sync is NOT_SENT
    assert status.replica == 1


def test_types_on_streams_of_their_own_are_each_read_from_theirs() -> None:
    told = subscribed()
    told.scenario["propagation"] = {"streams": "separate"}
    told.say(50, "request", "lds", stream=2)
    told.say(55, "response", "lds", "m1", stream=2)
    assert told.of(60, "cds") == (SYNCED, 30)
    assert told.of(60, "lds") == (STALE, 5)


def test_polls_have_no_nonce_and_tell_only_when_the_last_answer_left() -> None:
    told = Told()
    for stream, at_ms in ((1, 10), (2, 30)):
        told.say(at_ms, "request", "eds", stream=stream)
        told.say(at_ms + 1, "response", "eds", stream=stream)
    assert told.of(51, "eds") == (POLLED, 40)
    told.say(60, "request", "eds", error="bad assignment", stream=2)
    assert told.of(65, "eds") == (ERROR, 5)
    told.say(70, "request", "eds", stream=2)
    assert told.of(75, "eds") == (POLLED, 64)


def test_a_proxy_connected_before_the_run_is_synced_until_it_hears_something() -> None:
    told = Told(proxies=2)
    told.scenario["mesh"]["start"] = "connected"
    told.say(50, "request", "eds", proxy=1)
    told.say(51, "response", "eds", "n9", proxy=1)
    silent, talking = told.at(60)
    assert [silent.types[kind] for kind in ("cds", "lds", "eds", "rds")] == [TypeStatus(SYNCED)] * 4
    assert silent.types["ecds"].sync is NOT_SENT
    assert silent.replica is None
    assert talking.types["eds"] == TypeStatus(STALE, 9 * MS)
    assert told.at(50)[1].types["eds"] == TypeStatus(SYNCED), "what was sent before is in step"
    assert talking.types["cds"] == TypeStatus(SYNCED)


def test_a_proxy_connected_before_the_run_that_reconnected_starts_over() -> None:
    told = Told()
    told.scenario["mesh"]["start"] = {"kind": "connected"}
    told.say(50, "request", "cds", stream=2)
    assert told.of(60, "cds") == told.of(60, "rds") == (NOT_SENT, None)


def test_a_pod_that_starts_during_the_run_is_shown_from_then_on() -> None:
    told = Told()
    told.scenario["mesh"] = {"proxies": {"gateways": 1}, "start": "connected"}
    told.recorder.add_proxy(9, "s0-new")
    told.recorder.startup(9, 0, "rollout", 2 * S)
    assert [status.proxy for status in told.at(1000)] == ["gw0"]
    gateway, pod = told.at(2000)
    assert gateway.types["cds"].sync is SYNCED
    assert (pod.proxy, pod.types["cds"].sync) == ("s0-new", NOT_SENT)


def test_a_proxy_whose_stream_is_down_is_not_connected() -> None:
    told = subscribed()
    told.recorder.state(5 * MS, 0, "stream", "ads", "OPEN")
    told.recorder.state(40 * MS, 0, "stream", "ads", "DOWN")
    assert [told.at(at_ms)[0].is_connected for at_ms in (39, 40)] == [True, False]


def test_changes_are_outstanding_until_they_decide_traffic() -> None:
    told = subscribed()
    told.change(40, 55)
    told.change(45, None, "pending")
    told.change(46, None, "disconnected")
    seen = [(status.outstanding, status.oldest_ns) for at_ms in (39, 50, 60) for status in told.at(at_ms)]
    assert seen == [(0, None), (2, 10 * MS), (1, 15 * MS)]
    assert told.of(50, "cds")[0] is SYNCED, "nonces know nothing of what has yet to be sent"


def test_proxies_are_in_order_of_number() -> None:
    told = Told(proxies=11)
    for proxy in (10, 2, 0):
        told.say(10, "request", "cds", proxy=proxy)
    assert [status.proxy for status in told.at(20)] == ["p0", "p2", "p10"]


def test_types_beside_those_of_istioctl_are_shown_where_they_occur() -> None:
    told = subscribed()
    told.say(50, "request", "sds")
    assert types_shown(told.at(60)) == ["cds", "lds", "eds", "rds", "ecds", "sds"]


def test_without_messages_there_is_no_status() -> None:
    result = Result.from_recorder(Recorder(["p0"], messages=False, states=False), {})
    with pytest.raises(UnknownStatus, match=r"recording\.messages"):
        proxy_statuses(result, 0)


def test_without_deliveries_what_is_outstanding_is_unknown() -> None:
    told = subscribed()
    told.recorder.keeps_deliveries = False
    assert told.at(60)[0].outstanding is None
