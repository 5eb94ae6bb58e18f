"""Deliveries as histograms beside the same run with all rows: what is exact, what is within the error."""

from __future__ import annotations

from pathlib import Path

import pytest

import simulator as xs
from simulator.report.delays import change_outcomes, delays_ns
from simulator.report.stages import stage_times
from simulator.results.histograms import RELATIVE_ERROR
from simulator.results.result import Result

EXACT = ("mean", "max", "n", "pending")
EXPECTED = [
    "share(outcome) == 100%",
    "share(deliveries, outcome=pending) == 0%",
    "count(deliveries, kind=VirtualService) == 3000",
    "count(convergence) == 6",
    "active_delay < 1m",
    "p99(active_delay, change_id=1) < 10s",
    "max(convergence) < 1m",
]


def run(kept: str, engine: str = "fleet", **keys: object) -> Result:
    return xs.run(
        xs.Scenario(
            name="folded",
            duration="40s",
            engine=engine,
            mesh={"proxies": 500, "services": 5},
            control_plane={"kind": "istiod", "max_connection_age": "none"},
            network={"latency": {"lognormal": {"median": "2ms", "p99": "20ms"}}},
            recording={"deliveries": kept},
            workload=[{"edit": "VirtualService", "every": "5s", "from": "1s", "until": "27s"}],
            expect=EXPECTED,
        ).with_(**keys)
    )


@pytest.fixture(scope="module")
def table() -> Result:
    return run("table")


@pytest.fixture(scope="module")
def folded() -> Result:
    return run("histogram")


def test_the_summary_is_that_of_all_rows_within_the_error_of_a_histogram(
    table: Result, folded: Result
) -> None:
    rows, told = table.summary(), folded.summary()
    assert list(rows.index) == list(told.index)
    for metric in rows.index:
        if metric == "staleness":
            continue  # of the sampled proxies
        for column in EXACT:
            assert told.loc[metric, column] == pytest.approx(rows.loc[metric, column], rel=1e-12), metric
        for column in ("p50", "p90", "p99"):
            found, true = told.loc[metric, column], rows.loc[metric, column]
            assert found == pytest.approx(true, rel=RELATIVE_ERROR), (metric, column)
    assert "histograms" in told.loc["active_delay", "note"]


def test_expectations_are_judged_as_by_rows(table: Result, folded: Result) -> None:
    assert [o.met for o in folded.expectations] == [o.met for o in table.expectations] == [True] * 7
    assert "histograms" in folded.expectations[5].actual


def test_counts_and_stages_are_those_of_all_rows(table: Result, folded: Result) -> None:
    by_rows, told = (change_outcomes(result, by_kind=False) for result in (table, folded))
    assert [(c.kind, c.t_changed_ns, dict(c.counts)) for c in told] == [
        (c.kind, c.t_changed_ns, dict(c.counts)) for c in by_rows
    ]
    assert len(delays_ns(folded, "active_delay")) == len(delays_ns(table, "active_delay"))
    for one, other in zip(stage_times(folded)[0], stage_times(table)[0], strict=True):
        assert one.label == other.label
        assert one.median_ns == pytest.approx(other.median_ns, rel=RELATIVE_ERROR)
        assert one.mean_ns == pytest.approx(other.mean_ns, rel=1e-9)


def test_both_engines_fold_to_the_same_digest(folded: Result) -> None:
    by_events = run("histogram", "events")
    assert by_events.digest == folded.digest
    assert by_events.manifest["utilisation"] == folded.manifest["utilisation"]


@pytest.mark.slow
def test_replicas_and_answers_that_may_be_stale_fold_to_the_same_digest() -> None:
    keys = {"control_plane.replicas": 2, "propagation.protocol": "sotw"}
    assert run("histogram", "events", **keys).digest == run("histogram", "fleet", **keys).digest
    keys = {"control_plane.replicas": 2}
    assert run("histogram", "events", **keys).digest == run("histogram", "fleet", **keys).digest


def test_a_saved_result_has_its_histograms_again_and_says_so(folded: Result, tmp_path: Path) -> None:
    folded.save(tmp_path)
    loaded = Result.load(tmp_path)
    assert loaded.folded is not None
    assert folded.folded is not None
    assert loaded.folded.to_frame().equals(folded.folded.to_frame())
    assert loaded.manifest["deliveries"]["kept"] == "histogram"
    assert loaded.manifest["deliveries"]["rows"] == 3000
    assert "deliveries" not in loaded.manifest["tables"]


def test_what_only_rows_could_tell_is_refused_by_name(folded: Result) -> None:
    from simulator.results.expectations import evaluate
    from simulator.scenario.expectation import parse_expectation

    verdict = evaluate(parse_expectation("p50(active_delay, proxy_id=p7) < 1s"), folded)
    assert not verdict.met
    assert "recording.deliveries: table" in verdict.actual


def test_auto_folds_from_the_threshold_on_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("auto").folded is None
    monkeypatch.setattr("simulator.recording.recorder.MOST_DELIVERY_ROWS", 2999)
    assert run("auto").folded is not None


def test_of_more_rows_than_are_kept_some_proxies_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulator.recording.sampling.SAMPLED_ROWS", 600)
    result = run("histogram")
    proxies = result.deliveries.groupby("change_id")["proxy_id"].agg(set)
    assert all(chosen == proxies[0] for chosen in proxies)
    # 500 proxies, each with probability 1/5: 100 +- 4.5 standard errors of 9.
    assert 60 <= len(proxies[0]) <= 140
