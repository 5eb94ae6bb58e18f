"""A workload's certificate: key and CSR at the agent's start, beside xDS; renewal at half of its life.

The agent generates a key, asks a CA to sign, and hands certificate and root to Envoy by SDS. Envoy waits for
them without a time limit, so a CA that is slow or gone holds up every start, and nothing else for as long as
the certificates in use are valid. One call makes several tries; after it has failed, the agent's warm-up loop
and Envoy's SDS stream (which ended with an error) each come back on their own, and whoever is first begins
anew, since only one CSR of an agent is under way at a time.
Left out: the expiry of the token the agent shows, and requests that fail because a certificate expired.
Source: security/pkg/nodeagent/cache/secretcache.go, caclient/providers/citadel/client.go,
pkg/security/retry.go; before Istio 1.5 security/cmd/node_agent_k8s/main.go at 1.4.10.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from simulator.engine.clock import MS, S
from simulator.engine.delays import Constant, Delay, draw_ns
from simulator.engine.draws import Draws
from simulator.engine.events import After, Band, Clock
from simulator.engine.machine import Machine, bind
from simulator.recording.recorder import Recorder
from simulator.recording.rows import CertificateRow
from simulator.wire.backoff import BackoffSettings, JitteredBackoff
from simulator.wire.certificates import CertificateAuthority, Signed

if TYPE_CHECKING:
    from numpy.typing import NDArray

HOUR_NS = 3600 * S


_AGE = "agent.certificate.age"
_KEY_GENERATION = Constant(150 * MS)
_WARM_UP = BackoffSettings(500 * MS, 60 * S)
_SDS_BACKOFF = BackoffSettings(500 * MS, 30 * S)


@dataclass(frozen=True, slots=True)
class CertificateSettings:
    """How certificates are asked for and renewed; the defaults are those of an agent in each pod.

    Attributes:
        ttl_ns: ``SECRET_TTL``: the life that is asked for.
        grace_ratio: ``SECRET_GRACE_PERIOD_RATIO``: the share of its life that is left at renewal.
        grace_jitter: ``SECRET_GRACE_PERIOD_RATIO_JITTER``: that share varies by so much, both ways.
        scan_ns: Certificates due are only found by a periodic scan (node agent); 0 for a timer each.
        key_generation: Time for key and CSR.
        retries: Further tries of one call.
        retry_backoff_ns: The first wait between them; it doubles.
        retry_jitter: Each wait varies by this share, both ways.
        warm_up: Wait of the agent's own loop after a failed call, longer each time by half; None where the
            agent has no such loop.
        sds_backoff: Wait of Envoy's SDS stream after a failed call, at random below.
    """

    ttl_ns: int = 24 * HOUR_NS
    grace_ratio: float = 0.5
    grace_jitter: float = 0.01
    scan_ns: int = 0
    key_generation: Delay = _KEY_GENERATION
    retries: int = 5
    retry_backoff_ns: int = 100 * MS
    retry_jitter: float = 0.1
    warm_up: BackoffSettings | None = _WARM_UP
    sds_backoff: BackoffSettings = _SDS_BACKOFF

    def rotation_ns(self, u: float) -> int:
        """From issue to renewal: life - (ratio +/- jitter) x life; `u` in [0, 1) draws the jitter."""
        return round(self.ttl_ns * (1 - self.grace_ratio - self.grace_jitter * (2 * u - 1)))


def first_rotations_ns(
    draws: Draws, proxies: NDArray[np.int64], settings: CertificateSettings
) -> NDArray[np.int64]:
    """When proxies that were there before the run first renew their certificates (`begin_held`)."""
    left = draws.uniform_array(_AGE, proxies) * settings.rotation_ns(0.5)
    return left.astype(np.int64)


class CertificateState(Enum):
    """Where an agent's newest certificate stands; the one before stays in use meanwhile."""

    ABSENT = "Absent"
    GENERATING = "Generating"
    SIGNING = "Signing"
    RETRYING = "Retrying"
    FAILED = "Failed"
    HELD = "Held"
    STOPPED = "Stopped"


class CertificateSignal(Enum):
    """What happens to it."""

    WANTED = "wanted"
    KEY_GENERATED = "key generated"
    SIGNED = "signed"
    TRY_FAILED = "try failed"
    CALL_FAILED = "call failed"
    BACKED_OFF = "backed off"
    STOPPED = "stopped"


_S, _G = CertificateState, CertificateSignal
CERTIFICATE = {
    (_S.ABSENT, _G.WANTED): (_S.GENERATING, "generate_key"),
    (_S.ABSENT, _G.STOPPED): (_S.STOPPED, None),
    (_S.GENERATING, _G.KEY_GENERATED): (_S.SIGNING, "call_ca"),
    (_S.GENERATING, _G.STOPPED): (_S.STOPPED, None),
    (_S.SIGNING, _G.SIGNED): (_S.HELD, "deliver"),
    (_S.SIGNING, _G.TRY_FAILED): (_S.RETRYING, "await_next_try"),
    (_S.SIGNING, _G.CALL_FAILED): (_S.FAILED, "await_next_call"),
    (_S.SIGNING, _G.STOPPED): (_S.STOPPED, None),
    (_S.RETRYING, _G.BACKED_OFF): (_S.SIGNING, "call_ca"),
    (_S.RETRYING, _G.STOPPED): (_S.STOPPED, None),
    (_S.FAILED, _G.BACKED_OFF): (_S.GENERATING, "generate_key"),
    (_S.FAILED, _G.STOPPED): (_S.STOPPED, None),
    (_S.HELD, _G.WANTED): (_S.GENERATING, "generate_key"),
    (_S.HELD, _G.STOPPED): (_S.STOPPED, None),
}


def _note_nothing(_own: object, _before: CertificateState, _after: CertificateState) -> None:
    """The states are in no table: its rows are."""


class WorkloadCertificate:
    """The certificates of one agent, from its start to its end.

    Args:
        clock: The clock of the run.
        draws: Its random numbers.
        recorder: Where rows of certificates go.
        proxy: Whose.
        start: Counts the starts of its agent; keys draws.
        settings: How.
        authority: The CA.
        on_issued: Told each certificate and its row: SDS delivers it.
        end_ns: End of the run: what is due later is not put on the agenda.
        node: Whose scan finds what is due.
    """

    __slots__ = (
        "_authority",
        "_call",
        "_clock",
        "_draws",
        "_end_ns",
        "_issued",
        "_machine",
        "_node",
        "_on_issued",
        "_proxy",
        "_recorder",
        "_row",
        "_sds_backoff",
        "_settings",
        "_start",
        "_timer",
        "_tries",
        "_warm_up_ns",
        "expires_ns",
        "held",
    )

    def __init__(
        self,
        clock: Clock,
        draws: Draws,
        recorder: Recorder,
        proxy: int,
        start: int,
        settings: CertificateSettings,
        authority: CertificateAuthority,
        on_issued: Callable[[Signed, CertificateRow | None], None],
        end_ns: int,
        node: int = 0,
    ) -> None:
        self._clock = clock
        self._draws = draws
        self._recorder = recorder
        self._proxy = proxy
        self._start = start
        self._settings = settings
        self._authority = authority
        self._on_issued = on_issued
        self._end_ns = end_ns
        self._node = node
        self._machine = Machine(_S.ABSENT, _ROWS, self, _note_nothing)
        purpose = f"agent.certificate.sds_backoff/{start}"
        self._sds_backoff = JitteredBackoff(settings.sds_backoff, draws, purpose, proxy)
        self._warm_up_ns = settings.warm_up.base_ns if settings.warm_up is not None else 0
        self._row: CertificateRow | None = None
        self._timer: After | None = None
        self._issued = 0
        self._tries = 0
        self._call = 0
        self.held: Signed | None = None
        """The certificate that Envoy has or is given; None at first."""
        self.expires_ns: int | None = None

    @property
    def state(self) -> CertificateState:
        """Where its newest certificate stands."""
        return self._machine.state

    @property
    def issued_row(self) -> CertificateRow | None:
        """What is recorded of the certificate it holds; None of one from before the run, or that a renewal
        under way is to replace.
        """
        return self._row if self._row is not None and self._row.outcome == "issued" else None

    @property
    def is_held_to_the_end(self) -> bool:
        """Whether it has its certificate, and renews it no more within the run."""
        return self.state is _S.HELD and not (self._timer is not None and self._timer.is_pending)

    # --- what happens to it

    def begin(self) -> None:
        """The agent starts: it warms its certificate up without being asked."""
        self._want("start")

    def begin_held(self, root: int) -> None:
        """It was there before the run and has its certificate, whose renewal is met at a random point."""
        self._machine.state = _S.HELD
        self.held = Signed(root)
        interval_ns = self._settings.rotation_ns(0.5)
        left_ns = int(self._draws.uniform(_AGE, self._proxy) * interval_ns)
        self.expires_ns = left_ns + self._settings.ttl_ns - interval_ns
        self._await_rotation(max(0, self._clock.now_ns) + left_ns)

    def stop(self) -> None:
        """The agent ends."""
        if self._timer is not None:
            self._timer.cancel()
        if self._row is not None and self._row.outcome == "pending":
            self._row.outcome = "stopped"
        if self.state is not _S.STOPPED:
            self._machine.fire(_G.STOPPED)

    # --- actions

    def generate_key(self) -> None:
        """A key and a CSR."""
        self._tries = 0
        delay_ns = self._drawn_ns(self._settings.key_generation, "key_generation")
        self._after(delay_ns, _G.KEY_GENERATED)

    def call_ca(self) -> None:
        """One try of the call; there is no deadline on it."""
        row, call = self._row, self._call
        self._call += 1
        if row is not None and row.t_requested_ns is None:
            row.t_requested_ns = self._clock.now_ns

        def answer(signed: Signed | None) -> None:
            if self.state is _S.SIGNING and self._call == call + 1:
                self._answered(signed)

        self._authority.sign(self._proxy, self._start * 1_000_000 + call, answer)

    def await_next_try(self) -> None:
        """The call tries again by itself: 100 ms, 200 ms, ..."""
        settings = self._settings
        u = self._draws.uniform(self._purpose("retry"), self._proxy, self._call)
        spread = 1 + settings.retry_jitter * (2 * u - 1)
        self._after(int(settings.retry_backoff_ns * 2 ** (self._tries - 1) * spread), _G.BACKED_OFF)

    def await_next_call(self) -> None:
        """The warm-up loop or Envoy's new SDS stream, whichever comes first; the loop ends with the first
        certificate."""
        wait_ns, warm_up = self._sds_backoff.next_ns(), self._settings.warm_up
        if self._issued == 0 and warm_up is not None:
            u = self._draws.uniform(self._purpose("warm_up"), self._proxy, self._call)
            wait_ns = min(wait_ns, int(self._warm_up_ns * (0.5 + u)))
            self._warm_up_ns = min(self._warm_up_ns * 3 // 2, warm_up.max_ns)
        self._after(wait_ns, _G.BACKED_OFF)

    def deliver(self) -> None:
        """SDS has it; its renewal is due when half of its life is over."""
        assert self.held is not None
        now_ns, settings = self._clock.now_ns, self._settings
        self.expires_ns = now_ns + settings.ttl_ns
        row = self._row
        if row is not None:
            row.t_issued_ns, row.t_expires_ns = now_ns, self.expires_ns
            row.root, row.outcome = self.held.root, "issued"
        self._issued += 1
        self._sds_backoff.reset()
        u = self._draws.uniform(self._purpose("rotation"), self._proxy, self._issued)
        self._await_rotation(now_ns + settings.rotation_ns(u))
        self._on_issued(self.held, row)

    # --- the steps between

    def _want(self, cause: str) -> None:
        self._row = self._recorder.certificate(self._proxy, cause, self._clock.now_ns)
        self._machine.fire(_G.WANTED)

    def _answered(self, signed: Signed | None) -> None:
        if signed is not None:
            self.held = signed
            self._machine.fire(_G.SIGNED)
            return
        self._tries += 1
        if self._row is not None:
            self._row.failures += 1
        self._machine.fire(_G.TRY_FAILED if self._tries <= self._settings.retries else _G.CALL_FAILED)

    def _await_rotation(self, due_ns: int) -> None:
        scan_ns = self._settings.scan_ns
        if scan_ns:
            phase_ns = int(self._draws.uniform("agent.certificate.scan", self._node) * scan_ns)
            due_ns += (phase_ns - due_ns) % scan_ns
        if due_ns <= self._end_ns:
            self._timer = self._clock.at(
                due_ns, lambda: self._want("rotation"), band=Band.TIMER, entity=self._proxy
            )

    def _purpose(self, what: str) -> str:
        return f"agent.certificate.{what}/{self._start}"

    def _drawn_ns(self, delay: Delay, what: str) -> int:
        return draw_ns(delay, self._draws, self._purpose(what), self._proxy, self._call)

    def _after(self, delay_ns: int, signal: CertificateSignal) -> None:
        self._timer = self._clock.after(
            delay_ns, lambda: self._machine.fire(signal), band=Band.TIMER, entity=self._proxy
        )


_ROWS = bind(CERTIFICATE, WorkloadCertificate)
TABLES = {"workload_certificate": (CERTIFICATE, _S.ABSENT, (_S.STOPPED,))}
