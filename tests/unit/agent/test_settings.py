"""What depends on Istio's version."""

from __future__ import annotations

import pytest

from simulator.agent.settings import (
    native_sidecars_by_default,
    readiness_probe_by_default,
    startup_probe_by_default,
)
from simulator.engine.clock import S


@pytest.mark.parametrize(
    ("version", "native"), [("1.10", False), ("1.26", False), ("1.27", True), ("1.32", True)]
)
def test_native_sidecars_are_automatic_since_1_27(version: str, native: bool) -> None:
    assert native_sidecars_by_default(version) is native


def test_before_1_20_nothing_probes_the_start_and_readiness_is_probed_often() -> None:
    assert not startup_probe_by_default("1.19").enabled
    readiness = readiness_probe_by_default("1.9")
    assert (readiness.initial_delay_ns, readiness.period_ns, readiness.failure_threshold) == (S, 2 * S, 30)


def test_since_1_20_the_start_is_probed_every_second_for_ten_minutes() -> None:
    startup, readiness = startup_probe_by_default("1.20"), readiness_probe_by_default("1.20")
    assert startup.enabled
    assert (startup.period_ns, startup.failure_threshold) == (S, 600)
    assert (readiness.initial_delay_ns, readiness.period_ns, readiness.failure_threshold) == (0, 15 * S, 4)
