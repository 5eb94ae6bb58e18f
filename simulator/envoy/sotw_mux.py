"""GrpcMuxImpl: the state-of-the-world mux. Every request states all names of its type; pausing merges
requests.

Source: source/extensions/config_subscription/grpc/grpc_mux_impl.cc; rules S2, N2, D5, W2, W4.
"""

from __future__ import annotations

from collections import deque

from simulator.envoy.ads_mux import GrpcMux, MuxIdentity, TypeOnMux
from simulator.envoy.process import Process
from simulator.wire.contract import Update
from simulator.wire.stream import Path
from simulator.xds.messages import DiscoveryResponse, Response
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import Names
from simulator.xds.sotw import SotwClientState


class SotwMux(GrpcMux[SotwClientState]):
    """GrpcMuxImpl: every request states all names of its type."""

    def __init__(self, process: Process, path: Path, identity: MuxIdentity) -> None:
        super().__init__(process, path, identity)
        self._request_queue: deque[ResourceType] = deque()

    def _fresh(self, type_: ResourceType) -> SotwClientState:
        return SotwClientState(type_)

    def _as_update(self, response: Response) -> Update:
        assert isinstance(response, DiscoveryResponse)
        return Update(
            response.type, response.resources, version=response.version_info, changes=response.changes
        )

    def _watch_added(self, state: TypeOnMux[SotwClientState], names: Names) -> None:
        # Also for names already wanted: the repeat a changed EDS cluster sends (W4).
        self._queue(state)

    def _watch_dropped(self, state: TypeOnMux[SotwClientState], names: Names) -> None:
        self._queue(state)

    def _watch_superseded(self, state: TypeOnMux[SotwClientState], names: Names) -> None:
        # Each watch that ends queues a request, even though it says what was said before.
        for _ in names:
            self._queue(state)

    def _take(self, state: TypeOnMux[SotwClientState], response: Response, update: Update) -> None:
        # The type is paused meanwhile: what it has to say becomes one request. Delta does not pause it.
        self.pause(state.type)
        super()._take(state, response, update)
        self.resume(state.type)

    def _apply(self, state: TypeOnMux[SotwClientState], update: Update) -> str | None:
        if self._has_no_watch(state):
            return None
        return super()._apply(state, update)

    @staticmethod
    def _has_no_watch(state: TypeOnMux[SotwClientState]) -> bool:
        return not state.type.wildcard and not state.interest

    def _answer(self, state: TypeOnMux[SotwClientState], response: Response, error: str | None) -> None:
        assert isinstance(response, DiscoveryResponse)
        if self._has_no_watch(state):
            if not response.resources:
                state.said.accept(response)
                return  # Accepted in silence.
            state.said.nonce = response.nonce  # The old version with the new nonce: an implicit NACK.
        elif error is None:
            state.said.accept(response)
        else:
            state.said.reject(response, error)
        self._queue(state)

    def _queue(self, state: TypeOnMux[SotwClientState]) -> None:
        if self._stream is None:
            return  # Dropped; rebuilt when the stream opens.
        if self._is_paused(state.type):
            state.is_pending = True
            return
        state.is_pending = False
        self._request_queue.append(state.type)
        self._send_queued()

    def _resumed(self, type_: ResourceType) -> None:
        state = self._types.get(type_)
        if state is not None and state.is_pending:
            self._queue(state)

    def _send_queued(self) -> None:
        while self._request_queue and self._may_send():
            state = self._types.get(self._request_queue.popleft())
            if state is not None:
                self._send(state.said.request(state.interest, self._process.proxy))

    def _forget_stream(self) -> None:
        self._request_queue.clear()
        for state in self._types.values():
            state.said.stream_broken()
            state.is_pending = False
