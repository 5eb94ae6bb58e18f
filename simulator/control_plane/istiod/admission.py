"""Who may connect: the limiter of new streams, and the Kubernetes client's limit on TokenReviews.

The limiter is a token bucket of burst 1. A stream waits for its token at most a second; where it would have
to wait longer it is refused at once (ResourceExhausted) and takes no token, so no more than one second's
worth of streams wait and all others go back to Envoy's back-off. It counts streams, not requests.
Source: pilot/pkg/xds/discovery.go:WaitForRequestLimit; golang.org/x/time/rate:Limiter.Wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from simulator.engine.clock import S
from simulator.engine.servers import TokenBucket


@dataclass(frozen=True, slots=True)
class AdmissionSettings:
    """The limit on new streams.

    Attributes:
        per_second: PILOT_MAX_REQUESTS_PER_SECOND; None for no limit.
        max_wait_ns: How long a stream waits for its token at most.
    """

    per_second: float | None
    max_wait_ns: int = S


class Admission:
    """The limiter of one istiod."""

    __slots__ = ("_interval", "_next", "_settings", "_units_per_ns")

    def __init__(self, settings: AdmissionSettings) -> None:
        rate = settings.per_second
        assert rate is None or rate > 0, f"{rate} streams a second"
        self._settings = settings
        # 35 a second is no whole number of ns: time is counted in such parts of a ns that it is.
        exact = Fraction(1 if rate is None else rate).limit_denominator(1_000_000)
        self._units_per_ns = exact.numerator
        self._interval = exact.denominator * S
        self._next: int | None = None

    def admit(self, now_ns: int) -> int | None:
        """The ns until the stream may go on; None if it is refused at once."""
        if self._settings.per_second is None:
            return 0
        now = now_ns * self._units_per_ns
        start = now if self._next is None else max(now, self._next)
        wait_ns = -((now - start) // self._units_per_ns)  # rounded up
        if wait_ns > self._settings.max_wait_ns:
            return None
        self._next = start + self._interval
        return wait_ns

    def admits_from_ns(self) -> int:
        """Who comes before that instant is refused."""
        if self._next is None:
            return 0
        return -(-self._next // self._units_per_ns) - self._settings.max_wait_ns


@dataclass(frozen=True, slots=True)
class KubernetesClientSettings:
    """The limit of istiod's Kubernetes client, which every TokenReview passes.

    Attributes:
        qps: ``--kubernetesApiQPS`` (pilot/cmd/pilot-discovery/app/cmd.go).
        burst: ``--kubernetesApiBurst``.
    """

    qps: float = 80
    burst: int = 160


def token_bucket(settings: KubernetesClientSettings) -> TokenBucket:
    """The client's limiter: a call waits as long as ``take`` says."""
    return TokenBucket(settings.burst, round(S / settings.qps))
