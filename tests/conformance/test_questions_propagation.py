"""What the notebooks 01 to 06 rest on: laws and exact numbers that hold whatever a mesh looks like.

Times are exact. Where chance decides, the judgement is a Kolmogorov-Smirnov test or a number of standard
errors, at a level fixed beforehand and for a seed that does not change.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import simulator as xs
from simulator.recording.columns import DELIVERY_INSTANTS
from tests.statistical.evidence import assert_mean
from tests.statistical.test_polling import residual_cdf

SCENARIOS = Path(__file__).parents[2] / "scenarios"
CHAIN = list(DELIVERY_INSTANTS[:-1])
"""The instants of a delivery from changed to active; the ACK stands beside them."""


def mesh(**changes: Any) -> xs.Scenario:
    """A mesh under istiod that lives through edits, endpoint churn and a rollout."""
    return xs.Scenario(
        name="questions",
        duration="90s",
        mesh={"proxies": 30, "services": 6, "namespaces": 2},
        control_plane={"kind": "istiod"},
        propagation={"refresh_delay": "5s", "sync_period": "5s"},
        workload=[
            {"edit": "VirtualService", "poisson": "30/min", "until": "60s"},
            {"edit": "DestinationRule", "poisson": "10/min", "until": "60s"},
            {"endpoints": "any", "poisson": "60/min", "until": "60s"},
            {"rollout": "s1", "at": "20s", "pre_stop": "5s"},
        ],
    ).with_(**changes)


# --- 1. How long until every proxy has a change?


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["push", "poll", "long-poll", "file"])
def test_the_stages_of_each_delivery_sum_to_its_total_exactly(strategy: str) -> None:
    rows = xs.run(mesh(**{"propagation.strategy": strategy})).deliveries
    rows = rows[rows["outcome"] == "active"]
    assert len(rows) > 1000
    stages = np.diff(rows[CHAIN].to_numpy(dtype=np.int64), axis=1)
    assert (stages >= 0).all()
    assert (stages.sum(axis=1) == (rows["t_active_ns"] - rows["t_changed_ns"]).to_numpy(np.int64)).all()


# --- 2. Push, poll or long-poll?


def polled(**changes: Any) -> xs.Result:
    """Proxies that poll every 10 to 20 s, a route that is edited once, and nothing else that takes time."""
    scenario = xs.Scenario(
        name="polled",
        duration="60s",
        mesh={"proxies": 400, "services": 4},
        envoy={"costs": "zero"},
        control_plane={"kind": "istiod", "costs": "zero"},
        propagation={"strategy": "poll", "refresh_delay": "10s"},
        workload=[{"edit": "VirtualService", "at": "20s"}],
    )
    return xs.run(scenario.with_(**changes))


@pytest.mark.slow
def test_a_change_waits_for_a_poll_as_long_as_the_rest_of_an_interval_is() -> None:
    """One change, so that the waits of the 400 loops are independent."""
    rows = polled().deliveries
    assert len(rows) == 400
    waits = (rows["t_active_ns"] - rows["t_debounced_ns"]).to_numpy(np.float64) / 1e9
    assert stats.kstest(waits / 10, residual_cdf(1, 2)).pvalue > 0.01
    standard_error = waits.std(ddof=1) / np.sqrt(len(waits))
    assert abs(waits.mean() - 10 * 7 / 9) < 3 * standard_error
    assert waits.max() <= 20.01


@pytest.mark.slow
@pytest.mark.parametrize("latency_ms", [1, 300])
def test_a_subscription_is_polled_once_in_one_and_a_half_delays_and_a_response_time(latency_ms: int) -> None:
    latency = {"network.latency": f"{latency_ms}ms", "agent.hop": "0s"}
    result = polled(**latency, duration="600s", workload=[], **{"mesh.proxies": 40})
    requests = result.messages[result.messages["direction"] == "request"]
    loops = [requests["proxy_id"], requests["type"], requests["resources"].map(tuple)]
    counts = requests.groupby(loops).size().to_numpy(np.float64)
    assert len(counts) == 40 * 7  # CDS, LDS, RDS, and the endpoints of four clusters
    # Envoy's jitter is of whole milliseconds below the delay: half a millisecond less on average.
    assert_mean(counts, 600 / (15 - 0.0005 + 2 * latency_ms / 1000))


@pytest.mark.slow
def test_a_storm_of_edits_is_no_more_work_where_proxies_poll() -> None:
    busy = {}
    for strategy in ("push", "poll"):
        for rate in ("6/min", "600/min"):
            changes = {
                "propagation.strategy": strategy,
                "workload": [{"edit": "VirtualService", "poisson": rate, "until": "60s"}],
            }
            busy[strategy, rate] = xs.run(mesh(**changes)).manifest["totals"]["control_plane_cpu"]
    assert busy["poll", "600/min"] < 1.5 * busy["poll", "6/min"]
    assert busy["push", "600/min"] > 10 * busy["push", "6/min"]


@pytest.mark.slow
def test_after_an_outage_the_last_poll_is_sooner_than_the_last_stream_and_asks_no_more_than_before() -> None:
    """A poll that failed follows after its usual interval; a stream waits in a back-off of up to 30 s."""
    last = {}
    for strategy in ("push", "poll"):
        outage = xs.load_scenario(SCENARIOS / "outage.yaml")
        result = xs.run(outage.with_(**{"propagation.strategy": strategy, "mesh.proxies": 100}, expect=[]))
        assert set(result.deliveries["outcome"]) == {"active"}
        last[strategy] = result.summary().loc["active_delay", "max"]
    assert last["poll"] + 10 < last["push"]
    requests = result.messages[result.messages["direction"] == "request"]["t_ns"].to_numpy() / 1e9
    before, after = (((requests >= at) & (requests < at + 15)).sum() for at in (0, 60))
    assert after < before + 4 * np.sqrt(before), "polls come back as they were, not all at once"


# --- 3. Which debounce is best for my churn?


@pytest.mark.slow
def test_a_random_change_waits_for_its_push_as_the_busy_period_says() -> None:
    """E[delay] = (e^(La) - 1) / L, within the 95 % interval from ten replications."""
    scenario = xs.Scenario(
        name="debounce",
        duration="70s",
        mesh={"proxies": 1, "services": 1},
        envoy={"costs": "zero"},
        control_plane={"kind": "istiod", "costs": "zero", "debounce": {"after": "100ms", "max": "1h"}},
        workload=[{"edit": "VirtualService", "poisson": "10/s", "until": "60s"}],
    )
    runs = xs.run(scenario, seed=4, replications=10, executor="serial")
    found = runs.estimate(0, "debounce_delay")
    expected = np.expm1(10 * 0.1) / 10
    assert found.low < expected < found.high
    assert found.high - found.low < 0.2 * expected


# --- 4. Does a higher PILOT_PUSH_THROTTLE help, or more cores?


def test_with_a_throttle_of_one_a_round_takes_the_sum_of_its_service_times() -> None:
    changes = {"control_plane.push_throttle": 1, "control_plane.cpu": 4, "duration": "10s"}
    result = xs.run(mesh(**changes, workload=[{"edit": "VirtualService", "at": "1s"}]))
    pushes = result.proxy_pushes.sort_values("t_dequeued_ns")
    assert len(pushes) == 30
    service = (pushes["t_sent_ns"] - pushes["t_dequeued_ns"]).astype(np.int64)
    makespan = pushes["t_sent_ns"].max() - pushes["t_dequeued_ns"].min()
    assert service.sum() == makespan


# --- 5. Which preStop hook removes the failing requests of a rollout?


@pytest.mark.slow
@pytest.mark.parametrize(("pre_stop", "fails"), [("1s", True), ("3s", False)])
def test_no_request_fails_once_an_old_pod_outlives_the_propagation_and_some_do_before(
    pre_stop: str, fails: bool
) -> None:
    """The debounce makes a change of endpoints take two seconds."""
    rollout = {"rollout": "s0", "at": "1s", "pre_stop": pre_stop, "native_sidecar": True}
    traffic = {"traffic": {"from": "any", "to": "s0", "rate": "10/s"}}
    result = xs.run(mesh(**{"control_plane.debounce.after": "2s"}, workload=[rollout, traffic]))
    attempts = result.traffic
    failed = attempts.loc[attempts["outcome"] != "200", "attempts"].sum()
    assert bool(failed > 0) is fails
    rows = result.deliveries.merge(result.changes[["change_id", "kind"]], on="change_id")
    rows = rows[(rows["kind"] == "Endpoints") & (rows["outcome"] == "active")]
    assert 1e9 < (rows["t_active_ns"] - rows["t_changed_ns"]).max() < 3e9


# --- 6. What does initial_fetch_timeout do when something never comes?


def test_envoy_serves_without_endpoints_after_exactly_15_s_and_istios_never_does() -> None:
    late = xs.load_scenario(SCENARIOS / "init-timeout.yaml")
    istio = late.with_(**{"envoy.preset": "istio"}, expect=[])
    assert set(xs.run(istio).deliveries["outcome"]) == {"pending"}
    rows = xs.run(late).deliveries
    waited = rows["t_active_ns"] - rows["t_received_ns"]
    # From the message's arrival: the main thread first makes the cluster or listener, in milliseconds.
    assert ((waited >= 15_000_000_000) & (waited < 15_005_000_000)).all()
