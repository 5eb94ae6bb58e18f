"""The istiod Deployment: what its replicas share, and the Service in front of them.

Clients dial the Service; kube-proxy picks one of the backends it knows of at random for each connection, and
the stream stays there. A replica that stopped may still be among them, and one that started may not be yet.
Source: kube-proxy in iptables mode; bootstrap cluster xds-grpc (max_requests_per_connection: 1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from simulator.control_plane.istiod.generator import ConfigObject
from simulator.mesh.content import ConfigChange, ContentFactory, MeshContent
from simulator.mesh.kinds import KINDS, Alters, config_key, kind_of
from simulator.mesh.services import ROOT_NAMESPACE
from simulator.xds.resources import Names

if TYPE_CHECKING:
    from simulator.calibration.costs import Law
    from simulator.control_plane.istiod.push_context import Content
    from simulator.control_plane.istiod.replica import Replica
    from simulator.control_plane.istiod.settings import IstiodSettings
    from simulator.engine.draws import Draws
    from simulator.engine.events import Clock, Deadlines
    from simulator.mesh.kubernetes import Kubernetes, WatchEvent
    from simulator.mesh.services import Proxy, Service
    from simulator.mesh.visibility import Visibility
    from simulator.recording.ledger import ChangeLedger
    from simulator.recording.recorder import Recorder
    from simulator.wire.contract import Publisher, PushSession, StreamServer
    from simulator.wire.stream import Stream


class Ingestion(Protocol):
    """A way of configuration that does not lead through the informers of the replicas."""

    def takes(self, kind: str, stream: str) -> bool:
        """Whether events of the kind go this way."""

    def on_watch_event(self, event: WatchEvent) -> None:
        """The API server tells of an object."""


MakeReplica = Callable[[int, "Deployment"], "Replica"]
MakeSession = Callable[["Stream", "Publisher"], "PushSession"]


_BACKEND = "kube_proxy.backend"

DEFAULT_REVISION = "default"
"""The control plane that is there at the start."""


class Deployment:
    """All replicas of istiod.

    Args:
        clock: Time.
        deadlines: Its deadlines.
        draws: Random numbers.
        settings: Of every replica.
        laws: Costs by key.
        recorder: Where pushes, queues and metrics go.
        ledger: The ledger of changes.
        kubernetes: The API server.
        factory: Makes resources.
        visibility: Who sees what.
        proxies: Every proxy by its id; grows as pods come.
        namespaces: Namespaces that the discovery selectors select; None for all.
        end_ns: End of the run.
        make_session: Makes the protocol's side of a stream.
        make_replica: Makes a process that has synced.

    Attributes:
        changes: Every change announced so far.
        objects: What is known of a config key.
        accounts: How often the service accounts of a service changed, as far as some replica knows.
        replicas: The processes that run, by number.
        in_service: Numbers of the backends that kube-proxy knows.
        ingestion: Where configuration goes that the replicas do not watch themselves.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        deadlines: Deadlines,
        draws: Draws,
        settings: IstiodSettings,
        laws: Mapping[str, Law],
        recorder: Recorder,
        ledger: ChangeLedger[Names],
        kubernetes: Kubernetes,
        factory: ContentFactory,
        visibility: Visibility,
        proxies: Mapping[int, Proxy],
        namespaces: Sequence[str] | None,
        end_ns: int,
        make_session: MakeSession,
        make_replica: MakeReplica,
    ) -> None:
        self.clock = clock
        self.deadlines = deadlines
        self.draws = draws
        self.settings = settings
        self.laws = laws
        self.recorder = recorder
        self.ledger = ledger
        self.kubernetes = kubernetes
        self.factory = factory
        self.visibility = visibility
        self.proxies = proxies
        self.end_ns = end_ns
        self.make_session = make_session
        self._make_replica = make_replica
        self.ingestion: Ingestion | None = None
        self.changes: list[ConfigChange] = []
        # Endpoints may be pushed before any change of theirs is announced: those of a pod just created.
        self.objects = {
            config_key("Endpoints", service.namespace, service.name): ConfigObject(service.namespace, service)
            for service in factory.services
        }
        self.accounts: dict[Service, int] = {}
        self.replicas: dict[int, Replica] = {}
        self.revisions: dict[int, str] = {}
        """Control plane that a replica belongs to; absent = the default one."""
        self.revision_of: dict[int, str] = {}
        """Control plane that a proxy was injected by; absent = the default one."""
        self.stop_watchers: list[Callable[[int], None]] = []
        """Told the number of each replica that stops."""
        self.service_watchers: list[Callable[[], None]] = []
        """Told before kube-proxy learns of a backend, or that it is gone."""
        self.connection_watchers: list[Callable[[int, int, str], None]] = []
        """Told (proxy, replica, event) of each stream that is opened, closed, or lost with its replica."""
        self._past_busy_ns = 0
        self.in_service: dict[int, None] = {}
        self._namespaces = None if namespaces is None else dict.fromkeys(namespaces)
        self._streams: dict[tuple[int, str], int] = {}
        self._dialled: dict[int, int] = {}
        kubernetes.watchers.append(self._on_watch_event)

    @property
    def services(self) -> tuple[Service, ...]:
        """Services istiod knows."""
        return self.factory.services

    def watches(self, namespace: str) -> bool:
        """Whether objects of the namespace reach istiod; those of the root namespace do (assumption)."""
        return self._namespaces is None or namespace == ROOT_NAMESPACE or namespace in self._namespaces

    # --- changes

    def note(self, change: ConfigChange) -> None:
        """A change was announced."""
        self.changes.append(change)
        self.objects.setdefault(change.key, ConfigObject(change.namespace, change.service))

    def written(self) -> list[ConfigChange]:
        """The changes that istiod can read at the API server: not those that an EndpointSlice is still to
        say, nor those of namespaces that it does not watch."""
        waiting = dict.fromkeys(
            change for service in self.kubernetes.services for change in self.kubernetes.unwritten(service)
        )
        return [change for change in self.changes if change not in waiting and self.watches(change.namespace)]

    def note_accounts(self, service: Service, changes: int) -> None:
        """A replica saw the service's accounts change for so many times."""
        self.accounts[service] = max(changes, self.accounts.get(service, 0))

    def unannounced(self, kind: str, service: Service) -> ConfigChange:
        """A change that follows from another one and has no row of its own."""
        key = config_key(kind, service.namespace, service.name)
        self.objects.setdefault(key, ConfigObject(service.namespace, service))
        return ConfigChange(-1, kind, service.namespace, service.name, service, False, self.clock.now_ns)

    def content(self, changes: Sequence[ConfigChange]) -> MeshContent:
        """The content that holds these changes."""
        return self.factory.initial().after(changes, self.visibility.classes)

    def clusters_of(self, key: str) -> tuple[str, ...]:
        """Clusters that depend on the object, as far as it is about one service."""
        kind, known = KINDS[kind_of(key)], self.objects[key]
        if known.service is None or not (
            Alters.CLUSTERS in kind.alters or Alters.ENDPOINTS in kind.alters or "cds" in kind.pushes
        ):
            return ()
        return known.service.cluster_names()

    def _on_watch_event(self, event: WatchEvent) -> None:
        if self.ingestion is not None and self.ingestion.takes(event.kind, event.stream):
            self.ingestion.on_watch_event(event)
            return
        for replica in list(self.replicas.values()):
            replica.on_watch_event(event)

    # --- replicas

    def start(self, number: int) -> Replica:
        """A process has synced."""
        replica = self.replicas[number] = self._make_replica(number, self)
        return replica

    def stop(self, number: int) -> None:
        """A process ends."""
        replica = self.replicas.pop(number)
        self._past_busy_ns += replica.busy_ns
        replica.stop()
        for watcher in self.stop_watchers:
            watcher(number)

    @property
    def busy_ns(self) -> int:
        """Time that processors of all replicas were busy, those that have ended included."""
        return self._past_busy_ns + sum(replica.busy_ns for replica in self.replicas.values())

    def set_in_service(self, number: int, *, is_in: bool) -> None:
        """Kube-proxy learned of a backend, or that it is gone."""
        for watcher in self.service_watchers:
            watcher()
        if is_in:
            self.in_service[number] = None
        else:
            self.in_service.pop(number, None)

    # --- the Service (wire/contract.py: StreamAcceptor)

    def on_connect(self, stream: Stream) -> StreamServer | None:
        """One backend, at random; refused if none is there."""
        if not self.in_service:
            return None
        dials = self._dialled[stream.proxy] = self._dialled.get(stream.proxy, -1) + 1
        replica = self.backend(_BACKEND, stream.proxy, dials)
        return None if replica is None else replica.connect(stream)

    def backend(self, purpose: str, proxy: int, index: int) -> Replica | None:
        """One of the backends of the proxy's revision that kube-proxy knows, at random; None where nobody is
        there."""
        backends = self._backends(self.revision_of.get(proxy, DEFAULT_REVISION))
        if not backends:
            return None
        chosen = self.draws.integer_below(len(backends), purpose, proxy, index)
        return self.replicas.get(backends[chosen])

    def _backends(self, revision: str) -> list[int]:
        return sorted(
            number for number in self.in_service if self.revisions.get(number, DEFAULT_REVISION) == revision
        )

    def note_connection(self, proxy: int, replica: int, event: str) -> None:
        """A stream entered or left a table of connections."""
        for watcher in self.connection_watchers:
            watcher(proxy, replica, event)

    def known_backends(self) -> list[Replica | None]:
        """The backends that kube-proxy knows, in order; None for one that has ended."""
        return [self.replicas.get(number) for number in self._backends(DEFAULT_REVISION)]

    def opened(self, stream: Stream) -> int:
        """Counts the streams of one proxy and purpose; how many with this one."""
        key = stream.proxy, stream.label
        self._streams[key] = self._streams.get(key, 0) + 1
        return self._streams[key]

    def note_dials(self, proxy: int, dials: int) -> None:
        """Where connections dialled by the proxy so far were counted elsewhere."""
        self._dialled[proxy] = dials

    def forget_dials(self, proxy: int) -> int:
        """They are counted elsewhere from here on: how many there were."""
        return self._dialled.pop(proxy, 0)

    def streams_of(self, proxy: int) -> int:
        """Connections dialled by the proxy so far: keys the draws of the newest."""
        return self._dialled.get(proxy, 0)

    # --- content that goes back

    def behind(self, replica: Replica) -> list[ConfigChange]:
        """The changes that the context of a replica does not hold, oldest first: it lags."""
        changes, known = self.changes, replica.known
        while known.held < len(changes) and self._is_held(replica, changes[known.held]):
            known.held += 1
        return [change for change in changes[known.held :] if not self._is_held(replica, change)]

    def _is_held(self, replica: Replica, change: ConfigChange) -> bool:
        held = replica.context.holds(replica.known.get(change.number))
        return held or not self.watches(change.namespace)

    def note_regressions(
        self,
        behind: list[ConfigChange],
        content: Content,
        replica: int,
        proxy: int,
        type_name: str,
        names: Names | None,
    ) -> list[ConfigChange]:
        """A message of a replica that lags goes to a proxy which may have newer content from another one.

        Args:
            behind: What the replica did not hold when the proxy came to it.
            content: What the message is made from.
            replica: Its number.
            proxy: Who gets it.
            type_name: Its type.
            names: Resources it says something about; None for all.

        Returns:
            What the proxy may still lose.
        """
        kept = []
        for change in behind:
            if content.holds(change.number):
                continue
            if self.ledger.is_applied(change.number, proxy, type_name, names):
                self.recorder.regression(self.clock.now_ns, proxy, replica, change.number, type_name)
            else:
                kept.append(change)
        return kept


def first_backends(draws: Draws, proxies: NDArray[np.int64], replicas: int) -> NDArray[np.int64]:
    """The replica that takes the first stream of each of these proxies where so many serve from the start."""
    return backends_of(draws, proxies, 0, replicas)


def backends_of(
    draws: Draws, proxies: NDArray[np.int64], dials: NDArray[np.integer] | int, backends: int
) -> NDArray[np.int64]:
    """Which of so many backends takes the stream of each of these proxies that is its so many-th dial."""
    if backends == 1:
        return np.zeros(len(proxies), np.int64)
    return draws.integers_below(backends, _BACKEND, proxies, dials)
