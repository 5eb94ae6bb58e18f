"""A model that is wrong on purpose is caught: what verify passes, it passes for a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from simulator.envoy.cluster_manager import ClusterManager
from simulator.envoy.subscription import Subscription
from simulator.lab.verify import verify
from tests.lab.scripts import script, told


def test_a_fetch_timeout_armed_at_connect_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """T2: the timer starts with the subscription. Armed when the stream opens, a refused start never ends."""
    scenario = script("refused", "4s", connect="refuse")
    monkeypatch.setattr(Subscription, "__init__", without_timer(Subscription.__init__))

    verdict = verify(scenario, runs=1)

    assert "workers started" in [row.rule for row in verdict.differing]


def test_a_cds_ack_that_is_not_withheld_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """W2: the ACK of a CDS update waits until its clusters are warm."""
    scenario = script(
        "warming",
        "4s",
        pushes=[
            {"at": "1s", "type": "cds", "change": ["c0"]},
            # Not at 2 s, when the fetch timeout of 1 s ends: which of the two is first would be luck.
            {"at": "1.5s", "type": "eds", "send": ["c0"]},
        ],
    )
    right = verify(scenario)
    if not right.is_judged:
        pytest.skip(f"NOT JUDGED: the machine was too busy in all {right.disturbed} plays")
    assert right.agrees, told(right)
    monkeypatch.setattr(ClusterManager, "_update_cds_gate", lambda manager: None)

    verdict = verify(scenario, runs=1)

    assert not verdict.agrees, "the wrong model passes"
    assert any("cds" in row.rule or row.rule == "order" for row in verdict.differing)
    assert "ack cds" in verdict.explained()


def without_timer(made: Callable[..., None]) -> Callable[..., None]:
    """Breaks the model: where no stream opens, no timer is armed."""

    def made_without(
        subscription: Subscription, process: Any, type_: Any, names: Any, has_timer: bool, on_timeout: Any
    ) -> None:
        made(subscription, process, type_, names, False, on_timeout)

    return made_without
