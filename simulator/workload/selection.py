"""Which services and proxies a happening meets, where the scenario leaves it open.

The choice is by lot, keyed: everyone draws a number of their own, and the greatest (for proxies: the
smallest) win. So a service or proxy more changes a choice only where it is chosen itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from simulator.engine.draws import Draws
from simulator.mesh.services import Service
from simulator.workload.entries import Selection


def drawn_service(services: Sequence[Service], draws: Draws, label: str, index: int) -> Service:
    """One of the services, all equally likely.

    Args:
        services: At least one.
        draws: Random numbers.
        label: The entry that draws.
        index: Counts its draws.
    """
    entities = np.array([service.entity for service in services], np.int64)
    return services[int(np.argmax(draws.uniform_array(f"{label}.service", entities, index)))]


class ServicesInTurn:
    """Services one after the other in drawn order, each once before any comes again."""

    __slots__ = ("_drawn", "_draws", "_label", "_taken")

    def __init__(self, draws: Draws, label: str) -> None:
        self._draws = draws
        self._label = label
        self._drawn = 0
        self._taken: dict[Service, None] = {}

    def next(self, services: Sequence[Service]) -> Service:
        """The next of these, which are at least one."""
        left = [service for service in services if service not in self._taken]
        if not left:
            self._taken.clear()
            left = list(services)
        service = drawn_service(left, self._draws, self._label, self._drawn)
        self._drawn += 1
        self._taken[service] = None
        return service


def chosen_proxies(
    selection: Selection, proxies: Sequence[int], draws: Draws, label: str, index: int
) -> tuple[int, ...]:
    """The proxies of a selection among those that exist, in the order given. A share is rounded to the
    nearest number."""
    if selection.proxies is not None:
        existing = dict.fromkeys(proxies)
        return tuple(proxy for proxy in selection.proxies if proxy in existing)
    if selection.count is not None:
        wanted = selection.count
    else:
        wanted = math.floor((selection.share or 0) * len(proxies) + Fraction(1, 2))
    if wanted >= len(proxies):
        return tuple(proxies)
    lots = draws.uniform_array(f"{label}.proxies", np.array(proxies, np.int64), index)
    winners = np.sort(np.argsort(lots, kind="stable")[:wanted])
    return tuple(proxies[place] for place in winners.tolist())
