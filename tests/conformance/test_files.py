"""Files: rules F1 to F3 of the Envoy 1.40 measurements."""

from __future__ import annotations

import pytest

from tests.conformance.running import counter, outcomes, push, run
from tests.conformance.tolerance import MS, assert_close, is_close
from tests.playing import NEVER, Play, play


def used_after(played: Play) -> float:
    """From the rename to the data plane."""
    delivery = played.delivery()
    return float(delivery.t_active_ns - delivery.t_changed_ns) / 1e9


# --- F1


@pytest.mark.parametrize(
    ("watch", "type_", "name", "measured"),
    [
        ("path", "rds", "r0", 1.3 * MS),
        ("path", "eds", "c0", 2.1 * MS),
        ("directory", "rds", "r0", 2.6 * MS),
        ("directory", "eds", "c0", 3.3 * MS),
    ],
)
def test_a_file_moved_into_place_is_used_within_milliseconds(
    watch: str, type_: str, name: str, measured: float
) -> None:
    played = run(push(type_, change=[name]), strategy="file", propagation={"watch": watch})
    assert played.delivery().carried_by == "file"
    assert_close(used_after(played), measured)
    assert outcomes(played) == [(0.0, "200")]
    free = run(
        push(type_, change=[name]), strategy="file", propagation={"watch": watch}, envoy={"costs": "zero"}
    )
    assert not is_close(used_after(free), measured)


def test_a_runtime_layer_replaced_on_disk_is_decided_within_milliseconds() -> None:
    """F1: 1.1 ms (p50). A layer read from a file stands for the disk layer; neither has a round trip."""
    layers = {"runtime_layers": [{"name": "flags", "rtds_layer": {"name": "rtds0"}}]}
    changed = push("rtds", change=["rtds0"])
    played = run(changed, strategy="file", resources={"runtime": {"count": 1}}, envoy=layers)
    assert_close(used_after(played), 1.1 * MS)


def test_no_change_is_missed() -> None:
    pushes = [push(("rds", "eds")[k % 2], after=k / 10, change=[("r0", "c0")[k % 2]]) for k in range(60)]
    rows = run(*pushes, strategy="file", traffic=None, duration="15s").result.deliveries
    assert len(rows) == 60
    assert (rows.outcome == "active").all()
    assert (rows.carried_by == "file").all()


def test_a_file_is_not_acked_and_waits_for_no_round_trip() -> None:
    played = run(push("rds", change=["r0"]), strategy="file")
    assert played.result.messages.empty
    delivery = played.delivery()
    assert delivery.t_received_ns == delivery.t_changed_ns
    assert str(delivery.t_acked_ns) == "<NA>"


# --- F2


@pytest.mark.parametrize("absent", ["cds", "lds"])
def test_an_envoy_whose_bootstrap_names_a_missing_file_exits(absent: str) -> None:
    played = play(strategy="file", timeout="2s", duration="5s", answers={absent: NEVER})
    assert played.startup.outcome == "exited"
    assert played.at("workers_started") is None
    assert any("existing path" in warning for warning in played.result.warnings)


def test_a_cluster_whose_assignment_file_is_missing_is_refused() -> None:
    """Not in the measurements: the source refuses the cluster that names the path, which CDS brought."""
    played = play(
        strategy="file", timeout="2s", duration="5s", clusters={"count": 2}, answers={"eds": {"omit": ["c1"]}}
    )
    assert played.startup.outcome == "live"
    assert counter(played, "envoy_cluster_manager_cds_update_rejected") == 1
    assert counter(played, "envoy_cluster_manager_active_clusters") == 1


# --- F3


def test_with_all_files_there_start_up_needs_no_round_trip() -> None:
    played = play(
        strategy="file", timeout="2s", duration="2s", network={"latency": "10s"}, envoy={"costs": "zero"}
    )
    assert played.startup.t_workers_started_ns == played.startup.t_bootstrapped_ns
    assert played.result.messages.empty


def test_applying_the_files_still_takes_its_time() -> None:
    played = play(strategy="file", timeout="2s", duration="2s")
    workers = played.at("workers_started")
    assert workers is not None
    assert 1 * MS < workers < 9 * MS, "less than the 8 to 9 ms of the same with round trips"


def test_files_have_no_fetch_timeout() -> None:
    played = play(strategy="file", timeout="1ms", duration="2s")
    assert played.fetch_timeouts == {}
    assert played.startup.outcome == "live"
