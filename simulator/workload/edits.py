"""Edits of configuration: which object each happening of an entry writes.

What an entry leaves open is chosen so that no edit supersedes another by accident: services come in turn, and
each happening writes an object of its own. An object that has a name is the same one every time: it is about
the service of its name, if there is one, else about one drawn for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from simulator.engine.draws import Draws
from simulator.mesh.services import ROOT_NAMESPACE, Service, stable_id
from simulator.workload.contract import Edit
from simulator.workload.entries import EditEntry
from simulator.workload.selection import ServicesInTurn, drawn_service
from simulator.workload.timeline import Happening

KINDS_OF_A_SERVICE = ("Endpoints", "ServiceEntry", "DNSName")
"""Their objects bear the name of the service itself (a Kubernetes Service is a ServiceEntry to istiod)."""

MESH_CONFIG = "MeshConfig"
"""There is one in a mesh: the ConfigMap ``istio`` of the root namespace."""

_SHORT = {
    "VirtualService": "vs",
    "DestinationRule": "dr",
    "Gateway": "gw",
    "PeerAuthentication": "pa",
    "RequestAuthentication": "ra",
    "AuthorizationPolicy": "ap",
    "EnvoyFilter": "ef",
}


class Edits:
    """Turns happenings of edits into the objects written.

    Args:
        draws: Random numbers.
        services: The services that may be chosen.
        write: Writes an object.
    """

    def __init__(
        self, draws: Draws, services: Callable[[], Sequence[Service]], write: Callable[[Edit], None]
    ) -> None:
        self._draws = draws
        self._services = services
        self._write = write
        self._turns: dict[str, ServicesInTurn] = {}
        self._entries: dict[tuple[str, str], int] = {}
        self._of_kind: dict[str, int] = {}

    def happen(self, happening: Happening, entry: EditEntry) -> None:
        """Writes the object of one happening."""
        row = happening.trace
        kind = entry.kind if row is None or row.kind is None else row.kind
        namespace = entry.namespace if row is None or row.namespace is None else row.namespace
        name = entry.name if row is None or row.name is None else row.name
        if kind == MESH_CONFIG:
            self._write(Edit(kind, ROOT_NAMESPACE, "istio", None, entry.rejected_by_envoy))
            return
        service = entry.service
        if service is None:
            service = self._chosen(happening.label, kind, namespace, name)
        if service is not None and kind in KINDS_OF_A_SERVICE:
            namespace, name = service.namespace, service.name
        if namespace is None:
            namespace = ROOT_NAMESPACE if service is None else service.namespace
        if name is None:
            name = self._new_name(kind, happening, service)
        if kind == "PeerAuthentication":
            service = None  # It is about all services of its namespace.
        self._write(Edit(kind, namespace, name, service, entry.rejected_by_envoy))

    def _chosen(self, label: str, kind: str, namespace: str | None, name: str | None) -> Service | None:
        services = self._services()
        candidates = [s for s in services if namespace in (None, s.namespace)] or services
        if not candidates:
            return None
        if name is None:
            turn = self._turns.setdefault(label, ServicesInTurn(self._draws, label))
            return turn.next(candidates)
        for service in candidates:
            if service.name == name:
                return service
        # The object is the same one whichever entry writes it.
        return drawn_service(candidates, self._draws, "edit", stable_id(f"{kind}/{namespace}/{name}"))

    def _new_name(self, kind: str, happening: Happening, service: Service | None) -> str:
        """The kind's short form, the service, the number of the happening; a second entry that leaves the
        names of the same kind open says its own number as well."""
        place = self._entries.get((happening.label, kind))
        if place is None:
            place = self._of_kind.get(kind, 0)
            self._of_kind[kind] = place + 1
            self._entries[happening.label, kind] = place
        parts = [_SHORT.get(kind, kind.lower()), "mesh" if service is None else service.name]
        if place:
            parts.append(str(place))
        return "-".join([*parts, str(happening.index)])
