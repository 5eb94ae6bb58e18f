"""What the notebooks 01 to 06 rest on: laws and exact numbers that hold whatever a mesh looks like.

Times are exact. Where chance decides, the judgement is a Kolmogorov-Smirnov test or a number of standard
errors, at a level fixed beforehand and for a seed that does not change.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import simulator as xs
from simulator.recording.columns import DELIVERY_INSTANTS

CHAIN = list(DELIVERY_INSTANTS[:-1])
"""The instants of a delivery from changed to active; the ACK stands beside them."""


def mesh(**changes: Any) -> xs.Scenario:
    """A mesh under istiod that lives through edits, endpoint churn and a rollout."""
    return xs.Scenario(
        name="questions",
        duration="90s",
        mesh={"proxies": 30, "services": 6, "namespaces": 2},
        control_plane={"kind": "istiod"},
        propagation={"refresh_delay": "5s", "sync_period": "5s"},
        workload=[
            {"edit": "VirtualService", "poisson": "30/min", "until": "60s"},
            {"edit": "DestinationRule", "poisson": "10/min", "until": "60s"},
            {"endpoints": "any", "poisson": "60/min", "until": "60s"},
            {"rollout": "s1", "at": "20s", "pre_stop": "5s"},
        ],
    ).with_(**changes)


# --- 1. How long until every proxy has a change?


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["push", "poll", "long-poll", "file"])
def test_the_stages_of_each_delivery_sum_to_its_total_exactly(strategy: str) -> None:
    rows = xs.run(mesh(**{"propagation.strategy": strategy})).deliveries
    rows = rows[rows["outcome"] == "active"]
    assert len(rows) > 1000
    stages = np.diff(rows[CHAIN].to_numpy(dtype=np.int64), axis=1)
    assert (stages >= 0).all()
    assert (stages.sum(axis=1) == (rows["t_active_ns"] - rows["t_changed_ns"]).to_numpy(np.int64)).all()
