"""The start of a control plane is drawn for processes that come, fall and go."""

from __future__ import annotations

import simulator as xs
from simulator.report import look, plots
from simulator.report.figures import write_figures
from simulator.results.control_plane_start import control_plane_start, spans


def run(replicas: int, *entries: dict[str, object]) -> xs.Result:
    return xs.run(
        xs.Scenario(
            name="istiods",
            duration="60s",
            mesh={"proxies": 3, "services": 2},
            control_plane={"kind": "istiod", "replicas": replicas},
            workload=list(entries),
        )
    )


def title(result: xs.Result) -> str:
    ax = plots.control_plane_start(result, ax=look.figure(5))
    return ax.get_title("left").replace("\n", " ")


def test_a_replica_that_an_upgrade_deletes_is_not_waited_for(tmp_path):
    result = run(1, {"rollout_istiod": {"max_surge": "100%"}, "at": "1s"})
    entered = result.components.groupby("replica").state.agg(list).to_dict()
    assert entered[0] == ["deleted"]
    (gone_ns,) = result.components[result.components.state == "deleted"].t_ns
    (ready_ns,) = result.components[result.components.state == "ready"].t_ns
    old = spans(result).query("replica == 0")
    assert old[["state", "begin", "end"]].to_numpy().tolist() == [["ready", 0, gone_ns / 1e9]]
    assert control_plane_start(result) == {"control_plane_ready": ready_ns / 1e9, "proxies_ready": 0}
    last = f"the last of 2 processes is ready after {ready_ns / 1e9:.1f} s"
    assert title(result) == f"The control plane ran before; {last}"
    assert "control_plane_start.png" in {path.name for path in write_figures(result, tmp_path)}


def test_a_replica_that_is_ready_twice_does_not_stand_for_one_that_never_is():
    result = run(
        2,
        {"restart_istiod": 0, "at": "1s", "down_for": "1s"},
        {"restart_istiod": 0, "at": "30s", "down_for": "1s"},
        {"restart_istiod": 1, "at": "5s", "down_for": "5m"},
    )
    assert list(result.components[result.components.state == "ready"].replica) == [0, 0]
    assert title(result) == "1 of 2 processes of the control plane are ready when the run ends"
