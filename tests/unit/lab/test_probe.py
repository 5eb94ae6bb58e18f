"""What a traffic probe writes down."""

from __future__ import annotations

from simulator.engine.events import Clock
from simulator.lab.probe import TrafficProbe
from simulator.recording import Recorder


def test_a_probe_that_never_asked_writes_no_row() -> None:
    recorder = Recorder(["p0"], messages=True, states=True)
    TrafficProbe(Clock(), 0, "l0", 1, is_kept=False).finish(recorder)
    assert not recorder.traffic_rows
