"""Which runs count for a verdict: results are simulated ones, some of them spoilt on purpose."""

from __future__ import annotations

import pytest

import simulator as xs
from simulator.results.result import Result

pytest.importorskip("grpc")
pytest.importorskip("envoy.config.cluster.v3.cluster_pb2")

from simulator.lab.pulse import KEY
from simulator.lab.verify import Trial, Verdict


@pytest.fixture(scope="module")
def scenario() -> xs.Scenario:
    return xs.Scenario(name="case", duration="2s", control_plane={"kind": "scripted"})


@pytest.fixture(scope="module")
def simulated(scenario: xs.Scenario) -> Result:
    return xs.run(scenario)


def measured(simulated: Result, *, late_ms: float, is_right: bool) -> Result:
    tables = dict(simulated.tables)
    if not is_right:
        tables["startups"] = tables["startups"].assign(fetch_timeouts='{"eds": 2}')
    manifest = {**simulated.manifest, KEY: late_ms}
    return Result(tables, manifest, expectations=simulated.expectations)


def judged(scenario: xs.Scenario, simulated: Result, *runs: tuple[float, bool]) -> Verdict:
    """The verdict after these runs: how late the machine was, and whether they are as simulated."""
    trial = Trial(scenario, simulated, 3)
    for late_ms, is_right in runs:
        assert not trial.is_settled
        trial.take(measured(simulated, late_ms=late_ms, is_right=is_right))
    assert trial.is_settled
    return trial.verdict()


def test_a_disagreement_on_a_busy_machine_does_not_count(scenario: xs.Scenario, simulated: Result) -> None:
    verdict = judged(scenario, simulated, (45.0, False), (1.0, True))
    assert verdict.agrees
    assert verdict.disturbed == 1
    assert len(verdict.measured) == 1


def test_agreement_on_a_busy_machine_is_agreement(scenario: xs.Scenario, simulated: Result) -> None:
    assert judged(scenario, simulated, (45.0, True)).agrees


def test_a_machine_that_is_always_busy_gives_no_verdict(scenario: xs.Scenario, simulated: Result) -> None:
    verdict = judged(scenario, simulated, (45.0, False), (1.0, False), (45.0, False), (45.0, False))
    assert not verdict.agrees
    assert not verdict.is_judged


def test_a_disagreement_on_a_free_machine_is_one(scenario: xs.Scenario, simulated: Result) -> None:
    verdict = judged(scenario, simulated, (1.0, False), (1.0, False), (1.0, False))
    assert verdict.is_judged
    assert not verdict.agrees


def test_what_no_disturbed_run_ever_meets_is_a_disagreement(scenario: xs.Scenario, simulated: Result) -> None:
    """Among others three runs were disturbed; alone three more are, and all miss the same rule."""
    trial = Trial(scenario, simulated, 3)
    for _ in range(3):
        trial.take(measured(simulated, late_ms=45.0, is_right=False))
    assert trial.is_settled
    assert not trial.verdict().is_judged

    trial.forgive()
    for _ in range(3):
        assert not trial.is_settled
        trial.take(measured(simulated, late_ms=45.0, is_right=False))

    assert trial.is_settled
    assert trial.verdict().is_judged
    assert [row.rule for row in trial.verdict().differing] == ["fetch timeouts"]


def test_what_was_disturbed_may_agree_when_played_again(scenario: xs.Scenario, simulated: Result) -> None:
    trial = Trial(scenario, simulated, 1)
    trial.take(measured(simulated, late_ms=45.0, is_right=False))
    assert not trial.verdict().is_judged

    trial.forgive()
    trial.take(measured(simulated, late_ms=45.0, is_right=True))

    assert trial.verdict().agrees
    assert trial.verdict().disturbed == 1


# --- the order of a hash map


@pytest.fixture(scope="module")
def removing() -> xs.Scenario:
    """Start-up waits for c1, whose name is never resolved; if it goes first, EDS of c0 is asked for."""
    clusters = [{"count": 1}, {"count": 1, "type": "strict_dns", "resolver": "never"}]
    return xs.Scenario(
        name="case",
        duration="3s",
        envoy={"preset": "envoy", "initial_fetch_timeout": "0s"},
        propagation={"protocol": "sotw"},
        control_plane={
            "kind": "scripted",
            "resources": {"clusters": clusters, "listeners": {"count": 1}},
            "pushes": [{"at": "1s", "type": "cds", "remove": ["c0", "c1"]}],
        },
        recording={"messages": True, "states": True},
    )


def trial_of(scenario: xs.Scenario) -> Trial:
    return Trial(scenario, xs.run(scenario), 1, again=xs.run)


def eds_requests(result: Result) -> int:
    rows = result.messages
    return int(((rows.type == "eds") & (rows.direction == "request")).sum())


def test_clusters_that_one_update_removes_may_go_in_the_order_that_the_log_tells(
    removing: xs.Scenario,
) -> None:
    trial = trial_of(removing)
    other = xs.run(removing.with_(**{"lab.removal_order": ["c0", "c1"]}))
    assert (eds_requests(trial.simulated), eds_requests(other)) == (1, 0), "it makes a difference"

    trial.take(other)

    assert trial.verdict().agrees
    assert eds_requests(trial.verdict().simulated) == 0


def test_what_does_not_follow_from_the_order_that_the_log_tells_is_a_disagreement(
    removing: xs.Scenario,
) -> None:
    """The messages are those of c0 before c1, the log tells of c1 before c0."""
    other = xs.run(removing.with_(**{"lab.removal_order": ["c0", "c1"]}))
    trial = trial_of(removing)
    tables = {**dict(other.tables), "states": trial.simulated.tables["states"]}

    trial.take(Result(tables, other.manifest, expectations=other.expectations))

    assert [row.rule for row in trial.verdict().differing] == ["messages eds"]
