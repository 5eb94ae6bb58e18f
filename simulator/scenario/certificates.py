"""Joins certificates: agents that want them, the CA that signs, Envoy's SDS; here from Istio 1.5 on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from simulator.agent.certificates import CertificateSettings, WorkloadCertificate
from simulator.agent.secret_discovery import ROOT_SECRETS, SecretDiscovery
from simulator.agent.settings import certificate_jitter_by_default
from simulator.control_plane.istiod.deployment import Deployment
from simulator.engine.clock import format_duration
from simulator.engine.delays import Delay, draw_ns
from simulator.envoy.process import Process
from simulator.recording.ledger import Change, ChangeLedger
from simulator.recording.recorder import Recorder
from simulator.recording.rows import CertificateRow
from simulator.scenario.certificate_references import certificate_provider
from simulator.scenario.schema import Scenario
from simulator.wire.certificates import CertificateAuthority, Signed
from simulator.wire.contract import ConfigSource
from simulator.xds.resource_types import SDS
from simulator.xds.resources import Names

ROOT_CHANGE = "RootCertificate"
"""Kind of the change that a new root is; a proxy has it with its next certificate."""


def certificate_settings(scenario: Scenario) -> CertificateSettings:
    """How every agent asks for certificates."""
    given = scenario.agent.certificates
    jitter = given.grace_period_ratio_jitter
    version = scenario.control_plane.version
    settings = CertificateSettings(
        ttl_ns=given.ttl,
        grace_ratio=given.grace_period_ratio,
        grace_jitter=certificate_jitter_by_default(version) if jitter == "auto" else jitter,
        key_generation=given.key_generation,
        retries=given.retries,
        retry_backoff_ns=given.retry_backoff,
    )
    if certificate_provider(scenario) != "node-agent":
        return settings
    return replace(settings, scan_ns=given.secret_job_run_interval, warm_up=None)


class SigningCa(Protocol):
    """The state of a CA that the workload changes."""

    root: int
    is_down: bool
    slowness: Delay | None


class CertificatesOfMesh(Protocol):
    """The certificates of all proxies, whichever way they come."""

    def pod_created(self, proxy: int, account: str) -> None:
        """A pod with that service account (``namespace/name``) has a node."""

    def begin_agent(self, proxy: int) -> None:
        """The agent of a pod starts, or starts anew."""

    def end_agent(self, proxy: int) -> None:
        """It ends, with what it had."""

    def when_startable(self, proxy: int, start: Callable[[], None]) -> None:
        """Starts Envoy when its agent executes it."""

    def discovery(self, process: Process, inner: ConfigSource) -> ConfigSource:
        """The source of a new Envoy, with SDS where it has any."""

    def outage(self, is_on: bool, delay: Delay | None) -> None:
        """The CA fails, or works again."""

    def rotate_root(self, alive: Iterable[int]) -> object:
        """A new root: every proxy that runs is concerned."""

    def finish(self) -> None:
        """Certificates in use that ran out are said aloud."""


def switch_ca(ca: SigningCa, is_on: bool, delay: Delay | None) -> None:
    """The CA fails or is slow, or works again."""
    if delay is None:
        ca.is_down = is_on
    else:
        ca.slowness = delay if is_on else None


def announce_root(
    ledger: ChangeLedger[Names], alive: Iterable[int], now_ns: int, elsewhere: int = 0
) -> Change[Names]:
    """A new root is a change that concerns every proxy that runs; deliveries of some are kept elsewhere."""
    groups = [(sorted(alive), {SDS.name: ROOT_SECRETS})]
    return ledger.announce_parts(ROOT_CHANGE, "istio-ca-root-cert", ROOT_SECRETS, now_ns, groups, elsewhere)


def warn_of_expired(recorder: Recorder, expiries_ns: Iterable[int | None], end_ns: int) -> None:
    """Certificates in use that ran out before the end of the run."""
    expired = [expires_ns for expires_ns in expiries_ns if expires_ns is not None and expires_ns <= end_ns]
    if expired:
        recorder.warn(
            f"the certificates of {len(expired)} proxies ran out, the first at "
            f"{format_duration(min(expired))}: mTLS with them fails, which requests do not show"
        )


class CertificatesAtOnce:
    """Nobody asks for certificates: they are there with the pod."""

    def pod_created(self, proxy: int, account: str) -> None:
        """See CertificatesOfMesh."""

    def begin_agent(self, proxy: int) -> None:
        """See CertificatesOfMesh."""

    def end_agent(self, proxy: int) -> None:
        """See CertificatesOfMesh."""

    def when_startable(self, proxy: int, start: Callable[[], None]) -> None:
        """Envoy is executed at once."""
        start()

    def discovery(self, process: Process, inner: ConfigSource) -> ConfigSource:
        """No SDS."""
        return inner

    def outage(self, is_on: bool, delay: Delay | None) -> None:
        """There is no CA."""
        raise AssertionError("an outage of the CA brings certificates with it")

    def rotate_root(self, alive: Iterable[int]) -> None:
        """There is no CA."""
        raise AssertionError("a new root brings certificates with it")

    def finish(self) -> None:
        """None can run out."""


class SdsByPodAgents:
    """An agent in each pod asks istiod, and Envoy the agent.

    Args:
        scenario: What is told of them.
        deployment: The control plane; its clock, draws, recorder and ledger are the run's.
        authority: Who signs.
        ca: Its state.
    """

    def __init__(
        self,
        scenario: Scenario,
        deployment: Deployment,
        authority: CertificateAuthority,
        ca: SigningCa,
    ) -> None:
        self._hop: Delay = scenario.agent.hop
        self._end_ns = scenario.duration
        self._settings = certificate_settings(scenario)
        self._clock = deployment.clock
        self._draws = deployment.draws
        self._recorder = deployment.recorder
        self._ledger = deployment.ledger
        self._authority = authority
        self._ca = ca
        self._agents: dict[int, WorkloadCertificate] = {}
        self._discovery: dict[int, SecretDiscovery] = {}
        self._starts: dict[int, int] = {}

    # --- agents and Envoys

    def pod_created(self, proxy: int, account: str) -> None:
        """Its agent asks when it starts."""

    def when_startable(self, proxy: int, start: Callable[[], None]) -> None:
        """Envoy starts at once, and waits for its certificate itself."""
        start()

    def begin_agent(self, proxy: int) -> None:
        """The agent of a pod starts, or starts anew: it has nothing and asks at once."""
        self.end_agent(proxy)
        start = self._starts[proxy] = self._starts.get(proxy, -1) + 1

        def issued(signed: Signed, row: CertificateRow | None) -> None:
            discovery = self._discovery.get(proxy)
            if discovery is not None:
                discovery.issued(signed, row)

        agent = self._agents[proxy] = WorkloadCertificate(
            self._clock,
            self._draws,
            self._recorder,
            proxy,
            start,
            self._settings,
            self._authority,
            issued,
            self._end_ns,
        )
        if self._clock.now_ns < 0:
            agent.begin_held(self._ca.root)
        else:
            agent.begin()

    def is_done(self, proxy: int) -> bool:
        """Whether the proxy has its certificate, and gets no other within the run."""
        return self._agents[proxy].is_held_to_the_end

    def end_agent(self, proxy: int) -> None:
        """It ends, with what it had."""
        agent = self._agents.pop(proxy, None)
        self._discovery.pop(proxy, None)
        if agent is not None:
            agent.stop()

    def discovery(self, process: Process, inner: ConfigSource) -> ConfigSource:
        """The source of a new Envoy, with SDS by its agent; an agent that is not there yet starts with it."""
        proxy = process.proxy
        if proxy not in self._agents:
            self.begin_agent(proxy)
        discovery = self._discovery[proxy] = self._stream(process, inner)
        agent = self._agents[proxy]
        if agent.held is not None:
            discovery.issued(agent.held, agent.issued_row)
        return discovery

    def _stream(
        self, process: Process, inner: ConfigSource, on_asked: Callable[[], None] = lambda: None
    ) -> SecretDiscovery:
        proxy = process.proxy
        hop_ns = draw_ns(self._hop, self._draws, "agent.sds.hop", proxy, process.row.epoch)
        return SecretDiscovery(process, inner, hop_ns, self._carrier(proxy), on_asked)

    def _carrier(self, proxy: int) -> Callable[[Signed], tuple[int, ...]]:
        """A certificate under the root of now carries the change to it."""

        def carries(signed: Signed) -> tuple[int, ...]:
            if signed.root < self._ca.root:
                return ()
            return self._ledger.carry(proxy, SDS.name, ROOT_SECRETS, self._clock.now_ns, "request")

        return carries

    # --- the CA

    def outage(self, is_on: bool, delay: Delay | None) -> None:
        """The CA fails, or works again."""
        switch_ca(self._ca, is_on, delay)

    def rotate_root(self, alive: Iterable[int], elsewhere: int = 0) -> Change[Names]:
        """A new root: a proxy has it with its next certificate."""
        self._ca.root += 1
        return announce_root(self._ledger, alive, self._clock.now_ns, elsewhere)

    def finish(self) -> None:
        """Certificates in use that ran out are said aloud."""
        expiries = [agent.expires_ns for agent in self._agents.values()]
        warn_of_expired(self._recorder, expiries, self._end_ns)
