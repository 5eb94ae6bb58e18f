"""Files: a control plane that writes configuration to disk, and Envoy's filesystem subscriptions.

A file is read when its subscription starts and after each rename into place; there is no timer, no jitter and
no ACK (rules F1 to F3). A path must exist when the subscription object is created.
Source: source/extensions/config_subscription/filesystem/filesystem_subscription_impl.cc.
"""

from __future__ import annotations

from typing import Protocol

from simulator.wire.contract import ConfigConsumer, ProxyProcess, Update
from simulator.wire.delivery import cost_ns, deliver
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import NO_NAMES, Names, Resources


class FileTree(Protocol):
    """The writer's end: what the files of one proxy hold."""

    def file(self, proxy: int, type_: ResourceType, name: str) -> tuple[str, Resources] | None:
        """Version and content of a file; None if it does not exist. The name is empty for CDS and LDS."""

    def carried(self, proxy: int, type_: ResourceType, names: Names | None) -> tuple[int, ...]:
        """Recorded changes that reading the file delivers."""


class FilesystemSubscriptions:
    """A config source that reads files."""

    is_ads = False
    has_fetch_timeout = False
    is_path = True

    def __init__(self, process: ProxyProcess, tree: FileTree, *, watches_directory: bool) -> None:
        self._process = process
        self._tree = tree
        self._read_cost = "directory_update" if watches_directory else "file_update"
        self._watches: dict[tuple[ResourceType, str], ConfigConsumer] = {}

    def start(self) -> None:
        """Files are read with their subscriptions."""

    def missing(self, type_: ResourceType, names: Names) -> Names:
        """Names whose file does not exist."""
        wanted = names if not type_.wildcard else Names(("",))
        absent = [n for n in wanted if self._tree.file(self._process.proxy, type_, n) is None]
        return Names(n or type_.name for n in absent)

    def subscribe(self, type_: ResourceType, names: Names, consumer: ConfigConsumer) -> None:
        """Watches and reads each file."""
        for name in names or ("",):
            self._watches[type_, name] = consumer
            self._read(type_, name, consumer)

    def unsubscribe(self, type_: ResourceType, names: Names) -> None:
        """Ends the watches of these names."""
        for name in names:
            self._watches.pop((type_, name), None)

    def release_superseded(self, type_: ResourceType, names: Names) -> None:
        """One watch a path: nothing to end."""

    def pause(self, type_: ResourceType) -> None:
        """Only ADS pauses."""

    def resume(self, type_: ResourceType) -> None:
        """Only ADS pauses."""

    def stop(self) -> None:
        """The process ends."""
        self._watches.clear()

    def on_renamed(self, type_: ResourceType, name: str) -> None:
        """A new file was moved into place."""
        consumer = self._watches.get((type_, name))
        if consumer is not None and not self._process.is_exited:
            self._read(type_, name, consumer, self._process.costs.ns(self._read_cost))

    def _read(self, type_: ResourceType, name: str, consumer: ConfigConsumer, extra_cost_ns: int = 0) -> None:
        process = self._process
        found = self._tree.file(process.proxy, type_, name)
        if found is None:
            return
        version, resources = found
        changes = self._tree.carried(process.proxy, type_, Names((name,)) if name else None)
        process.changes.on_received(changes, process.proxy, process.now_ns)
        update = Update(
            type_,
            resources,
            version=version,
            changes=changes,
            extra_cost_ns=extra_cost_ns,
            watched=Names((name,)) if name else NO_NAMES,
        )
        process.main_thread.submit(
            lambda: cost_ns(update, consumer, process.costs), lambda: self._apply(update, consumer)
        )

    def _apply(self, update: Update, consumer: ConfigConsumer) -> None:
        if not self._process.is_exited:
            deliver(update, consumer)
