"""A mesh whose proxies read files and are, the many of them, rows of arrays (`build_fleet_published`)."""

from __future__ import annotations

from collections.abc import Sequence

from simulator.fleet.files import Files, FileSettings
from simulator.mesh.kubelet import KubeletSettings
from simulator.propagation.file import FilesystemSubscriptions
from simulator.scenario.build_fleet_published import PublishedFleetWorld, PublishingReplica
from simulator.xds.resource_types import AGENT_TYPES, RESOURCE_TYPES, ResourceType, resource_type
from simulator.xds.resources import NO_NAMES, Names


class FiledFleetWorld(PublishedFleetWorld):
    """A mesh in arrays that reads files; see the module."""

    carried_by = "file"
    way_cost = "directory_update"

    def _subscribed(self, proxy: int) -> list[tuple[ResourceType, Names, int]]:
        source = self._source(proxy)
        assert isinstance(source, FilesystemSubscriptions)
        types = [resource_type(name) for name in RESOURCE_TYPES]
        return [
            (type_, Names((name,)) if name else NO_NAMES, 0)
            for type_ in types
            for name in source.watched(type_, None)
        ]

    def _make_coming(self, replica: PublishingReplica) -> Files:
        interval = KubeletSettings(sync_period_ns=self._scenario.propagation.sync_period).interval
        self._files = Files(
            FileSettings(interval, self._scenario.duration),
            self._clock,
            self._draws,
            self._publications.subscriptions,
            self._updates,
            self._sidecars.entity,
            self._sidecars.group,
        )
        replica.pushes.published.append(self._on_told)
        return self._files

    def _on_told(self, type_name: str, names: Names | None) -> None:
        if type_name not in AGENT_TYPES:
            self._files.told(self._named(type_name, names))

    def _named(self, type_name: str, names: Names | None) -> list[Sequence[int]]:
        """The files of a type that proxies of each group watch, of these names or of any."""
        known = self._publications.by_group
        if names is None or resource_type(type_name).wildcard:
            return [[sub for (of, _), sub in index.items() if of == type_name] for index in known]
        return [[index[type_name, n] for n in names if (type_name, n) in index] for index in known]
