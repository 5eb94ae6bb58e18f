"""Dated behaviour: what each version of istiod does unless told otherwise."""

from __future__ import annotations

import pytest

from simulator.control_plane.istiod.versions import DATED, SUPPORTED, auto_limit, behaviour
from simulator.engine.clock import S


@pytest.mark.parametrize(
    ("processors", "limit"), [(1, 20), (2, 25), (4, 35), (8, 55), (16, 95), (17, 100), (64, 100)]
)
def test_the_automatic_limit_grows_with_the_processors_up_to_100(processors: int, limit: int) -> None:
    assert auto_limit(processors) == limit


@pytest.mark.parametrize(
    ("version", "throttle", "connects"),
    [
        ("1.10", 100, None),
        ("1.11", 100, None),
        ("1.12", 100, 100),
        ("1.13", 100, 25),
        ("1.20", 100, 25),
        ("1.21", 25, 25),
        ("1.32", 25, 25),
    ],
)
def test_the_limits_of_an_istiod_of_two_cores(version: str, throttle: int, connects: int | None) -> None:
    told = behaviour(version)
    assert (told.push_throttle(2), told.connect_limit(2)) == (throttle, connects)


def test_from_1_21_both_limits_follow_the_processors() -> None:
    assert (behaviour("1.21").push_throttle(8), behaviour("1.21").connect_limit(8)) == (55, 55)
    assert (behaviour("1.20").push_throttle(8), behaviour("1.20").connect_limit(8)) == (100, 25)


@pytest.mark.parametrize(
    ("attribute", "last_without", "first_with"),
    [
        ("lazy_sidecar_scopes", "1.26", "1.27"),
        ("lazy_scopes_without_sidecar", "1.11", "1.12"),
        ("endpoints_only_builds_context", "1.30", "1.31"),
        ("is_delta_default", "1.21", "1.22"),
        ("sends_unhealthy_endpoints", "1.30", "1.31"),
    ],
)
def test_what_came_with_a_version(attribute: str, last_without: str, first_with: str) -> None:
    assert getattr(behaviour(last_without), attribute) is False
    assert getattr(behaviour(first_with), attribute) is True
    assert getattr(behaviour("1.32"), attribute) is True


@pytest.mark.parametrize(
    ("attribute", "last_with", "first_without"),
    [("has_send_timeout", "1.21", "1.22"), ("has_flow_control", "1.14", "1.15")],
)
def test_what_went_with_a_version(attribute: str, last_with: str, first_without: str) -> None:
    assert getattr(behaviour(last_with), attribute) is True
    assert getattr(behaviour(first_without), attribute) is False


def test_the_send_timeout_was_5_s_up_to_1_10() -> None:
    assert [behaviour(version).send_timeout_ns for version in ("1.10", "1.11", "1.32")] == [5 * S, 0, 0]


def test_caches_grew_and_the_one_of_cds_was_switched_on_in_1_12() -> None:
    assert [behaviour(version).cache_size for version in ("1.10", "1.11")] == [20_000, 60_000]
    assert [behaviour(version).caches["cds"] for version in ("1.11", "1.12")] == [False, True]
    assert all(behaviour("1.12").caches.values())


@pytest.mark.parametrize("version", ["0.7", "1.33", "2.10", "1.10.3", "", "latest"])
def test_a_version_without_rows_is_refused_with_those_there_are(version: str) -> None:
    with pytest.raises(ValueError, match=r"1\.0 to 1\.32"):
        behaviour(version)


@pytest.mark.parametrize("name", DATED)
def test_every_dated_behaviour_has_rows_in_order_and_a_source(name: str) -> None:
    dated = DATED[name]
    since = [minor for minor, _ in dated.rows]
    assert since == sorted(set(since))
    assert f"1.{since[0]}" == SUPPORTED[0]
    assert dated.source
