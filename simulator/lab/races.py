"""What may be in another order in the measured world than in the simulated one, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator

from simulator.lab.conversation import Reading, Said
from simulator.lab.lateness import MeasuredRun
from simulator.lab.orders import Numbered, Order
from simulator.lab.rows import Tolerance


class Races:
    """The races of one start of one Envoy.

    Args:
        simulated: The start as it was simulated.
        ours: Its messages that are compared.
        runs: The measured ones.
        tolerance: How far times may be apart.
        is_random: Streams wait for a random time before they open.
    """

    def __init__(
        self,
        simulated: Reading,
        ours: list[Said],
        runs: list[MeasuredRun],
        tolerance: Tolerance,
        *,
        is_random: bool,
    ) -> None:
        self._simulated = simulated
        self._ours = Order(ours)
        self._runs = runs
        self._tolerance = tolerance
        self._is_random = is_random

    def kind(self, first: Numbered, second: Numbered, run: MeasuredRun) -> str | None:
        """Of which class it is that these two, in the simulated order, were measured in the other."""
        ours = self._ours
        if any(other.order.has_first(first, second) for other in self._runs if other is not run):
            return "both orders measured"
        here = [ours.said[ours.place[key]] for key in (first, second)]
        there = [run.order.said[run.order.place[key]] for key in (first, second)]
        if self._is_random and here[0].stream != here[1].stream:
            return "random waits"
        gap_s = max(abs(here[1].at_s - here[0].at_s), abs(there[1].at_s - there[0].at_s))
        if gap_s > self._tolerance.at(0):
            return None
        if here[0].is_of_server != here[1].is_of_server:
            return "crossing"
        return "streams" if here[0].stream != here[1].stream else None

    def warms_apart(self, cluster: str, run: MeasuredRun) -> bool:
        """Whether a cluster warms while the server starts in one world, when its workers run in the other,
        because streams that waited for random times came back in another order: in the one the CDS response
        that names the cluster comes before a message on another stream which the workers' start comes after,
        in the other behind it."""
        if not self._is_random:
            return False
        for early, late in ((self._simulated, run.reading), (run.reading, self._simulated)):
            if cluster in early.warmed_in_start_up() and self._came_behind(cluster, late, run):
                return True
        return False

    def _came_behind(self, cluster: str, late: Reading, run: MeasuredRun) -> bool:
        started_s = late.at("t_workers_started_ns")
        if started_s is None:
            return False
        for first, second in self._changed_places(run, is_behind_in_run=late is run.reading):
            is_cds = second.word == "response cds" and cluster in second.names
            if is_cds and first.stream != second.stream and first.at_s <= started_s:
                return True
        return False

    def _changed_places(self, run: MeasuredRun, *, is_behind_in_run: bool) -> Iterator[tuple[Said, Said]]:
        """Pairs of messages that changed places, as they follow one another in the measured run, or in the
        simulated one."""
        for one, other in self._ours.inversions(run.order):
            if is_behind_in_run:
                first, second = run.order.counterpart(other), run.order.counterpart(one)
            else:
                first, second = self._ours.counterpart(one), self._ours.counterpart(other)
            if first is not None and second is not None:
                yield first, second
