"""State of the world: what a client says of what it accepted, and what a server makes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.xds.resource_types import EDS
from simulator.xds.resources import NO_NAMES, Names
from simulator.xds.sotw import RequestKind, SotwClientState, SotwServerRecord
from tests.unit.xds.making import names, request, response


@pytest.fixture
def client() -> SotwClientState:
    return SotwClientState(EDS)


@pytest.fixture
def server() -> SotwServerRecord:
    """A server that has sent n1 with version 1 to a client that subscribed a and b, and knows its ACK."""
    record = SotwServerRecord(EDS)
    record.on_request(request("", "", "a", "b"))
    record.on_sent(response("n1"))
    record.on_request(request("n1", "1", "a", "b"))
    return record


def said(client: SotwClientState) -> tuple[str, str, str | None]:
    message = client.request(names("a"), node=3)
    return message.version_info, message.response_nonce, message.error_detail


def test_the_first_request_names_everything_and_nothing_else(client: SotwClientState) -> None:
    first = client.request(names("a", "b"), node=3)
    assert (list(first.resource_names), first.node) == (["a", "b"], 3)
    assert (first.version_info, first.response_nonce, first.error_detail) == ("", "", None)


def test_an_ack_has_the_version_and_the_nonce_of_the_response(client: SotwClientState) -> None:
    client.accept(response("n1", "7"))
    assert said(client) == ("7", "n1", None)


def test_a_nack_keeps_the_version_accepted_before_n2(client: SotwClientState) -> None:
    client.reject(response("n1", "1"), "bad")
    assert said(client) == ("", "n1", "bad")
    client.accept(response("n2", "2"))
    said(client)
    client.reject(response("n3", "3"), "worse")
    assert said(client) == ("2", "n3", "worse")


def test_an_error_is_told_once(client: SotwClientState) -> None:
    client.reject(response("n1"), "bad")
    said(client)
    assert said(client) == ("", "n1", None)


def test_a_new_stream_is_told_the_version_but_no_nonce_and_no_error_d5(client: SotwClientState) -> None:
    client.accept(response("n1", "4"))
    client.reject(response("n2", "5"), "bad")
    client.stream_broken()
    assert said(client) == ("4", "", None)


def test_the_first_request_of_a_stream_subscribes(server: SotwServerRecord) -> None:
    kind, added = SotwServerRecord(EDS).on_request(request("", "6", "a"))
    assert (kind, list(added)) == (RequestKind.SUBSCRIBE, ["a"])


def test_an_ack_is_no_subscription(server: SotwServerRecord) -> None:
    server.on_sent(response("n2", "2"))
    assert server.on_request(request("n2", "2", "a", "b")) == (RequestKind.ACK, NO_NAMES)
    assert server.version_acked == "2"


def test_a_nack_leaves_the_server_with_the_old_version(server: SotwServerRecord) -> None:
    server.on_sent(response("n2", "2"))
    assert server.on_request(request("n2", "1", "a", "b", error="bad")) == (RequestKind.NACK, NO_NAMES)
    assert (server.version_acked, server.error_detail) == ("1", "bad")


def test_an_answer_to_an_older_response_is_ignored(server: SotwServerRecord) -> None:
    server.on_sent(response("n2", "2"))
    assert server.on_request(request("n1", "1", "a", "b", "c")) == (RequestKind.STALE, NO_NAMES)
    assert list(server.names) == ["a", "b"]
    assert server.version_acked == "1"


def test_the_same_names_with_a_used_nonce_are_a_repeat_w4(server: SotwServerRecord) -> None:
    assert server.on_request(request("n1", "1", "a", "b")) == (RequestKind.REPEAT, NO_NAMES)


def test_names_added_to_an_ack_are_a_subscription(server: SotwServerRecord) -> None:
    server.on_sent(response("n2", "2"))
    kind, added = server.on_request(request("n2", "2", "a", "b", "c"))
    assert (kind, list(added)) == (RequestKind.RESUBSCRIBE, ["c"])
    assert server.version_acked == "2"


def test_names_added_before_the_first_response_are_a_subscription() -> None:
    record = SotwServerRecord(EDS)
    record.on_request(request("", "", "a"))
    kind, added = record.on_request(request("", "", "a", "b"))
    assert (kind, list(added)) == (RequestKind.RESUBSCRIBE, ["b"])


def test_fewer_names_are_no_subscription(server: SotwServerRecord) -> None:
    assert server.on_request(request("n1", "1", "a")) == (RequestKind.UNSUBSCRIBE, NO_NAMES)
    assert list(server.names) == ["a"]


@given(st.lists(st.tuples(st.sampled_from(["send", "process", "break"]), st.booleans()), max_size=30))
def test_client_and_server_agree_whatever_crosses_on_the_wire(steps: list[tuple[str, bool]]) -> None:
    """Responses are sent at any time and processed in order; the server never takes an old answer for a new
    one, and both agree on the version accepted once everything was processed."""
    client, wanted = SotwClientState(EDS), Names("ab")
    server, sent, under_way = SotwServerRecord(EDS), 0, []
    server.on_request(client.request(wanted, 0))
    for step, is_good in steps:
        if step == "send":
            sent += 1
            under_way.append((response(f"n{sent}", str(sent)), is_good))
            server.on_sent(under_way[-1][0])
        elif step == "process" and under_way:
            arrived, is_accepted = under_way.pop(0)
            before = client.version_info
            if is_accepted:
                client.accept(arrived)
            else:
                client.reject(arrived, "bad")
            kind, added = server.on_request(client.request(wanted, 0))
            assert not added
            expected = (
                RequestKind.STALE if under_way else RequestKind.ACK if is_accepted else RequestKind.NACK
            )
            assert kind is expected
            if not under_way:
                assert server.version_acked == (arrived.version_info if is_accepted else before)
        elif step == "break":
            client.stream_broken()
            server, under_way = SotwServerRecord(EDS), []
            assert server.on_request(client.request(wanted, 0))[0] is RequestKind.SUBSCRIBE
            assert server.version_acked == client.version_info
