"""The PushContext, and what one replica knows of each change.

A replica learns of a change (*observed*), gathers it into a batch whose push begins (*started*), and has a
PushContext that holds it (*ready*). CDS, LDS, RDS and the rest are generated from the context a connection
was last pushed; EDS reads the live endpoint index, so it may hold a change that no push has carried yet.
Source: pilot/pkg/xds/discovery.go (Push, initPushContext); pilot/pkg/model/push_context.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from simulator.mesh.content import MeshContent
from simulator.recording.ledger import Change, Sending
from simulator.recording.rows import PushRow
from simulator.xds.resources import Names, Resources

NEVER = 2**62
"""Order of a change that no context holds."""


@dataclass(frozen=True, slots=True, eq=False)
class PushContext:
    """One snapshot.

    Attributes:
        order: Counts the contexts of one replica.
        version: ``version_info`` of responses made from it.
        content: What is served.
        assignments: The endpoint index when it was built: what polls are answered with.
        scopes: Order of the context whose sidecar scopes it shares.
        endpoints_order: Order of the last push of endpoints that did not wait for the debounce: it may have
            overtaken a context that is still being built.
    """

    order: int
    version: str
    content: MeshContent
    assignments: Resources
    scopes: int
    endpoints_order: int = 0

    def holds(self, known: Knowledge | None) -> bool:
        """Whether it was built from a change that the replica knows so."""
        if known is None:
            return False
        return known.order <= (max(self.order, self.endpoints_order) if known.is_apart else self.order)


@dataclass(slots=True, eq=False)
class Knowledge:
    """What one replica knows of one change.

    Attributes:
        number: How many changes the replica had heard of before.
        observed_ns: Its handlers processed the watch event.
        order: The first context that holds it.
        push: The round whose batch it was in; None where it was there when the replica started.
        is_apart: That round was of endpoints alone and did not wait for the debounce.
    """

    number: int
    observed_ns: int
    order: int = NEVER
    push: PushRow | None = None
    is_apart: bool = False


class KnownChanges:
    """What one replica knows of the changes of the run, by their ids in the ledger."""

    __slots__ = ("_known", "held", "replica")

    def __init__(self, replica: int) -> None:
        self.replica = replica
        self._known: dict[int, Knowledge] = {}
        self.held = 0
        """Of the changes of the run, in their order, so many at the beginning are in its context."""

    @property
    def count(self) -> int:
        """How many it has heard of: what is made from the live endpoint index now holds these."""
        return len(self._known)

    def observe(self, change: int, now_ns: int) -> None:
        """The replica learned of it."""
        if change not in self._known:
            self._known[change] = Knowledge(len(self._known), now_ns)

    def observe_at_start(self, change: int, now_ns: int) -> None:
        """It was there when the replica read the state of the cluster."""
        self._known[change] = Knowledge(len(self._known), now_ns, order=0)

    def gather(self, change: int, order: int, push: PushRow, *, is_apart: bool = False) -> None:
        """Its batch is being pushed."""
        known = self._known[change]
        if known.push is None and known.order == NEVER:
            known.order, known.push, known.is_apart = order, push, is_apart

    def hold(self, change: int, order: int) -> None:
        """It alters nothing: whatever holds what was before holds it as well."""
        known = self._known[change]
        if known.order == NEVER:
            known.order = order

    def get(self, change: int) -> Knowledge | None:
        """None for a change it has not heard of."""
        return self._known.get(change)


class Content(Protocol):
    """What a message is made from."""

    def holds(self, change: int) -> bool:
        """Whether it has the change."""


_FEW = 8
"""Up to so many, looking through all is as fast as looking one up."""


class CarriedByPush:
    """A response of a push, to the ledger."""

    __slots__ = ("_context", "_dequeued_ns", "_known", "_live", "_now_ns", "_pushes")

    def __init__(
        self,
        known: KnownChanges,
        pushes: tuple[int, ...],
        context: PushContext,
        dequeued_ns: int,
        now_ns: int,
        live: int,
    ) -> None:
        self._known = known
        self._pushes = frozenset(pushes) if len(pushes) > _FEW else pushes
        self._context = context
        self._dequeued_ns = dequeued_ns
        self._now_ns = now_ns
        self._live = live

    def holds(self, change: int) -> bool:
        """Whether its content has the change: by its context, or by the live endpoint index."""
        known = self._known.get(change)
        return known is not None and (self._context.holds(known) or known.number < self._live)

    def sending(self, change: Change[Names]) -> Sending | None:
        """By the push that was made for it, or by an earlier one that read the live index."""
        known = self._known.get(change.id)
        if known is None or not self.holds(change.id):
            return None
        push, observed_ns = known.push, known.observed_ns
        if push is None or push.push_id not in self._pushes:
            return _skipping(known, "earlier_push", self._now_ns, self._known.replica)
        assert push.t_started_ns is not None
        assert push.t_context_ready_ns is not None
        return Sending(
            "push",
            observed_ns,
            push.t_started_ns,
            push.t_context_ready_ns,
            self._dequeued_ns,
            self._now_ns,
            self._known.replica,
            push.push_id,
        )


class CarriedByAnswer:
    """An answer to a request, to the ledger."""

    __slots__ = ("_carried_by", "_context", "_known", "_live", "_now_ns")

    def __init__(
        self, known: KnownChanges, carried_by: str, context: PushContext, now_ns: int, live: int
    ) -> None:
        self._known = known
        self._carried_by = carried_by
        self._context = context
        self._now_ns = now_ns
        self._live = live

    def holds(self, change: int) -> bool:
        """Whether its content has the change: by its context, or by the live endpoint index."""
        known = self._known.get(change)
        return known is not None and (self._context.holds(known) or known.number < self._live)

    def sending(self, change: Change[Names]) -> Sending | None:
        """If the content holds it."""
        known = self._known.get(change.id)
        if known is None or not self.holds(change.id):
            return None
        return _skipping(known, self._carried_by, self._now_ns, self._known.replica)


class CarriedByPoll:
    """The answer to a poll, to the ledger: the queue is that of the server of polls."""

    __slots__ = ("_carried_by", "_context", "_dequeued_ns", "_enqueued_ns", "_known", "_sent_ns")

    def __init__(
        self,
        known: KnownChanges,
        carried_by: str,
        context: PushContext,
        enqueued_ns: int,
        dequeued_ns: int,
        sent_ns: int,
    ) -> None:
        self._known = known
        self._carried_by = carried_by
        self._context = context
        self._enqueued_ns = enqueued_ns
        self._dequeued_ns = dequeued_ns
        self._sent_ns = sent_ns

    def holds(self, change: int) -> bool:
        """Whether the published state has the change."""
        return self._context.holds(self._known.get(change))

    def sending(self, change: Change[Names]) -> Sending | None:
        """If the published state holds it."""
        known = self._known.get(change.id)
        if known is None or not self.holds(change.id):
            return None
        # Who learned of a change after it happened elsewhere (a replica that started) observed it later.
        observed_ns = max(known.observed_ns, change.t_changed_ns)
        published_ns = observed_ns
        if known.push is not None:
            assert known.push.t_started_ns is not None
            published_ns = known.push.t_started_ns
        enqueued_ns = max(self._enqueued_ns, published_ns)
        return Sending(
            self._carried_by,
            observed_ns,
            published_ns,
            enqueued_ns,
            max(self._dequeued_ns, enqueued_ns),
            self._sent_ns,
            self._known.replica,
            None if known.push is None else known.push.push_id,
        )


def _skipping(known: Knowledge, carried_by: str, sent_ns: int, replica: int) -> Sending:
    """Each stage that was skipped takes the instant of the one before it."""
    observed_ns = known.observed_ns
    return Sending(carried_by, observed_ns, observed_ns, observed_ns, observed_ns, sent_ns, replica)
