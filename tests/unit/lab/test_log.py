"""What lines of Envoy's log say."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.lab.log import Fact, LogFollower, fact_of

CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
ASSIGNMENT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


@pytest.mark.parametrize(
    ("line", "what", "name"),
    [
        ("info|upstream|cm init: initializing cds", "cds_subscribed", ""),
        ("info|main|all dependencies initialized. starting workers", "workers_started", ""),
        (f"debug|config|Received gRPC message for {CLUSTER} at version 2", "received", "cds"),
        (f"debug|config|Received DeltaDiscoveryResponse for {ASSIGNMENT} at version 1", "received", "eds"),
        (
            f"debug|config|gRPC config for {CLUSTER} accepted with 3 resources with version 1",
            "accepted",
            "cds",
        ),
        (
            f"debug|config|Delta config for {CLUSTER} accepted with 1 resources added, 0 removed",
            "accepted",
            "cds",
        ),
        (f"warning|config|gRPC config: initial fetch timed out for {ASSIGNMENT}", "fetch_timeout", "eds"),
        ("debug|upstream|add/update cluster c0 starting warming", "cluster_warming", "c0"),
        (
            "debug|config|warm complete. updating active listener: name=l0, original_hash=1",
            "listener_active",
            "l0",
        ),
        (
            "debug|config|Filesystem config update accepted for /x/p0/config/eds.c0.json: goo.gle/debugproto",
            "file_accepted",
            "eds",
        ),
        ("info|upstream|lds: add/update listener 'l0'", "lds_taken", ""),
        ("debug|config|begin remove listener: name=l0", "listener_leaving", "l0"),
        ("debug|config|unknown/locked listener 'l0'. no remove", "listener_stays", "l0"),
        ("info|upstream|lds: remove listener 'l0'", "listener_withdrawn", "l0"),
        ("info|upstream|removing cluster c0", "cluster_gone", "c0"),
        ("info|upstream|removing warming cluster c0", "cluster_gone", "c0"),
        ("warning|config|REST config for /v3/discovery:routes rejected: why", "poll_rejected", "rds"),
    ],
)
def test_a_telling_line_becomes_a_fact(line: str, what: str, name: str) -> None:
    assert fact_of(f"1795465040.590901|{line}") == Fact("1795465040.590901", what, name)


@pytest.mark.parametrize(
    "line", ["", "no stamp", "1.5|info|main|HTTP header map info:", "':path', '/x|y|z|q'"]
)
def test_other_lines_say_nothing(line: str) -> None:
    assert fact_of(line) is None


def test_a_line_that_is_half_written_waits_for_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("1.5|info|upstream|cm init: init")
    follower = LogFollower(log)
    assert list(follower.facts()) == []

    with log.open("a") as more:
        more.write("ializing cds\n")

    assert [fact.what for fact in follower.facts()] == ["cds_subscribed"]
    assert list(follower.facts()) == []
