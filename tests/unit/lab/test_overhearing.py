"""What conformance tests simulate is written down as scenarios that load, whatever a test is called."""

from __future__ import annotations

import pytest

import simulator as xs
from tests.lab.overhearing import name_of


@pytest.mark.parametrize(
    "test",
    [
        "tests/conformance/test_cases.py::test_a_case[push-sotw: ads, late]",
        f"tests/conformance/test_nack.py::test_{'a_long_name_' * 12}[{'x' * 40}]",
        f"tests/conformance/test_nack.py::test_{'_' * 120}[{{'a': 1}}]",
    ],
)
def test_a_scenario_may_be_called_as_the_test_that_simulates_it(test: str) -> None:
    assert xs.Scenario(name=name_of(test)).name == name_of(test)
