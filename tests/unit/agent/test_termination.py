"""How long a deleted pod serves: native sidecar, default sidecar, EXIT_ON_ZERO, gateway."""

from __future__ import annotations

import pytest

from simulator.agent.settings import TerminationSettings
from simulator.agent.termination import Termination, termination
from simulator.engine.clock import MS, S

DEFAULT = TerminationSettings()
NATIVE = TerminationSettings(native_sidecars=True)
ON_ZERO = TerminationSettings(exit_on_zero_active_connections=True)


def end(
    settings: TerminationSettings,
    pre_stop: int,
    grace: int = 30,
    last_connection: int | None = None,
    is_gateway: bool = False,
) -> tuple[int, int, int]:
    """(serves until, proxy exits, pod gone); all in whole seconds."""
    ended = termination(
        settings,
        pre_stop_ns=pre_stop * S,
        grace_ns=grace * S,
        last_connection_ns=None if last_connection is None else last_connection * S,
        is_gateway=is_gateway,
    )
    return (ended.serves_until_ns // S, ended.proxy_exits_ns // S, ended.pod_gone_ns // S)


@pytest.mark.parametrize(
    ("settings", "pre_stop", "grace", "expected"),
    [
        (DEFAULT, 30, 60, (5, 5, 30)),  # the application's preStop does not hold the proxy
        (DEFAULT, 0, 30, (0, 5, 5)),  # the application is gone at once, its proxy drains for nobody
        (DEFAULT, 3, 30, (3, 5, 5)),
        (DEFAULT, 30, 4, (4, 4, 4)),
        (NATIVE, 30, 60, (30, 30, 30)),
        (NATIVE, 30, 10, (10, 10, 10)),
        (NATIVE, 0, 30, (0, 0, 0)),
    ],
)
def test_serving_path(
    settings: TerminationSettings, pre_stop: int, grace: int, expected: tuple[int, ...]
) -> None:
    assert end(settings, pre_stop, grace) == expected


def test_termination_drain_is_a_setting() -> None:
    assert end(TerminationSettings(termination_drain_ns=12 * S), pre_stop=30) == (12, 12, 30)


def test_the_five_seconds_of_the_default_sidecar_do_not_outlive_eight_seconds_of_propagation() -> None:
    propagation_ns = 8 * S
    default, native, on_zero = (
        termination(s, pre_stop_ns=30 * S, grace_ns=60 * S, last_connection_ns=propagation_ns)
        for s in (DEFAULT, NATIVE, ON_ZERO)
    )
    assert default.serves_until_ns == 5 * S < propagation_ns
    assert native.serves_until_ns >= propagation_ns
    assert on_zero.serves_until_ns >= propagation_ns


@pytest.mark.parametrize(
    ("last_connection", "exits"),
    [(0, 6), (6, 6), (7, 7), (8, 8), (29, 29), (31, 30), (None, 30)],
    ids=["none at all", "gone at the first look", "a second later", "at 8 s", "late", "too late", "never"],
)
def test_exit_on_zero_looks_every_second_after_the_minimum(last_connection: int | None, exits: int) -> None:
    assert end(ON_ZERO, pre_stop=20, last_connection=last_connection)[1] == exits


def test_exit_on_zero_sees_a_closed_connection_at_its_next_look() -> None:
    ended = termination(ON_ZERO, pre_stop_ns=30 * S, grace_ns=60 * S, last_connection_ns=8 * S + 1 * MS)
    assert ended == Termination(9 * S, 9 * S, 30 * S)


def test_exit_on_zero_keeps_the_proxy_no_longer_serving_than_the_application() -> None:
    assert end(ON_ZERO, pre_stop=3, last_connection=10) == (3, 10, 10)


def test_a_native_sidecar_does_not_wait_for_connections() -> None:
    both = TerminationSettings(native_sidecars=True, exit_on_zero_active_connections=True)
    assert end(both, pre_stop=7, last_connection=20) == (7, 7, 7)


def test_a_gateway_drains_behind_its_own_pre_stop_hook() -> None:
    assert end(DEFAULT, pre_stop=10, is_gateway=True) == (15, 15, 15)
    assert end(DEFAULT, pre_stop=28, is_gateway=True) == (30, 30, 30)
    assert end(ON_ZERO, pre_stop=2, last_connection=9, is_gateway=True) == (9, 9, 9)
