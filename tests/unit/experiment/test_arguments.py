"""What Python callers pass by mistake is refused in words, before anything is played."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import simulator as xs
from tests.many import tiny


@pytest.mark.parametrize("seed", ["7", -1, 1.5, True, 2**63])
def test_a_seed_is_a_whole_number(seed: Any) -> None:
    with pytest.raises(xs.ExperimentError, match="whole number from 0"):
        xs.run(tiny(), seed=seed)
    with pytest.raises(xs.ExperimentError, match="whole number from 0"):
        xs.compare({"a": tiny(), "b": tiny()}, seed=seed, executor="serial")
    with pytest.raises(xs.ExperimentError, match="whole number from 0"):
        xs.sweep(tiny(), {"network.latency": ["1ms"]}, seed=seed, executor="serial")


@pytest.mark.parametrize("replication", ["7", -1, 1.5])
def test_a_replication_is_one_too(replication: Any) -> None:
    with pytest.raises(xs.ExperimentError, match=r"replication .*whole number from 0"):
        xs.run(tiny(), replication=replication)


def test_a_value_is_given_once() -> None:
    for call in (xs.compare, xs.sweep):
        with pytest.raises(xs.ExperimentError, match=r"network\.latency: 1ms is given twice"):
            call(tiny(), {"network.latency": ["1ms", "2ms", "1ms"]}, executor="serial")


def test_a_seed_of_numpy_is_as_good() -> None:
    assert xs.run(tiny(), seed=np.int64(7)).digest == xs.run(tiny(), seed=7).digest  # type: ignore[call-overload]


def test_a_file_name_in_place_of_a_scenario_is_told_how_to_become_one() -> None:
    wrong: Any = "scenarios/first-start.yaml"
    for call in (
        lambda: xs.run(wrong),
        lambda: xs.compare({"a": tiny(), "b": wrong}),
        lambda: xs.sweep(wrong, {"seed": [1]}),
        lambda: xs.explain(wrong),
        lambda: xs.search(wrong, "control_plane.cpu", "1..4", "p99(active_delay) < 1s"),
    ):
        with pytest.raises(TypeError, match=r"xs\.load_scenario\('scenarios/first-start\.yaml'\)"):
            call()


def test_a_list_of_scenarios_is_told_that_they_need_labels() -> None:
    wrong: Any = [tiny(), tiny()]
    with pytest.raises(TypeError, match="mapping from label to scenario"):
        xs.compare(wrong)


def test_what_cannot_be_handed_work_is_no_executor() -> None:
    wrong: Any = 4
    with pytest.raises(xs.ExperimentError, match=r"concurrent\.futures\.Executor"):
        xs.run(tiny(), replications=2, executor=wrong)
