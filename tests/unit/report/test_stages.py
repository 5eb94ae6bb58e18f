"""Where the time goes is told of pushes and of new streams apart."""

from __future__ import annotations

import pytest

import simulator as xs
from simulator.report.stages import RECONNECT, arrived, stage_times


@pytest.fixture(scope="module")
def result() -> xs.Result:
    """One of two istiods ends; a change made meanwhile reaches its proxies over new streams."""
    return xs.run(
        xs.Scenario(
            duration="60s",
            mesh={"proxies": 12, "services": 3},
            control_plane={"kind": "istiod", "replicas": 2},
            workload=[
                {"restart_istiod": 0, "down_for": "40s", "at": "5s"},
                {"edit": "VirtualService", "at": "5100ms"},
            ],
        ),
        seed=3,
    )


def test_the_wait_for_a_new_stream_is_no_stage_of_a_push(result: xs.Result) -> None:
    rows = arrived(result)
    over_new_streams = rows["carried_by"] == "reconnect"
    assert over_new_streams.any()
    assert not over_new_streams.all()
    stages, whole = stage_times(result)
    assert whole is not None
    assert sum(stage.mean_ns for stage in stages) == pytest.approx(whole.mean_ns, rel=1e-12)
    waited = (rows["t_sent_ns"] - rows["t_debounced_ns"])[over_new_streams]
    told = {stage.metric: stage for stage in stages}
    assert told[RECONNECT].mean_ns == pytest.approx(waited.sum() / len(rows), rel=1e-12)
    pushed = rows[~over_new_streams]
    generated = (pushed["t_sent_ns"] - pushed["t_dequeued_ns"]).astype("float64")
    assert told["generate_delay"].p99_ns <= generated.max()
