"""Which seeds of random scenarios `.ci/run` plays, and which are played by hand alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TypeVar

import pytest

T = TypeVar("T")


def thinned(seeds: Iterable[T], every: int, beside: Collection[T]) -> list[object]:
    """Seeds as parameters: every n-th and those `beside` are for `.ci/run`, the rest is `long`.

    Those beside were chosen so that every value of a key, and every two kinds of happenings in one scenario,
    that the whole list has twice are still there twice.
    """
    listed = list(seeds)
    played = dict.fromkeys([*listed[::every], *beside])
    assert all(seed in listed for seed in beside)
    return [pytest.param(*_parts(seed), marks=() if seed in played else pytest.mark.long) for seed in listed]


def _parts(seed: object) -> tuple[object, ...]:
    """A seed that is one with the kind of scenario fills two parameters."""
    return seed if isinstance(seed, tuple) else (seed,)
