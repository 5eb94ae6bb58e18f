"""What is known of an Envoy by the lines of its log."""

from __future__ import annotations

import pytest

from simulator.engine.events import Clock
from simulator.lab.log import fact_of
from simulator.lab.witness import Witness
from simulator.recording.ledger import ChangeLedger
from simulator.recording.recorder import Recorder
from simulator.xds.resources import Names

PENDING = "debug|config|add active listener: name=l0, original_hash=1, tag=1"
WARMING = "debug|config|add warming listener: name=l0, original_hash=1, tag=1"
LEAVING = "debug|config|begin remove listener: name=l0"
STAYS = "debug|config|unknown/locked listener 'l0'. no remove"
WITHDRAWN = "info|upstream|lds: remove listener 'l0'"
STARTED = "info|config|all dependencies initialized. starting workers"
DRAINING = "debug|config|draining listener: name=l0, original_hash=1, tag=1"
REMOVED = "debug|config|listener removal complete: name=l0, original_hash=1, tag=1"


def states_of_l0(*lines: str) -> list[str]:
    """What the listener goes through, by these lines of a log."""
    recorder = Recorder(["p0"], messages=True, states=True)
    ledger: ChangeLedger[Names] = ChangeLedger(recorder, Names.minus)
    witness = Witness(0, recorder.startup(0, 0, "start", 0), Clock(), recorder, ledger)
    for number, line in enumerate(lines):
        fact = fact_of(f"1.5|{line}")
        assert fact is not None, line
        witness.on_fact(fact, number)
    return [row[4] for row in recorder.state_rows if row[3] == "l0"]


def test_a_listener_removed_while_the_server_waits_for_it_is_never_active() -> None:
    """Its end is what the workers' start waited for: they start between the two lines of its removal."""
    assert states_of_l0(PENDING, LEAVING, STARTED, WITHDRAWN) == ["ACTIVE_PENDING", "GONE"]


def test_a_listener_removed_while_the_server_waits_for_another_is_never_active() -> None:
    assert states_of_l0(PENDING, LEAVING, WITHDRAWN, STARTED) == ["ACTIVE_PENDING", "GONE"]


def test_a_listener_of_the_bootstrap_that_lds_does_not_name_stays() -> None:
    """State of the world: Envoy tries to remove what a response leaves out, and may not remove this one."""
    assert states_of_l0(PENDING, LEAVING, STAYS, STARTED) == ["ACTIVE_PENDING", "ACTIVE"]


@pytest.mark.parametrize("before", [[PENDING, STARTED], [STARTED, PENDING]])
def test_a_listener_in_service_drains_before_it_is_gone(before: list[str]) -> None:
    states = states_of_l0(*before, LEAVING, DRAINING, WITHDRAWN, REMOVED)
    assert states[-3:] == ["ACTIVE", "DRAINING", "GONE"]


def test_a_listener_removed_while_it_warms_is_gone_at_once() -> None:
    assert states_of_l0(STARTED, WARMING, LEAVING, WITHDRAWN) == ["WARMING", "GONE"]
