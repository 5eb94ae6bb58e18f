"""Joins certificates of Istio before 1.5: Citadel's mounted Secrets, or node agents that ask Citadel."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from simulator.agent.mounted_certificate import MountedCertificate, MountSettings, MountState
from simulator.agent.node_agent import NodeAgent
from simulator.agent.secret_discovery import ROOT_SECRETS
from simulator.control_plane.components.certificate_authority import CitadelAuthority
from simulator.control_plane.components.citadel import AccountSecret, Citadel, CitadelSettings
from simulator.control_plane.istiod.deployment import Deployment
from simulator.engine.delays import Delay, draw_ns
from simulator.engine.events import Band
from simulator.envoy.process import Process
from simulator.mesh.kubelet import KubeletSettings
from simulator.recording.rows import CertificateRow
from simulator.scenario.certificate_references import nodes
from simulator.scenario.certificates import (
    SdsByPodAgents,
    announce_root,
    switch_ca,
    warn_of_expired,
)
from simulator.scenario.schema import Scenario
from simulator.wire.certificates import Signed
from simulator.wire.contract import ConfigSource
from simulator.xds.resource_types import SDS

NODE_AGENT = "node-agent"

HotRestart = Callable[[int, Callable[[], None]], None]
"""Starts a new Envoy of a proxy; calls back when its workers run."""


def make_citadel(scenario: Scenario, deployment: Deployment, api_call: Delay) -> Citadel:
    """Citadel, as the scenario describes its certificates."""
    given = scenario.agent.certificates
    settings = CitadelSettings(
        ttl_ns=given.ttl,
        grace_ratio=given.grace_period_ratio,
        resync_ns=given.secret_resync_period,
        key_generation=given.key_generation,
        signing=given.signing,
        write=api_call,
    )
    is_running = scenario.control_plane.start == "running"
    return Citadel(deployment.clock, deployment.draws, settings, scenario.duration, is_serving=is_running)


class MountedSecrets:
    """Certificates that Citadel writes into Secrets, and kubelets into pods.

    Args:
        scenario: What is told of them.
        deployment: The control plane; its clock, draws, recorder and ledger are the run's.
        citadel: Who writes the Secrets.
        hot_restart: How Envoy takes a new one.
    """

    def __init__(
        self,
        scenario: Scenario,
        deployment: Deployment,
        citadel: Citadel,
        hot_restart: HotRestart,
    ) -> None:
        given = scenario.agent.certificates
        self._clock = deployment.clock
        self._draws = deployment.draws
        self._recorder = deployment.recorder
        self._ledger = deployment.ledger
        self._citadel = citadel
        self._hot_restart = hot_restart
        self._end_ns = scenario.duration
        self._settings = MountSettings(
            KubeletSettings(given.sync_frequency),
            given.file_min_delay,
            scenario.control_plane.components.security,
        )
        self._accounts: dict[int, str] = {}
        self._mounts: dict[int, MountedCertificate] = {}
        self._rows: dict[int, list[CertificateRow]] = {}
        """Certificates that are on their way to a proxy."""
        self._volumes: dict[int, AccountSecret | None] = {}
        """What the kubelet wrote last."""
        self._in_use: dict[int, AccountSecret | None] = {}
        citadel.watchers.append(self._on_written)

    # --- pods and Envoys

    def pod_created(self, proxy: int, account: str) -> None:
        """Its volume holds what the Secret of its service account holds now."""
        if proxy in self._mounts:
            return
        self._citadel.add_account(account)
        self._accounts[proxy] = account
        mount = self._mounts[proxy] = MountedCertificate(
            self._clock,
            self._draws,
            proxy,
            self._settings,
            lambda: self._citadel.secret(account),
            partial(self._mounted, proxy),
            partial(self._restart, proxy),
        )
        self._volumes[proxy] = self._in_use[proxy] = self._citadel.secret(account)
        if mount.mounted is None:
            self._row(proxy, "start")

    def begin_agent(self, proxy: int) -> None:
        """It finds the files, or waits for them."""

    def end_agent(self, proxy: int) -> None:
        """The pod is gone."""
        mount = self._mounts.pop(proxy, None)
        if mount is not None:
            mount.gone()
        for row in self._rows.pop(proxy, ()):
            row.outcome = "stopped"

    def when_startable(self, proxy: int, start: Callable[[], None]) -> None:
        """Envoy is executed when the files are there, or after two minutes."""

        def execute() -> None:
            mount = self._mounts.get(proxy)
            if mount is not None:
                start()
                if mount.mounted is not None:
                    self._taken(proxy)

        mount = self._mounts.get(proxy)
        if mount is not None:
            mount.when_there(execute)

    def discovery(self, process: Process, inner: ConfigSource) -> ConfigSource:
        """Envoy reads files: no SDS."""
        return inner

    # --- on the way from the Secret to Envoy

    def _on_written(self, secret: AccountSecret) -> None:
        for proxy, account in self._accounts.items():
            mount = self._mounts.get(proxy)
            if account != secret.account or mount is None:
                continue
            rows = self._rows.get(proxy, [])
            if not any(row.t_issued_ns is None for row in rows):
                self._row(proxy, "rotation")
            row = self._rows[proxy][-1]
            row.t_wanted_ns = min(secret.t_wanted_ns, row.t_wanted_ns)
            row.t_requested_ns, row.t_issued_ns = row.t_wanted_ns, secret.t_issued_ns
            row.t_expires_ns, row.root, row.outcome = secret.t_expires_ns, secret.root, "issued"
            mount.secret_written()

    def _row(self, proxy: int, cause: str) -> CertificateRow:
        row = self._recorder.certificate(proxy, cause, self._clock.now_ns)
        self._rows.setdefault(proxy, []).append(row)
        return row

    def _mounted(self, proxy: int) -> None:
        self._volumes[proxy] = self._citadel.secret(self._accounts[proxy])
        for row in self._rows.get(proxy, ()):
            if row.t_mounted_ns is None:
                row.t_mounted_ns = self._clock.now_ns

    def _restart(self, proxy: int, taken_over: Callable[[], None]) -> None:
        def in_use() -> None:
            if proxy in self._mounts:
                self._taken(proxy)
                taken_over()

        self._hot_restart(proxy, in_use)

    def _taken(self, proxy: int) -> None:
        """Envoy decides by what is mounted."""
        now_ns = self._clock.now_ns
        secret = self._in_use[proxy] = self._volumes[proxy]
        waiting = self._rows.pop(proxy, [])
        for row in waiting:
            if row.t_mounted_ns is not None:
                row.t_active_ns = now_ns
        later = [row for row in waiting if row.t_mounted_ns is None]
        if later:
            self._rows[proxy] = later
        if secret is None or secret.root < self._citadel.root:
            return
        mounted_ns = max((row.t_mounted_ns or 0 for row in waiting), default=0)
        for carriage in self._ledger.carry(proxy, SDS.name, ROOT_SECRETS, secret.t_issued_ns, "file"):
            self._ledger.on_received((carriage,), proxy, max(mounted_ns, secret.t_issued_ns))
            self._ledger.on_applied(carriage, proxy, now_ns)
            self._ledger.on_active(carriage, proxy, now_ns)

    # --- the CA

    def outage(self, is_on: bool, delay: Delay | None) -> None:
        """Citadel signs nothing, or slowly."""
        switch_ca(self._citadel, is_on, delay)

    def rotate_root(self, alive: Iterable[int]) -> None:
        """Every Secret is made anew with the next resync."""
        announce_root(self._ledger, alive, self._clock.now_ns)
        self._citadel.rotate_root()

    def finish(self) -> None:
        """Certificates in use that ran out are said aloud."""
        in_use = [secret for proxy, secret in self._in_use.items() if proxy in self._mounts]
        warn_of_expired(self._recorder, [s.t_expires_ns for s in in_use if s is not None], self._end_ns)
        waiting = sum(mount.state is MountState.EMPTY for mount in self._mounts.values())
        if waiting:
            self._recorder.warn(f"{waiting} proxies have no certificate: Citadel wrote no Secret for them")


class SdsByNodeAgents(SdsByPodAgents):
    """One agent for all pods of a node.

    Args:
        scenario: What is told of them.
        deployment: As above; the draws say who is on which node.
        citadel: The CA.
        latency: Of the network, each way.
        api_call: Time of a call to the API server.
    """

    def __init__(
        self,
        scenario: Scenario,
        deployment: Deployment,
        citadel: Citadel,
        latency: Delay,
        api_call: Delay,
    ) -> None:
        authority = CitadelAuthority(deployment.clock, deployment.draws, citadel, latency, api_call)
        super().__init__(scenario, deployment, authority, citadel)
        self._start_law: Delay = scenario.control_plane.components.start
        self._restarts: dict[int, int] = {}
        self._nodes = [
            NodeAgent(
                self._clock, self._draws, self._recorder, node, self._settings, authority, scenario.duration
            )
            for node in range(nodes(scenario))
        ]

    @property
    def count(self) -> int:
        """How many nodes there are."""
        return len(self._nodes)

    def begin_agent(self, proxy: int) -> None:
        """The pod's own agent has nothing to do with certificates."""

    def end_agent(self, proxy: int) -> None:
        """The pod is gone."""
        self._discovery.pop(proxy, None)
        self._node(proxy).end(proxy)

    def discovery(self, process: Process, inner: ConfigSource) -> ConfigSource:
        """The source of a new Envoy: when it asks, the node's agent begins."""
        proxy = process.proxy
        node = self._node(proxy)

        def issued(signed: Signed, row: CertificateRow | None) -> None:
            self._discovery[proxy].issued(signed, row)

        node.begin(proxy, issued)
        discovery = self._discovery[proxy] = self._stream(process, inner, lambda: node.asked(proxy))
        if self._clock.now_ns < 0:
            node.begin_held(proxy, self._ca.root)
            held = node.held(proxy)
            assert held is not None
            discovery.issued(held, None)
        return discovery

    def restart(self, node: int | None, down_for_ns: int) -> None:
        """The agent of a node, or of every one, ends and starts again so much later."""
        for number in range(self.count) if node is None else (node,):
            self._restart_one(number, down_for_ns)

    def _restart_one(self, number: int, down_for_ns: int) -> None:
        agent = self._nodes[number]
        life = self._restarts[number] = self._restarts.get(number, 0) + 1
        agent.stop()
        self._note(number, "down")

        def start() -> None:
            if self._restarts[number] == life:
                agent.start()
                self._note(number, "ready")

        def create() -> None:
            if self._restarts[number] == life:
                self._note(number, "starting")
                start_ns = draw_ns(self._start_law, self._draws, "components.start.node-agent", number, life)
                self._clock.after(start_ns, start, band=Band.TIMER, entity=number)

        self._clock.after(down_for_ns, create, band=Band.TIMER, entity=number)

    def _note(self, number: int, state: str) -> None:
        self._recorder.component(self._clock.now_ns, NODE_AGENT, number, state)

    def _node(self, proxy: int) -> NodeAgent:
        return self._nodes[int(self._draws.uniform("mesh.node", proxy) * self.count)]

    def finish(self) -> None:
        """Certificates in use that ran out are said aloud."""
        expiries = [expires_ns for node in self._nodes for expires_ns in node.expiries_ns()]
        warn_of_expired(self._recorder, expiries, self._end_ns)
