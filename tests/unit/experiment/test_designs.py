"""Grids are complete and in order; designs fill every key's range evenly, and the same for every seed."""

import pytest

from simulator.experiment.designs import points_of
from simulator.experiment.errors import ExperimentError
from simulator.experiment.values import Range

OVER = {"a": Range("0.0", "1.0"), "b": Range("10ms", "1s", True), "c": ["x", "y"]}


def test_a_grid_has_every_combination_and_the_last_key_changes_fastest() -> None:
    points = points_of({"a": [1, 2], "b": ["x", "y"]}, "grid", None, 1)
    assert points == [{"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"}]


@pytest.mark.slow  # imports scipy.stats
@pytest.mark.parametrize("design", ["lhs", "sobol"])
def test_a_design_has_one_point_in_each_of_as_many_slices(design: str) -> None:
    points = points_of(OVER, design, 16, 3)
    assert sorted(int(min(point["a"], 0.9999) * 16) for point in points) == list(range(16))
    assert sum(point["c"] == "x" for point in points) == 8
    assert points == points_of(OVER, design, 16, 3)
    assert points != points_of(OVER, design, 16, 4)


@pytest.mark.parametrize(
    ("over", "design", "points", "why"),
    [
        (OVER, "grid", None, "single values"),
        ({"a": [1]}, "grid", 5, "lhs or sobol"),
        (OVER, "lhs", None, "--points"),
        (OVER, "sobol", 0, "--points"),
        (OVER, "random", 5, "unknown design"),
        ({"a": Range("5", "1")}, "lhs", 5, "must rise"),
    ],
)
def test_a_design_that_does_not_fit_is_refused(over, design, points, why) -> None:
    with pytest.raises(ExperimentError, match=why):
        points_of(over, design, points, 1)
