"""Section `network`: the way between Envoy and its control plane."""

from __future__ import annotations

from typing import Annotated

from simulator.scenario.delay_values import DelayField
from simulator.scenario.kubernetes_quantities import Bytes, ProbabilityField
from simulator.scenario.quantities import OrNone
from simulator.scenario.settings import FORMAT, Settings, setting


class Network(Settings):
    """The links between the proxies and their control plane."""

    latency: DelayField | None = setting(
        "One-way delay of each message; absent = that of the calibration's loopback",
        None,
        stands_for="the network between Envoy and the management server",
        source="the calibration file: loopback, as in the Envoy 1.40 measurements; for a mesh it stands "
        "for a way within one zone",
    )
    loss: ProbabilityField = setting(
        "Share of messages that are lost for good, which resets their stream",
        0.0,
        stands_for="packet loss that TCP does not make up for",
        assumption="none: TCP retransmits what a network at work loses",
    )
    bandwidth: Annotated[Annotated[int, Bytes(per_second=True)] | None, OrNone()] = setting(
        "Bytes a second of each proxy's link, each way: 100M or 1Gi; absent = not limited",
        None,
        stands_for="the proxy's share of its node's network",
        source=FORMAT,
    )
