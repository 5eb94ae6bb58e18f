"""Citadel: a Secret with key and certificate for each service account.

A Secret is made when Citadel sees the service account. It is looked at when the informer resyncs, every
minute, and made anew where half of the certificate's life is over or the root is another one; a restarted
Citadel makes what is missing at once and looks at the others a minute later. One goroutine does that, key by
key, so a root rotation takes as long as all keys together. What Citadel wrote stays when it is gone.
Left out: Secrets that a user deletes; several Citadels.
Source: security/pkg/k8s/controller/workloadsecret.go (secretResyncPeriod 1m; upsertSecret, scrtUpdated),
security/pkg/cmd/constants.go at 1.4.10 (TTL 90 d, ratio 0.5, at least 10 minutes).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from simulator.engine.clock import S
from simulator.engine.delays import Constant, Delay, draw_ns
from simulator.engine.events import After, Band, Clock
from simulator.engine.servers import SerialServer
from simulator.mesh.services import stable_id

if TYPE_CHECKING:
    from simulator.engine.draws import Draws

_DAY_NS = 24 * 3600 * S
_AT_ONCE: Delay = Constant(0)


@dataclass(frozen=True, slots=True)
class CitadelSettings:
    """How Citadel issues.

    Attributes:
        ttl_ns: ``--workload-cert-ttl``.
        grace_ratio: ``--workload-cert-grace-period-ratio``: the share of its life that is left at renewal.
        min_grace_ns: ``--workload-cert-min-grace-period``.
        resync_ns: secretResyncPeriod.
        key_generation: Time for a key and a CSR.
        signing: Time for a signature.
        write: Time of a call to the API server.
    """

    ttl_ns: int = 90 * _DAY_NS
    grace_ratio: float = 0.5
    min_grace_ns: int = 600 * S
    resync_ns: int = 60 * S
    key_generation: Delay = _AT_ONCE
    signing: Delay = _AT_ONCE
    write: Delay = _AT_ONCE

    @property
    def rotation_ns(self) -> int:
        """From issue until a Secret is due."""
        return self.ttl_ns - max(round(self.grace_ratio * self.ttl_ns), self.min_grace_ns)


@dataclass(frozen=True, slots=True)
class AccountSecret:
    """What ``istio.<service account>`` holds.

    Attributes:
        account: ``namespace/name`` of the service account.
        revision: Counts its certificates.
        root: Number of the root.
        t_wanted_ns: When Citadel saw that one is needed.
        t_issued_ns: When the Secret was written.
        t_expires_ns: When the certificate ends.
    """

    account: str
    revision: int
    root: int
    t_wanted_ns: int
    t_issued_ns: int
    t_expires_ns: int


@dataclass(frozen=True, slots=True)
class _Key:
    """A key that is being made: whose, under which number for draws, for which revision, wanted since."""

    account: str
    entity: int
    revision: int
    wanted_ns: int


class Citadel:
    """The CA of Istio 1.0 to 1.4.

    Args:
        clock: Time.
        draws: Random numbers, keyed by service account or proxy.
        settings: How.
        end_ns: End of the run: what is due later is not put on the agenda.
        is_serving: It runs since long ago.

    Attributes:
        root: Number of the root certificate in use.
        is_down: Nothing is signed, though the process runs.
        slowness: What each signature takes besides; None where nothing is wrong.
        watchers: Told each Secret that is written.
        stop_watchers: Told that the process ended.
    """

    def __init__(
        self, clock: Clock, draws: Draws, settings: CitadelSettings, end_ns: int, *, is_serving: bool
    ) -> None:
        self._clock = clock
        self._draws = draws
        self._settings = settings
        self._end_ns = end_ns
        self._secrets: dict[str, AccountSecret] = {}
        self._missing: dict[str, int] = {}
        """Service accounts without a Secret, and since when."""
        self._in_work: dict[str, None] = {}
        self._resync: After | None = None
        self._lives = 0
        self._resync_phase_ns = int(draws.uniform("citadel.resync", 0) * settings.resync_ns)
        self._worker = SerialServer(clock)
        self.is_serving = is_serving
        self.root = 0
        self.is_down = False
        self.slowness: Delay | None = None
        self.watchers: list[Callable[[AccountSecret], None]] = []
        self.stop_watchers: list[Callable[[], None]] = []

    # --- the process

    def start(self) -> None:
        """It has read service accounts and Secrets."""
        if self.is_serving:
            return
        self.is_serving = True
        self._worker = SerialServer(self._clock)
        self._resync_phase_ns = self._clock.now_ns % self._settings.resync_ns
        for account, wanted_ns in self._missing.items():
            self._make(account, wanted_ns)
        self._await_resync(self._clock.now_ns + 1)

    def stop(self) -> None:
        """It ends: what it was making is lost."""
        self._lives += 1
        self.is_serving = False
        self._in_work.clear()
        if self._resync is not None:
            self._resync.cancel()
            self._resync = None
        for watcher in self.stop_watchers:
            watcher()

    # --- Secrets

    def secret(self, account: str) -> AccountSecret | None:
        """The Secret of a service account, if Citadel wrote one."""
        return self._secrets.get(account)

    def add_account(self, account: str) -> None:
        """A service account is created; one of before the run has had its Secret for long."""
        if account in self._secrets or account in self._missing:
            return
        now_ns = self._clock.now_ns
        if now_ns < 0 and self.is_serving:
            age_ns = int(self._draws.uniform("citadel.age", stable_id(account)) * self._settings.rotation_ns)
            expires_ns = self._settings.ttl_ns - age_ns
            self._secrets[account] = AccountSecret(account, 0, self.root, -age_ns, -age_ns, expires_ns)
            self._await_resync(0)
            return
        self._missing[account] = now_ns
        if self.is_serving:
            self._make(account, now_ns)

    def rotate_root(self) -> None:
        """It has a new root: every Secret is another one's."""
        self.root += 1
        self._await_resync(self._clock.now_ns)

    def _due_ns(self, secret: AccountSecret) -> int:
        if secret.root != self.root:
            return 0
        return secret.t_expires_ns - (self._settings.ttl_ns - self._settings.rotation_ns)

    def _await_resync(self, from_ns: int) -> None:
        """Puts the first resync from an instant on that finds something due on the agenda."""
        if self._resync is not None:
            self._resync.cancel()
            self._resync = None
        waiting = [self._due_ns(s) for s in self._secrets.values() if s.account not in self._in_work]
        if not self.is_serving or not waiting:
            return
        due_ns = max(from_ns, 0, min(waiting))
        due_ns += (self._resync_phase_ns - due_ns) % self._settings.resync_ns
        if due_ns <= self._end_ns:
            self._resync = self._clock.at(due_ns, self._on_resync, band=Band.TIMER)

    def _on_resync(self) -> None:
        self._resync = None
        now_ns = self._clock.now_ns
        for secret in self._secrets.values():
            if secret.account not in self._in_work and self._due_ns(secret) <= now_ns:
                self._make(secret.account, now_ns)
        self._await_resync(now_ns + 1)

    def _make(self, account: str, wanted_ns: int) -> None:
        """Key and certificate, behind those that are being made."""
        before = self._secrets.get(account)
        key = _Key(account, stable_id(account), 0 if before is None else before.revision + 1, wanted_ns)
        self._in_work[account] = None
        self._worker.submit(lambda: self._cost_ns(key), self._alive(partial(self._signed, key)))

    def _cost_ns(self, key: _Key) -> int:
        generation_ns = self._drawn_ns(self._settings.key_generation, "key_generation", key)
        return generation_ns + self.signing_ns(key.entity, key.revision)

    def _signed(self, key: _Key) -> None:
        if self.is_down:  # an error is logged; the next resync tries again
            del self._in_work[key.account]
            self._await_resync(self._clock.now_ns + 1)
            return
        delay_ns = self._drawn_ns(self._settings.write, "write", key)
        written = self._alive(partial(self._written, key, self.root))
        self._clock.after(delay_ns, written, band=Band.MESSAGE, entity=key.entity)

    def _written(self, key: _Key, root: int) -> None:
        account, now_ns = key.account, self._clock.now_ns
        del self._in_work[account]
        self._missing.pop(account, None)
        expires_ns = now_ns + self._settings.ttl_ns
        secret = AccountSecret(account, key.revision, root, key.wanted_ns, now_ns, expires_ns)
        self._secrets[account] = secret
        self._await_resync(now_ns + 1)
        for watcher in self.watchers:
            watcher(secret)

    def signing_ns(self, entity: int, index: int) -> int:
        """Time of one signature, and of what slows it down."""
        signing_ns = draw_ns(self._settings.signing, self._draws, "citadel.signing", entity, index)
        if self.slowness is not None:
            signing_ns += draw_ns(self.slowness, self._draws, "citadel.outage", entity, index)
        return signing_ns

    def _drawn_ns(self, law: Delay, what: str, key: _Key) -> int:
        return draw_ns(law, self._draws, f"citadel.{what}", key.entity, key.revision)

    def _alive(self, call: Callable[[], None]) -> Callable[[], None]:
        """The call, unless the process has ended meanwhile."""
        life = self._lives

        def if_alive() -> None:
            if life == self._lives:
                call()

        return if_alive
