"""Envoy's log as facts: what its lines say about start-up, clusters, listeners and updates.

Sources: source/server/server.cc, source/common/upstream/cluster_manager_impl.cc,
source/common/listener_manager/listener_manager_impl.cc, source/common/init/manager_impl.cc,
source/server/hot_restarting_parent.cc,
source/extensions/config_subscription/*.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from simulator.lab.network import PATHS
from simulator.xds.resource_types import RESOURCE_TYPES

_SHORT: Final = {type_.type_url: name for name, type_ in RESOURCE_TYPES.items()}

_TYPE: Final = r"(?P<type>type\.googleapis\.com/\S+)"

PATTERNS: Final[tuple[tuple[str, str], ...]] = (
    ("constructed", r"loading \d+ static secret\(s\)"),
    ("primary_initialized", r"init manager RTDS (contains no targets|initializing$)"),
    ("rtds_initialized", r"RTDS has finished initialization"),
    ("secondaries_started", r"cm init: initializing secondary clusters"),
    ("cds_subscribed", r"cm init: initializing cds"),
    ("cds_initialized", r"maybe finish initialize state: 4$"),
    ("clusters_initialized", r"all clusters initialized\. initializing init manager"),
    ("workers_started", r"all dependencies initialized\. starting workers"),
    ("parent_drains", r"^closing and draining listeners$"),
    ("parent_ends", r"^shutting down due to child request$"),
    ("received", rf"Received (?:gRPC message|DeltaDiscoveryResponse) for {_TYPE} at version"),
    ("accepted", rf"(?:gRPC|Delta) config for {_TYPE} accepted"),
    ("rejected", rf"(?:gRPC|delta) config for {_TYPE} rejected"),
    ("file_accepted", r"Filesystem config update accepted for .*?(?P<file>\w+)(?:\.[^/]*)?\.json: "),
    ("file_rejected", r"Filesystem config update rejected"),
    ("poll_rejected", r"REST config for (?P<path>/v3/discovery:\S+) rejected"),
    ("cds_taken", r"cds: added/updated \d+ cluster"),
    ("lds_taken", r"lds: add/update listener"),
    ("listener_leaving", r"begin remove listener: name=(?P<name>[^,]+)"),
    ("listener_stays", r"unknown/locked listener '(?P<name>[^']+)'\. no remove"),
    ("listener_withdrawn", r"lds: remove listener '(?P<name>[^']+)'"),
    ("eds_taken", r"EDS hosts or locality weights changed for cluster: (?P<name>\S+)"),
    ("fetch_timeout", rf"initial fetch time(?:d )?out(?: for)? {_TYPE}"),
    ("fetch_timeout", r"REST config: initial fetch timeout for (?P<path>/v3/discovery:\S+)"),
    ("cluster_warming", r"add/update cluster (?P<name>\S+) (?:during init|starting warming)"),
    ("cluster_active", r"warming cluster (?P<name>\S+) complete"),
    ("cluster_active", r"adding TLS cluster (?P<name>\S+)"),
    ("cluster_gone", r"removing (?:warming )?cluster (?P<name>\S+)"),
    ("listener_pending", r"add active listener: name=(?P<name>[^,]+)"),
    ("listener_warming", r"add warming listener: name=(?P<name>[^,]+)"),
    ("listener_active", r"warm complete\. updating active listener: name=(?P<name>[^,]+)"),
    ("listener_in_place", r"execute in place filter chain update: name=(?P<name>[^,]+)"),
    ("listener_draining", r"draining listener: name=(?P<name>[^,]+)"),
    ("filter_chains_draining", r"draining \d+ filter chains in listener (?P<name>[^:]+):"),
    ("listener_gone", r"listener removal complete: name=(?P<name>[^,]+)"),
)
"""Fact -> what the line that tells it looks like."""

_COMPILED: Final = tuple((fact, re.compile(pattern)) for fact, pattern in PATTERNS)


@dataclass(frozen=True, slots=True)
class Fact:
    """One line that says something.

    Attributes:
        stamp: When, as the log writes it: seconds since the epoch.
        what: The name of its pattern.
        name: The cluster or listener, or the short name of the resource type.
    """

    stamp: str
    what: str
    name: str = ""


def fact_of(line: str) -> Fact | None:
    """What a line of the log says; None if nothing that matters here."""
    stamp, _, rest = line.partition("|")
    told = rest.split("|", 2)
    if len(told) < 3:
        return None
    for what, pattern in _COMPILED:
        found = pattern.search(told[2])
        if found is not None:
            groups = found.groupdict()
            return Fact(stamp, what, groups.get("name") or _type_name(groups))
    return None


def _type_name(groups: dict[str, str | None]) -> str:
    """The short name of the resource type a line speaks of: by type URL, by path, or by file name."""
    path = groups.get("path")
    if path is not None:
        return PATHS[path].name if path in PATHS else ""
    return groups.get("file") or _SHORT.get((groups.get("type") or "").rstrip(".,:"), "")


class LogFollower:
    """Reads a log that is being written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""

    def facts(self) -> Iterator[Fact]:
        """The facts of the lines written since the last call."""
        with self._path.open("rb") as log:
            log.seek(self._offset)
            written = log.read()
        self._offset += len(written)
        *lines, self._rest = (self._rest + written).split(b"\n")
        for line in lines:
            fact = fact_of(line.decode("utf-8", "replace"))
            if fact is not None:
                yield fact

    def last_words(self, lines: int = 5) -> str:
        """The end of the log, for who must be told why an Envoy exited."""
        text = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        telling = [line for line in text if "|critical|" in line or "|error|" in line or "exiting" in line]
        return "\n".join((telling or text)[-lines:])
