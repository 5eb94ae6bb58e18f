"""Times of the laboratory, for people."""

import pytest

from simulator.lab.wording import ms


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-0.0004, "0 ms"),
        (0.0, "0 ms"),
        (-0.0126, "-13 ms"),
        (0.0126, "13 ms"),
        (9.9, "9900 ms"),
        (12.0, "12.00 s"),
    ],
)
def test_a_time_is_never_minus_nothing(seconds: float, told: str) -> None:
    assert ms(seconds) == told
