"""The costs of a replica: drawn by key, or a formula over counts."""

from __future__ import annotations

import pytest

from simulator.calibration.costs import zero_costs
from simulator.calibration.istiod_costs import load_istiod_calibration
from simulator.control_plane.istiod.costs import IstiodCosts
from simulator.engine.clock import S
from simulator.engine.delays import Constant, Uniform
from simulator.engine.draws import Draws

LAWS = load_istiod_calibration().costs


def test_a_law_is_drawn_by_replica_entity_and_index(draws: Draws) -> None:
    costs, other = IstiodCosts(LAWS, draws, 0), IstiodCosts(LAWS, draws, 1)
    first = costs.ns("watch_delay", entity=3, index=1)
    assert costs.ns("watch_delay", entity=3, index=1) == first
    assert len({first, costs.ns("watch_delay", entity=3), costs.ns("watch_delay", index=1)}) == 3
    assert other.ns("watch_delay", entity=3, index=1) != first


def test_coefficients_need_counts_and_a_law_put_in_their_place_does_not(draws: Draws) -> None:
    costs = IstiodCosts(LAWS, draws, 0)
    assert costs.ns("request", lambda c: 2 * c["fixed"]) == 60_000
    with pytest.raises(AssertionError, match=r"costs\.request needs counts"):
        costs.ns("request")
    fixed = IstiodCosts({**LAWS, "push_context": Constant(30 * S)}, draws, 0)
    assert fixed.ns("push_context", lambda c: c["fixed"]) == 30 * S


def test_with_costs_of_zero_every_job_costs_nothing(draws: Draws) -> None:
    costs = IstiodCosts(zero_costs(LAWS), draws, 0)
    assert all(costs.ns(key, lambda c: c["fixed"]) == 0 for key in LAWS)


def test_a_law_can_be_had_as_such_and_a_formula_cannot(draws: Draws) -> None:
    costs = IstiodCosts(LAWS, draws, 0)
    assert isinstance(costs.law("kube_proxy_delay"), Uniform)
    with pytest.raises(AssertionError, match=r"costs\.generate is a formula"):
        costs.law("generate")
