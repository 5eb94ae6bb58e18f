"""What is said where the laboratory cannot work, or cannot play a scenario."""

from __future__ import annotations

import pytest

import simulator as xs
from simulator.cli.main import main
from simulator.lab import requirements
from simulator.lab.playable import reasons_against


def test_a_missing_library_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(requirements, "_exists", lambda module: False)

    status = main(["lab", "run", "scenarios/first-start.yaml"])

    assert status == 2
    told = capsys.readouterr().err
    assert "grpcio and xds-protos" in told
    assert "pip install 'xdsim[lab]'" in told


def test_a_binary_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDSIM_ENVOY", "/nowhere/envoy")
    with pytest.raises(requirements.LabUnavailable, match=r"XDSIM_ENVOY=/nowhere/envoy"):
        requirements.envoy_binary()


def test_what_no_envoy_can_play_is_refused_before_anything_starts(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["lab", "run", "scenarios/first-start.yaml", "--set", "envoy.drain_time=1500ms"])
    assert status == 2
    assert "envoy.drain_time: --drain-time-s takes whole seconds" in capsys.readouterr().err


def test_a_scripted_scenario_can_be_played() -> None:
    assert reasons_against(xs.Scenario(name="x", envoy={"preset": "envoy"})) == []


def test_istiod_is_modelled_and_not_run() -> None:
    (reason,) = reasons_against(xs.Scenario(name="x", control_plane={"kind": "istiod"}))
    assert reason.startswith("control_plane.kind: istiod")
