"""The ledger of changes: which proxy each one concerns, what carried it there, and when it took effect.

A control plane announces a change and asks, before it sends, what of it a message carries. Each answer is a
*carriage* with an id of its own: the part of one change that one message takes to one proxy. A change of two
clusters travels in one message on ADS and in two on separate streams, by polls or in files; a change of a
cluster and a route table travels in two types. Its row is complete when carriages of all its parts are. The
proxy reports receipt, application and activity by those ids. Every (change, proxy) pair has exactly one row
and one outcome.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Generic

from simulator.recording.carriages import (
    Carriage,
    Change,
    Delivery,
    Directly,
    N,
    Parts,
    Sender,
    Sending,
    note_sending,
)
from simulator.recording.open_deliveries import OpenDeliveries
from simulator.recording.recorder import Recorder

__all__ = ["Change", "ChangeLedger", "Sender", "Sending"]


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
        self._deliveries: dict[tuple[int, int], Delivery[N]] = {}
        self._open: dict[int, OpenDeliveries[Delivery[N]]] = {}
        """Deliveries without an outcome, by proxy."""
        self._carriages: list[Carriage[N]] = []

    # --- the control plane's side

    def announce(self, type_name: str, names: N, label: str, t_ns: int, proxies: Sequence[int]) -> Change[N]:
        """Resources of one type changed; these proxies are alive and concerned."""
        return self.announce_parts(type_name, label, names, t_ns, [(proxies, {type_name: names})])

    def announce_parts(
        self,
        kind: str,
        label: str,
        objects: N,
        t_ns: int,
        concerned: Iterable[tuple[Sequence[int], Parts[N]]],
        elsewhere: int = 0,
    ) -> Change[N]:
        """Something changed; groups of proxies it concerns, each with what it changes there, and a number of
        others whose deliveries are kept elsewhere."""
        groups = [(proxies, MappingProxyType(dict(parts))) for proxies, parts in concerned if parts]
        total = elsewhere + sum(len(proxies) for proxies, _ in groups)
        change = Change(self._recorder.change(kind, label, t_ns, total), kind, objects, t_ns)
        self._changes.append(change)
        for proxies, parts in groups:
            for proxy in proxies:
                self._begin(change, proxy, parts)
        return change

    def _begin(self, change: Change[N], proxy: int, parts: Parts[N]) -> None:
        row = self._recorder.delivery(change.id, proxy, change.t_changed_ns)
        delivery = Delivery(change, row, parts, parts, unapplied=parts, inactive=parts, unacked=parts)
        self._deliveries[change.id, proxy] = delivery
        open_ones = self._open.get(proxy)
        if open_ones is None:
            open_ones = self._open[proxy] = OpenDeliveries()
        open_ones.add(change.id, delivery, parts)

    def begin_late(self, change: Change[N], proxy: int, parts: Parts[N]) -> None:
        """A delivery that was counted as kept elsewhere is kept here from now on: nothing was sent."""
        self._begin(change, proxy, MappingProxyType(dict(parts)))

    @property
    def count(self) -> int:
        """How many changes there were."""
        return len(self._changes)

    def first_since(self, t_ns: int, *, includes: bool) -> int:
        """The first change that happened after an instant, or at it."""
        find = bisect_left if includes else bisect_right
        return find(self._changes, t_ns, key=lambda change: change.t_changed_ns)

    def has_open(self, proxy: int) -> bool:
        """Whether the proxy has deliveries without an outcome."""
        return bool(self._open_of(proxy))

    def narrow(self, change: Change[N], proxy: int, wanted: N) -> None:
        """Of these names alone the proxy wants the change; nothing happens if it wants none of them now."""
        delivery = self._deliveries.get((change.id, proxy))
        if delivery is None:
            return
        ((type_name, names),) = delivery.parts.items()
        if names := self._common(names, wanted):
            parts = MappingProxyType({type_name: names})
            delivery.unapplied = delivery.inactive = delivery.unacked = parts

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
        """`carry_in` for a control plane that sends what happened without stages of its own."""
        sender: Directly[N] = Directly(carried_by, t_sent_ns, t_enqueued_ns or 0, t_dequeued_ns or 0)
        return self.carry_in(sender, proxy, type_name, covered)

    def carry_in(self, sender: Sender[N], proxy: int, type_name: str, covered: N | None) -> tuple[int, ...]:
        """What a message to that proxy carries, as ids of carriages: of each change not applied there yet
        that the message holds, the names it covers (None: all)."""
        open_ones = self._open.get(proxy)
        if open_ones is None:
            return ()
        deliveries = (
            open_ones.of_type(type_name) if covered is None else open_ones.touching(type_name, covered)
        )
        first_id = len(self._carriages)
        for delivery in deliveries:
            outstanding = delivery.unapplied.get(type_name)
            if outstanding is None:
                continue
            names = delivery.parts[type_name]
            if covered is not None:
                names = self._common(names, covered)
            if not self._common(outstanding, names):
                continue
            sending = sender.sending(delivery.change)
            if sending is None:
                continue
            carriage = Carriage(delivery, type_name, names, sending)
            self._carriages.append(carriage)
            if delivery.row.t_sent_ns is None:
                note_sending(delivery.row, carriage)
        return tuple(range(first_id, len(self._carriages)))

    def on_nothing_new(self, changes: Sequence[int], proxies: Iterable[int], replica: int, t_ns: int) -> None:
        """A replica learned of changes of one object that together alter nothing, such as an endpoint that
        left and came back: nothing is sent. Its proxies have them as soon as they have what was before.
        """
        for proxy in proxies:
            deliveries = [self._deliveries.get((change, proxy)) for change in changes]
            pending = [d for d in deliveries if d is not None and d.is_pending]
            before = self._before(pending[0]) if pending else None
            for delivery in pending:
                delivery.is_superseded = delivery is not pending[-1]
                delivery.row.replica, delivery.row.t_observed_ns = replica, t_ns
                if before is None:
                    self._follow(delivery, t_ns)
                else:
                    before.followers.append(delivery)

    def _before(self, delivery: Delivery[N]) -> Delivery[N] | None:
        """The newest open delivery of an older change of the same objects."""
        parts = delivery.parts.items()
        older = [other for type_name, names in parts for other in self._older(delivery, type_name, names)]
        return max(older, key=lambda other: other.change.id, default=None)

    def _follow(self, delivery: Delivery[N], t_ns: int) -> None:
        """It takes effect without a message of its own: each instant skipped equals the one before it."""
        row = delivery.row
        row.carried_by, observed_ns = "earlier_push", row.t_observed_ns
        row.t_debounced_ns = row.t_enqueued_ns = row.t_dequeued_ns = observed_ns
        row.t_sent_ns = row.t_received_ns = row.t_applied_ns = observed_ns
        row.t_acked_ns = t_ns
        self._take_effect(delivery, t_ns)

    def _common(self, names: N, others: N) -> N:
        rest = self._minus(names, others)
        return self._minus(names, rest) if rest else names

    def _covers(self, names: N, others: N) -> bool:
        return not self._minus(others, names)

    def _less(self, outstanding: Parts[N], type_name: str, names: N) -> Parts[N]:
        """What is outstanding without these names; an empty mapping when nothing is left."""
        before = outstanding.get(type_name)
        if before is None:
            return outstanding
        rest = self._minus(before, names)
        if rest is before:
            return outstanding
        kept = {other: n for other, n in outstanding.items() if other != type_name}
        if rest:
            kept[type_name] = rest
        return kept

    def on_acked(self, carriages: tuple[int, ...], proxy: int, t_ns: int) -> None:
        """The control plane read the ACK of the message that carried them."""
        for number in carriages:
            part = self._carriages[number]
            delivery = part.delivery
            if number < delivery.first_carriage:
                continue
            delivery.unacked = self._less(delivery.unacked, part.type_name, part.names)
            if not delivery.unacked and delivery.row.t_acked_ns is None:
                delivery.row.t_acked_ns = t_ns

    def on_gone(self, proxy: int) -> None:
        """The proxy ended: what it did not get, it never will."""
        for delivery in self._open_of(proxy):
            self._end(delivery, "disconnected")

    def on_restarted(self, proxy: int) -> None:
        """The proxy starts anew, with nothing: what does not serve yet must be carried again, and ACKed."""
        for delivery in self._open_of(proxy):
            delivery.unapplied = delivery.inactive = delivery.unacked = delivery.parts
            delivery.first_carriage, delivery.row.t_acked_ns = len(self._carriages), None

    def _open_of(self, proxy: int) -> Iterable[Delivery[N]]:
        open_ones = self._open.get(proxy)
        return () if open_ones is None else open_ones.all()

    def stale_windows(self, proxy: int, path: Mapping[str, N], end_ns: int) -> list[tuple[int, int]]:
        """Spans in which a change of one of the path's resources has happened but neither it nor a newer
        change of the same resources is active on the proxy."""
        windows = []
        latest: dict[str, list[tuple[N, int]]] = {}
        for change in reversed(self._changes):
            delivery = self._deliveries.get((change.id, proxy))
            if delivery is None:
                continue
            for type_name, part in delivery.parts.items():
                if type_name not in path or not (names := self._common(path[type_name], part)):
                    continue
                active_ns = end_ns if delivery.row.t_active_ns is None else delivery.row.t_active_ns
                newer = latest.setdefault(type_name, [])
                fresh_ns = min([active_ns, *(t_ns for later, t_ns in newer if self._covers(later, names))])
                newer.append((names, fresh_ns))
                windows.append((change.t_changed_ns, fresh_ns))
        return windows[::-1]

    def is_applied(self, change: int, proxy: int, type_name: str, names: N | None) -> bool:
        """Whether the proxy has applied the change in any of these resources (None: all)."""
        delivery = self._deliveries.get((change, proxy))
        if delivery is None or type_name not in delivery.parts:
            return False
        applied = delivery.parts[type_name]
        if (unapplied := delivery.unapplied.get(type_name)) is not None:
            applied = self._minus(applied, unapplied)
        return bool(applied) and (names is None or bool(self._common(applied, names)))

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
        if not delivery.is_pending or part.type_name not in delivery.unapplied:
            return
        if not self._common(delivery.unapplied[part.type_name], part.names):
            return
        delivery.unapplied = self._less(delivery.unapplied, part.type_name, part.names)
        if delivery.unapplied:
            return
        note_sending(delivery.row, part)
        delivery.row.t_applied_ns = t_ns
        # Content that does not serve yet gives way to the newer one, of this message or of a later one.
        for type_name, names in delivery.parts.items():
            for older in self._older(delivery, type_name, names):
                older.is_superseded = True

    def on_rejected(self, carriage: int, proxy: int, t_ns: int) -> None:
        """The proxy refused it."""
        part = self._carriages[carriage]
        if part.delivery.is_pending:
            note_sending(part.delivery.row, part)
            self._end(part.delivery, "rejected")

    def on_active(self, carriage: int, proxy: int, t_ns: int) -> None:
        """It decides traffic on every worker of the proxy."""
        part = self._carriages[carriage]
        delivery = part.delivery
        delivery.inactive = self._less(delivery.inactive, part.type_name, part.names)
        if not delivery.is_pending or delivery.inactive or delivery.unapplied:
            return
        for type_name, names in delivery.parts.items():
            for older in self._older(delivery, type_name, names):
                if not older.unapplied:
                    self._take_effect(older, t_ns)
        self._take_effect(delivery, t_ns)

    def type_and_names(self, carriage: int) -> tuple[str, N]:
        """What a carriage is about: type name and resource names."""
        part = self._carriages[carriage]
        return part.type_name, part.names

    def _older(self, delivery: Delivery[N], type_name: str, names: N) -> list[Delivery[N]]:
        """Open deliveries of older changes of the same objects and, of that type, of nothing but these
        names."""
        change = delivery.change
        return [
            other
            for other in self._open[delivery.row.proxy].touching(type_name, names)
            if other.change.id < change.id
            and other.change.kind == change.kind
            and self._covers(change.objects, other.change.objects)
            and self._covers(names, other.parts[type_name])
        ]

    def _take_effect(self, delivery: Delivery[N], t_ns: int) -> None:
        if delivery.is_pending:
            delivery.row.t_active_ns = t_ns
            self._end(delivery, "superseded" if delivery.is_superseded else "active")
            for follower in delivery.followers:
                if follower.is_pending:
                    self._follow(follower, t_ns)

    def _end(self, delivery: Delivery[N], outcome: str) -> None:
        delivery.row.outcome = outcome
        self._open[delivery.row.proxy].remove(delivery.change.id, delivery.announced)
