"""Deliveries and pushes that are counted while the run goes on are those of the whole run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import simulator as xs
from simulator.fleet.errors import CannotTakeFleet, RowsTouched
from simulator.recording.push_tally import PUSH_SPANS
from simulator.recording.recorder import Recorder
from simulator.results.folded import FoldedDeliveries, fold
from simulator.results.tables import further_deliveries, own_deliveries, sampled_deliveries
from simulator.scenario.build import build
from tests.determinism.random_seeds import thinned
from tests.fleet_scenarios import scenario

FAST = range(3)
SLOW = thinned(range(3, 100), 3, beside=(5, 8, 20, 46, 56, 58, 76, 77, 88, 91, 95))


@pytest.fixture(autouse=True)
def few_sampled_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the sample is narrowed while the run goes on."""
    monkeypatch.setattr("simulator.recording.sampling.SAMPLED_ROWS", 60)


def played(of: xs.Scenario, engine: str, most_rows: int | None = None, **keys: Any) -> Recorder:
    world = build(of.with_(engine=engine, **keys), of.seed)
    if most_rows is not None:
        world.recorder.most_delivery_rows = most_rows
    world.run()
    return world.recorder


def folded(recorder: Recorder) -> tuple[FoldedDeliveries, pd.DataFrame]:
    told, rows = fold(recorder, own_deliveries(recorder), further_deliveries(recorder))
    return told, sampled_deliveries(recorder, rows)


def pushes(told: FoldedDeliveries) -> list[object]:
    found = []
    for samples in (told.samples_of_pushes(metric) for metric in PUSH_SPANS):
        histogram = samples.as_histogram() if samples.n else None
        buckets = [] if histogram is None else list(zip(histogram.buckets, histogram.counts, strict=True))
        found.append((buckets, samples.max, samples.total))
    return found


def assert_counted_as_they_go(seed: int) -> None:
    of = scenario(seed)
    keys = {"recording.proxy_pushes": False}
    try:
        counted = played(of, "fleet", **keys, **{"recording.deliveries": "histogram"})
        # From some change on: what was kept until then is counted at that instant.
        later = played(of, "fleet", counted.deliveries_begun // 2, **keys, **{"recording.deliveries": "auto"})
        kept = played(of, "fleet", **keys, **{"recording.deliveries": "table"})
    except (CannotTakeFleet, RowsTouched):
        return
    is_refused = any(getattr(entry, "rejected_by_envoy", False) for entry in of.workload)
    has_rows = kept.delivery_parts is not None and any(len(part["proxy"]) for part in kept.delivery_parts())
    if of.propagation.protocol == "delta" and not is_refused and has_rows:
        assert counted.delivery_tally is not None
        assert later.delivery_tally is not None
    assert kept.delivery_tally is None
    whole, sample = folded(kept)
    for recorder in (counted, later):
        told, rows = folded(recorder)
        assert list(told.to_bytes()) == list(whole.to_bytes())
        assert rows.equals(sample)
        assert pushes(told) == pushes(whole)
    assert [row.t_last_sent_ns for row in counted.push_rows] == [row.t_last_sent_ns for row in kept.push_rows]


@pytest.mark.parametrize("seed", FAST)
def test_what_is_counted_in_the_run_is_what_its_rows_would_tell(seed: int) -> None:
    assert_counted_as_they_go(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW)
def test_what_is_counted_in_more_runs_is_what_their_rows_would_tell(seed: int) -> None:
    assert_counted_as_they_go(seed)


def churn(protocol: str = "delta") -> xs.Scenario:
    return xs.Scenario(
        name="churn",
        duration="3s",
        mesh={"proxies": 24, "services": 4, "endpoints": 3},
        control_plane={
            "kind": "istiod",
            "cpu": 1,
            "push_throttle": 2,
            "debounce": {"after": "10ms"},
            "max_connection_age": "none",
        },
        network={"latency": {"uniform": ["1ms", "300ms"]}},
        recording={"deliveries": "histogram", "proxy_pushes": False, "messages": False, "states": False},
        workload=[
            {"edit": "VirtualService", "every": "70ms", "from": "1s", "until": "3s"},
            {"edit": "DestinationRule", "name": "one", "every": "90ms", "from": "1s", "until": "2s"},
        ],
        propagation={"protocol": protocol},
    )


@pytest.mark.parametrize("protocol", ["delta", "sotw"])
def test_both_engines_count_the_same_where_pushes_merge_and_the_end_cuts_them_off(protocol: str) -> None:
    """Over state of the world the rows are counted when the run is over."""
    of = churn(protocol)
    (arrays, rows), (events, other_rows) = (folded(played(of, engine)) for engine in ("fleet", "events"))
    assert pushes(arrays) == pushes(events)
    assert set(arrays.outcomes()) == {"active", "pending", "superseded"}
    assert list(arrays.to_bytes()) == list(events.to_bytes())
    assert rows.equals(other_rows)


def test_acks_that_are_read_with_the_next_send_are_counted_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pushes are handed on in small pieces, so that ACKs outlive the piece that they belong to."""
    monkeypatch.setattr("simulator.fleet.pushes_over.CHUNK", 32)
    (arrays, _), (events, _) = (folded(played(churn(), engine)) for engine in ("fleet", "events"))
    assert list(arrays.to_bytes()) == list(events.to_bytes())
    in_hand = np.concatenate([c.spans["ack_delay"].values for c in events.changes])
    assert np.isfinite(in_hand).any()
