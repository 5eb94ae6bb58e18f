"""A mesh whose proxies read files and are, the many of them, rows of arrays (`published_world`)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from simulator.calibration.ways import DIRECTORY
from simulator.fleet.files import Files, FileSettings
from simulator.mesh.kubelet import KubeletSettings
from simulator.propagation.file import FilesystemSubscriptions
from simulator.scenario import mesh_sources
from simulator.scenario.fleet.publications import Publications
from simulator.scenario.fleet.published_rows import PublishedRows, PublishingReplica
from simulator.scenario.fleet.published_world import PublishedFleetWorld
from simulator.xds.resource_types import AGENT_TYPES, RESOURCE_TYPES, ResourceType, resource_type
from simulator.xds.resources import NO_NAMES, Names


class FiledFleetWorld(PublishedFleetWorld):
    """A mesh in arrays that reads files; see the module."""

    carried_by = "file"
    way_costs = DIRECTORY

    def _subscribed(self, proxy: int) -> list[tuple[ResourceType, Names, int]]:
        source = self._source(proxy)
        assert isinstance(source, FilesystemSubscriptions)
        types = [resource_type(name) for name in RESOURCE_TYPES]
        return [
            (type_, Names((name,)) if name else NO_NAMES, 0)
            for type_ in types
            for name in source.watched(type_, None)
        ]

    @cached_property
    def _is_cut_off(self) -> NDArray[np.bool_]:
        """Files stay where they are when their writer ends."""
        return np.zeros(len(self._proxies.sidecars) + len(self._proxies.vms), bool)

    def _go_on(self) -> None:
        source = self._sources
        assert isinstance(source, mesh_sources.Files)
        come = self._begun()
        for rows, files in zip(self._published, come, strict=True):
            writer = source.writer
            if writer is not rows.replica:
                assert isinstance(files, Files)
                assert isinstance(writer, PublishingReplica)
                files.before_end()
                rows.go_on_with(writer, files, may_lag=True)
                self._follow_writer(rows, files)
                for type_name in RESOURCE_TYPES:
                    self._told(rows, files, type_name, None)

    def _first_replicas(self, proxies: NDArray[np.int64]) -> NDArray[np.int64]:
        """The oldest replica writes everybody's files."""
        return np.zeros(len(proxies), np.int64)

    def _make_coming(self, rows: PublishedRows) -> Files:
        interval = KubeletSettings(sync_period_ns=self._scenario.propagation.sync_period).interval
        files = Files(
            FileSettings(interval, self._scenario.duration),
            self._clock,
            self._draws,
            rows.publications.subscriptions,
            rows.updates,
            rows.entity,
            rows.group,
        )

        self._follow_writer(rows, files)
        return files

    def _follow_writer(self, rows: PublishedRows, files: Files) -> None:
        rows.replica.pushes.published.append(partial(self._told, rows, files))

    def _told(self, rows: PublishedRows, files: Files, type_name: str, names: Names | None) -> None:
        if type_name not in AGENT_TYPES:
            files.told(_named(rows.publications, type_name, names))


def _named(publications: Publications, type_name: str, names: Names | None) -> list[Sequence[int]]:
    """The files of a type that proxies of each group watch, of these names or of any."""
    known = publications.by_group
    if names is None or resource_type(type_name).wildcard:
        return [[sub for (of, _), sub in index.items() if of == type_name] for index in known]
    return [[index[type_name, n] for n in names if (type_name, n) in index] for index in known]
