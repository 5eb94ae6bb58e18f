"""What a real Envoy cannot be asked to do is said before anything is started."""

from __future__ import annotations

from typing import Any

import pytest

import simulator as xs

pytest.importorskip("grpc")
pytest.importorskip("envoy.config.cluster.v3.cluster_pb2")

from simulator.lab.playable import reasons_against

HOT_RESTART = {"hot_restart": {"proxies": 1}, "at": "1s"}


def scenario(*workload: dict[str, Any], **sections: Any) -> xs.Scenario:
    given = {
        "kind": "scripted",
        "resources": {"clusters": {"count": 1}, "listeners": {"count": 1}, "runtime": {"count": 1}},
        **sections.pop("control_plane", {}),
    }
    envoy = {"preset": "envoy", **sections.pop("envoy", {})}
    return xs.Scenario(
        name="case", duration="5s", control_plane=given, envoy=envoy, workload=list(workload), **sections
    )


@pytest.mark.parametrize("strategy", [{}, {"strategy": "poll", "refresh_delay": "1s"}, {"strategy": "file"}])
def test_a_hot_restart_is_played_whichever_way_configuration_comes(strategy: dict[str, Any]) -> None:
    assert reasons_against(scenario(HOT_RESTART, propagation=strategy)) == []


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"control_plane": {"pushes": [{"at": "2s", "close": True}]}}, "refused or closed"),
        ({"control_plane": {"connect": {"refuse_until": "1s"}}}, "refused or closed"),
        ({"envoy": {"parent_shutdown_time": "1500ms"}}, "whole seconds"),
    ],
)
def test_a_hot_restart_that_could_not_be_told_apart_is_not(sections: dict[str, Any], said: str) -> None:
    (reason,) = reasons_against(scenario(HOT_RESTART, **sections))
    assert said in reason


def test_more_requests_under_way_than_the_probe_sends_are_refused() -> None:
    train = {"to": "l0", "rate": "10/s", "request_time": "6s"}
    assert reasons_against(scenario({"traffic": train})) == []
    (reason,) = reasons_against(scenario({"traffic": {**train, "request_time": "7s"}}))
    assert "under way" in reason


FLIP = {"runtime_flag": "checkout.v2", "value": "25%", "at": "1s"}


@pytest.mark.parametrize("layer", [{"rtds_layer": {"name": "rtds0"}}, {"admin_layer": {}}])
def test_a_feature_flag_is_flipped_over_rtds_or_the_admin_endpoint(layer: dict[str, Any]) -> None:
    layers = {"runtime_layers": [{"name": "flags", **layer}]}
    assert reasons_against(scenario(FLIP, envoy=layers)) == []


def test_a_layer_on_disk_is_refused_by_its_name() -> None:
    layers = {"runtime_layers": [{"name": "flags", "disk_layer": {"symlink_root": "/srv/runtime"}}]}
    (reason,) = reasons_against(scenario(FLIP, envoy=layers))
    assert "disk_layer" in reason
