"""Requests and a debounce to play with."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulator.control_plane.istiod.debounce import Debounce, DebounceSettings
from simulator.control_plane.istiod.push_request import PushRequest
from simulator.engine.events import Band, Clock
from simulator.xds.resources import Names


def request(*keys: str, start_ns: int = 0, forced: bool = False, **reasons: int) -> PushRequest:
    """A request about these keys ("Kind/namespace/name")."""
    return PushRequest(Names(keys), reasons or {"config": len(keys)}, forced, start_ns)


@dataclass
class Playing:
    """A debounce whose pushes take a given time, and what it did."""

    clock: Clock
    settings: DebounceSettings = field(default_factory=DebounceSettings)
    build_ns: int | None = 0
    """How long a push takes; None for one that is over before ``push`` returns."""
    at_ns: list[int] = field(default_factory=list)
    """When pushes began."""
    first_ns: list[int] = field(default_factory=list)
    events: list[int] = field(default_factory=list)
    requests: list[PushRequest] = field(default_factory=list)
    bypassed: list[tuple[int, PushRequest]] = field(default_factory=list)
    gathered: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.debounce = Debounce(
            self.clock,
            self.settings,
            self._push,
            lambda request: self.bypassed.append((self.clock.now_ns, request)),
            on_events=self.gathered.append,
        )

    def _push(self, request: PushRequest, first_ns: int, events: int) -> None:
        self.at_ns.append(self.clock.now_ns)
        self.first_ns.append(first_ns)
        self.events.append(events)
        self.requests.append(request)
        if self.build_ns is None:
            self.debounce.on_push_finished()
        else:
            self.clock.after(self.build_ns, self.debounce.on_push_finished, band=Band.COMPLETION)

    def event(self, t_ns: int, *keys: str) -> None:
        """An event at an instant."""
        told = request(*(keys or (f"VirtualService/ns0/at-{t_ns}",)))
        self.clock.at(t_ns, lambda: self.debounce.on_event(told), band=Band.WORKLOAD)

    def every(self, step_ns: int, from_ns: int, until_ns: int) -> None:
        """Events from an instant (included) until another (not included)."""
        for t_ns in range(from_ns, until_ns, step_ns):
            self.event(t_ns)
