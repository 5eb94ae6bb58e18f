"""The scripted control plane: the conformance instrument.

It answers subscription requests in turns, never answers ACKs, and pushes at stated times. Turns are counted
per Envoy and type on ADS, per Envoy, type and name on separate streams and REST; they survive reconnects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from simulator.control_plane.script import Answer, PublishedState, Push, Script, spoil_first
from simulator.engine.delays import draw_ns
from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock
from simulator.engine.servers import Station
from simulator.mesh.configuration import RuntimeFields
from simulator.recording.ledger import Change, ChangeLedger
from simulator.wire.contract import PushSession
from simulator.xds.messages import DiscoveryRequest, DiscoveryResponse
from simulator.xds.resource_types import RTDS, ResourceType
from simulator.xds.resources import NO_NAMES, Fault, Names, Resources
from simulator.xds.sotw import RequestKind

RUNTIME_FLAG = "RuntimeFlag"
"""Kind of the change that a flipped feature flag is."""


class ScriptedControlPlane:
    """Plays a script to any number of Envoys.

    Attributes:
        on_renamed: Told which file of every proxy was replaced (file strategy).
        on_withdrawn: Told which file of every proxy is not there any more. That is no event for Envoy: only
            who keeps real files needs it.
        on_flag_written: Told of resource, key and value of each flag that RTDS is to bring.
    """

    replica = 0

    def __init__(
        self,
        script: Script,
        clock: Clock,
        draws: Draws,
        ledger: ChangeLedger[Names],
        proxies_alive: Callable[[], Sequence[int]],
    ) -> None:
        self.on_renamed: Callable[[ResourceType, str], None] | None = None
        self.on_withdrawn: Callable[[ResourceType, str], None] | None = None
        self.on_flag_written: Callable[[str, str, float], None] | None = None
        self._script = script
        self._clock = clock
        self._draws = draws
        self._ledger = ledger
        self._proxies_alive = proxies_alive
        self._state = PublishedState(script.resources)
        self._turns: dict[tuple[int, ResourceType, str], int] = {}
        self._withheld: dict[tuple[int, ResourceType, str], Names] = {}
        self._streams_seen: dict[tuple[int, str], int] = {}
        self._sessions: dict[PushSession, None] = {}
        self._poll_counts: dict[tuple[int, ResourceType, str], int] = {}
        self._polled: dict[tuple[int, ResourceType, str], tuple[str, tuple[int, ...]]] = {}
        self._spoiled: dict[tuple[Fault, Resources], Resources] = {}
        self._published_fault: dict[ResourceType, tuple[Fault, str]] = {}
        self._polls = Station(script.poll_concurrency)
        self._refuses_until_ns: int | None = None

    # --- time: pushes count from the last Envoy's first subscription

    def begin(self, origin_ns: int) -> None:
        """The origin of the script's times is known."""
        self._refuses_until_ns = origin_ns + self._script.refuse_until_ns
        for push in self._script.pushes:
            self._clock.at(origin_ns + push.at_ns, self._pusher(push), band=Band.WORKLOAD)

    def _pusher(self, push: Push) -> Callable[[], None]:
        return lambda: self._push(push)

    # --- connections

    def accepts(self) -> bool:
        """Whether a connection attempt succeeds now."""
        connect = self._script.connect
        if connect == "refuse_until":
            return self._refuses_until_ns is not None and self._clock.now_ns >= self._refuses_until_ns
        return connect == "accept"

    def on_session_opened(self, session: PushSession) -> None:
        """A stream was accepted."""
        self._sessions[session] = None
        key = session.proxy, session.label
        self._streams_seen[key] = self._streams_seen.get(key, 0) + 1

    def on_answer(self, session: PushSession, type_: ResourceType, kind: RequestKind) -> None:
        """A script answers no ACK."""

    def on_session_closed(self, session: PushSession) -> None:
        """A stream ended."""
        self._sessions.pop(session, None)

    # --- answers

    def on_subscription(self, session: PushSession, type_: ResourceType, added: Names) -> None:
        """Takes the next turn of the type's answers."""
        name = "" if session.label == "ads" else next(iter(added), "")
        answer = self._turn(session.proxy, type_, name)
        if answer.never:
            return
        delay_ns = self._answer_delay_ns(answer, session.proxy, type_, name)
        self._clock.after(
            delay_ns,
            lambda: self._answer(session, type_, added, answer),
            band=Band.WORKLOAD,
            entity=session.proxy,
        )

    def _turn(self, proxy: int, type_: ResourceType, name: str) -> Answer:
        key = proxy, type_, name
        turn = self._turns.get(key, 0)
        self._turns[key] = turn + 1
        return self._script.answer(type_, turn)

    def _answer_delay_ns(self, answer: Answer, proxy: int, type_: ResourceType, name: str) -> int:
        turn = self._turns[proxy, type_, name] - 1
        after_ns = draw_ns(answer.after, self._draws, f"scripted.answer.{type_.name}/{name}", proxy, turn)
        turnaround_ns = draw_ns(
            self._script.turnaround, self._draws, f"scripted.turnaround.{type_.name}/{name}", proxy, turn
        )
        return after_ns + turnaround_ns

    def _answer(self, session: PushSession, type_: ResourceType, added: Names, answer: Answer) -> None:
        if not session.is_open:
            return
        if answer.close:
            session.reset()
            return
        withheld = answer.omit.union(answer.remove)
        self._withheld[session.proxy, type_, self._scope(session)] = withheld
        state = self._state.of(type_)
        subscribed = session.names(type_)
        if not session.is_delta:
            wanted = state if type_.wildcard else state.only(subscribed)
            resources = self._spoil(wanted.without(withheld), answer.reject)
            session.send(type_, self._state.version(type_), resources, NO_NAMES, self._carried_by(session))
            return
        wanted = state if type_.wildcard and not subscribed else state.only(added)
        held = session.held(type_)
        fresh = wanted.without(withheld)
        if held:
            fresh = fresh.only(_differing(held, fresh))
        gone = answer.remove.intersect(added if not type_.wildcard else state.names.union(answer.remove))
        gone = gone.union(held.names.minus(state.names) if type_.wildcard else NO_NAMES)
        is_news = bool(fresh) or bool(gone)
        if not is_news and (held or not type_.wildcard):
            return  # A delta server with nothing new stays silent.
        session.send(
            type_,
            self._state.version(type_),
            self._spoil(fresh, answer.reject),
            gone,
            self._carried_by(session),
        )

    def _carried_by(self, session: PushSession) -> str:
        return "reconnect" if self._streams_seen.get((session.proxy, session.label), 0) > 1 else "request"

    def _scope(self, session: PushSession) -> str:
        return "" if session.label == "ads" else session.label

    def _spoil(self, resources: Resources, fault: Fault | None) -> Resources:
        if fault is None or not resources:
            return resources
        key = fault, resources
        if key not in self._spoiled:
            self._spoiled[key] = spoil_first(resources, fault)
        return self._spoiled[key]

    # --- pushes

    def _push(self, push: Push) -> None:
        type_ = push.type
        if type_ is not None and not push.is_close_only:
            self._publish(push, type_)
        if push.close:
            for session in list(self._sessions):
                if type_ is None or session.is_subscribed(type_):
                    session.reset()

    def _publish(self, push: Push, type_: ResourceType) -> None:
        self._state.apply(push)
        self._note_fault(push, type_)
        change = self._announce(push, type_)
        if change is not None and not type_.wildcard:
            self._narrow(change, type_)
        for session in list(self._sessions):
            if session.is_subscribed(type_):
                self._push_to(session, push, type_)
        if self.on_renamed is not None:
            for name in ("",) if type_.wildcard else push.listed:
                self.on_renamed(type_, name)
        if self.on_withdrawn is not None and not type_.wildcard:
            for name in push.remove:
                self.on_withdrawn(type_, name)

    def write_runtime(self, layer: str, key: str, value: float) -> None:
        """A feature flag gets another value in a layer that RTDS serves; it is pushed at once."""
        held = self._state.of(RTDS)[layer]
        fields = held.body if isinstance(held.body, RuntimeFields) else RuntimeFields()
        changed = replace(held, revision=held.revision + 1, body=fields.changed(key, value))
        push = Push(0, RTDS, add={RTDS: Resources((changed,))})
        self._state.apply(push)
        self._ledger.announce_parts(
            RUNTIME_FLAG,
            key,
            Names((f"{layer}/{key}",)),
            self._clock.now_ns,
            [(self._proxies_alive(), {RTDS.name: Names((layer,))})],
        )
        for session in list(self._sessions):
            if session.is_subscribed(RTDS):
                self._push_to(session, push, RTDS)
        if self.on_renamed is not None:
            self.on_renamed(RTDS, layer)
        if self.on_flag_written is not None:
            self.on_flag_written(layer, key, value)

    def _note_fault(self, push: Push, type_: ResourceType) -> None:
        """Who fetches meets the spoiled resource until the type's next push."""
        names = push.listed or self._state.of(type_).names
        if push.reject is not None and names:
            self._published_fault[type_] = push.reject, min(names)
        else:
            self._published_fault.pop(type_, None)

    def _fetched(self, type_: ResourceType, wanted: Resources, fault: Fault | None) -> Resources:
        """What a poll or a file holds: spoiled by the answer's turn, or by the last push."""
        published, name = self._published_fault.get(type_, (None, ""))
        return self._spoil(wanted, published if published is not None and name in wanted else fault)

    def _announce(self, push: Push, type_: ResourceType) -> Change[Names] | None:
        names = push.listed.union(push.remove)
        if not names and push.reject is not None and self._state.of(type_):
            names = Names((min(self._state.of(type_).names),))
        if not names:
            return None
        label = ",".join(names) if len(names) <= 5 else f"{next(iter(names))} and {len(names) - 1} more"
        return self._ledger.announce(type_.name, names, label, self._clock.now_ns, self._proxies_alive())

    def _narrow(self, change: Change[Names], type_: ResourceType) -> None:
        """An Envoy is concerned by the names it subscribed."""
        subscribed: dict[int, Names] = {}
        for session in self._sessions:
            names = session.names(type_)
            subscribed[session.proxy] = subscribed.get(session.proxy, NO_NAMES).union(names)
        for proxy, names in subscribed.items():
            self._ledger.narrow(change, proxy, names)

    def _push_to(self, session: PushSession, push: Push, type_: ResourceType) -> None:
        key = session.proxy, type_, self._scope(session)
        self._withheld[key] = self._withheld.get(key, NO_NAMES).minus(push.listed)
        state, subscribed = self._state.of(type_), session.names(type_)
        is_wildcard = type_.wildcard and not subscribed
        visible = state if is_wildcard else state.only(subscribed)
        removed = push.remove if is_wildcard else push.remove.intersect(subscribed)
        if session.is_delta or (push.is_send_only and not type_.states_all):
            resources = visible.only(push.listed)
            if push.reject is not None and not push.listed and visible:
                resources = visible.only(Names((min(visible.names),)))
            if not resources and not removed:
                return
        else:
            resources = visible.without(self._withheld[key])
            if session.label != "ads" and not type_.wildcard and not resources:
                return
        resources = self._spoil(resources, push.reject)
        session.send(
            type_, self._state.version(type_), resources, removed if session.is_delta else NO_NAMES, "push"
        )

    # --- polls (propagation/http_server.py: PollServer)

    def on_poll(self, request: DiscoveryRequest, respond: Callable[[DiscoveryResponse | None], None]) -> bool:
        """A poll without a version is a subscription and takes a turn; an unchanged version gets 304."""
        if not self.accepts():
            return False
        type_, proxy = request.type, request.node
        name = next(iter(request.resource_names), "")
        self._acked(request, name)
        answer = Answer() if request.version_info else self._turn(proxy, type_, name)
        if answer.close:
            return False
        if answer.never:
            return True
        now_ns = self._clock.now_ns
        if request.version_info:
            key = proxy, type_, name
            poll = self._poll_counts[key] = self._poll_counts.get(key, 0) + 1
            delay_ns = draw_ns(
                self._script.turnaround, self._draws, f"scripted.poll.{type_.name}/{name}", proxy, poll
            )
        else:
            delay_ns = self._answer_delay_ns(answer, proxy, type_, name)
        start_ns, end_ns = self._polls.serve(now_ns, delay_ns)
        self._clock.at(
            end_ns,
            lambda: self._answer_poll(request, answer, name, (now_ns, start_ns), respond),
            band=Band.WORKLOAD,
            entity=proxy,
        )
        return True

    def _answer_poll(
        self,
        request: DiscoveryRequest,
        answer: Answer,
        name: str,
        queue_ns: tuple[int, int],
        respond: Callable[[DiscoveryResponse | None], None],
    ) -> None:
        type_, proxy = request.type, request.node
        key = proxy, type_, name
        if not request.version_info:
            self._withheld[key] = answer.omit.union(answer.remove)
        state = self._state.of(type_)
        wanted = state if type_.wildcard else state.only(request.resource_names)
        wanted = self._fetched(type_, wanted.without(self._withheld.get(key, NO_NAMES)), answer.reject)
        version = self._state.version(type_) if type_.wildcard else _versions(wanted)
        if request.version_info == version:
            respond(None)
            return
        changes = self._ledger.carry(
            proxy,
            type_.name,
            None if type_.wildcard else request.resource_names,
            self._clock.now_ns,
            "poll",
            *queue_ns,
        )
        if changes:
            self._polled[proxy, type_, name] = version, changes
        respond(DiscoveryResponse(type_, version, "", wanted, changes))

    def _acked(self, request: DiscoveryRequest, name: str) -> None:
        """A poll states the version last accepted: that is the ACK of the answer before it."""
        key = request.node, request.type, name
        version, changes = self._polled.get(key, ("", ()))
        if changes and request.version_info == version:
            del self._polled[key]
            self._ledger.on_acked(changes, request.node, self._clock.now_ns)

    # --- files (propagation/file.py: FileTree)

    def file(self, proxy: int, type_: ResourceType, name: str) -> tuple[str, Resources] | None:
        """What the file holds; it does not exist where the answer is late, never, or leaves the name out."""
        answer = self._script.answer(type_, 0)
        if answer.never or not answer.after.is_zero or name in answer.omit:
            return None
        state = self._state.of(type_)
        content = state.without(answer.omit) if type_.wildcard else state.only(_single(name, state))
        if not content and not type_.wildcard:
            return None
        return self._state.version(type_), self._fetched(type_, content, answer.reject)

    def carried(self, proxy: int, type_: ResourceType, names: Names | None) -> tuple[int, ...]:
        """Changes that reading the file delivers."""
        return self._ledger.carry(proxy, type_.name, names, self._clock.now_ns, "file")


def _differing(held: Resources, fresh: Resources) -> Names:
    """Names whose version the client does not hold."""
    return Names(r.name for r in fresh if r.name not in held or held[r.name].revision != r.revision)


def _versions(resources: Resources) -> str:
    return ",".join(r.version for r in resources) if resources else "none"


def _single(name: str, state: Resources) -> Names:
    """The names object of one name, the same each time for the same state."""
    return state.names.where(("single", name), lambda n: n == name)
