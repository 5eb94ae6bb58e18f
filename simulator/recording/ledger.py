"""The ledger of changes: which proxy each one concerns, what carried it there, and when it took effect.

A control plane announces a change and asks, before it sends, what of it a message carries. Each answer is a
*carriage* with an id of its own: the part of one change that one message takes to one proxy. A change of two
clusters travels in one message on ADS and in two on separate streams, by polls or in files; its row is
complete when carriages of all its parts are. The proxy reports receipt, application and activity by those
ids. Every (change, proxy) pair has exactly one row and one outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from simulator.recording.recorder import DeliveryRow, Recorder

N = TypeVar("N")


@dataclass(frozen=True, slots=True, eq=False)
class Change(Generic[N]):
    """One exogenous change.

    Attributes:
        id: Row number in the table of changes.
        type_name: Resource type it changes.
        names: Resource names it changes.
        t_changed_ns: When it happened.
    """

    id: int
    type_name: str
    names: N
    t_changed_ns: int


@dataclass(slots=True, eq=False)
class _Delivery(Generic[N]):
    """One change on its way to one proxy: its names not applied there, not serving, not ACKed yet."""

    change: Change[N]
    row: DeliveryRow
    unapplied: N
    inactive: N
    unacked: N
    is_superseded: bool = False
    """A newer change of the same names was applied before it served."""

    @property
    def is_pending(self) -> bool:
        """Whether its outcome is still open."""
        return self.row.outcome == "pending"


@dataclass(frozen=True, slots=True)
class _Sending:
    """When and how one message left."""

    carried_by: str
    t_enqueued_ns: int
    t_dequeued_ns: int
    t_sent_ns: int


@dataclass(slots=True, eq=False)
class _Carriage(Generic[N]):
    """The part of a delivery that one message carries."""

    delivery: _Delivery[N]
    names: N
    sending: _Sending
    t_received_ns: int | None = None


class ChangeLedger(Generic[N]):
    """All changes of a run and their deliveries.

    Args:
        recorder: Where the rows are kept.
        minus: Names of the first argument that are not in the second; empty names are falsy.
    """

    def __init__(self, recorder: Recorder, minus: Callable[[N, N], N]) -> None:
        self._recorder = recorder
        self._minus = minus
        self._changes: list[Change[N]] = []
        self._deliveries: dict[tuple[int, int], _Delivery[N]] = {}
        self._open: dict[tuple[int, str], list[_Delivery[N]]] = {}
        """Deliveries without an outcome, by proxy and type, in order of their changes."""
        self._carriages: list[_Carriage[N]] = []

    # --- the control plane's side

    def announce(self, type_name: str, names: N, label: str, t_ns: int, proxies: Sequence[int]) -> Change[N]:
        """A change happened; these proxies are alive and concerned."""
        change_id = self._recorder.change(type_name, label, t_ns, len(proxies))
        change = Change(change_id, type_name, names, t_ns)
        self._changes.append(change)
        for proxy in proxies:
            row = self._recorder.delivery(change_id, proxy, t_ns)
            delivery = _Delivery(change, row, unapplied=names, inactive=names, unacked=names)
            self._deliveries[change_id, proxy] = delivery
            self._open.setdefault((proxy, type_name), []).append(delivery)
        return change

    def narrow(self, change: Change[N], proxy: int, wanted: N) -> None:
        """Of these names alone the proxy wants the change; nothing happens if it wants none of them now."""
        delivery = self._deliveries.get((change.id, proxy))
        if delivery is not None and (names := self._common(change.names, wanted)):
            delivery.unapplied = delivery.inactive = delivery.unacked = names

    def carry(
        self,
        proxy: int,
        type_name: str,
        covered: N | None,
        t_sent_ns: int,
        carried_by: str,
        t_enqueued_ns: int | None = None,
        t_dequeued_ns: int | None = None,
    ) -> tuple[int, ...]:
        """What a message to that proxy carries, as ids of carriages: of each change not applied there yet
        the names it covers (None: all)."""
        carried = self._carried(self._open.get((proxy, type_name), ()), covered)
        first_id = len(self._carriages)
        for delivery, names in carried:
            change, row = delivery.change, delivery.row
            enqueued_ns = max(t_enqueued_ns or 0, change.t_changed_ns)
            dequeued_ns = max(t_dequeued_ns or 0, enqueued_ns)
            sending = _Sending(carried_by, enqueued_ns, dequeued_ns, t_sent_ns)
            carriage = _Carriage(delivery, names, sending)
            self._carriages.append(carriage)
            if row.t_sent_ns is None:
                _note_sending(row, carriage)
        return tuple(range(first_id, first_id + len(carried)))

    def _carried(self, deliveries: Sequence[_Delivery[N]], covered: N | None) -> list[tuple[_Delivery[N], N]]:
        carried = []
        for delivery in deliveries:
            names = delivery.change.names
            if covered is not None:
                names = self._common(names, covered)
            if self._common(delivery.unapplied, names):
                carried.append((delivery, names))
        return carried

    def _common(self, names: N, others: N) -> N:
        rest = self._minus(names, others)
        return self._minus(names, rest) if rest else names

    def _covers(self, names: N, others: N) -> bool:
        return not self._minus(others, names)

    def on_acked(self, carriages: tuple[int, ...], proxy: int, t_ns: int) -> None:
        """The control plane read the ACK of the message that carried them."""
        for number in carriages:
            part = self._carriages[number]
            delivery = part.delivery
            delivery.unacked = self._minus(delivery.unacked, part.names)
            if not delivery.unacked and delivery.row.t_acked_ns is None:
                delivery.row.t_acked_ns = t_ns

    def on_gone(self, proxy: int) -> None:
        """The proxy ended: what it did not get, it never will."""
        for (open_proxy, _), deliveries in self._open.items():
            if open_proxy == proxy:
                for delivery in list(deliveries):
                    self._end(delivery, "disconnected")

    def stale_windows(self, proxy: int, path: Mapping[str, N], end_ns: int) -> list[tuple[int, int]]:
        """Spans in which a change of one of the path's resources has happened but neither it nor a newer
        change of the same resources is active on the proxy."""
        windows = []
        latest: dict[str, list[tuple[N, int]]] = {}
        for change in reversed(self._changes):
            path_names, delivery = path.get(change.type_name), self._deliveries.get((change.id, proxy))
            if path_names is None or delivery is None:
                continue
            names = self._common(path_names, change.names)
            if not names:
                continue
            active_ns = end_ns if delivery.row.t_active_ns is None else delivery.row.t_active_ns
            newer = latest.setdefault(change.type_name, [])
            fresh_ns = min([active_ns, *(t_ns for later, t_ns in newer if self._covers(later, names))])
            newer.append((names, fresh_ns))
            windows.append((change.t_changed_ns, fresh_ns))
        return windows[::-1]

    # --- the proxy's side (wire/contract.py: ChangeSink)

    def on_received(self, carriages: tuple[int, ...], proxy: int, t_ns: int) -> None:
        """A message that carries them reached the proxy."""
        for number in carriages:
            carriage = self._carriages[number]
            carriage.t_received_ns = t_ns
            row = carriage.delivery.row
            if row.t_received_ns is None:
                row.t_received_ns = t_ns

    def on_applied(self, carriage: int, proxy: int, t_ns: int) -> None:
        """The proxy's main thread finished with it. The last part decides the instants of the row."""
        part = self._carriages[carriage]
        delivery = part.delivery
        if not delivery.is_pending or not self._common(delivery.unapplied, part.names):
            return
        delivery.unapplied = self._minus(delivery.unapplied, part.names)
        if not delivery.unapplied:
            _note_sending(delivery.row, part)
            delivery.row.t_applied_ns = t_ns
        # Content that does not serve yet gives way to the newer one, of this message or of a later one.
        for older in self._older(delivery, part.names):
            older.is_superseded = True

    def on_rejected(self, carriage: int, proxy: int, t_ns: int) -> None:
        """The proxy refused it."""
        part = self._carriages[carriage]
        if part.delivery.is_pending:
            _note_sending(part.delivery.row, part)
            self._end(part.delivery, "rejected")

    def on_active(self, carriage: int, proxy: int, t_ns: int) -> None:
        """It decides traffic on every worker of the proxy."""
        part = self._carriages[carriage]
        delivery = part.delivery
        delivery.inactive = self._minus(delivery.inactive, part.names)
        if not delivery.is_pending or delivery.inactive or delivery.unapplied:
            return
        for older in self._older(delivery, delivery.change.names):
            if not older.unapplied:
                self._take_effect(older, t_ns)
        self._take_effect(delivery, t_ns)

    def type_and_names(self, carriage: int) -> tuple[str, N]:
        """What a carriage is about: type name and resource names."""
        part = self._carriages[carriage]
        return part.delivery.change.type_name, part.names

    def _older(self, delivery: _Delivery[N], names: N) -> list[_Delivery[N]]:
        """Open deliveries of older changes of nothing but these names."""
        change = delivery.change
        return [
            other
            for other in self._open.get((delivery.row.proxy, change.type_name), ())
            if other.change.id < change.id and self._covers(names, other.change.names)
        ]

    def _take_effect(self, delivery: _Delivery[N], t_ns: int) -> None:
        delivery.row.t_active_ns = t_ns
        self._end(delivery, "superseded" if delivery.is_superseded else "active")

    def _end(self, delivery: _Delivery[N], outcome: str) -> None:
        delivery.row.outcome = outcome
        self._open[delivery.row.proxy, delivery.change.type_name].remove(delivery)


def _note_sending(row: DeliveryRow, carriage: _Carriage[N]) -> None:
    sending = carriage.sending
    row.replica, row.carried_by = 0, sending.carried_by
    row.t_observed_ns = row.t_debounced_ns = row.t_changed_ns
    row.t_enqueued_ns, row.t_dequeued_ns = sending.t_enqueued_ns, sending.t_dequeued_ns
    row.t_sent_ns, row.t_received_ns = sending.t_sent_ns, carriage.t_received_ns
