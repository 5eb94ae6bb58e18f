"""Loopback: the one address everything listens on, and its free ports."""

from __future__ import annotations

import socket
from typing import Final

from simulator.xds.resource_types import CDS, ECDS, EDS, LDS, RDS, RTDS, SDS, SRDS, ResourceType

LOOPBACK: Final = "127.0.0.1"
GRPC_CLUSTER: Final = "xdsim-grpc"
REST_CLUSTER: Final = "xdsim-rest"
MANAGEMENT_CLUSTERS: Final = (GRPC_CLUSTER, REST_CLUSTER)
"""Clusters of the bootstrap that lead to the control plane; no part of the scenario."""

HEALTH_PATH: Final = "/health"
"""What health checks ask for."""

_HOLD: Final = "/hold/"


def hold_path(request_ns: int) -> str:
    """What a request asks for whose answer is to take so long."""
    return f"{_HOLD}{request_ns}"


def held_s(path: str) -> float:
    """How long the answer to a request for this takes, in seconds."""
    return int(path.removeprefix(_HOLD)) / 1e9 if path.startswith(_HOLD) else 0.0


PATHS: Final[dict[str, ResourceType]] = {
    "/v3/discovery:clusters": CDS,
    "/v3/discovery:endpoints": EDS,
    "/v3/discovery:listeners": LDS,
    "/v3/discovery:routes": RDS,
    "/v3/discovery:scoped-routes": SRDS,
    "/v3/discovery:secrets": SDS,
    "/v3/discovery:extension_configs": ECDS,
    "/v3/discovery:runtime": RTDS,
}
"""Where Envoy's REST subscriptions post their requests."""


class Ports:
    """Free ports of loopback, none given twice."""

    def __init__(self) -> None:
        self._given: set[int] = set()
        self._named: dict[tuple[int, str], int] = {}

    def free(self) -> int:
        """A port nobody listens on now."""
        while True:
            with socket.socket() as probe:
                probe.bind((LOOPBACK, 0))
                port: int = probe.getsockname()[1]
            if port not in self._given:
                self._given.add(port)
                return port

    def of(self, proxy: int, name: str) -> int:
        """The port of something named of one proxy: always the same."""
        key = proxy, name
        if key not in self._named:
            self._named[key] = self.free()
        return self._named[key]
