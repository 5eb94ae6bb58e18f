"""The scripted control plane answers subscriptions in turns and pushes what it is told, read off whole
plays."""

from __future__ import annotations

import pytest

from tests.playing import NEVER, Play, play


def requested(played: Play, type_: str, direction: str = "response") -> list[tuple[float, list[str]]]:
    return [(round(m.t, 3), list(m.resources)) for m in played.messages(type=type_, direction=direction)]


def test_turns_are_counted_by_type_on_ads_and_survive_a_reconnect() -> None:
    played = play(
        timeout="0s",
        answers={"cds": [{"after": "1s"}, {"after": "3s"}], "eds": [{"never": True}, {}]},
        pushes=[{"at": "2s", "close": True}],
        propagation={"backoff": {"base": "1ms", "max": "1ms"}},
        duration="20s",
    )
    # The second stream asks for CDS and EDS again: both take their second turn.
    cds = [t for t, _ in requested(played, "cds")]
    assert cds == [pytest.approx(1.0, abs=0.01), pytest.approx(5.0, abs=0.01)]
    assert [t for t, _ in requested(played, "eds")] == [pytest.approx(2.0, abs=0.01)]


def test_an_ack_takes_no_turn() -> None:
    played = play(answers={"cds": [{}, NEVER], "eds": [{}, NEVER], "lds": [{}, NEVER], "rds": [{}, NEVER]})
    assert played.startup.outcome == "live"
    assert played.fetch_timeouts == {}


def test_turns_are_counted_by_name_on_separate_streams() -> None:
    played = play(
        streams="separate", clusters={"count": 2, "type": "eds"}, answers={"eds": [{}, NEVER]}, timeout="2s"
    )
    assert sorted(names[0] for _, names in requested(played, "eds")) == ["c0", "c1"]
    assert played.fetch_timeouts == {}


def test_turns_are_counted_by_type_when_names_are_added_on_ads() -> None:
    played = play(
        answers={"eds": [{}, NEVER]}, pushes=[{"at": "5s", "type": "cds", "add": ["c1"]}], timeout="2s"
    )
    assert [names for _, names in requested(played, "eds")] == [["c0"]]


def test_what_was_omitted_stays_out_until_it_is_sent() -> None:
    played = play(
        clusters={"count": 2, "type": "eds"},
        answers={"eds": {"omit": ["c1"]}},
        pushes=[
            {"at": "5s", "type": "eds", "change": ["c0"]},
            {"at": "6s", "type": "eds", "send": ["c1"]},
            {"at": "7s", "type": "eds", "change": ["c0"]},
        ],
    )
    assert [names for _, names in requested(played, "eds")] == [["c0"], ["c0"], ["c1"], ["c0", "c1"]]


def test_a_push_holds_all_subscribed_names_in_sotw_and_the_named_ones_in_delta() -> None:
    for protocol, expected in (("sotw", ["c0", "c1"]), ("delta", ["c1"])):
        played = play(
            protocol=protocol,
            clusters={"count": 2, "type": "eds"},
            pushes=[{"at": "5s", "type": "eds", "change": ["c1"]}],
        )
        assert requested(played, "eds")[-1][1] == expected


def test_pushes_of_a_type_nobody_asked_for_are_not_sent() -> None:
    played = play(
        answers={"lds": NEVER}, timeout="0s", pushes=[{"at": "5s", "type": "rds", "change": ["r0"]}]
    )
    assert requested(played, "rds") == []
    assert played.delivery().outcome == "pending"


def test_a_delta_server_with_nothing_new_stays_silent_after_a_reconnect() -> None:
    played = play(protocol="delta", pushes=[{"at": "5s", "close": True}])
    assert [m for m in played.messages(after=5.0) if m.direction == "request"]
    assert [m for m in played.messages(after=5.0) if m.direction == "response"] == []


def test_a_delta_server_sends_what_changed_while_the_stream_was_down() -> None:
    played = play(
        protocol="delta",
        clusters={"count": 3, "type": "static"},
        pushes=[
            {"at": "5s", "close": True},
            {"at": "5001ms", "type": "cds", "change": ["c1"], "remove": ["c2"]},
        ],
        propagation={"backoff": {"base": "100ms", "max": "100ms"}},
        seed=3,
    )
    (_, names) = requested(played, "cds")[-1]
    assert names == ["c1"]
    assert (played.delivery().outcome, played.delivery().carried_by) == ("active", "reconnect")


def test_a_change_before_the_first_request_travels_in_its_answer() -> None:
    for protocol in ("sotw", "delta"):
        played = play(
            protocol=protocol,
            answers={"cds": {"after": "1s"}},
            listeners={"count": 2},
            pushes=[{"at": "500ms", "type": "lds", "change": ["l0"], "remove": ["l1"]}],
        )
        delivery = played.delivery()
        assert (delivery.outcome, delivery.carried_by) == ("active", "request"), protocol
        assert requested(played, "lds")[0][1] == ["l0"]


def test_a_close_in_place_of_an_answer_breaks_the_stream_until_the_next_turn() -> None:
    played = play(answers={"cds": [{"close": True}, {}]}, timeout="0s")
    assert played.startup.outcome == "live"
    assert len({m.stream for m in played.messages()}) == 2


@pytest.mark.parametrize("protocol", ["sotw", "delta"])
@pytest.mark.parametrize("strategy", ["push", "poll", "file"])
@pytest.mark.parametrize("streams", ["ads", "separate"])
def test_a_change_of_two_resources_is_delivered_whatever_way_it_travels(
    strategy: str, streams: str, protocol: str
) -> None:
    played = play(
        strategy=strategy,
        protocol=protocol,
        streams=streams,
        clusters={"count": 2, "type": "eds"},
        pushes=[{"at": "5s", "type": "eds", "change": ["c0", "c1"]}],
        propagation={"refresh_delay": "1s"},
        duration="10s",
    )
    assert played.delivery().outcome == "active"
    assert played.delivery().t_active_ns >= played.delivery().t_applied_ns >= played.delivery().t_changed_ns


@pytest.mark.parametrize("wire", [{}, {"protocol": "delta"}, {"streams": "separate"}], ids=str)
def test_a_change_of_more_than_an_envoy_subscribed_is_delivered_with_what_it_did(
    wire: dict[str, str],
) -> None:
    pushes = [{"at": "5s", "type": "cds", "remove": ["c1"]}, {"at": "6s", "type": "eds", "change": "all"}]
    played = play(clusters={"count": 2, "type": "eds"}, pushes=pushes, **wire)
    assert played.delivery(1).outcome == "active"
