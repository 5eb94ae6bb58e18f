"""What the two ends of a conversation offer each other.

Control planes, propagation strategies and Envoys never import each other: they meet in these protocols, and
`scenario/build.py` joins them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from simulator.xds.resources import NO_NAMES, Difference, Names, Resources

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.calibration.ways import WayCosts
    from simulator.engine.draws import Draws
    from simulator.engine.events import Clock, Deadlines
    from simulator.recording.ledger import Sender
    from simulator.recording.recorder import Recorder
    from simulator.recording.rows import StartupRow
    from simulator.wire.stream import Stream
    from simulator.xds.messages import Request, Response
    from simulator.xds.resource_types import ResourceType
    from simulator.xds.sotw import RequestKind


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """Configuration of one type that reached an Envoy, whichever way it travelled.

    Attributes:
        type: Resource type.
        resources: The resources in it.
        removed: Names said not to exist (delta only).
        is_delta: Only differences are stated; otherwise CDS and LDS state everything there is.
        version: Version of the response.
        changes: Ids of what it carries of recorded changes (see ChangeSink).
        extra_cost_ns: Cost of the way it came (JSON, file read) on top of applying it.
        watched: Names subscribed through the same mux: their watches hear of a rejection, others do not.
        absent: Names whose watch is told that there is nothing (REST delivers an empty answer; a gRPC mux
            calls a watch only for a resource of its own).
        is_superseded: It came by a subscription that a newer one of the same name will replace (a cluster
            that warms in a new version, not on ADS): it is for the object in service.
    """

    type: ResourceType
    resources: Resources
    removed: Names = NO_NAMES
    is_delta: bool = False
    version: str = ""
    changes: tuple[int, ...] = ()
    extra_cost_ns: int = 0
    watched: Names = NO_NAMES
    absent: Names = NO_NAMES
    is_superseded: bool = False

    def heard_by(self, watched: Names, *, is_superseded: bool) -> Update:
        """The update as it reaches those watches."""
        # dataclasses.replace does the same in three times the time, and every update passes here.
        return Update(
            self.type,
            self.resources,
            self.removed,
            self.is_delta,
            self.version,
            self.changes,
            self.extra_cost_ns,
            watched,
            self.absent,
            is_superseded,
        )

    def against(self, known: Resources, fixed: Names) -> tuple[Resources, Difference]:
        """What the update, of a type whose SotW responses state everything, changes.

        Args:
            known: What is held of the type.
            fixed: Names it can neither change nor remove (those of the bootstrap).

        Returns:
            The resources it may touch, and the difference they make.
        """
        resources = self.resources.without(fixed)
        if not self.is_delta:
            return resources, known.difference_to(resources)
        diff = known.only(resources.names).difference_to(resources)
        removed = self.removed.intersect(known.names)
        return resources, Difference(diff.added, diff.changed, diff.unchanged, removed)


class ConfigConsumer(Protocol):
    """The part of an Envoy that applies one resource type (CDS, EDS, LDS, ...)."""

    def cost_ns(self, update: Update) -> int:
        """Main-thread time applying it would take now."""

    def on_config_update(self, update: Update) -> str | None:
        """Applies it; the error text if it, or a part of it, is refused."""

    def on_update_rejected(self, update: Update, error: str) -> None:
        """It was refused as a whole before any part of it was looked at (it does not decode)."""

    def on_connection_failure(self, names: Names) -> None:
        """The server of these subscriptions could not be reached, or their stream broke. Nothing is
        released by that (rule D1)."""


class ConfigSource(Protocol):
    """Where an Envoy's configuration comes from: ADS, separate streams, REST or files."""

    is_ads: bool
    has_fetch_timeout: bool
    is_path: bool
    way_costs: WayCosts

    def start(self) -> None:
        """Opens what must be open before the first subscription (the ADS stream)."""

    def missing(self, type_: ResourceType, names: Names) -> Names:
        """Names whose subscription cannot even be created (a file that does not exist)."""

    def subscribe(self, type_: ResourceType, names: Names, consumer: ConfigConsumer) -> None:
        """Starts subscriptions; no names for a wildcard type."""

    def unsubscribe(self, type_: ResourceType, names: Names) -> None:
        """The last subscriptions of these names end."""

    def release_superseded(self, type_: ResourceType, names: Names, *, is_told: bool) -> None:
        """Of two subscriptions of a name, the older one ends; on a stream of its own it says so if it may
        (``is_told``): not while an EDS update is handled, which holds such requests back."""

    def pause(self, type_: ResourceType) -> None:
        """Holds requests of a type back (ADS only); calls nest."""

    def resume(self, type_: ResourceType) -> None:
        """Undoes one `pause`; what was held back leaves as one request."""

    def stop(self) -> None:
        """The process ends."""


class StreamClient(Protocol):
    """The client's end of a stream."""

    def on_stream_accepted(self, stream: Stream) -> None:
        """The server took the stream (told at that instant; only noted, nothing follows from it)."""

    def on_response(self, stream: Stream, response: Response) -> None:
        """A response arrived."""

    def on_stream_closed(self, stream: Stream) -> None:
        """The stream could not be opened, or ended."""


class ServerEnd(Protocol):
    """A stream as the session at its server's end uses it: simulated, or a real one."""

    id: int
    label: str
    is_open: bool

    @property
    def proxy(self) -> int:
        """Index of the proxy at the client's end."""

    @property
    def now_ns(self) -> int:
        """The present."""

    def send_response(self, response: Response) -> None:
        """Server to client."""

    def reset_by_server(self) -> None:
        """Ends the stream."""


class StreamServer(Protocol):
    """What handles a stream at its server's end."""

    def on_request(self, request: Request) -> None:
        """A request arrived."""

    def on_stream_closed(self) -> None:
        """The client, or the network, ended the stream."""


class StreamAcceptor(Protocol):
    """A control plane as the network sees it."""

    def on_connect(self, stream: Stream) -> StreamServer | None:
        """The server's end of a new stream, or None where the attempt fails."""


class Relay(Protocol):
    """What stands between an Envoy and its control plane on every stream: the istio-agent.

    The usual delay of its hop is part of the path's links, so that a message costs one event for the whole
    way.
    """

    def on_request(self, stream: Stream, request: Request) -> None:
        """The Envoy sends a request; what is to go up goes through ``stream.forward_request``."""

    def on_sent(self, stream: Stream, size_bytes: int) -> None:
        """A response leaves the control plane: it takes room in the stream's HTTP/2 window."""

    def on_response(self, stream: Stream, response: Response, forward: Callable[[], None]) -> None:
        """A response arrived; ``forward`` hands it to the Envoy."""

    def may_send(self, stream: Stream) -> bool:
        """Whether a Send of the control plane on this stream would not block."""

    def when_writable(self, stream: Stream, call: Callable[[], None]) -> None:
        """Calls once, as soon as `may_send` is true; never if the stream ends first."""

    def stream_closed(self, stream: Stream) -> None:
        """The stream ended."""


class ChangeSink(Protocol):
    """Where the instants of a change's way are noted, by the id of what a message carries of it."""

    def on_received(self, carriages: tuple[int, ...], proxy: int, t_ns: int) -> None:
        """The content reached the proxy."""

    def on_applied(self, carriage: int, proxy: int, t_ns: int) -> None:
        """The main thread finished with it."""

    def on_rejected(self, carriage: int, proxy: int, t_ns: int) -> None:
        """The proxy refused it."""

    def on_active(self, carriage: int, proxy: int, t_ns: int) -> None:
        """It decides traffic on every worker."""

    def type_and_names(self, carriage: int) -> tuple[str, Names]:
        """Type name and resource names it is about."""


class ProxyCosts(Protocol):
    """The cost laws of one proxy."""

    __slots__ = ()

    def ns(self, key: str) -> int:
        """The cost of one job."""

    def each(self, key: str, count: int) -> int:
        """The cost of so many alike within one job, drawn once; nothing without a key."""
        return count * self.ns(key) if key and count else 0


class ProxyThread(Protocol):
    """The main thread of one proxy."""

    def submit(self, cost_ns: Callable[[], int] | int, done: Callable[[], None]) -> None:
        """Queues a job."""


class ProxyProcess(Protocol):
    """A proxy process as its config source sees it."""

    @property
    def proxy(self) -> int:
        """Index of the proxy."""

    @property
    def now_ns(self) -> int:
        """Simulated time."""

    @property
    def clock(self) -> Clock:
        """The clock of the run."""

    @property
    def deadlines(self) -> Deadlines:
        """Its deadlines."""

    @property
    def draws(self) -> Draws:
        """Its random numbers."""

    @property
    def recorder(self) -> Recorder:
        """Where messages are noted."""

    @property
    def row(self) -> StartupRow:
        """Its start."""

    @property
    def changes(self) -> ChangeSink:
        """Where a change's way is noted."""

    @property
    def costs(self) -> ProxyCosts:
        """Its costs."""

    @property
    def main_thread(self) -> ProxyThread:
        """Its main thread."""

    @property
    def is_exited(self) -> bool:
        """Whether it ended."""


class Publisher(Protocol):
    """What decides the answers: a control plane."""

    def on_subscription(self, session: PushSession, type_: ResourceType, added: Names) -> None:
        """A request subscribed: the first of its type on the stream, or one that adds names."""

    def on_answer(self, session: PushSession, type_: ResourceType, kind: RequestKind) -> None:
        """A request answered a response: an ACK, a NACK, or one that is stale."""

    def on_session_closed(self, session: PushSession) -> None:
        """The stream ended."""


class PushSession(Protocol):
    """A session as the control plane sees it."""

    proxy: int
    label: str
    is_delta: bool
    last_error: str | None

    def on_request(self, request: Request) -> None:
        """Reads a request of the client."""

    def on_stream_closed(self) -> None:
        """The stream ended."""

    def is_subscribed(self, type_: ResourceType) -> bool:
        """Whether the stream ever asked for the type."""

    def names(self, type_: ResourceType) -> Names:
        """Names subscribed now; empty for a wildcard type."""

    def held(self, type_: ResourceType) -> Resources:
        """What the client holds as far as the server knows (delta only)."""

    def send(
        self,
        type_: ResourceType,
        version: str,
        resources: Resources,
        removed: Names,
        carrier: str | Sender[Names],
    ) -> None:
        """Sends a response; ``carrier`` says how what it carries came to travel in it."""

    def reset(self) -> None:
        """Ends the stream."""

    @property
    def is_open(self) -> bool:
        """Whether the stream still exists."""
