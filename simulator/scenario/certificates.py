"""Joins certificates: the agents that want them, the CA that signs, and Envoy's SDS."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from simulator.agent.certificates import CertificateSettings, WorkloadCertificate
from simulator.agent.secret_discovery import ROOT_SECRETS, SecretDiscovery
from simulator.agent.settings import certificate_jitter_by_default
from simulator.control_plane.istiod.certificate_authority import IstiodAuthority
from simulator.engine.clock import format_duration
from simulator.engine.delays import Delay, draw_ns
from simulator.engine.draws import Draws
from simulator.engine.events import Clock
from simulator.envoy.process import Process
from simulator.recording.ledger import Change, ChangeLedger
from simulator.recording.recorder import CertificateRow, Recorder
from simulator.scenario.schema import Scenario
from simulator.scenario.sections.operations import CaOutageEntry, RootRotationEntry
from simulator.wire.certificates import Signed
from simulator.wire.contract import ConfigSource
from simulator.xds.resource_types import SDS
from simulator.xds.resources import Names

ROOT_CHANGE = "RootCertificate"
"""Kind of the change that a new root is; a proxy has it with its next certificate."""


def has_certificates(scenario: Scenario) -> bool:
    """Whether certificates are asked for, or there at once."""
    provider = scenario.agent.certificates.provider
    if provider == "auto":
        return any(isinstance(entry, CaOutageEntry | RootRotationEntry) for entry in scenario.workload)
    return provider != "none"


def certificate_settings(scenario: Scenario) -> CertificateSettings:
    """How every agent asks for certificates."""
    given = scenario.agent.certificates
    jitter = given.grace_period_ratio_jitter
    version = scenario.control_plane.version
    return CertificateSettings(
        ttl_ns=given.ttl,
        grace_ratio=given.grace_period_ratio,
        grace_jitter=certificate_jitter_by_default(version) if jitter == "auto" else jitter,
        key_generation=given.key_generation,
        retries=given.retries,
        retry_backoff_ns=given.retry_backoff,
    )


class CertificatesOfMesh:
    """All agents' certificates under istiod.

    Args:
        scenario: What is told of them.
        clock: Time.
        draws: Random numbers.
        recorder: Where rows go.
        ledger: A new root is a change.
        authority: Who signs.
    """

    def __init__(
        self,
        scenario: Scenario,
        clock: Clock,
        draws: Draws,
        recorder: Recorder,
        ledger: ChangeLedger[Names],
        authority: IstiodAuthority,
    ) -> None:
        self._hop: Delay = scenario.agent.hop
        self._end_ns = scenario.duration
        self._settings = certificate_settings(scenario)
        self._clock = clock
        self._draws = draws
        self._recorder = recorder
        self._ledger = ledger
        self._authority = authority
        self._agents: dict[int, WorkloadCertificate] = {}
        self._discovery: dict[int, SecretDiscovery] = {}
        self._starts: dict[int, int] = {}

    # --- agents and Envoys

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
            agent.begin_held(self._authority.root)
        else:
            agent.begin()

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
        hop_ns = draw_ns(self._hop, self._draws, "agent.sds.hop", proxy, process.row.epoch)
        discovery = SecretDiscovery(process, inner, hop_ns, self._carrier(proxy))
        self._discovery[proxy] = discovery
        held = self._agents[proxy].held
        if held is not None:
            discovery.issued(held, None)
        return discovery

    def _carrier(self, proxy: int) -> Callable[[Signed], tuple[int, ...]]:
        """A certificate under the root of now carries the change to it."""

        def carries(signed: Signed) -> tuple[int, ...]:
            if signed.root < self._authority.root:
                return ()
            return self._ledger.carry(proxy, SDS.name, ROOT_SECRETS, self._clock.now_ns, "request")

        return carries

    # --- the CA

    def outage(self, is_on: bool, delay: Delay | None) -> None:
        """The CA fails, or works again."""
        if delay is None:
            self._authority.is_down = is_on
        else:
            self._authority.slowness = delay if is_on else None

    def rotate_root(self, alive: Iterable[int], elsewhere: int = 0) -> Change[Names]:
        """A new root: every proxy that runs is concerned, and so many whose deliveries are kept elsewhere."""
        self._authority.root += 1
        return self._ledger.announce_parts(
            ROOT_CHANGE,
            "istio-ca-root-cert",
            ROOT_SECRETS,
            self._clock.now_ns,
            [(sorted(alive), {SDS.name: ROOT_SECRETS})],
            elsewhere,
        )

    def finish(self) -> None:
        """Certificates in use that ran out are said aloud."""
        expired = [
            agent.expires_ns
            for agent in self._agents.values()
            if agent.expires_ns is not None and agent.expires_ns <= self._end_ns
        ]
        if expired:
            self._recorder.warn(
                f"the certificates of {len(expired)} proxies ran out, the first at "
                f"{format_duration(min(expired))}: mTLS with them fails, which requests do not show"
            )
