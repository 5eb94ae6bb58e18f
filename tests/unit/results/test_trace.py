"""The trace reads in order of time, and its Perfetto form is one Chrome accepts."""

import json

import pytest

from simulator.recording.recorder import Recorder
from simulator.results.result import Result
from simulator.results.trace import LEGEND, folded, perfetto, trace_lines


def test_the_trace_tells_what_happened_in_order(result: Result) -> None:
    lines = list(trace_lines(result, proxy="p0"))
    assert lines[0] == LEGEND
    assert lines[1:] == [
        "        0.000ms  p0  start-up  process started",
        "       50.000ms  p0  start-up  bootstrap loaded",
        "       51.000ms  p0  start-up  primary clusters initialized",
        "       51.000ms  p0  start-up  runtime initialized",
        "       52.000ms  p0  start-up  connected to the control plane",
        "       53.000ms  p0  start-up  CDS subscribed",
        '       60.000ms  p0  request   -> cds  v="" n="" wildcard (20 B)',
        '       61.000ms  p0  response  <- cds  v="1" n="a" c0..c2 x (300 B)',
        "       62.000ms  p0  state     cluster c0..c2 -> warming (eds)",
        '       63.000ms  p0  request   -> cds  v="1" n="a" wildcard (25 B) ACK',
        "       70.000ms  p0  state     cluster c0..c1 -> active",
        "     1000.000ms  -   change    cds c0 (2 proxies)",
        "     1053.000ms  p0  start-up  CDS has its first outcome",
        "     2000.000ms  -   change    cds c1 (2 proxies)",
        "     2053.000ms  p0  start-up  all clusters initialized",
        "     3000.000ms  -   change    rds r0 (2 proxies)",
        "     3053.000ms  p0  start-up  all listeners initialized",
        "     4053.000ms  p0  start-up  workers started, listeners accept",
        "     4060.000ms  p0  start-up  ready",
    ]


def test_a_rejection_is_told_with_its_reason(result: Result) -> None:
    assert '       63.000ms  p1  request   -> lds  v="" n="b" wildcard (60 B) NACK: bad listener' in list(
        trace_lines(result)
    )


def test_a_request_with_a_used_nonce_asks_again() -> None:
    recorder = Recorder(["p0"], messages=True, states=False)
    for t_ns in (1, 2):
        recorder.message(t_ns, 0, 0, 1, "request", "eds", "1", "a", "", ("c0",), 0)
    ends = [
        line.rsplit("  ", 1)[-1].split("c0 ")[-1]
        for line in list(trace_lines(Result.from_recorder(recorder, {})))[1:]
    ]
    assert ends == ["ACK", "asks again"]


def test_the_trace_of_nothing_is_its_legend(empty_result: Result) -> None:
    assert list(trace_lines(empty_result)) == [LEGEND]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["c0"], "c0"),
        (["c0", "c1", "c2", "r5", "c3"], "c0..c2 r5 c3"),
        (["c2", "c1"], "c2 c1"),
        (["c01", "c02"], "c01 c02"),
        (["backend", "c9", "c10"], "backend c9..c10"),
        ([f"x{index}" for index in range(0, 20, 2)], "x0 x2 x4 x6 x8 x10 x12 x14 ... (10 names)"),
    ],
)
def test_many_names_fold_into_few_words(names: list[str], text: str) -> None:
    assert folded(names) == text


def test_perfetto_has_a_process_per_proxy_and_balanced_slices(result: Result) -> None:
    trace = json.loads(json.dumps(perfetto(result)))
    events = trace["traceEvents"]
    assert [e["args"]["name"] for e in events if e["name"] == "process_name"] == ["p0", "p1"]
    phases = [(e["name"], e["ts"], e["dur"]) for e in events if e["ph"] == "X" and e["pid"] == 1]
    assert phases[0] == ("bootstrap", 0, 50_000)
    assert ("clusters", 1_053_000, 1_000_000) in phases
    assert [e["name"] for e in events if e["ph"] == "X" and e["pid"] == 2][-1] == "CDS"
    assert [e["name"] for e in events if e["ph"] == "i"] == [
        "cds request", "cds response", "cds request", "lds request NACK",
    ]  # fmt: skip
    begins = [(e["id"], e["name"], e["ts"]) for e in events if e["ph"] == "b"]
    ends = [(e["id"], e["name"], e["ts"]) for e in events if e["ph"] == "e"]
    assert len(begins) == len(ends) == 5
    assert ("p0/cluster/c0", "cluster c0: warming", 62_000) in begins
    assert ("p0/cluster/c0", "cluster c0: warming", 70_000) in ends
    assert ("p0/cluster/c2", "cluster c2: warming", 4_060_000) in ends


def test_perfetto_of_one_proxy_or_of_nothing(result: Result, empty_result: Result) -> None:
    assert {event["pid"] for event in perfetto(result, proxy="p1")["traceEvents"]} == {1}
    assert perfetto(empty_result)["traceEvents"] == []
