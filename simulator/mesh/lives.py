"""What the pod behind an address does with requests: serves, serves though deleted, or is gone.

Proxies know addresses; whether somebody still answers there is a fact of the world and not of their
configuration. This is the record of those facts, from which the outcome of requests follows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from enum import Enum


class Life(Enum):
    """What becomes of a request that is sent to a pod's address."""

    SERVING = "serving"
    TERMINATING = "terminating"
    """The pod is being deleted and still answers."""
    GONE = "gone"


class EndpointLives:
    """The lives of all pods over time, piecewise constant. A pod never noted serves throughout."""

    __slots__ = ("_by_pod", "_changes")

    def __init__(self) -> None:
        self._by_pod: dict[int, tuple[list[int], list[Life]]] = {}
        self._changes: list[int] | None = None

    def note(self, pod: int, t_ns: int, life: Life) -> None:
        """From ``t_ns`` on the pod lives so. Instants of a pod must not decrease."""
        instants, lives = self._by_pod.setdefault(pod, ([], []))
        assert not instants or instants[-1] <= t_ns, f"pod {pod}: {t_ns} ns after {instants[-1]} ns"
        if (lives[-1] if lives else Life.SERVING) is life:
            return
        instants.append(t_ns)
        lives.append(life)
        self._changes = None

    def at(self, pod: int, t_ns: int) -> Life:
        """How the pod lives at ``t_ns``; what begins at that instant has begun."""
        if pod not in self._by_pod:
            return Life.SERVING
        instants, lives = self._by_pod[pod]
        place = bisect_right(instants, t_ns)
        return lives[place - 1] if place else Life.SERVING

    def epoch(self, t_ns: int) -> int:
        """Counts the instants up to ``t_ns`` at which the life of any pod changes: in one epoch all live
        alike."""
        if self._changes is None:
            self._changes = sorted(
                dict.fromkeys(t for instants, _ in self._by_pod.values() for t in instants)
            )
        return bisect_right(self._changes, t_ns)

    def instants(self, pods: Iterable[int], begin_ns: int, end_ns: int) -> list[int]:
        """When the life of one of the pods changes, strictly between the two instants; sorted, each once."""
        found: dict[int, None] = {}
        for pod in pods:
            if pod in self._by_pod:
                instants = self._by_pod[pod][0]
                low, high = bisect_right(instants, begin_ns), bisect_right(instants, end_ns - 1)
                found.update(dict.fromkeys(instants[low:high]))
        return sorted(found)
