"""Which combinations of values are played: all of them, or points that fill the space evenly."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from itertools import product
from typing import Any, Final

from simulator.experiment.errors import ExperimentError
from simulator.experiment.values import Range, Values

__all__ = ["DESIGNS", "points_of"]

DESIGNS: Final = ("grid", "lhs", "sobol")
"""All combinations; a Latin hypercube (McKay, Beckman and Conover 1979); a scrambled Sobol sequence (Owen
1998).
"""


def points_of(over: Mapping[str, Values], design: str, points: int | None, seed: int) -> list[dict[str, Any]]:
    """Key -> value for each point, in a fixed order: of a grid, the last key changes fastest.

    Raises ExperimentError for a design that does not fit the values.
    """
    if design not in DESIGNS:
        raise ExperimentError(f"unknown design {design!r}: {', '.join(DESIGNS)}")
    for key, values in over.items():
        if isinstance(values, Range):
            values.check(key)
    if design == "grid":
        return _grid(over, points)
    if points is None or points < 1:
        raise ExperimentError(f"design {design} needs the number of points (--points N)")
    if not over:
        raise ExperimentError(f"design {design} needs keys to vary")
    shares = _shares(design, len(over), points, seed)
    keys = list(over)
    return [{key: _value(over[key], share) for key, share in zip(keys, row, strict=True)} for row in shares]


def _grid(over: Mapping[str, Values], points: int | None) -> list[dict[str, Any]]:
    if points is not None:
        raise ExperimentError("points go with design lhs or sobol: a grid has as many as its values make")
    for key, values in over.items():
        if isinstance(values, Range):
            raise ExperimentError(
                f"{key}={values.low}..{values.high}: a grid needs single values; a range goes with design "
                "lhs or sobol"
            )
    listed = [
        [(key, value) for value in values] for key, values in over.items() if not isinstance(values, Range)
    ]
    return [dict(combination) for combination in product(*listed)]


def _shares(design: str, dimensions: int, points: int, seed: int) -> list[list[float]]:
    from scipy.stats import qmc

    if design == "lhs":
        drawn = qmc.LatinHypercube(d=dimensions, rng=seed).random(points)
    else:
        with warnings.catch_warnings():
            # Any number of points may be asked for; only powers of two balance perfectly.
            warnings.simplefilter("ignore", UserWarning)
            drawn = qmc.Sobol(d=dimensions, rng=seed).random(points)
    shares: list[list[float]] = drawn.tolist()
    return shares


def _value(values: Values, share: float) -> Any:
    if isinstance(values, Range):
        return values.at(share)
    return values[min(int(share * len(values)), len(values) - 1)]
