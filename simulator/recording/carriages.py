"""A change on its way: its delivery to one proxy, and the messages that carry parts of it there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from simulator.recording.open_deliveries import NameSet
from simulator.recording.rows import DeliveryRow

N = TypeVar("N", bound=NameSet)


@dataclass(frozen=True, slots=True, eq=False)
class Change(Generic[N]):
    """One exogenous change.

    Attributes:
        id: Row number in the table of changes.
        kind: What kind of thing changed: a kind of Istio, or a resource type in a script.
        objects: What changed. A newer change of the same kind that covers them supersedes this one.
        t_changed_ns: When it happened.
    """

    id: int
    kind: str
    objects: N
    t_changed_ns: int


@dataclass(frozen=True, slots=True)
class Sending:
    """How the content of a change came to leave in one message (see the columns of ``deliveries``)."""

    carried_by: str
    t_observed_ns: int
    t_debounced_ns: int
    t_enqueued_ns: int
    t_dequeued_ns: int
    t_sent_ns: int
    replica: int = 0
    push_id: int | None = None


class Sender(Protocol[N]):
    """The message about to leave, as the control plane that sends it knows it."""

    def sending(self, change: Change[N]) -> Sending | None:
        """How the change comes to travel in it; None if its content does not hold the change yet."""


Parts = Mapping[str, N]
"""What a change changes in one proxy: resource names by type name."""


@dataclass(slots=True, eq=False)
class Delivery(Generic[N]):
    """One change on its way to one proxy: by type its names not applied there, not serving, not ACKed."""

    change: Change[N]
    row: DeliveryRow
    announced: Parts[N]
    parts: Parts[N]
    unapplied: Parts[N]
    inactive: Parts[N]
    unacked: Parts[N]
    first_carriage: int = 0
    """Carriages before this one went to a process of the proxy that is gone."""
    is_superseded: bool = False
    """A newer change of the same objects was applied before it served."""
    followers: list[Delivery[N]] = field(default_factory=list)
    """Newer changes that alter nothing beyond it: they take effect when it does."""

    @property
    def is_pending(self) -> bool:
        """Whether its outcome is still open."""
        return self.row.outcome == "pending"


@dataclass(slots=True, eq=False)
class Carriage(Generic[N]):
    """The part of a delivery that one message carries."""

    delivery: Delivery[N]
    type_name: str
    names: N
    sending: Sending
    t_received_ns: int | None = None


class Directly(Generic[N]):
    """A control plane without stages of its own: what happens is sent."""

    def __init__(self, carried_by: str, t_sent_ns: int, t_enqueued_ns: int, t_dequeued_ns: int) -> None:
        self._carried_by = carried_by
        self._t_sent_ns = t_sent_ns
        self._t_enqueued_ns = t_enqueued_ns
        self._t_dequeued_ns = t_dequeued_ns

    def sending(self, change: Change[N]) -> Sending | None:
        """It holds every change announced so far."""
        changed_ns = change.t_changed_ns
        enqueued_ns = max(self._t_enqueued_ns, changed_ns)
        dequeued_ns = max(self._t_dequeued_ns, enqueued_ns)
        return Sending(self._carried_by, changed_ns, changed_ns, enqueued_ns, dequeued_ns, self._t_sent_ns)


def note_sending(row: DeliveryRow, carriage: Carriage[N]) -> None:
    """The row tells of the message that carried the part of the delivery which came last."""
    sending = carriage.sending
    row.replica, row.push_id, row.carried_by = sending.replica, sending.push_id, sending.carried_by
    row.t_observed_ns, row.t_debounced_ns = sending.t_observed_ns, sending.t_debounced_ns
    row.t_enqueued_ns, row.t_dequeued_ns = sending.t_enqueued_ns, sending.t_dequeued_ns
    row.t_sent_ns, row.t_received_ns = sending.t_sent_ns, carriage.t_received_ns
