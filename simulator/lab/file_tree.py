"""Configuration files of one Envoy: written before it starts, replaced as the script publishes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import json_format

from simulator.lab.protobufs import Builder, packed
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import Resources

_LINK: Final = "current"

Content = dict[tuple[ResourceType, str], "tuple[str, Resources] | None"]
"""What each file holds: version and resources, by type and name ("" for CDS and LDS); None: no such file."""


class ConfigurationFiles:
    """The files of one Envoy; `held` is what they hold.

    Watched one by one they are replaced by renaming; as a directory, by swapping a symbolic link (rule F1).
    """

    def __init__(self, root: Path, *, is_directory: bool) -> None:
        self._root = root
        self._is_directory = is_directory
        self._generation = 0
        self.held: Content = {}
        root.mkdir(parents=True)

    def path(self, type_: ResourceType, name: str) -> Path:
        """Where the configuration of a subscription is found."""
        base = self._root / _LINK if self._is_directory else self._root
        return base / _file_name(type_, name)

    def replace(self, changed: Content, build: Builder) -> None:
        """Moves new content into place."""
        self.held.update(changed)
        if not self._is_directory:
            for (type_, name), content in changed.items():
                path = self._root / _file_name(type_, name)
                if content is None:
                    path.unlink(missing_ok=True)
                else:
                    _write(path, type_, content, build)
            return
        self._generation += 1
        directory = self._root / f"generation-{self._generation}"
        directory.mkdir()
        for (type_, name), content in self.held.items():
            if content is not None:
                _write(directory / _file_name(type_, name), type_, content, build)
        link = self._root / f"{_LINK}.new"
        link.symlink_to(directory.name)
        link.rename(self._root / _LINK)

    def withdraw(self, type_: ResourceType, name: str) -> None:
        """Takes a file away where it lies: nothing is moved, so whoever watches is not told."""
        self.held[type_, name] = None
        self.path(type_, name).unlink(missing_ok=True)


def _file_name(type_: ResourceType, name: str) -> str:
    return f"{type_.name}.{name}.json".replace("/", "_") if name else f"{type_.name}.json"


def _write(path: Path, type_: ResourceType, content: tuple[str, Resources], build: Builder) -> None:
    version, resources = content
    message = discovery_pb2.DiscoveryResponse(
        version_info=version,
        type_url=type_.type_url,
        resources=[packed(build.message(type_, resource)) for resource in resources],
    )
    new = path.with_name(f"{path.name}.new")
    new.write_text(json_format.MessageToJson(message), encoding="utf-8")
    new.rename(path)
