"""A process whose surroundings are real and whose subscriptions are up to the test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from simulator.calibration.costs import load_calibration, zero_costs
from simulator.engine.clock import MS, S
from simulator.engine.delays import Constant
from simulator.engine.draws import Draws
from simulator.engine.events import Clock, Deadlines
from simulator.envoy.main_thread import Costs, MainThread
from simulator.envoy.process import Process, Workers
from simulator.envoy.settings import EnvoySettings
from simulator.recording.ledger import ChangeLedger
from simulator.recording.recorder import Recorder
from simulator.wire.backoff import BackoffSettings
from simulator.xds.resource_types import RESOURCE_TYPES
from simulator.xds.resources import Names

MakeProcess = Callable[..., Process]


@pytest.fixture
def make_process(clock: Clock, draws: Draws) -> MakeProcess:
    """`make_process(apply_ns=0, **settings)`: costs are zero but for what RDS updates take."""

    def make(apply_ns: int = 0, **settings: object) -> Process:
        recorder = Recorder(["p0"], messages=True, states=True)
        laws = {**zero_costs(load_calibration().costs), "decode_failed": Constant(apply_ns)}
        base = EnvoySettings(
            has_xds=True,
            readiness_needs=(),
            initial_fetch_timeout_ns=dict.fromkeys(RESOURCE_TYPES, 2 * S),
            costs=laws,
            backoff=BackoffSettings(100 * MS, 100 * MS),
        )
        costs = Costs(laws, draws, 0, clock)
        return Process(
            proxy=0,
            clock=clock,
            deadlines=Deadlines(clock),
            draws=draws,
            recorder=recorder,
            settings=replace(base, **settings),  # type: ignore[arg-type]
            row=recorder.startup(0, 0, "start", 0),
            changes=ChangeLedger(recorder, Names.minus),
            costs=costs,
            main_thread=MainThread(clock, 0, costs, 0, lambda: 0),
            workers=Workers(clock, 0),
            on_first_subscription=lambda: None,
            on_received=lambda: None,
        )

    return make


@pytest.fixture
def process(make_process: MakeProcess) -> Process:
    return make_process()
