"""Files: a control plane that writes configuration to disk, and Envoy's filesystem subscriptions.

A file is read when its subscription starts and after each rename into place; there is no timer, no jitter and
no ACK (rules F1 to F3). A path must exist when the subscription object is created.
In a cluster the files are ConfigMaps, and it is the kubelet that moves them into place, whenever it next
synchronizes the pod.
Sources: source/extensions/config_subscription/filesystem/filesystem_subscription_impl.cc; Kubernetes
pkg/kubelet/pod_workers.go, pkg/volume/util/atomic_writer.go.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from simulator.calibration.ways import DIRECTORY, FILE
from simulator.engine.draws import Draws
from simulator.engine.events import After, Band, Clock
from simulator.mesh.kubelet import KubeletRhythm, KubeletSettings
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
    """Envoy's end: a config source that reads files."""

    is_ads = False
    has_fetch_timeout = False
    is_path = True

    def __init__(self, process: ProxyProcess, tree: FileTree, *, watches_directory: bool) -> None:
        self._process = process
        self._tree = tree
        self.way_costs = DIRECTORY if watches_directory else FILE
        self._watches: dict[ResourceType, dict[str, tuple[ConfigConsumer, Names]]] = {}

    def start(self) -> None:
        """Files are read with their subscriptions."""

    def missing(self, type_: ResourceType, names: Names) -> Names:
        """Names whose file does not exist."""
        wanted = names if not type_.wildcard else Names(("",))
        absent = [n for n in wanted if self._tree.file(self._process.proxy, type_, n) is None]
        return Names(n or type_.name for n in absent)

    def subscribe(self, type_: ResourceType, names: Names, consumer: ConfigConsumer) -> None:
        """Watches and reads each file."""
        for single in names.singly() or (NO_NAMES,):
            self._watches.setdefault(type_, {})[next(iter(single), "")] = consumer, single
            self._read(type_, single, consumer)

    def unsubscribe(self, type_: ResourceType, names: Names) -> None:
        """Ends the watches of these names."""
        for name in names:
            self._watches.get(type_, {}).pop(name, None)

    def release_superseded(self, type_: ResourceType, names: Names, *, is_told: bool) -> None:
        """One watch a path: nothing to end."""

    def pause(self, type_: ResourceType) -> None:
        """Only ADS pauses."""

    def resume(self, type_: ResourceType) -> None:
        """Only ADS pauses."""

    def stop(self) -> None:
        """The process ends."""
        self._watches.clear()

    def watched(self, type_: ResourceType, names: Names | None) -> list[str]:
        """The files of that type that are watched, of these names or of any; "" stands for CDS and LDS."""
        watches = self._watches.get(type_, {})
        if names is None or type_.wildcard:
            return list(watches)
        return [name for name in names if name in watches]

    def on_renamed(self, type_: ResourceType, name: str) -> None:
        """A new file was moved into place."""
        watch = self._watches.get(type_, {}).get(name)
        if watch is not None and not self._process.is_exited:
            consumer, single = watch
            self._read(type_, single, consumer, self._process.costs.ns(self.way_costs.update))

    def _read(
        self, type_: ResourceType, single: Names, consumer: ConfigConsumer, extra_cost_ns: int = 0
    ) -> None:
        process = self._process
        found = self._tree.file(process.proxy, type_, next(iter(single), ""))
        if found is None:
            return
        version, resources = found
        changes = self._tree.carried(process.proxy, type_, single if single else None)
        process.changes.on_received(changes, process.proxy, process.now_ns)
        update = Update(
            type_,
            resources,
            version=version,
            changes=changes,
            extra_cost_ns=extra_cost_ns,
            watched=single,
        )
        process.main_thread.submit(
            lambda: cost_ns(update, consumer, process.costs), lambda: self._apply(update, consumer)
        )

    def _apply(self, update: Update, consumer: ConfigConsumer) -> None:
        if not self._process.is_exited:
            deliver(update, consumer)


class _Volumes:
    """The ConfigMap volumes of one pod."""

    __slots__ = ("content", "files", "published", "rhythm", "scheduled", "versions")

    def __init__(self, content: FileTree, published: int, rhythm: KubeletRhythm) -> None:
        self.content = content
        self.rhythm = rhythm
        self.files: FilesystemSubscriptions | None = None
        self.published = published
        """Publications of the log that are on disk."""
        self.versions: dict[tuple[ResourceType, str], str] = {}
        """What the Envoy has read."""
        self.scheduled: After | None = None


class KubeletSync:
    """The writer's end in a cluster: ConfigMaps that each pod's kubelet moves into place.

    Every pod is synchronized in a rhythm and phase of its own. Then all its files hold what is published at
    that instant, and those whose content differs are renamed: each file is a ConfigMap volume of its own
    (assumption), and an unchanged volume is not swapped. The kubelet learns of a ConfigMap at once (its
    default is to watch). Nothing is scheduled while nothing is published.

    Args:
        clock: The clock of the run.
        draws: Its random numbers.
        settings: How often pods are synchronized.
        latest: What the ConfigMaps hold now; what it returned before must go on to hold what it held, so that
            a file first read long after the last synchronization is as old as its neighbours.
    """

    def __init__(
        self, clock: Clock, draws: Draws, settings: KubeletSettings, latest: Callable[[], FileTree]
    ) -> None:
        self._clock = clock
        self._draws = draws
        self._interval = settings.interval
        self._latest = latest
        self._volumes: dict[int, _Volumes] = {}
        self._log: list[tuple[ResourceType, Names | None]] = []

    def mount(self, proxy: int) -> None:
        """A pod is created: its volumes hold what is published now."""
        rhythm = KubeletRhythm(self._draws, proxy, self._interval, self._clock.now_ns)
        self._volumes[proxy] = _Volumes(self._latest(), len(self._log), rhythm)

    def watch(self, proxy: int, files: FilesystemSubscriptions) -> None:
        """This Envoy of the pod reads the files from now on."""
        volumes = self._volumes[proxy]
        volumes.files = files
        volumes.versions.clear()

    def unmount(self, proxy: int) -> None:
        """The pod is gone."""
        volumes = self._volumes.pop(proxy)
        if volumes.scheduled is not None:
            volumes.scheduled.cancel()

    def on_published(self, type_: ResourceType, names: Names | None) -> None:
        """Something of the type was published: these names of it, or None for any of it."""
        self._log.append((type_, names))
        for proxy, volumes in self._volumes.items():
            if volumes.scheduled is None:
                self._schedule(proxy, volumes)

    def _schedule(self, proxy: int, volumes: _Volumes) -> None:
        next_ns = volumes.rhythm.skip_to(self._clock.now_ns)
        volumes.scheduled = self._clock.at(
            next_ns, partial(self._sync, proxy, volumes), band=Band.TIMER, entity=proxy
        )

    def _sync(self, proxy: int, volumes: _Volumes) -> None:
        volumes.scheduled = None
        volumes.rhythm.advance()
        fresh, volumes.published = self._log[volumes.published :], len(self._log)
        volumes.content = self._latest()
        files = volumes.files
        if files is None:
            return
        renamed: dict[tuple[ResourceType, str], None] = {}
        for type_, names in sorted(fresh, key=lambda entry: entry[0].push_order):
            renamed.update(dict.fromkeys((type_, name) for name in files.watched(type_, names)))
        for type_, name in renamed:
            found = volumes.content.file(proxy, type_, name)
            if found is not None and found[0] != volumes.versions.get((type_, name)):
                files.on_renamed(type_, name)

    # --- FileTree: what is on the disk of a pod

    def file(self, proxy: int, type_: ResourceType, name: str) -> tuple[str, Resources] | None:
        """Version and content of a file as of the last synchronization."""
        volumes = self._volumes[proxy]
        found = volumes.content.file(proxy, type_, name)
        if found is not None:
            volumes.versions[type_, name] = found[0]
        return found

    def carried(self, proxy: int, type_: ResourceType, names: Names | None) -> tuple[int, ...]:
        """Recorded changes that reading the file delivers."""
        return self._volumes[proxy].content.carried(proxy, type_, names)
