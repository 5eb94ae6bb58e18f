"""The four xDS messages. Frozen, and shared by sender, wire and receiver.

Field names are those of api/envoy/service/discovery/v3/discovery.proto.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import NO_NAMES, NO_RESOURCES, Names, Resources

ENVELOPE_BYTES = 60
"""Type URL, nonce and version of a message: the measured empty response is 59 to 64 bytes (assumption)."""


@dataclass(frozen=True, slots=True, eq=False)
class DiscoveryRequest:
    """State-of-the-world request: a subscription, an ACK or a NACK.

    Attributes:
        type: Resource type asked for.
        resource_names: All names wanted; empty for a wildcard type.
        version_info: Last accepted version, "" if none.
        response_nonce: Nonce answered, "" on the first request of a stream.
        error_detail: Why the response was refused; None in an ACK.
        node: Node id of the sender.
    """

    direction: ClassVar[str] = "request"

    type: ResourceType
    resource_names: Names = NO_NAMES
    version_info: str = ""
    response_nonce: str = ""
    error_detail: str | None = None
    node: int = 0

    @property
    def noted(self) -> tuple[str, str, str, Names]:
        """Version, nonce, error and names, as the table of messages has them."""
        return self.version_info, self.response_nonce, self.error_detail or "", self.resource_names

    @property
    def size_bytes(self) -> int:
        """Encoded size."""
        return ENVELOPE_BYTES + 8 * self.resource_names.count


@dataclass(frozen=True, slots=True, eq=False)
class DiscoveryResponse:
    """State-of-the-world response.

    Attributes:
        type: Resource type.
        version_info: Version of the whole set.
        nonce: Identifies this response on its stream.
        resources: What it states.
        changes: Ids of what it carries of recorded changes (bookkeeping of the simulator).
    """

    direction: ClassVar[str] = "response"

    type: ResourceType
    version_info: str
    nonce: str
    resources: Resources
    changes: tuple[int, ...] = ()

    @property
    def noted(self) -> tuple[str, str, str, Names]:
        """Version, nonce, error and names, as the table of messages has them."""
        return self.version_info, self.nonce, "", self.resources.names

    @property
    def size_bytes(self) -> int:
        """Encoded size."""
        return ENVELOPE_BYTES + self.resources.size_bytes


@dataclass(frozen=True, slots=True, eq=False)
class DeltaDiscoveryRequest:
    """Incremental request: what to subscribe, unsubscribe, and possibly an ACK or NACK.

    Attributes:
        type: Resource type.
        resource_names_subscribe: Names newly wanted; empty in the first request of a wildcard type.
        resource_names_unsubscribe: Names no longer wanted.
        initial_resource_versions: What the client already holds, on the first request of a stream.
        response_nonce: Nonce answered, or "".
        error_detail: Why the response was refused.
        node: Node id of the sender.
    """

    direction: ClassVar[str] = "request"

    type: ResourceType
    resource_names_subscribe: Names = NO_NAMES
    resource_names_unsubscribe: Names = NO_NAMES
    initial_resource_versions: Resources = NO_RESOURCES
    response_nonce: str = ""
    error_detail: str | None = None
    node: int = 0

    @property
    def noted(self) -> tuple[str, str, str, Names]:
        """Version, nonce, error and names, as the table of messages has them."""
        return "", self.response_nonce, self.error_detail or "", self.resource_names_subscribe

    @property
    def size_bytes(self) -> int:
        """Encoded size."""
        names = self.resource_names_subscribe.count + self.resource_names_unsubscribe.count
        return ENVELOPE_BYTES + 8 * names + 16 * self.initial_resource_versions.names.count


@dataclass(frozen=True, slots=True, eq=False)
class DeltaDiscoveryResponse:
    """Incremental response.

    Attributes:
        type: Resource type.
        system_version_info: Informational version of the server's state.
        nonce: Identifies this response on its stream.
        resources: Added or changed resources.
        removed_resources: Names that do not exist (any more).
        changes: Ids of what it carries of recorded changes (bookkeeping of the simulator).
    """

    direction: ClassVar[str] = "response"

    type: ResourceType
    system_version_info: str
    nonce: str
    resources: Resources
    removed_resources: Names = NO_NAMES
    changes: tuple[int, ...] = ()

    @property
    def noted(self) -> tuple[str, str, str, Names]:
        """Version, nonce, error and names, as the table of messages has them."""
        return self.system_version_info, self.nonce, "", self.resources.names

    @property
    def size_bytes(self) -> int:
        """Encoded size."""
        return ENVELOPE_BYTES + self.resources.size_bytes + 8 * self.removed_resources.count


Request = DiscoveryRequest | DeltaDiscoveryRequest
Response = DiscoveryResponse | DeltaDiscoveryResponse
