"""Runs one scenario, once or many times."""

from __future__ import annotations

import os
from concurrent.futures import Executor
from typing import overload

from simulator.experiment.arguments import check_scenario, check_seed
from simulator.experiment.campaign import Options, conduct
from simulator.experiment.engines import played
from simulator.experiment.errors import ExperimentError
from simulator.experiment.executors import check_executor
from simulator.experiment.progress import OnProgress
from simulator.experiment.provenance import manifest
from simulator.experiment.task import Cell, Measure
from simulator.results.replications import Replications
from simulator.results.result import Result
from simulator.scenario.schema import Scenario

__all__ = ["run"]


@overload
def run(
    scenario: Scenario,
    seed: int | None = None,
    replication: int = 0,
    *,
    executor: str | Executor | None = None,
) -> Result: ...
@overload
def run(
    scenario: Scenario,
    seed: int | None = None,
    *,
    replications: int,
    until_ci: str | float | None = None,
    ci_of: str | None = None,
    executor: str | Executor | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    max_replications: int = 1000,
    keep_tables: bool = False,
    measure: Measure | None = None,
    progress: OnProgress | None = None,
) -> Replications: ...
@overload
def run(
    scenario: Scenario,
    seed: int | None = None,
    *,
    until_ci: str | float,
    ci_of: str | None = None,
    executor: str | Executor | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    max_replications: int = 1000,
    keep_tables: bool = False,
    measure: Measure | None = None,
    progress: OnProgress | None = None,
) -> Replications: ...


def run(
    scenario: Scenario,
    seed: int | None = None,
    replication: int = 0,
    *,
    replications: int | None = None,
    until_ci: str | float | None = None,
    ci_of: str | None = None,
    executor: str | Executor | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    max_replications: int = 1000,
    keep_tables: bool = False,
    measure: Measure | None = None,
    progress: OnProgress | None = None,
) -> Result | Replications:
    """Runs a scenario once and returns its tables, or many times and returns what they show together.

    Args:
        scenario: What to simulate.
        seed: Seed of all draws; the scenario's own if not given.
        replication: Which of the independent repetitions of that seed.
        replications: How many repetitions, instead of one; with `until_ci`, of the first round.
        until_ci: Repeat until half of the 95 % interval is this share of the estimate: ``"5%"`` or 0.05.
        ci_of: What that is about: ``"p99(active_delay)"``; by default the mean of the delay until active, or,
            where no change concerns any proxy, of the time to ready.
        executor, out, resume, max_replications, keep_tables, measure, progress: As in `sweep`; one run is
            played by this process, whatever the executor.

    Returns:
        The result; the same scenario, seed and replication give the same digest.

    Raises:
        TypeError: What is given is no scenario.
        ExperimentError: A seed or replication that is no whole number from 0 to 2^63 - 1; options that make
            no sense together; nothing was played.
        ExperimentStopped: A full disk or a lost executor; what was finished is kept in `out`.
    """
    check_scenario(scenario)
    actual_seed = scenario.seed if seed is None else seed
    check_seed(actual_seed)
    check_seed(replication, "replication")
    if replications is None and until_ci is None:
        if out is not None or resume or keep_tables or measure is not None:
            raise ExperimentError("out, resume, keep_tables and measure go with replications or until_ci")
        if executor is not None:
            check_executor(executor)
        return _once(scenario, actual_seed, replication)
    if replication:
        raise ExperimentError("replication names one run, replications asks for many: give one of them")
    options = Options(
        replications=replications,
        seed=actual_seed,
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
    told = {"name": scenario.name, "question": scenario.question, "over": {}}
    return conduct(Replications, [Cell(0, scenario.name, {}, scenario)], options, told)


def _once(scenario: Scenario, seed: int, replication: int) -> Result:
    world = played(scenario, seed, replication)
    return Result.from_recorder(
        world.recorder, manifest(scenario, seed, replication, world.engine, world.reason), scenario.asked
    )
