"""Entries `traffic` of the section `workload`: requests between services, or to a listener."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import model_validator

from simulator.scenario.durations import DurationNs, PositiveDurationNs
from simulator.scenario.problems import refusal
from simulator.scenario.quantities import ANY, Choice, OrNone, RateValue, Text, Whole
from simulator.scenario.settings import FORMAT, SPELLING, Settings, setting


class Traffic(Settings):
    """Requests from proxies to a service; with a scripted control plane, to one listener of every proxy."""

    source: Annotated[str, Text(127, r"\S+", "any, or the name of a service")] = setting(
        "Service whose sidecars send them, or any: all proxies that see the destination",
        ANY,
        stands_for="the clients",
        source=FORMAT,
        key="from",
    )
    to: Annotated[str, Text(200, meaning="the name of a service, or of a listener such as l0")] = setting(
        "Service that they go to; scripted: listener", stands_for="the clients' destination", source=FORMAT
    )
    rate: RateValue = setting(
        "Requests of each proxy, from when its application is ready until its pod is deleted",
        stands_for="the clients' request rate",
        source=FORMAT,
    )
    connection: Annotated[Literal["fresh", "kept"], Choice(("fresh", "kept"))] = setting(
        "Scripted: a fresh connection for each request, or one that is kept open",
        "fresh",
        stands_for="HTTP keep-alive of the clients",
        source="the measurements probe with fresh connections unless they say kept",
    )
    request_time: DurationNs = setting(
        "Scripted: how long a request takes; one under way when a hot restart ends its Envoy is cut (UC)",
        0,
        stands_for="the service's response time, or a stream's length",
        source=FORMAT,
    )
    dead_endpoint: Annotated[Literal["reset", "blackhole"], Choice(("reset", "blackhole"))] = setting(
        "What an attempt meets where a pod is gone: a reset at once, or nothing until envoy.connect_timeout",
        "reset",
        stands_for="the network's answer for an address without a pod",
        assumption="the node still answers for the address; where it does not, say blackhole",
    )
    retries: Annotated[int, Whole(0, 100)] = setting(
        "Further attempts, each at another endpoint if there is one",
        2,
        stands_for="HTTPRetry.attempts",
        source="Istio's default retry policy (networking/core/route/retry/retry.go: 2, other hosts)",
    )


class TrafficEntry(Settings):
    """Requests for some time."""

    KIND: ClassVar[str] = "traffic"

    traffic: Traffic = setting("Requests", stands_for="clients of the proxies", source=FORMAT)
    begin: DurationNs = setting(
        "When it begins, included; simulated time", 0, stands_for=SPELLING, source=FORMAT, key="from"
    )
    until: Annotated[PositiveDurationNs | None, OrNone()] = setting(
        "When it ends, not included; absent = the end of the run", None, stands_for=SPELLING, source=FORMAT
    )

    @model_validator(mode="after")
    def _in_order(self) -> TrafficEntry:
        if self.until is not None and self.until <= self.begin:
            raise refusal("must be later than from", "until")
        return self
