"""What Python callers pass, checked where it comes in: a wrong kind of thing is refused in words."""

from __future__ import annotations

from collections.abc import Mapping

from simulator.experiment.errors import ExperimentError
from simulator.scenario.schema import Scenario

__all__ = ["check_scenario", "check_seed", "named_scenarios"]

_SEEDS_END = 2**63


def check_seed(seed: object, what: str = "seed") -> None:
    """Raises ExperimentError for anything but a whole number from 0 to 2^63 - 1; `what` it is called."""
    # A numpy integer knows its index and is as good; True is a number to Python, and no seed to anybody.
    is_whole = hasattr(seed, "__index__") and not isinstance(seed, bool)
    if not is_whole or not 0 <= seed < _SEEDS_END:  # type: ignore[operator]  # whole numbers have an order
        raise ExperimentError(f"{what} {seed!r}: give a whole number from 0 to 2^63 - 1")


def check_scenario(scenario: object) -> None:
    """Raises TypeError, with what to write instead, for anything but a scenario."""
    if not isinstance(scenario, Scenario):
        hint = f"; xs.load_scenario({scenario!r}) reads a file" if isinstance(scenario, str) else ""
        raise TypeError(f"give an xs.Scenario, not a {type(scenario).__name__}{hint}")


def named_scenarios(scenarios: object) -> dict[str, Scenario]:
    """Label -> scenario, of one scenario or of a mapping; raises TypeError for anything else."""
    if isinstance(scenarios, Scenario):
        return {"": scenarios}
    if not isinstance(scenarios, Mapping):
        raise TypeError(
            "give a mapping from label to scenario, such as {'push': a, 'poll': b}, or one scenario and "
            f"over=..., not a {type(scenarios).__name__}"
        )
    for scenario in scenarios.values():
        check_scenario(scenario)
    return dict(scenarios)
