"""Small scenarios for experiments: quick runs that differ between replications."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import simulator as xs
from tests.playing import scenario

TINY_YAML = """
name: tiny
duration: 2s
envoy: {preset: envoy, initial_fetch_timeout: 2s}
network: {latency: {exponential: {mean: 5ms}}}
control_plane:
  kind: scripted
  resources: {clusters: {count: 1, type: eds}, listeners: {count: 1, routes: rds}}
  pushes:
    - {at: 200ms, type: eds, change: [c0]}
    - {at: 400ms, type: rds, change: [r0]}
"""


def tiny(**more: Any) -> xs.Scenario:
    """One Envoy, two pushes over a link with random latency: some ten milliseconds to play."""
    keywords: dict[str, Any] = {
        "duration": "2s",
        "network": {"latency": {"exponential": {"mean": "5ms"}}},
        "pushes": [
            {"at": "200ms", "type": "eds", "change": ["c0"]},
            {"at": "400ms", "type": "rds", "change": ["r0"]},
        ],
    }
    return scenario(**{**keywords, **more})


def mesh(**more: Any) -> xs.Scenario:
    """Ten proxies under istiod and random edits of VirtualServices."""
    keywords: dict[str, Any] = {
        "name": "mesh",
        "duration": "12s",
        "mesh": {"proxies": 10, "services": 4, "endpoints": 2, "namespaces": 1},
        "control_plane": {"kind": "istiod"},
        "workload": [{"edit": "VirtualService", "poisson": "60/min", "until": "9s"}],
    }
    return xs.Scenario(**{**keywords, **more})


def bytes_of(directory: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def messages_and_failure(result: xs.Result) -> dict[str, float]:
    """A measure of the tests' own."""
    return {"responses": float((result.messages["direction"] == "response").sum())}
