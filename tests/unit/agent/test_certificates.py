"""One agent's certificates: when they are asked for, tried again and renewed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from simulator.agent.certificates import CertificateSettings, CertificateState, WorkloadCertificate
from simulator.engine.clock import MS, S
from simulator.engine.delays import Constant
from simulator.engine.draws import Draws
from simulator.engine.events import Clock
from simulator.recording.recorder import Recorder
from simulator.wire.certificates import Signed

HOUR = 3600 * S
PLAIN = CertificateSettings(key_generation=Constant(100 * MS), grace_jitter=0.0, retry_jitter=0.0)


class Halfway(Draws):
    """Every draw is one half."""

    def uniform(self, purpose: str, entity: int = 0, index: int = 0) -> float:
        return 0.5


class Agent:
    """One agent before a CA that takes 10 ms and works as told, call by call; the last word repeats."""

    def __init__(self, settings: CertificateSettings, works: Iterable[bool] = (True,), node: int = 0) -> None:
        self.clock = Clock()
        self.works = list(works)
        self.calls: list[int] = []
        self.issued: list[int] = []
        self.recorder = Recorder(["p0"], messages=False, states=False)
        self.certificate = WorkloadCertificate(
            self.clock,
            Halfway(1),
            self.recorder,
            0,
            0,
            settings,
            self,
            lambda _signed, _row: self.issued.append(self.clock.now_ns),
            10**18,
            node,
        )

    def sign(self, proxy: int, call: int, answer: Callable[[Signed | None], None]) -> None:
        self.calls.append(self.clock.now_ns // MS)
        works = self.works.pop(0) if len(self.works) > 1 else self.works[0]
        self.clock.after(10 * MS, lambda: answer(Signed(0) if works else None))


def test_a_certificate_is_there_after_key_generation_and_one_call() -> None:
    agent = Agent(PLAIN)
    agent.certificate.begin()
    agent.clock.run(HOUR)
    assert agent.issued == [110 * MS]
    [row] = agent.recorder.certificate_rows
    assert (row.t_requested_ns, row.t_issued_ns, row.failures) == (100 * MS, 110 * MS, 0)
    assert row.t_expires_ns == 110 * MS + 24 * HOUR


def test_a_failed_call_is_tried_again_after_100_ms_doubling_to_1600_ms() -> None:
    agent = Agent(PLAIN, [False] * 5 + [True])
    agent.certificate.begin()
    agent.clock.run(60 * S)
    waits = [after - before - 10 for before, after in zip(agent.calls, agent.calls[1:], strict=False)]
    assert waits == [100, 200, 400, 800, 1600]
    assert len(agent.issued) == 1


def test_after_a_failed_call_whoever_comes_first_begins_anew_with_a_new_key() -> None:
    agent = Agent(PLAIN, [False] * 6 + [True])
    agent.certificate.begin()
    agent.clock.run(60 * S)
    # Half of Envoy's 500 ms comes before the agent's own 500 ms; then 100 ms for the key.
    assert agent.calls[6] - agent.calls[5] == 10 + 250 + 100


def test_a_certificate_is_renewed_every_12_hours() -> None:
    agent = Agent(PLAIN)
    agent.certificate.begin()
    agent.clock.run(50 * HOUR)
    gaps = [after - before for before, after in zip(agent.issued, agent.issued[1:], strict=False)]
    assert gaps == [12 * HOUR + 110 * MS] * 4
    assert [row.cause for row in agent.recorder.certificate_rows] == ["start"] + ["rotation"] * 4


@pytest.mark.parametrize(("u", "minutes"), [(0.0, 734.4), (0.5, 720.0), (1.0, 705.6)])
def test_jitter_of_1_percent_moves_the_renewal_by_up_to_14_4_minutes(u: float, minutes: float) -> None:
    assert CertificateSettings().rotation_ns(u) == round(minutes * 60 * S)


def test_a_certificate_that_was_there_is_renewed_within_12_hours_and_lives_as_long_as_that_says() -> None:
    agent = Agent(PLAIN)
    agent.certificate.begin_held(0)
    assert agent.certificate.expires_ns == 18 * HOUR
    agent.clock.run(7 * HOUR)
    assert agent.issued == [6 * HOUR + 110 * MS]


def test_a_node_agent_finds_what_is_due_by_a_scan_every_10_minutes() -> None:
    agent = Agent(replace(PLAIN, scan_ns=600 * S))
    agent.certificate.begin()
    agent.clock.run(13 * HOUR)
    [start, renewal] = agent.recorder.certificate_rows
    assert renewal.t_wanted_ns == 12 * HOUR + 300 * S  # the phase drawn: half of the interval
    assert start.t_issued_ns is not None
    assert renewal.t_wanted_ns - start.t_issued_ns > 12 * HOUR


def test_an_agent_that_ends_asks_no_more_and_takes_no_answer() -> None:
    agent = Agent(PLAIN, [False])
    agent.certificate.begin()
    agent.clock.run(105 * MS)
    agent.certificate.stop()
    agent.clock.run(HOUR)
    assert agent.calls == [100]
    assert agent.certificate.state is CertificateState.STOPPED
    assert [row.outcome for row in agent.recorder.certificate_rows] == ["stopped"]
