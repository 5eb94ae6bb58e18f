"""What the table of messages shows of each message, and how large it is."""

from __future__ import annotations

from simulator.xds.messages import ENVELOPE_BYTES
from tests.unit.xds.making import delta_request, delta_response, held, request, response


def test_a_request_shows_version_nonce_error_and_names() -> None:
    version, nonce, error, names = request("n1", "3", "a", error="bad").noted
    assert (version, nonce, error, list(names)) == ("3", "n1", "bad", ["a"])
    assert request().noted[2] == ""


def test_a_response_shows_what_it_states() -> None:
    version, nonce, error, names = response("n1", "3", "a", "b").noted
    assert (version, nonce, error, list(names)) == ("3", "n1", "", ["a", "b"])


def test_a_delta_request_shows_what_it_subscribes_and_no_version() -> None:
    version, nonce, _, names = delta_request("n1", subscribe=("a",)).noted
    assert (version, nonce, list(names)) == ("", "n1", ["a"])


def test_sizes_grow_with_names_resources_and_versions() -> None:
    assert request().size_bytes == ENVELOPE_BYTES
    assert request("", "", "a", "b").size_bytes == ENVELOPE_BYTES + 16
    assert response("n1", "1", "a", "b").size_bytes == ENVELOPE_BYTES + 20
    assert delta_request(initial=held("a"), subscribe=("a",)).size_bytes == ENVELOPE_BYTES + 8 + 16
    assert delta_response("n1", "a", removed=("b",)).size_bytes == ENVELOPE_BYTES + 10 + 8


def test_directions_are_told_apart() -> None:
    assert (request().direction, delta_request().direction) == ("request", "request")
    assert (response("n").direction, delta_response("n").direction) == ("response", "response")
