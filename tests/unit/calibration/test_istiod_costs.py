"""istiod's cost formulas reproduce the benchmarks they come from, for numbers and arrays alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from simulator.calibration.costs import CalibrationError, with_overrides
from simulator.calibration.istiod_costs import (
    ISTIOD_SHIPPED,
    fan_out_cost_ns,
    generate_cost_ns,
    load_istiod_calibration,
    marshal_cost_ns,
    push_context_cost_ns,
    push_cost_ns,
    registry_task_cost_ns,
    sidecar_scope_cost_ns,
)
from simulator.engine.clock import MS, US, S
from simulator.engine.delays import Constant, Uniform

SHIPPED_FILE = Path(load_istiod_calibration.__code__.co_filename).with_name(f"{ISTIOD_SHIPPED}.yaml")
TYPES = ("cds", "eds", "lds", "rds", "sds", "nds", "ecds")


def coefficients(key: str) -> Any:
    return load_istiod_calibration().costs[key]


def generated(type_name: str, misses: Any, hits: Any = 0, parts: Any = 0) -> Any:
    return generate_cost_ns(coefficients("generate"), type_name, misses=misses, hits=hits, parts=parts)


FORMULAS: dict[str, Callable[[Any, Any], Any]] = {
    "registry_task": lambda n, _m: registry_task_cost_ns(coefficients("registry_task"), endpoints=n),
    "push_context": lambda n, m: push_context_cost_ns(
        coefficients("push_context"), services=n, configs=m, scope_services=n + m
    ),
    "fan_out": lambda n, _m: fan_out_cost_ns(coefficients("fan_out"), connections=n),
    "sidecar_scope": lambda n, _m: sidecar_scope_cost_ns(coefficients("sidecar_scope"), services=n),
    "marshal": lambda n, _m: marshal_cost_ns(coefficients("marshal"), size_bytes=n),
    **{
        f"generate {name}": lambda n, m, name=name: generated(name, n, m, n + m)  # type: ignore[misc]
        for name in TYPES
    },
}


@pytest.mark.parametrize("name", FORMULAS)
@given(counts=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=5))
def test_a_formula_gives_the_same_for_numbers_and_for_arrays(
    name: str, counts: list[tuple[int, int]]
) -> None:
    first, second = np.array(counts, dtype=np.int64).T
    costs = FORMULAS[name](first, second)
    assert costs.dtype == np.int64
    assert costs.tolist() == [FORMULAS[name](n, m) for n, m in counts]


@pytest.mark.parametrize(
    ("cost_ns", "measured_ns"),
    [
        (generated("cds", 100), 0.87 * MS),
        (generated("eds", 1, parts=1000), 2.10 * MS),
        (generated("eds", 10, parts=1000), 2.04 * MS),
        (generated("eds", 1, parts=100), 0.45 * MS),
        (generated("lds", 0), 2.92 * MS),
        (generated("rds", 1, parts=100), 0.8 * MS),
        (FORMULAS["push_context"](0, 1000) - FORMULAS["push_context"](0, 0) - 1000 * US, 4.5 * MS),
    ],
    ids=["cds 100", "eds 1000x1", "eds 100x10", "eds 100x1", "lds empty", "rds 100", "context 1000"],
)
def test_the_benchmarks_come_out_again(cost_ns: int, measured_ns: float) -> None:
    assert cost_ns == pytest.approx(measured_ns, rel=0.05)


def test_what_is_found_in_the_cache_costs_a_fraction_of_generating_it() -> None:
    assert generated("cds", 0, 100) - generated("cds", 0) < 0.1 * (
        generated("cds", 100) - generated("cds", 0)
    )


def test_framing_is_paid_by_the_kib() -> None:
    c = coefficients("marshal")
    assert marshal_cost_ns(c, size_bytes=2**20) == 1024 * c["per_kib"] + c["fixed"]


def test_endpoints_alone_spare_the_state_of_the_proxy() -> None:
    c = coefficients("push")
    assert push_cost_ns(c, recomputes=True) - push_cost_ns(c, recomputes=False) == c["proxy_state"]


def test_every_eager_scope_pays_for_every_service_in_it() -> None:
    c = coefficients("push_context")
    cost_ns = push_context_cost_ns(c, services=7_000, configs=0, scope_services=10_000 * 7_000)
    assert 60 * S < cost_ns < 80 * S


def test_the_shipped_calibration_says_where_each_number_comes_from_or_that_it_is_assumed() -> None:
    written = yaml.safe_load(SHIPPED_FILE.read_text(encoding="utf-8"))
    for key, entry in written["costs"].items():
        assert entry.get("source") or entry.get("assumption"), key


def test_laws_are_read_as_delays() -> None:
    assert load_istiod_calibration().costs["kube_proxy_delay"] == Uniform(0, S)
    assert load_istiod_calibration().costs["cache_sync"] == Constant(2 * S)


def test_an_override_of_one_coefficient_leaves_the_others() -> None:
    costs = load_istiod_calibration().costs
    changed = with_overrides(costs, {"generate": {"eds_fixed": 0}, "push_context": Constant(30 * S)})
    assert changed["generate"] == {**coefficients("generate"), "eds_fixed": 0}
    assert changed["push_context"] == Constant(30 * S)


def test_a_copy_of_the_shipped_file_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SHIPPED_FILE.read_text(encoding="utf-8"), encoding="utf-8")
    assert load_istiod_calibration(str(path)).costs == load_istiod_calibration().costs


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("costs", "push_context"), None, "missing costs.push_context"),
        (("costs", "generate", "eds_fixed"), None, "missing costs.generate.eds_fixed"),
        (("costs", "tea"), {"value": "1ms"}, "unknown costs.tea"),
        (("costs", "generate", "tea"), "1ms", "unknown costs.generate.tea"),
        (("costs", "request", "fixed"), "-1ms", "costs.request: negative: fixed"),
        (("costs", "watch_delay", "value"), 3, "costs.watch_delay: expected a duration"),
        (("costs",), None, "not a calibration file"),
    ],
)
def test_a_bad_file_is_refused_with_its_name(
    tmp_path: Path, path: tuple[str, ...], value: object, said: str
) -> None:
    data = yaml.safe_load(SHIPPED_FILE.read_text(encoding="utf-8"))
    within = data
    for key in path[:-1]:
        within = within[key]
    within[path[-1]] = value
    if value is None:
        del within[path[-1]]
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(CalibrationError) as refused:
        load_istiod_calibration(str(file))
    assert "mine.yaml" in str(refused.value)
    assert said in str(refused.value)


def test_a_file_that_is_not_there_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="cannot be read"):
        load_istiod_calibration(str(tmp_path / "nowhere.yaml"))
