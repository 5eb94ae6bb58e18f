"""Cost formulas are the same for numbers and arrays, and a calibration file is checked before it is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from simulator.calibration.costs import (
    SHIPPED,
    ZERO,
    CalibrationError,
    cds_cost_ns,
    eds_cost_ns,
    lds_cost_ns,
    load_calibration,
    rds_cost_ns,
    with_overrides,
    zero_costs,
)
from simulator.engine.clock import MS
from simulator.engine.delays import Constant, Uniform

SHIPPED_FILE = Path(load_calibration.__code__.co_filename).with_name(f"{SHIPPED}.yaml")


def coefficients(key: str) -> Any:
    return load_calibration().costs[key]


def formulas() -> dict[str, Callable[[Any, Any, bool], Any]]:
    """Each formula as a function of two counts and of whether it is delta; arrays go in like numbers."""
    cds, eds, lds, rds = (coefficients(key) for key in ("cds", "eds", "lds", "rds"))

    def of_cds(n: Any, m: Any, is_delta: bool) -> Any:
        return cds_cost_ns(
            cds, is_delta=is_delta, present=n, added={"eds": m}, changed={"static": n}, removed=m,
            is_quiet=False, starts_eds=True, is_first_static=False,
        )  # fmt: skip

    def of_lds(n: Any, m: Any, is_delta: bool) -> Any:
        return lds_cost_ns(
            lds,
            is_delta=is_delta,
            present=n,
            built=m,
            removed=m,
            has_built=True,
            has_removed=True,
            starts_rds=True,
        )

    return {
        "cds": of_cds,
        "eds": lambda n, m, d: eds_cost_ns(eds, is_delta=d, present=n, first=m, endpoints=n, has_first=True),
        "lds": of_lds,
        "rds": lambda n, m, d: rds_cost_ns(rds, virtual_hosts=n, is_first=d, is_initializing=False),
    }


@pytest.mark.parametrize("key", ["cds", "eds", "lds", "rds"])
@given(counts=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=5))
def test_a_formula_gives_the_same_for_numbers_and_for_arrays(key: str, counts: list[tuple[int, int]]) -> None:
    formula, (first, second) = formulas()[key], np.array(counts, dtype=np.int64).T
    for is_delta in (False, True):
        costs = formula(first, second, is_delta)
        assert costs.dtype == np.int64
        assert costs.tolist() == [formula(n, m, is_delta) for n, m in counts]


def test_an_update_is_paid_for_every_cluster_it_states() -> None:
    def unchanged(present: int, is_delta: bool) -> int:
        return cds_cost_ns(
            coefficients("cds"), is_delta=is_delta, present=present, added={}, changed={}, removed=0,
            is_quiet=True, starts_eds=False, is_first_static=False,
        )  # fmt: skip

    assert unchanged(1000, is_delta=False) - unchanged(0, is_delta=False) == pytest.approx(11.0 * MS, rel=0.1)


def test_a_thousand_endpoints_cost_the_measured_milliseconds() -> None:
    def changed(endpoints: int) -> int:
        return eds_cost_ns(
            coefficients("eds"), is_delta=False, present=1, first=0, endpoints=endpoints, has_first=False
        )

    assert changed(1000) - changed(0) == pytest.approx(3.2 * MS)


def test_the_shipped_calibration_says_where_each_number_comes_from() -> None:
    written = yaml.safe_load(SHIPPED_FILE.read_text(encoding="utf-8"))
    for key, entry in written["costs"].items():
        assert entry.get("source"), key
    assert written["sizes_bytes"]["source"]
    assert all(law != ZERO for key, law in load_calibration().costs.items() if key not in ("file_update",))


def test_laws_are_read_as_delays() -> None:
    assert load_calibration().costs["dns_failure"] == Uniform(46_000 * MS, 70_000 * MS)
    assert load_calibration().answer == Constant(300_000)


def test_zero_switches_every_cost_off() -> None:
    costs = load_calibration().costs
    assert zero_costs(costs) == dict.fromkeys(costs, ZERO)


def test_an_override_of_one_coefficient_leaves_the_others() -> None:
    costs = load_calibration().costs
    changed = with_overrides(costs, {"eds": {"fixed": 7}, "sds": Constant(9), "rds": Constant(1)})
    assert changed["eds"] == {**coefficients("eds"), "fixed": 7}
    assert (changed["sds"], changed["rds"], changed["cds"]) == (Constant(9), Constant(1), costs["cds"])
    assert coefficients("eds")["fixed"] != 7


@pytest.fixture
def write(tmp_path: Path) -> Callable[[object], str]:
    def written(content: object) -> str:
        path = tmp_path / "mine.yaml"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(
                content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8"
            )
        return str(path)

    return written


def shipped() -> Any:
    return yaml.safe_load(SHIPPED_FILE.read_text(encoding="utf-8"))


def test_a_copy_of_the_shipped_file_says_the_same(write: Callable[[object], str]) -> None:
    copied = load_calibration(write(shipped()))
    assert (copied.costs, copied.sizes_bytes) == (load_calibration().costs, load_calibration().sizes_bytes)


def test_a_file_that_was_edited_is_read_again(write: Callable[[object], str]) -> None:
    data = shipped()
    load_calibration(write(data))
    data["costs"]["sds"]["value"] = "5ms"
    assert load_calibration(write(data)).costs["sds"] == Constant(5 * MS)


def edited(*path: str, to: object = None) -> Any:
    """The shipped data with one entry replaced, or taken out."""
    data = shipped()
    within = data
    for key in path[:-1]:
        within = within[key]
    if to is None:
        del within[path[-1]]
    else:
        within[path[-1]] = to
    return data


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (edited("costs", "eds"), "missing costs.eds"),
        (edited("costs", "eds", "fixed"), "missing costs.eds.fixed"),
        (edited("sizes_bytes", "listener"), "missing sizes_bytes.listener"),
        (edited("costs", "tea", to={"value": "1ms"}), "unknown costs.tea"),
        (edited("costs", "eds", "tea", to="1ms"), "unknown costs.eds.tea"),
        (edited("sizes_bytes", "tea", to=1), "unknown sizes_bytes.tea"),
        (edited("costs", "sds", to={"fixed": "1ms"}), "unknown costs.sds.fixed"),
        (edited("costs", "sds", to={"source": "a guess"}), "missing costs.sds.value"),
        (edited("costs", "sds", to=3), "costs.sds: expected a mapping"),
        (edited("costs", "sds", "value", to="3 parsecs"), "not a calibration file"),
        (edited("costs", "sds", "value", to=3), "costs.sds: expected a duration"),
        (edited("costs", "sds", "value", to={"uniform": ["2ms"]}), "not a calibration file"),
        (edited("costs", "sds", "value", to={"uniform": ["2ms", "1ms"]}), "not a calibration file"),
        (edited("costs", "eds", "fixed", to="-1ms"), "costs.eds: negative: fixed"),
        (edited("costs", "sds", "value", to="-1ms"), "not a calibration file"),
        (edited("network"), "not a calibration file"),
        (edited("sizes_bytes", "listener", to="large"), "not a calibration file"),
        (edited("sizes_bytes", "listener", to=float("inf")), "not a calibration file"),
        (edited("sizes_bytes", "listener", to=-1), "sizes_bytes: must not be negative"),
        ([1, 2], "not a calibration file"),
        ("", "not a calibration file"),
        ("costs: [", "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
        ("[" * 900, "cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) > 10 and "[[" not in value else "",
)  # fmt: skip
def test_a_bad_file_is_refused_with_its_name(write: Callable[[object], str], data: object, said: str) -> None:
    with pytest.raises(CalibrationError) as refused:
        load_calibration(write(data))
    assert "mine.yaml" in str(refused.value)
    assert said in str(refused.value)


@pytest.mark.parametrize("name", ["nowhere.yaml", "."])
def test_a_file_that_is_not_there_is_refused_with_its_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(CalibrationError, match="cannot be read"):
        load_calibration(str(tmp_path / name))
