"""Delta: what a client asks of what it does not hold, and what a server knows it to hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.xds.delta import DeltaClientState, DeltaServerRecord
from simulator.xds.resource_types import CDS, EDS
from simulator.xds.resources import NO_NAMES, Names
from simulator.xds.sotw import RequestKind
from tests.unit.xds.making import delta_request, delta_response, held, names


@pytest.fixture
def client() -> DeltaClientState:
    """A client that subscribed a and b, and holds a."""
    state = DeltaClientState(EDS)
    state.add_interest(names("a", "b"))
    state.request("", None, 0)
    state.accept(delta_response("n1", "a"))
    return state


def test_the_first_request_names_everything() -> None:
    state = DeltaClientState(EDS)
    state.add_interest(names("a", "b"))
    first = state.request("", None, node=3)
    assert list(first.resource_names_subscribe) == ["a", "b"]
    assert (len(first.initial_resource_versions), first.response_nonce, first.node) == (0, "", 3)


def test_a_wildcard_type_is_opened_without_names() -> None:
    state = DeltaClientState(CDS)
    assert state.has_update
    assert not state.request("", None, 0).resource_names_subscribe
    assert not state.has_update


def test_a_type_without_interest_is_not_opened() -> None:
    assert not DeltaClientState(EDS).has_update


def test_only_new_names_are_asked_for_later(client: DeltaClientState) -> None:
    client.add_interest(names("b", "c"))
    assert client.has_update
    assert list(client.request("n1", None, 0).resource_names_subscribe) == ["c"]


def test_names_already_wanted_ask_for_nothing_w4(client: DeltaClientState) -> None:
    client.request("n1", None, 0)
    client.add_interest(names("a"))
    assert not client.has_update


def test_names_dropped_are_unsubscribed_and_no_longer_held(client: DeltaClientState) -> None:
    client.drop_interest(names("a"))
    assert list(client.request("n1", None, 0).resource_names_unsubscribe) == ["a"]
    client.stream_broken()
    again = client.request("", None, 0)
    assert list(again.resource_names_subscribe) == ["b"]
    assert not again.initial_resource_versions


def test_names_dropped_before_they_were_asked_for_are_unsubscribed(client: DeltaClientState) -> None:
    """As a real Envoy does, which does not tell this from a name dropped, wanted again and dropped."""
    client.add_interest(names("c"))
    client.drop_interest(names("c"))
    message = client.request("", None, 0)
    assert not message.resource_names_subscribe
    assert list(message.resource_names_unsubscribe) == ["c"]


def test_names_dropped_and_wanted_again_are_subscribed_again(client: DeltaClientState) -> None:
    client.drop_interest(names("a"))
    client.add_interest(names("a"))
    message = client.request("n1", None, 0)
    assert list(message.resource_names_subscribe) == ["a"]
    assert not message.resource_names_unsubscribe


def test_an_ack_carries_the_difference_that_waits(client: DeltaClientState) -> None:
    client.add_interest(names("c"))
    ack = client.request("n1", None, 0)
    assert (ack.response_nonce, list(ack.resource_names_subscribe)) == ("n1", ["c"])
    assert not client.has_update


def test_a_new_stream_is_told_everything_wanted_and_held_d5(client: DeltaClientState) -> None:
    client.add_interest(names("c"))
    client.stream_broken()
    first = client.request("", None, 0)
    assert list(first.resource_names_subscribe) == ["a", "b", "c"]
    assert {r.name: r.version for r in first.initial_resource_versions} == {"a": "1"}


def test_only_what_is_wanted_is_held(client: DeltaClientState) -> None:
    client.accept(delta_response("n2", "b", "x", revision=2))
    assert list(client.held.names) == ["a", "b"]


def test_removed_resources_are_no_longer_held(client: DeltaClientState) -> None:
    client.accept(delta_response("n2", removed=("a",)))
    assert not client.held


def test_a_client_remembers_nothing_of_a_response_it_refused(client: DeltaClientState) -> None:
    nack = client.request("n2", "bad", 0)
    assert (nack.response_nonce, nack.error_detail) == ("n2", "bad")
    assert {r.name: r.version for r in client.held} == {"a": "1"}


@pytest.fixture
def server() -> DeltaServerRecord:
    """A server whose client subscribed a and b, and was sent both in n1."""
    record = DeltaServerRecord(EDS)
    record.on_request(delta_request(subscribe=("a", "b")))
    record.on_sent(delta_response("n1", "a", "b"))
    return record


def test_the_first_request_subscribes_and_tells_what_is_held() -> None:
    record = DeltaServerRecord(EDS)
    kind, added = record.on_request(delta_request(subscribe=("a",), initial=held("a", revision=5)))
    assert (kind, list(added)) == (RequestKind.SUBSCRIBE, ["a"])
    assert record.sent["a"].revision == 5


def test_a_first_request_without_names_is_a_wildcard_for_wildcard_types_only() -> None:
    for type_, expected in ((CDS, True), (EDS, False)):
        record = DeltaServerRecord(type_)
        record.on_request(delta_request(type_=type_))
        assert record.is_wildcard is expected


def test_acks_and_nacks_are_told_apart(server: DeltaServerRecord) -> None:
    assert server.on_request(delta_request("n1")) == (RequestKind.ACK, NO_NAMES)
    server.on_sent(delta_response("n2", "a", revision=2))
    assert server.on_request(delta_request("n2", error="bad")) == (RequestKind.NACK, NO_NAMES)
    assert server.error_detail == "bad"
    assert not server.unanswered


def test_a_nonce_that_was_never_sent_or_is_answered_is_ignored(server: DeltaServerRecord) -> None:
    assert server.on_request(delta_request("other")) == (RequestKind.STALE, NO_NAMES)
    server.on_request(delta_request("n1"))
    assert server.on_request(delta_request("n1")) == (RequestKind.STALE, NO_NAMES)


def test_an_older_nonce_still_unanswered_is_an_ack(server: DeltaServerRecord) -> None:
    server.on_sent(delta_response("n2", "a", revision=2))
    assert server.on_request(delta_request("n1"))[0] is RequestKind.ACK
    assert list(server.unanswered) == ["n2"]


def test_a_subscription_counts_whatever_nonce_it_carries(server: DeltaServerRecord) -> None:
    kind, added = server.on_request(delta_request("n1", subscribe=("c",)))
    assert (kind, list(added), list(server.names)) == (RequestKind.RESUBSCRIBE, ["c"], ["a", "b", "c"])
    assert not server.unanswered


def test_a_name_given_up_is_no_longer_sent(server: DeltaServerRecord) -> None:
    assert server.on_request(delta_request(unsubscribe=("a",))) == (RequestKind.UNSUBSCRIBE, NO_NAMES)
    assert (list(server.names), list(server.sent.names)) == (["b"], ["b"])


def test_what_was_sent_or_removed_is_known_to_be_held(server: DeltaServerRecord) -> None:
    server.on_sent(delta_response("n2", "a", revision=4, removed=("b",)))
    assert {r.name: r.revision for r in server.sent} == {"a": 4}


steps = st.lists(
    st.tuples(st.sampled_from(["want", "drop", "send", "break"]), st.sampled_from(["a", "b", "c"])),
    max_size=30,
)


@given(steps)
def test_server_and_client_agree_on_what_is_wanted_and_held(given_steps: list[tuple[str, str]]) -> None:
    client, server = DeltaClientState(EDS), DeltaServerRecord(EDS)
    wanted: set[str] = set()
    for number, (step, name) in enumerate(given_steps, start=1):
        if step == "want":
            client.add_interest(Names((name,)))
            wanted.add(name)
        elif step == "drop" and name in wanted:
            client.drop_interest(Names((name,)))
            wanted.discard(name)
        elif step == "send" and name in server.names:
            sent = delta_response(f"n{number}", name, revision=number)
            server.on_sent(sent)
            client.accept(sent)
            kind, _ = server.on_request(client.request(sent.nonce, None, 0))
            assert kind is RequestKind.ACK
        elif step == "break":
            client.stream_broken()
            server = DeltaServerRecord(EDS)
        if client.has_update:
            server.on_request(client.request("", None, 0))
        if server.is_open:
            assert set(server.names) == wanted
            assert {r.name: r.revision for r in client.held} == {r.name: r.revision for r in server.sent}
