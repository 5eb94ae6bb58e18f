"""What the tests of istiod as a whole pipeline share: scenarios in which nothing costs anything unless it is
said, and how their tables are read, in seconds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

import simulator as xs
from simulator.calibration.istiod_costs import load_istiod_calibration

FREE = dict.fromkeys(load_istiod_calibration().costs, "0s")
"""Every cost of istiod and the delays around it, at nothing."""

LATENCY = 0.001
"""Seconds between a proxy and istiod."""


def mesh(
    *workload: dict[str, Any],
    proxies: object = 1,
    services: object = 2,
    namespaces: object = 1,
    endpoints: int = 3,
    start: object = "connected",
    duration: str = "10s",
    version: str = "1.32",
    costs: Mapping[str, object] | None = None,
    plane: dict[str, object] | None = None,
    in_mesh: dict[str, object] | None = None,
    **more: object,
) -> xs.Scenario:
    """A mesh under istiod whose work takes no time but for `costs`; so does that of the Envoys."""
    described: dict[str, Any] = {
        "name": "case",
        "duration": duration,
        "mesh": {
            "proxies": proxies,
            "services": services,
            "namespaces": namespaces,
            "endpoints": endpoints,
            "start": start,
            **(in_mesh or {}),
        },
        "control_plane": {
            "kind": "istiod",
            "version": version,
            "costs": {**FREE, **(costs or {})},
            **(plane or {}),
        },
        "agent": {"hop": "0s"},
        "envoy": {"costs": "zero"},
        "network": {"latency": f"{round(LATENCY * 1e6)}us"},
        "workload": list(workload),
    }
    for section, keys in more.items():
        both = isinstance(keys, dict) and section in described
        described[section] = {**described[section], **keys} if both else keys  # type: ignore[dict-item]
    return xs.Scenario(**described)


def run(*workload: dict[str, Any], seed: int = 1, **keywords: Any) -> xs.Result:
    """Plays the mesh of these keywords (see `mesh`)."""
    return xs.run(mesh(*workload, **keywords), seed=seed)


def every(step_ms: int, from_ms: int, until_ms: int) -> list[str]:
    """Instants from one (included) until another (not included)."""
    return [f"{t}ms" for t in range(from_ms, until_ms, step_ms)]


def seconds(instants: pd.Series[Any]) -> list[float]:
    """A column of instants, those reached."""
    return [int(t) / 1e9 for t in instants if not pd.isna(t)]


def pushes_at(result: xs.Result) -> list[float]:
    """When Push() began."""
    return seconds(result.pushes.t_started_ns)


def responses(
    result: xs.Result,
    proxy: str | None = None,
    type_: str | None = None,
    after: float = 0.0,
    until: float = 1e9,
    direction: str = "response",
) -> list[Any]:
    """Messages of that kind from an instant on, before another, each with its time `t` in seconds."""
    rows = result.messages
    rows = rows[rows.direction == direction]
    rows = rows[(rows.t_ns >= after * 1e9 - 0.5) & (rows.t_ns < until * 1e9 - 0.5)]
    if proxy is not None:
        rows = rows[rows.proxy_id == proxy]
    if type_ is not None:
        rows = rows[rows.type == type_]
    return list(rows.assign(t=rows.t_ns.astype("int64") / 1e9).itertuples(index=False))


def requests(result: xs.Result, *where: Any, **more: Any) -> list[Any]:
    """As `responses`, for requests."""
    return responses(result, *where, direction="request", **more)


def types_sent(result: xs.Result, proxy: str = "p0", **when: float) -> list[str]:
    """Types of the responses to a proxy, in order."""
    return [m.type for m in responses(result, proxy, **when)]


def of_proxy(table: pd.DataFrame, proxy: str) -> list[Any]:
    """A table's rows of one proxy."""
    return list(table[table.proxy_id == proxy].itertuples(index=False))


def metric(result: xs.Result, name: str, **labels: str) -> float:
    """Sum of the samples of one of Istio's metrics that have these labels; 0 where there is none."""
    total = 0.0
    for line in result.counters_text.splitlines():
        if line.startswith("#"):
            continue
        text, _, value = line.rpartition(" ")
        stat, _, rest = text.partition("{")
        found = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        if stat == name and all(found.get(label) == wanted for label, wanted in labels.items()):
            total += float(value)
    return total


def histogram(result: xs.Result, name: str, **labels: str) -> tuple[int, float]:
    """Number and sum of a histogram's samples."""
    return int(metric(result, f"{name}_count", **labels)), metric(result, f"{name}_sum", **labels)
