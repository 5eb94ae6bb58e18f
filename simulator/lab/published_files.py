"""What the files of an Envoy hold, by what the control plane has published."""

from __future__ import annotations

from collections.abc import Iterator

from simulator.calibration.costs import Calibration
from simulator.lab.file_tree import Content
from simulator.propagation.file import FileTree
from simulator.scenario.resources import resources_of
from simulator.scenario.schema import Scenario
from simulator.xds.resource_types import CDS, ECDS, EDS, LDS, RDS, RTDS, SDS, ResourceType
from simulator.xds.resources import Resources


class PublishedFiles:
    """The writer's end of the file strategy."""

    def __init__(self, scenario: Scenario, calibration: Calibration, tree: FileTree) -> None:
        self._scenario = scenario
        self._calibration = calibration
        self._tree = tree

    def file(self, proxy: int, type_: ResourceType, name: str) -> tuple[str, Resources] | None:
        """Version and content of one file; None if it does not exist."""
        return self._tree.file(proxy, type_, name)

    def everything(self, proxy: int) -> Content:
        """All files of an Envoy."""
        held = resources_of(self._scenario, self._calibration)
        keys: list[tuple[ResourceType, str]] = [(CDS, ""), (LDS, "")]
        for type_ in (EDS, RDS, SDS, ECDS, RTDS):
            keys += [(type_, name) for name in held[type_].names]
        keys += self._added()
        return {key: self.file(proxy, *key) for key in keys}

    def renamed(self, proxy: int, type_: ResourceType, name: str) -> Content:
        """The files that are moved into place when one is.

        An added cluster brings its assignment along, an added listener its route.
        """
        content: Content = {(type_, name): self.file(proxy, type_, name)}
        for push in self._scenario.control_plane.pushes:
            if push.type != type_.name or not type_.wildcard:
                continue
            for added in push.add:
                key = (EDS, added) if type_ is CDS else (RDS, self._route_of(added))
                brought = self.file(proxy, *key)
                if brought is not None:
                    content[key] = brought
        return content

    def _added(self) -> Iterator[tuple[ResourceType, str]]:
        for push in self._scenario.control_plane.pushes:
            if push.type in ("eds", "rds"):
                yield from ((EDS if push.type == "eds" else RDS, name) for name in push.add)

    def _route_of(self, listener: str) -> str:
        return self._scenario.control_plane.resources.listener_named(listener).route
