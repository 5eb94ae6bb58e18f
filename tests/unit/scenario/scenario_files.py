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


MESH = """\
name: a-mesh
duration: 10m
mesh:
  proxies: {sidecars: 30, gateways: 2}
  services: 20
  namespaces: 10
  endpoints: 5
  scope: 25%
  discovery_selectors: [ns0, ns4]
  zones: 3
  sizes: {cluster: 900}
control_plane:
  kind: istiod
  version: "1.27"
  replicas: 2
  cpu: 500m
  debounce: {after: 200ms, endpoints: false}
  push_throttle: 7
  max_requests_per_second: 12.5
  max_connection_age: none
  cache: {size: 100, rds: false}
  registry: {failure_rate: 1%}
  costs: {watch_delay: {exponential: {mean: 5ms}}, generate: {cds_fixed: 1ms}}
agent: {hop: 50us, dns_capture: true, startup_probe: {period: 2s}, wasm: {fetch: {uniform: [1s, 2s]}}}
propagation: {strategy: long-poll, wait: 30s, server: {service_time: 1ms}}
network: {latency: 1ms, loss: 0.1%, bandwidth: 100M}
workload:
  - {edit: VirtualService, at: [1s, 1.5s], namespace: istio-system}
  - {edit: DestinationRule, every: 50ms, from: 10s, until: 70s, service: s3, name: dr}
  - {edit: EnvoyFilter, poisson: 6/min, rejected_by_envoy: true}
  - {trace: [{t: 2s, kind: VirtualService, name: a}, {t: 1s, kind: Telemetry}]}
  - {endpoints: s3, poisson: 2/s}
  - {endpoints: any, bursts: {size: 20, spacing: 10ms, every: 1m}}
  - {rollout: ns4/s4, at: 2m, max_surge: 25%, max_unavailable: 0, ready_after: 5s, native_sidecar: true}
  - {scale_up: {pods: 200}, at: 3m, service: s1}
  - {restart: {proxies: [p3, gw1]}, at: 7m}
  - {restart_istiod: 2, at: 4m, down_for: 20s}
  - {add_istiod: 1, at: 3m}
  - {rollout_istiod: {max_surge: 50%}, at: 6m}
  - {partition: {proxies: 10%}, at: 5m, until: 6m}
  - {slow_reader: {proxies: 3}, every: 1m, lasts: 10s}
  - {ca_outage: true, at: 5m, until: 6m}
  - {root_rotation: true, at: 6m}
  - {traffic: {from: s1, to: ns7/s7, rate: 50/s, dead_endpoint: blackhole}, from: 1s}
recording: {queues: false}
expect:
  - share(outcome, kind=VirtualService) == 1
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
