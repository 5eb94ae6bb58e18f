"""Whole runs as a reader sees them: each trace is kept beside this file and read before it is accepted.

Every job takes 1 ms and so does every message, so that the traces show the order of things and do not follow
the calibration. Write them anew with UPDATE_GOLDEN=1, and read the difference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import simulator as xs
from simulator.calibration.costs import load_calibration
from simulator.results.trace import trace_lines
from tests.playing import NEVER, scenario

EVERY_JOB = {
    **dict.fromkeys(load_calibration().costs, "1ms"),
    "server_construction": "50ms",
    "xds_construction": "10ms",
    "stats_flush_per_cluster": "0s",
    "rest_byte": "0s",
}
CASES: dict[str, dict[str, Any]] = {
    "first-start-sotw": {"clusters": {"count": 2, "type": "eds"}, "listeners": {"count": 2}},
    "first-start-delta": {
        "protocol": "delta",
        "clusters": {"count": 2, "type": "eds"},
        "listeners": {"count": 2},
    },
    "first-start-separate-streams": {"streams": "separate", "clusters": {"count": 2, "type": "eds"}},
    "warming-withholds-the-ack-sotw": {
        "answers": {"eds": [{}, {"after": "1s"}]},
        "pushes": [
            {"at": "2s", "type": "cds", "add": ["c1"]},
            {"at": "2500ms", "type": "cds", "change": ["c0"]},
            {"at": "2600ms", "type": "eds", "send": ["c0"]},
        ],
    },
    "warming-withholds-the-acks-delta": {
        "protocol": "delta",
        "answers": {"eds": [{}, {"after": "1s"}]},
        "pushes": [
            {"at": "2s", "type": "cds", "add": ["c1"]},
            {"at": "2500ms", "type": "cds", "change": ["c0"]},
            {"at": "2600ms", "type": "eds", "send": ["c0"]},
        ],
    },
    "nack-at-start-and-while-running": {
        "answers": {"cds": {"reject": "decode"}},
        "pushes": [
            {"at": "2s", "type": "cds", "send": ["c0"]},
            {"at": "3s", "type": "lds", "change": ["l0"], "reject": "build"},
            {"at": "4s", "type": "lds", "change": ["l0"]},
        ],
        "envoy": {"drain_time": "1s"},
    },
    "reconnect-while-warming": {
        "answers": {"eds": [{}, NEVER]},
        "timeout": "3s",
        "pushes": [{"at": "2s", "type": "cds", "add": ["c1"]}, {"at": "2500ms", "close": True}],
    },
    "reconnect-while-warming-delta": {
        "protocol": "delta",
        "answers": {"eds": [{}, NEVER]},
        "timeout": "3s",
        "pushes": [{"at": "2s", "type": "cds", "add": ["c1"]}, {"at": "2500ms", "close": True}],
    },
    "eds-missing": {"clusters": {"count": 3, "type": "eds"}, "answers": {"eds": {"omit": ["c1", "c2"]}}},
    "polling-start": {
        "strategy": "poll",
        "propagation": {"refresh_delay": "1s"},
        "pushes": [{"at": "500ms", "type": "rds", "change": ["r0"]}],
        "duration": "3s",
    },
}


@pytest.mark.parametrize("name", CASES)
def test_the_trace_is_the_one_that_was_read(name: str, golden: Callable[[str, str], None]) -> None:
    keywords = {"duration": "6s", **CASES[name]}
    keywords["envoy"] = {"costs": EVERY_JOB, **keywords.get("envoy", {})}
    case = scenario(network={"latency": "1ms"}, **keywords).with_(**{"control_plane.costs.answer": "1ms"})
    golden(f"{name}.trace", "\n".join(trace_lines(xs.run(case))) + "\n")
