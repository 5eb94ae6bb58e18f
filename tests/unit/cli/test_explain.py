"""What `xdsim explain` prints and writes, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import simulator as xs
from simulator.cli.main import main

MESH = """
question: Why so late?
duration: 20s
mesh: {proxies: 2, services: 2}
control_plane: {kind: istiod, debounce: {after: 1s}}
workload: [{edit: VirtualService, at: [1s, 5s]}]
"""
WORDS = ["--replications", "2", "--executor", "serial", "--out", "out"]


@pytest.fixture
def mesh(scenario_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return str(scenario_file(MESH, "late.yaml"))


@pytest.mark.slow
def test_the_knob_to_turn_is_named_with_what_it_takes_off(
    mesh: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", mesh, *WORDS]) == 0
    shown = capsys.readouterr().out
    assert "late  (seed 1, 6 runs)\nWhy so late?" in shown
    assert "Bottleneck: debounce" in shown
    assert "control_plane.debounce.after 1s -> 500ms takes 500 ms off p99 (50 %), the most of these." in shown
    kept = xs.load_experiment("out")
    assert kept.variants == [
        "as it is",
        "control_plane.debounce.after=500ms",
        "control_plane.debounce.max=5s",
    ]


def test_a_knob_may_be_named(mesh: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", mesh, "--knob", "control_plane.debounce.max", *WORDS]) == 0
    shown = capsys.readouterr().out
    assert "No turn takes anything off p99 that could not be chance." in shown
    assert "debounce.after" not in shown


def test_what_is_no_knob_is_refused_and_nothing_written(
    mesh: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", mesh, "--knob", "control_plane.debounce", *WORDS]) == 2
    assert "control_plane.debounce is no knob" in capsys.readouterr().err
    assert not Path("out").exists()
