"""What kinds of change make istiod push where one key stands for more than one object."""

from __future__ import annotations

from typing import Any

import pytest

import simulator as xs
from tests.conformance.istiod import mesh

HEADLESS_TCP = {"name": "db", "headless": True, "ports": [{"port": 5432, "protocol": "tcp"}]}
HEADLESS_HTTP = {"name": "web", "headless": True}


def responses(result: xs.Result) -> list[str]:
    """Types of the responses of the run, in order."""
    messages = result.messages
    return [str(t) for t in messages[messages["direction"] == "response"]["type"]]


def played(*workload: dict[str, Any], **keywords: Any) -> xs.Result:
    return xs.run(mesh(*workload, **keywords), seed=1)


def test_an_endpoint_of_a_headless_tcp_service_changes_listeners_but_no_clusters_and_no_routes() -> None:
    result = played({"endpoints": "db", "at": "1s"}, services=[HEADLESS_TCP, {"name": "c"}])
    assert responses(result) == ["eds", "lds"]
    assert list(result.deliveries["outcome"]) == ["active"]


def test_an_endpoint_of_a_headless_http_service_changes_the_name_table() -> None:
    capture = {"dns_capture": True}
    happens = {"endpoints": "web", "at": "1s"}
    assert responses(played(happens, services=[HEADLESS_HTTP], agent=capture)) == ["eds", "nds"]
    assert responses(played(happens, services=[HEADLESS_HTTP])) == ["eds"]


@pytest.mark.parametrize("protocol", ["sotw", "delta"])
def test_a_peer_authentication_of_the_root_namespace_is_about_all_clusters(protocol: str) -> None:
    edit = {"edit": "PeerAuthentication", "namespace": "istio-system", "at": "1s"}
    result = played(edit, proxies=2, services=4, namespaces=2, propagation={"protocol": protocol})
    messages = result.messages
    sent = messages[(messages["direction"] == "response") & (messages["type"] == "cds")]
    clusters = [[name for name in names if name.startswith("outbound")] for names in sent["resources"]]
    assert [len(names) for names in clusters] == [4, 4]
    assert list(result.deliveries["outcome"]) == ["active", "active"]


SCOPES = {
    "push_context": {"fixed": "0s", "per_service": "0s", "per_config": "0s", "per_scope_service": "1ms"}
}


@pytest.mark.parametrize(
    ("version", "scope", "context_ms"),
    [("1.11", "all", 2), ("1.12", "all", 0), ("1.26", "100%", 2), ("1.27", "100%", 0)],
)
def test_scopes_are_computed_with_the_push_context_where_the_version_is_not_lazy(
    version: str, scope: str, context_ms: int
) -> None:
    edit = {"edit": "VirtualService", "at": "1s"}
    result = played(edit, version=version, costs=SCOPES, in_mesh={"scope": scope})
    push = result.pushes.iloc[0]
    assert push["t_context_ready_ns"] - push["t_started_ns"] == context_ms * 1_000_000


def test_types_that_istiod_does_not_serve_are_never_answered() -> None:
    layers = {"runtime_layers": [{"name": "r", "rtds_layer": {"name": "r"}}]}
    result = played(start="cold", envoy=layers)
    requests = result.messages
    assert "rtds" in list(requests[requests["direction"] == "request"]["type"])
    assert "rtds" not in responses(result)
    assert list(result.startups["outcome"]) == ["initializing"]
