"""The ledger of changes: which proxy each one concerns, what carried it there, and when it took effect.

A control plane announces a change and asks, before it sends, which changes a message carries; the proxy
reports
receipt, application and activity. Every (change, proxy) pair has exactly one row and one outcome.
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
        self._rows: dict[tuple[int, int], DeliveryRow] = {}
        self._pending: dict[tuple[int, str], list[Change[N]]] = {}
        self._superseded: dict[tuple[int, int], None] = {}

    # --- the control plane's side

    def announce(self, type_name: str, names: N, label: str, t_ns: int, proxies: Sequence[int]) -> Change[N]:
        """A change happened; these proxies are alive and concerned."""
        change_id = self._recorder.change(type_name, label, t_ns, len(proxies))
        change = Change(change_id, type_name, names, t_ns)
        self._changes.append(change)
        for proxy in proxies:
            row = self._recorder.delivery(change_id, proxy, t_ns)
            self._rows[change_id, proxy] = row
            self._pending.setdefault((proxy, type_name), []).append(change)
        return change

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
        """Changes a message to that proxy carries: those not delivered yet whose names it covers (None: all).

        A change all of whose names a newer carried change covers is superseded by it.
        """
        pending = self._pending.get((proxy, type_name))
        if not pending:
            return ()
        carried = [c for c in pending if covered is None or not self._minus(c.names, covered)]
        for older, change in enumerate(carried):
            if any(not self._minus(change.names, newer.names) for newer in carried[older + 1 :]):
                self._superseded[change.id, proxy] = None
        for change in carried:
            row = self._rows[change.id, proxy]
            row.replica, row.carried_by = 0, carried_by
            enqueued_ns = (
                change.t_changed_ns if t_enqueued_ns is None else max(t_enqueued_ns, change.t_changed_ns)
            )
            row.t_observed_ns = row.t_debounced_ns = change.t_changed_ns
            row.t_enqueued_ns = enqueued_ns
            row.t_dequeued_ns = enqueued_ns if t_dequeued_ns is None else max(t_dequeued_ns, enqueued_ns)
            row.t_sent_ns = t_sent_ns
        return tuple(c.id for c in carried)

    def on_acked(self, changes: tuple[int, ...], proxy: int, t_ns: int) -> None:
        """The control plane read the ACK of the message that carried them."""
        for change in changes:
            row = self._rows[change, proxy]
            if row.t_acked_ns is None:
                row.t_acked_ns = t_ns

    def on_gone(self, proxy: int) -> None:
        """The proxy ended: what it did not get, it never will."""
        for (_, row_proxy), row in self._rows.items():
            if row_proxy == proxy and row.outcome == "pending":
                row.outcome = "disconnected"

    def stale_windows(self, proxy: int, path: Mapping[str, N], end_ns: int) -> list[tuple[int, int]]:
        """Spans in which a change of one of the path's resources has happened but is not active on the
        proxy."""
        windows: list[tuple[int, int]] = []
        until_ns: dict[str, int] = {}
        # Newest first: an older change, even a rejected one, is history once a newer one of the type is
        # active.
        for change in reversed(self._changes):
            names, row = path.get(change.type_name), self._rows.get((change.id, proxy))
            if names is None or row is None or not self._minus(names, self._minus(names, change.names)):
                continue
            active_ns = end_ns if row.t_active_ns is None else row.t_active_ns
            until_ns[change.type_name] = min(active_ns, until_ns.get(change.type_name, end_ns))
            windows.append((change.t_changed_ns, until_ns[change.type_name]))
        return windows

    # --- the proxy's side (wire/contract.py: ChangeSink)

    def on_received(self, changes: tuple[int, ...], proxy: int, t_ns: int) -> None:
        """A message that carries them reached the proxy."""
        for change in changes:
            row = self._rows[change, proxy]
            if row.t_received_ns is None or row.t_applied_ns is None:
                row.t_received_ns = t_ns

    def on_applied(self, change: int, proxy: int, t_ns: int) -> None:
        """The proxy's main thread finished with it."""
        row = self._rows[change, proxy]
        if row.t_applied_ns is None:
            row.t_applied_ns = t_ns
        self._settle(change, proxy)

    def on_rejected(self, change: int, proxy: int, t_ns: int) -> None:
        """The proxy refused it."""
        row = self._rows[change, proxy]
        if row.outcome == "pending":
            row.outcome = "rejected"
        self._settle(change, proxy)

    def on_active(self, change: int, proxy: int, t_ns: int) -> None:
        """It decides traffic on every worker of the proxy."""
        row = self._rows[change, proxy]
        if row.t_active_ns is None and row.outcome == "pending":
            row.t_active_ns = t_ns
            row.outcome = "superseded" if (change, proxy) in self._superseded else "active"

    def type_and_names(self, change: int) -> tuple[str, N]:
        """What a change is about."""
        return self._changes[change].type_name, self._changes[change].names

    def _settle(self, change: int, proxy: int) -> None:
        entry = self._changes[change]
        pending = self._pending.get((proxy, entry.type_name), [])
        if entry in pending:
            pending.remove(entry)
