"""Writes down what becomes of one real Envoy: its start, its states, and when changes take effect in it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from simulator.engine.events import Clock
from simulator.lab.log import Fact
from simulator.lab.network import MANAGEMENT_CLUSTERS
from simulator.recording.ledger import ChangeLedger
from simulator.recording.recorder import Recorder
from simulator.recording.rows import StartupRow
from simulator.xds.messages import Response
from simulator.xds.resource_types import CDS, EDS, LDS
from simulator.xds.resources import Names

_INSTANTS: Final = {
    "constructed": ("t_bootstrapped_ns",),
    "primary_initialized": ("t_primary_initialized_ns",),
    "rtds_initialized": ("t_rtds_initialized_ns",),
    "cds_subscribed": ("t_cds_subscribed_ns",),
    "cds_initialized": ("t_cds_initialized_ns",),
    "clusters_initialized": ("t_clusters_initialized_ns",),
    "workers_started": ("t_listeners_initialized_ns", "t_workers_started_ns"),
}
"""Fact -> columns of `startups` it dates, the first time it is told."""

_SERVER_STATES: Final = {
    "constructed": "PRE_INITIALIZING",
    "clusters_initialized": "INITIALIZING",
    "workers_started": "LIVE",
}

_OBJECT_STATES: Final = {
    "cluster_warming": ("cluster", "WARMING"),
    "cluster_active": ("cluster", "ACTIVE"),
    "cluster_gone": ("cluster", "GONE"),
    "listener_pending": ("listener", "ACTIVE_PENDING"),
    "listener_warming": ("listener", "WARMING"),
    "listener_active": ("listener", "ACTIVE"),
    "listener_in_place": ("listener", "ACTIVE"),
    "listener_draining": ("listener", "DRAINING"),
    "filter_chains_draining": ("listener", "FILTER_CHAINS_DRAINING"),
    "listener_gone": ("listener", "GONE"),
}

_TAKEN: Final = {
    "cds_taken": CDS.name,
    "lds_taken": LDS.name,
    "listener_withdrawn": LDS.name,
    "eds_taken": EDS.name,
}
"""Facts that tell of an update where no mux does: polls."""

_LEAVING: Final = ("listener_leaving", "listener_stays")
"""Facts that tell that a listener is being removed, and that one of the bootstrap is not."""

_OF_THE_PREDECESSOR: Final = ("DRAINING", "FILTER_CHAINS_DRAINING")

_MACHINE_OF: Final = {CDS.name: "cluster", LDS.name: "listener"}
"""Types whose resources warm: what they bring serves when the object is no longer warming."""


@dataclass(slots=True, eq=False)
class _UnderWay:
    """A response that carries changes."""

    type_name: str
    nonce: str
    names: Names
    changes: tuple[int, ...]
    t_sent_ns: int
    t_received_ns: int | None = None
    is_applied: bool = False


class Witness:
    """What is known of one Envoy.

    What the simulator knows and a process does not tell is taken from what it does tell: received is the log
    line of the mux (the sending, where there is none), applied the line that says the update was accepted
    (the ACK, where there is none), active that nothing it brought is warming any more.
    """

    def __init__(
        self, proxy: int, row: StartupRow, clock: Clock, recorder: Recorder, ledger: ChangeLedger[Names]
    ) -> None:
        self.proxy = proxy
        self.row = row
        self._clock = clock
        self._recorder = recorder
        self._ledger = ledger
        self._states: dict[tuple[str, str], str] = {}
        self._under_way: deque[_UnderWay] = deque()
        self._warming: list[_UnderWay] = []
        self._accepted: dict[str, None] = {}
        self._leaving = ""
        self.enter(row.t_started_ns, "server", "envoy", "STARTING")

    def enter(self, t_ns: int, machine: str, name: str, state: str) -> None:
        """Notes that a machine entered a state, unless it was in it."""
        if self._states.get((machine, name)) != state:
            self._states[machine, name] = state
            self._recorder.state(t_ns, self.proxy, machine, name, state)

    def on_fact(self, fact: Fact, t_ns: int) -> None:
        """The log says something."""
        for column in _INSTANTS.get(fact.what, ()):
            if getattr(self.row, column) is None:
                setattr(self.row, column, t_ns)
        if fact.what in _SERVER_STATES:
            self.enter(t_ns, "server", "envoy", _SERVER_STATES[fact.what])
        if fact.what in _OBJECT_STATES:
            self._object(fact, t_ns)
        elif fact.what == "workers_started":
            self._started(t_ns)
        elif fact.what == "fetch_timeout" and self.row.t_workers_started_ns is None:
            # The row of a start says what that start waited for.
            self.row.fetch_timeouts[fact.name] = self.row.fetch_timeouts.get(fact.name, 0) + 1
        elif fact.what in _LEAVING:
            self._leaving = fact.name if fact.what == "listener_leaving" else ""
        else:
            self._update(fact, t_ns)

    def _update(self, fact: Fact, t_ns: int) -> None:
        """It speaks of an update."""
        if fact.what == "received":
            self._received(fact.name, t_ns)
        elif fact.what in ("accepted", "file_accepted"):
            self._accepted[fact.name] = None
            self._applied(fact.name, t_ns)
        elif fact.what in _TAKEN:
            name = fact.name if fact.what == "eds_taken" else ""
            self._taken(_TAKEN[fact.what], name, t_ns)
            if fact.what == "listener_withdrawn":
                self._withdrawn(fact.name, t_ns)
        elif fact.what in ("poll_rejected", "file_rejected"):
            self._refused(fact.name, t_ns)

    def _object(self, fact: Fact, t_ns: int) -> None:
        machine, state = _OBJECT_STATES[fact.what]
        if fact.name in MANAGEMENT_CLUSTERS:
            return
        if fact.what == "listener_pending" and self.row.t_workers_started_ns is not None:
            state = "ACTIVE"
        if state in _OF_THE_PREDECESSOR:
            # A listener drains and goes while its successor of the same name serves, or when none follows.
            self._recorder.state(t_ns, self.proxy, machine, fact.name, state)
            return
        self.enter(t_ns, machine, fact.name, state)
        self._settle(t_ns)

    def _withdrawn(self, listener: str, t_ns: int) -> None:
        """LDS has taken a listener away. One in service drains, and the log tells when it is gone; one that
        warms, or waits for the workers to start, was destroyed at once without a word of its own."""
        self._leaving = ""
        if self._states.get(("listener", listener)) in ("WARMING", "ACTIVE_PENDING"):
            self.enter(t_ns, "listener", listener, "GONE")
            self._settle(t_ns)

    def _started(self, t_ns: int) -> None:
        self.row.outcome = "live"
        for (machine, name), state in list(self._states.items()):
            # Removing a listener that start-up waits for starts the workers, without it.
            is_leaving = machine == "listener" and name == self._leaving
            if state == "ACTIVE_PENDING" and not is_leaving:
                self.enter(t_ns, machine, name, "ACTIVE")
        self._settle(t_ns)

    def on_ready(self, t_ns: int, needs: tuple[str, ...]) -> None:
        """``/ready`` answered 200; the agent besides asks for accepted updates of these types."""
        if self.row.t_ready_ns is None and all(name in self._accepted for name in needs):
            self.row.t_ready_ns = t_ns

    def on_stopped(self) -> None:
        """Its successor tells it to end."""
        self.row.outcome = "stopped"

    def on_exit(self, *, is_gone: bool) -> None:
        """The process ended by itself; `is_gone` if no other of this Envoy runs."""
        self.row.outcome = "exited"
        self.enter(self._clock.now_ns, "server", "envoy", "EXITED")
        if is_gone:
            self._ledger.on_gone(self.proxy)

    # --- changes

    def on_sent(self, response: Response) -> None:
        """A response left, with whatever it carries."""
        self.on_carried(response.type.name, response.nonce, response.resources.names, response.changes)

    def on_carried(self, type_name: str, nonce: str, names: Names, changes: tuple[int, ...]) -> None:
        """Content left; the nonce is empty where there are no ACKs."""
        self._under_way.append(_UnderWay(type_name, nonce, names, changes, self._clock.now_ns))

    def on_answer(self, nonce: str, *, is_ack: bool) -> None:
        """The Envoy ACKed or refused a response."""
        t_ns = self._clock.now_ns
        for sent in [one for one in self._under_way if one.nonce == nonce]:
            self._note_received(sent, sent.t_sent_ns)
            if is_ack:
                self._apply(sent, t_ns)
            else:
                self._under_way.remove(sent)
                for change in sent.changes:
                    self._ledger.on_rejected(change, self.proxy, t_ns)

    def on_stream_closed(self, stream_id: int) -> None:
        """What was under way on it may never arrive."""
        of_stream = f"n{stream_id}."
        for sent in [one for one in self._under_way if one.nonce.startswith(of_stream)]:
            self._under_way.remove(sent)

    def _received(self, type_name: str, t_ns: int) -> None:
        for sent in self._under_way:
            if sent.type_name == type_name and sent.t_received_ns is None:
                self._note_received(sent, max(t_ns, sent.t_sent_ns))
                return

    def _note_received(self, sent: _UnderWay, t_ns: int) -> None:
        if sent.t_received_ns is None:
            sent.t_received_ns = t_ns
            self._ledger.on_received(sent.changes, self.proxy, t_ns)

    def _applied(self, type_name: str, t_ns: int) -> None:
        for sent in self._under_way:
            if sent.type_name == type_name and (sent.t_received_ns is not None or not sent.nonce):
                self._note_received(sent, sent.t_sent_ns)
                self._apply(sent, t_ns)
                return

    def _taken(self, type_name: str, name: str, t_ns: int) -> None:
        """An update by REST shows in what it does."""
        for sent in self._under_way:
            if sent.type_name == type_name and not sent.nonce and (not name or name in sent.names):
                self._accepted[type_name] = None
                self._note_received(sent, sent.t_sent_ns)
                self._apply(sent, t_ns)
                return

    def on_stated(self, type_name: str, names: Names, t_ns: int) -> None:
        """A poll states the version it has: what was sent before is applied, if nothing told so earlier."""
        for sent in [one for one in self._under_way if one.type_name == type_name and not one.nonce]:
            if not names or any(name in sent.names for name in names):
                self._accepted[type_name] = None
                self._note_received(sent, sent.t_sent_ns)
                self._apply(sent, t_ns)

    def _refused(self, type_name: str, t_ns: int) -> None:
        for sent in self._under_way:
            if not sent.nonce and sent.type_name == (type_name or sent.type_name):
                self._note_received(sent, sent.t_sent_ns)
                self._under_way.remove(sent)
                for change in sent.changes:
                    self._ledger.on_rejected(change, self.proxy, t_ns)
                return

    def _apply(self, sent: _UnderWay, t_ns: int) -> None:
        self._under_way.remove(sent)
        t_ns = max(t_ns, sent.t_received_ns or 0)
        for change in sent.changes:
            self._ledger.on_applied(change, self.proxy, t_ns)
        if sent.changes:
            self._warming.append(sent)
            self._settle(t_ns)

    def _settle(self, t_ns: int) -> None:
        """What was applied and warms no more decides traffic."""
        for sent in list(self._warming):
            machine = _MACHINE_OF.get(sent.type_name)
            states = [self._states.get((machine, name)) for name in sent.names] if machine else []
            if not any(state in ("WARMING", "ACTIVE_PENDING") for state in states):
                self._warming.remove(sent)
                for change in sent.changes:
                    self._ledger.on_active(change, self.proxy, t_ns)
