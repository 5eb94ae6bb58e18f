"""A measured run beside the simulated one: whether an event is late, or only as late as what came before."""

from __future__ import annotations

from typing import Final

from simulator.lab.conversation import Reading, Said
from simulator.lab.orders import Order
from simulator.lab.rows import Tolerance

MOST_DRIFT_S: Final = 0.25
"""By how much a machine under load may be behind altogether, each step within its tolerance."""

_LOOK_BACK: Final = 3
"""An event may be as late as one of that many messages before it."""


class MeasuredRun:
    """One measured run beside the simulated one: by how much its events are late."""

    def __init__(
        self,
        reading: Reading,
        ours: list[Said],
        until_s: float,
        simulated: Reading,
        tolerance: Tolerance,
        *,
        is_random: bool,
    ) -> None:
        self.reading = reading
        inside = [one for one in reading.said if one.at_s < until_s]
        self.said = heard(inside, reading.subscriptions()) if is_random else inside
        self.order = Order(self.said)
        excess_s = (reading.construction_ns - simulated.construction_ns) / 1e9
        self._start_noise_s = min(max(0.0, excess_s), MOST_DRIFT_S)
        started_s = simulated.at("t_workers_started_ns")
        self._started_s = 0.0 if started_s is None else started_s + tolerance.floor_s
        self._ours_first_s = ours[0].at_s if ours else None
        self._drifts: list[tuple[float, float]] = []
        for key, said in zip(Order(ours).keys, ours, strict=True):
            there = self.order.counterpart(key)
            if there is not None and abs(there.at_s - said.at_s) <= MOST_DRIFT_S:
                self._drifts.append((said.at_s, there.at_s - said.at_s))
        self._shifts: list[float] = []
        if reading.after_first_s:
            # What the script does by its own clock comes so much earlier after a child that is late.
            self._shifts.append(simulated.after_first_s - reading.after_first_s)
        if is_random:
            here, there_opened = simulated.openings(), reading.openings()
            self._shifts += [there_opened[key] - at_s for key, at_s in here.items() if key in there_opened]

    def is_near(self, simulated_s: float, measured_s: float, tolerance: Tolerance) -> bool:
        """Whether the times agree, as they are or as late as what came before."""
        allowed_s = tolerance.at(simulated_s)
        late_s = measured_s - simulated_s
        if simulated_s <= 0 and measured_s <= allowed_s:
            return True  # Before the origin: part of the process's start.
        if self._ours_first_s == simulated_s and 0 <= late_s <= MOST_DRIFT_S:
            return True  # The first request leaves when the main loop runs: process start.
        if abs(late_s) <= allowed_s or any(abs(late_s - shift) <= allowed_s for shift in self._shifts):
            return True
        before = [drift for at_s, drift in self._drifts if at_s < simulated_s][-_LOOK_BACK:]
        if any(abs(late_s - drift) <= allowed_s for drift in before):
            return True
        return simulated_s <= self._started_s and 0 <= late_s <= allowed_s + self._start_noise_s


def heard(said: list[Said], subscriptions: dict[int, str]) -> list[Said]:
    """Without Envoy's last message of a type on a stream that another for the same subscription follows: it
    may cross the reset and be lost."""
    last: dict[tuple[int, str], Said] = {}
    newest: dict[tuple[str, str], int] = {}
    for one in said:
        last[one.stream, one.type] = one
        key = subscriptions[one.stream], one.type
        newest[key] = max(newest.get(key, 0), one.stream)
    lost = {
        id(one): one
        for (stream, type_name), one in last.items()
        if not one.is_of_server and stream < newest[subscriptions[stream], type_name]
    }
    return [one for one in said if id(one) not in lost]
