"""Section `network`: the way between Envoy and its control plane."""

from __future__ import annotations

from simulator.scenario.delay_values import DelayField
from simulator.scenario.settings import Settings, setting


class Network(Settings):
    """The links."""

    latency: DelayField | None = setting(
        "One-way delay of each message; absent = that of the calibration's loopback",
        None,
        stands_for="the network between Envoy and the management server",
        source="the calibration file: loopback, as in the Envoy 1.40 measurements",
    )
