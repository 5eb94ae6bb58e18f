"""Plays variants under common random numbers: the same changes, the same draws."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Executor
from types import MappingProxyType
from typing import Any, Final

from simulator.experiment.arguments import named_scenarios
from simulator.experiment.campaign import Options, conduct
from simulator.experiment.designs import points_of
from simulator.experiment.errors import ExperimentError
from simulator.experiment.progress import OnProgress
from simulator.experiment.sweep import cells_over, over_text
from simulator.experiment.task import Measure
from simulator.experiment.values import read_values
from simulator.results.comparison import Comparison
from simulator.scenario.schema import Scenario

__all__ = ["compare"]

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def compare(
    scenarios: Mapping[str, Scenario] | Scenario,
    over: Mapping[str, Any] = _NOTHING,
    *,
    replications: int = 30,
    seed: int | None = None,
    executor: str | Executor | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    until_ci: str | float | None = None,
    ci_of: str | None = None,
    max_replications: int = 1000,
    keep_tables: bool = False,
    measure: Measure | None = None,
    progress: OnProgress | None = None,
) -> Comparison:
    """Plays variants with the same seed, so that replication r of each meets the same random numbers.

    Args:
        scenarios: Label -> scenario; or one scenario, and `over`.
        over: Key path -> values: every combination is a variant.
        replications: Independent repetitions of each variant; paired between variants.
        seed: Seed of all variants; that of the first scenario if not given.
        executor, out, resume, until_ci, ci_of, max_replications, keep_tables, measure, progress: As in
            `sweep`.

    Raises:
        TypeError: What is given is no mapping of scenarios.
        ScenarioError: Values that the scenario cannot have; it holds all problems.
        ExperimentError: Anything else that cannot be done as asked; nothing was played.
        ExperimentStopped: A full disk or a lost executor; what was finished is kept in `out`.
    """
    named = named_scenarios(scenarios)
    values = {key: read_values(key, given) for key, given in over.items()}
    cells = cells_over(named, points_of(values, "grid", None, 0))
    if len(cells) < 2:
        raise ExperimentError(
            "a comparison needs at least two variants: more scenarios, or a key with several values"
        )
    first = next(iter(named.values()))
    options = Options(
        replications=replications,
        seed=first.seed if seed is None else seed,
        executor=executor,
        out=out,
        resume=resume,
        until_ci=until_ci,
        ci_of=ci_of,
        max_replications=max_replications,
        keep_tables=keep_tables,
        measure=measure,
        progress=progress,
    )
    manifest = {"name": first.name, "question": first.question, "over": over_text(values)}
    return conduct(Comparison, cells, options, manifest)
