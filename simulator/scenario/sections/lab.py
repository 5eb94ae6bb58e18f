"""Section `lab`: the machine that real Envoys play the scenario on."""

from __future__ import annotations

from typing import Annotated

from simulator.scenario.quantities import EachNamed, OrNone, Whole
from simulator.scenario.settings import Settings, setting


class Lab(Settings):
    """The bench: for scenarios that are also played against real Envoys."""

    cores: Annotated[Annotated[int, Whole(1, 1024)] | None, OrNone()] = setting(
        "Cores that all Envoys share, simulated and played (scripted only); absent: each Envoy has its own",
        None,
        stands_for="the CPU affinity of the Envoy processes",
        assumption="a few Envoys do not fill a machine, so their number matters to fleets only",
    )
    removal_order: EachNamed = setting(
        "Clusters in the order in which a real Envoy takes those that one CDS update removes while start-up "
        "waits for some (not delta, which has an order); the others come behind them, the last first",
        (),
        stands_for="the order of a hash map, which no configuration decides (cds_api_helper.cc)",
        assumption="any order is as good; the laboratory reads it off the log of the Envoy it played",
    )
