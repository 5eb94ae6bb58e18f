"""A run is a function of its scenario and seed: not of the process, the hash seed, or how much is written
down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import simulator as xs
from tests.playing import scenario

ROOT = Path(__file__).parents[2]
UNIFORM = {"uniform": ["1ms", "400ms"]}


def busy(**changed: Any) -> xs.Scenario:
    """Random delays, resets, rejections, polling or streams: everything that draws, waits or is kept in
    order."""
    keywords: dict[str, Any] = {
        "mesh": {"proxies": 4, "start": {"over": "300ms"}},
        "clusters": [
            {"count": 5, "type": "eds", "endpoints": 2},
            {"count": 2, "type": "strict_dns", "resolver": {"after": UNIFORM}},
            {"count": 1, "type": "static", "secret": "sds0"},
        ],
        "listeners": [{"count": 3, "routes": "rds"}, {"count": 1, "routes": "inline"}],
        "resources": {
            "secrets": {"count": 1},
            "health_check": {"answers": {"after": UNIFORM}, "timeout": "300ms"},
        },
        "answers": {
            "cds": {"after": UNIFORM},
            "eds": [{"after": UNIFORM}, {"omit": ["c3"]}],
            "rds": {"after": UNIFORM},
        },
        "pushes": [
            {"at": "2s", "type": "cds", "change": ["c0", "c5"], "add": ["c8"]},
            {"at": "3s", "type": "rds", "change": ["r0", "r1"], "reject": "build"},
            {"at": "4s", "close": True},
            {"at": "4100ms", "type": "lds", "change": ["l0"], "change_filter_chains": ["l1"]},
            {"at": "6s", "type": "eds", "send": "all"},
        ],
        "traffic": "10/s",
        "connection": "kept",
        "envoy": {"drain_time": "2s", "drain_strategy": "gradual"},
        "duration": "12s",
        "network": {"latency": {"exponential": {"mean": "2ms"}}},
    }
    return scenario(**{**keywords, **changed})


WAYS: dict[str, dict[str, Any]] = {
    "ads-sotw": {},
    "ads-delta": {"protocol": "delta"},
    "separate": {"streams": "separate"},
    "poll": {"strategy": "poll", "propagation": {"refresh_delay": "700ms", "request_timeout": "300ms"}},
    "file": {"strategy": "file", "answers": {}},
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())

_SAVE = """
import json, sys
from tests.determinism.test_same_run import WAYS, busy
import simulator as xs

for name, way in WAYS.items():
    result = xs.run(busy(**way))
    result.save(f"{sys.argv[1]}/{name}")
    print(name, result.digest)
"""


def saved_by_another_process(directory: Path, hash_seed: str) -> str:
    """Plays every way in a fresh process and saves the results; the digests it printed."""
    done = subprocess.run(
        [sys.executable, "-c", _SAVE, str(directory)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return done.stdout


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()
    }


@every_way
def test_a_run_repeated_is_the_same_run(way: dict[str, Any], tmp_path: Path) -> None:
    for name in ("first", "second"):
        xs.run(busy(**way)).save(tmp_path / name)
    first, second = contents(tmp_path / "first"), contents(tmp_path / "second")
    assert "deliveries.parquet" in first
    assert first == second


@pytest.mark.slow
def test_a_hash_seed_changes_no_byte(tmp_path: Path) -> None:
    printed, files = [], []
    for hash_seed in ("0", "1", "random"):
        printed.append(saved_by_another_process(tmp_path / hash_seed, hash_seed))
        files.append(contents(tmp_path / hash_seed))
    assert len(files[0]) >= 5 * len(WAYS)
    assert printed[0] == printed[1] == printed[2]
    assert files[0] == files[1] == files[2]
    here = {name: xs.run(busy(**way)).digest for name, way in WAYS.items()}
    assert dict(line.split() for line in printed[0].splitlines()) == here


@every_way
def test_what_is_recorded_changes_nothing_of_what_happens(way: dict[str, Any]) -> None:
    runs = [
        xs.run(busy(**way, recording={"messages": messages, "states": states, "deliveries": deliveries}))
        for messages, states, deliveries in ((True, True, True), (False, True, True), (True, False, False))
    ]
    assert len({run.digest for run in runs}) == 1
    assert len(runs[1].messages) == len(runs[2].states) == 0
    pd.testing.assert_frame_equal(runs[0].states, runs[1].states)
    pd.testing.assert_frame_equal(runs[0].messages, runs[2].messages)


@every_way
def test_another_proxy_changes_nothing_for_the_first(way: dict[str, Any]) -> None:
    """The second starts at the same instant, so that the script's times count from the same origin."""
    alone, together = (xs.run(busy(**{**way, "mesh": {"proxies": count}})) for count in (1, 2))
    for table in ("startups", "deliveries", "messages", "states", "traffic"):
        first, second = (getattr(run, table) for run in (alone, together))
        first, second = (t[t.proxy_id == "p0"].reset_index(drop=True) for t in (first, second))
        assert len(first) > 0 or table == "messages"
        pd.testing.assert_frame_equal(first, second)


@every_way
def test_another_seed_is_another_run(way: dict[str, Any]) -> None:
    assert xs.run(busy(**way), seed=1).digest != xs.run(busy(**way), seed=2).digest


def test_another_replication_is_another_run() -> None:
    from simulator.experiment.run import run

    digests = {run(busy(), replication=number).digest for number in (0, 0, 1)}
    assert len(digests) == 2


def test_without_randomness_a_seed_changes_nothing() -> None:
    constant = {"stats_flush_per_cluster": "0s"}
    runs = [xs.run(scenario(envoy={"costs": constant}, duration="5s"), seed=seed) for seed in (1, 2)]
    assert runs[0].digest == runs[1].digest
    assert json.loads(json.dumps(runs[0].manifest, default=str))["seed"] == 1
