"""Which seeds of random scenarios `.ci/run` plays, and which are played by hand alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pytest


def thinned(seeds: Iterable[int], every: int, beside: Collection[int]) -> list[object]:
    """Seeds as parameters: every n-th and those `beside` are for `.ci/run`, the rest is `long`.

    Those beside were chosen so that every value of a key, and every two kinds of happenings in one scenario,
    that the whole list has twice are still there twice.
    """
    listed = list(seeds)
    played = dict.fromkeys([*listed[::every], *beside])
    assert all(seed in listed for seed in beside)
    return [pytest.param(seed, marks=() if seed in played else pytest.mark.long) for seed in listed]
