"""Watches are called newest first; the first error ends the round."""

from __future__ import annotations

from simulator.envoy.watches import watches_called_before
from simulator.xds.resources import Names


def test_names_behind_the_last_bad_one_are_called_and_those_before_it_are_not() -> None:
    order = Names("abcde")
    assert list(watches_called_before(Names("bc"), order)) == ["d", "e"]
    assert list(watches_called_before(Names("e"), order)) == []
    assert list(watches_called_before(Names("a"), order)) == ["b", "c", "d", "e"]


def test_without_a_bad_one_all_are_called() -> None:
    assert list(watches_called_before(Names(), Names("abc"))) == ["a", "b", "c"]
