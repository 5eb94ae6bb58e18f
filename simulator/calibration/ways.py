"""What it costs an Envoy's main thread by which way configuration comes: keys of costs."""

from __future__ import annotations

from typing import NamedTuple


class WayCosts(NamedTuple):
    """Keys of the calibration; empty for nothing.

    Attributes:
        update: Of each update that comes this way, on top of applying it.
        byte: Of each of its bytes, as sizes are counted: of protobuf.
        subscription: Of each subscription that a CDS or LDS update begins.
    """

    update: str = ""
    byte: str = ""
    subscription: str = ""


SHARED_STREAM = WayCosts()
"""ADS: a subscription is one more name on the stream."""

OWN_STREAM = WayCosts(subscription="grpc_subscription")
"""A mux and a gRPC stream for each subscription."""

REST = WayCosts("rest_update", "rest_byte", "rest_subscription")
"""JSON is parsed; each subscription fetches, and connects, by itself."""

FILE = WayCosts("file_update")
DIRECTORY = WayCosts("directory_update")
"""Files that are read one by one, or all when their directory changes."""
