"""Scenario files for tests: written to a directory, loaded, and their problems as text."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

from simulator.scenario.loader import load_scenario
from simulator.scenario.problems import ScenarioError
from simulator.scenario.schema import Scenario

CONFORMANCE = """\
name: eds-late-then-route-missing
duration: 40s
mesh: {proxies: 1}
envoy:
  preset: envoy
  initial_fetch_timeout: 2s
propagation: {strategy: push, protocol: sotw, streams: ads}
control_plane:
  kind: scripted
  connect: accept
  resources:
    clusters: {count: 5, type: eds, endpoints: 3}
    listeners: {count: 2, routes: rds}
    health_check: {answers: pass, timeout: 2s}
  answers:
    cds: {after: 1s}
    eds: {after: 1s, omit: [c3]}
    lds: {}
    rds: [{never: true}]
  pushes:
    - {at: 10s, type: cds, change: [c0], add: [c5]}
    - {at: 12s, type: eds, send: [c0, c5]}
    - {at: 20s, type: rds, reject: build}
    - {at: 25s, close: true}
expect:
  - p99(active_delay) < 2s
  - startups.timed_out == 0
"""


class Files:
    """A directory of scenario files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else dedent(text).encode())
        return path

    def load(self, text: str | bytes, **overrides: Any) -> Scenario:
        return load_scenario(self.write("s.yaml", text), overrides)

    def problems(self, text: str | bytes, overrides: dict[str, Any] | None = None) -> list[str]:
        """What is wrong with a text, file names without the directory; fails when nothing is."""
        path = self.write("s.yaml", text)
        try:
            load_scenario(path, overrides or {})
        except ScenarioError as error:
            return [str(problem).replace(f"{self.directory}/", "") for problem in error.problems]
        raise AssertionError("nothing is wrong with it")

    def problem(self, text: str | bytes, overrides: dict[str, Any] | None = None) -> str:
        """The only thing that is wrong with a text."""
        found = self.problems(text, overrides)
        assert len(found) == 1, found
        return found[0]
