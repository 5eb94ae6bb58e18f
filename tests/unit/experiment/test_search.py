"""The smallest value that suffices, and when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

import simulator as xs
from simulator.cli.main import main

FILE = """\
name: sized
duration: 8s
mesh: {proxies: 2, services: 2}
control_plane: {kind: istiod, costs: zero}
network: {latency: 0s}
envoy: {costs: zero}
agent: {hop: 0s}
workload:
  - {edit: VirtualService, at: [1s, 4s]}
"""


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    path = tmp_path / "sized.yaml"
    path.write_text(FILE)
    return path


@pytest.fixture(name="scenario")
def _scenario(path: Path) -> xs.Scenario:
    return xs.load_scenario(path)


def test_whole_numbers_are_found_exactly(scenario: xs.Scenario) -> None:
    found = xs.search(
        scenario, "mesh.proxies", "1..40", "count(deliveries) >= 34", replications=2, executor="serial"
    )
    assert (found.value, found.below, found.is_monotone) == ("17", "16", True)  # two changes for each
    assert len(found.probes) <= 5 + 4  # five to begin with, then a gap of ten is halved
    assert found.met_at_least == pytest.approx(0.05**0.5)


def test_durations_are_found_to_a_256th_of_the_range(scenario: xs.Scenario) -> None:
    found = xs.search(
        scenario,
        "control_plane.debounce.after",
        "100ms..356ms",
        "min(active_delay) >= 200ms",
        replications=1,
        executor="serial",
    )
    assert (found.value, found.below) == ("200ms", "199ms")


def test_a_response_that_falls_again_is_refused(scenario: xs.Scenario) -> None:
    """A longer debounce makes changes later: those that suffice lie below those that do not."""
    found = xs.search(
        scenario,
        "control_plane.debounce.after",
        "100ms..1s",
        "max(active_delay) < 500ms",
        replications=1,
        executor="serial",
    )
    assert found.value is None
    assert not found.is_monotone
    assert len(found.probes) == 5


def test_where_nothing_suffices_nothing_is_named(scenario: xs.Scenario) -> None:
    found = xs.search(
        scenario, "mesh.proxies", "1..3", "count(deliveries) > 100", replications=1, executor="serial"
    )
    assert (found.value, found.is_monotone, found.below) == (None, True, "3")


def test_where_everything_suffices_the_low_end_is_the_answer(scenario: xs.Scenario) -> None:
    found = xs.search(
        scenario, "mesh.proxies", "1..3", "mean(active_delay) < 1s", replications=2, executor="serial"
    )
    assert (found.value, found.below) == ("1", None)
    assert found.probes[0].estimate is not None
    assert found.probes[0].estimate.value == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("vary", "meet", "status", "told"),
    [
        ("mesh.proxies=1..9", "count(deliveries) >= 6", 0, "mesh.proxies=3 meets"),
        ("mesh.proxies=1..2", "count(deliveries) >= 60", 1, "No value of mesh.proxies up to 2"),
        ("control_plane.debounce.after=100ms..1s", "max(active_delay) < 500ms", 1, "do not always do better"),
        ("mesh.proxies=9..1", "count(deliveries) >= 6", 2, "must rise"),
        ("mesh.proxies=3", "count(deliveries) >= 6", 2, "KEY=LOW..HIGH"),
        ("mesh.proxy=1..3", "count(deliveries) >= 6", 2, "proxies"),
        ("mesh.proxies=1..3", "p99(active_dely) < 2s", 2, "active_delay"),
    ],
)
def test_the_command_says_what_came_of_it(
    path: Path, capsys: pytest.CaptureFixture[str], vary: str, meet: str, status: int, told: str
) -> None:
    words = [
        "search",
        str(path),
        "--vary",
        vary,
        "--meet",
        meet,
        "--replications",
        "1",
        "--executor",
        "serial",
    ]
    assert main(words) == status
    shown = capsys.readouterr()
    assert told in " ".join((shown.out + shown.err).split())
