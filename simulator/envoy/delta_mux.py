"""NewGrpcMuxImpl: the delta mux. Requests state differences; ACKs go first, one for each response.

Source: source/extensions/config_subscription/grpc/{new_grpc_mux_impl,pausable_ack_queue}.cc; rules S2, N2,
D5, W2, W4.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from simulator.envoy.ads_mux import GrpcMux, MuxIdentity, TypeOnMux
from simulator.envoy.process import Process
from simulator.wire.contract import Update
from simulator.wire.stream import Path
from simulator.xds.delta import DeltaClientState
from simulator.xds.messages import DeltaDiscoveryResponse, Response
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import NO_NAMES, Names


class DeltaMux(GrpcMux[DeltaClientState]):
    """NewGrpcMuxImpl: requests state differences; ACKs go first, one for each response."""

    is_delta = True

    def __init__(self, process: Process, path: Path, identity: MuxIdentity) -> None:
        super().__init__(process, path, identity)
        self._ack_queue: deque[tuple[ResourceType, str, str | None]] = deque()

    def _fresh(self, type_: ResourceType) -> DeltaClientState:
        return DeltaClientState(type_)

    def _as_update(self, response: Response) -> Update:
        assert isinstance(response, DeltaDiscoveryResponse)
        return Update(
            response.type,
            response.resources,
            response.removed_resources,
            True,
            response.system_version_info,
            response.changes,
        )

    def held(self, type_: ResourceType) -> Names:
        """What the first request of another stream would say that it holds."""
        state = self._types.get(type_)
        return NO_NAMES if state is None else state.said.held.names

    def _watch_added(self, state: TypeOnMux[DeltaClientState], names: Names) -> None:
        state.said.add_interest(names)
        self._send_queued()

    def _watch_dropped(self, state: TypeOnMux[DeltaClientState], names: Names) -> None:
        state.said.drop_interest(names)
        self._send_queued()

    def _answer(self, state: TypeOnMux[DeltaClientState], response: Response, error: str | None) -> None:
        assert isinstance(response, DeltaDiscoveryResponse)
        if error is None:
            state.said.accept(response)
        self._ack_queue.append((state.type, response.nonce, error))
        self._send_queued()

    def _queue(self, state: TypeOnMux[DeltaClientState]) -> None:
        self._send_queued()

    def _resumed(self, type_: ResourceType) -> None:
        self._send_queued()

    def _next_request(self) -> Callable[[], None] | None:
        """What is due next: the first ACK of a type not paused, else the first type with a difference."""
        for position, (type_, nonce, error) in enumerate(self._ack_queue):
            if not self._is_paused(type_) and type_ in self._types:
                return lambda: self._send_ack(position, type_, nonce, error)
        for type_, state in self._types.items():
            if state.said.has_update and not self._is_paused(type_):
                return lambda: self._send(state.said.request("", None, self._process.proxy))
        return None

    def _send_ack(self, position: int, type_: ResourceType, nonce: str, error: str | None) -> None:
        del self._ack_queue[position]
        self._send(self._types[type_].said.request(nonce, error, self._process.proxy))

    def _send_queued(self) -> None:
        while (send := self._next_request()) is not None and self._may_send():
            send()

    def _forget_stream(self) -> None:
        self._ack_queue.clear()
        for state in self._types.values():
            state.said.stream_broken()
