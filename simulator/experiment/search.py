"""Searches the smallest value of a key with which a scenario meets what is asked of it.

Every value is played with the same replications, so the same random numbers: what differs between two values
is what the values do. A value passes when every replication meets every line. The search looks at evenly
spaced values first and then halves the gap between the last that fails and the first that passes; it refuses
to name a value where one that passes lies below one that fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final

from simulator.experiment.arguments import check_scenario
from simulator.experiment.errors import ExperimentError
from simulator.experiment.progress import OnProgress
from simulator.experiment.sweep import sweep
from simulator.experiment.values import Range, value_text
from simulator.recording.instants import METRICS
from simulator.results.estimates import Estimate
from simulator.results.sweep import Sweep
from simulator.scenario.expectation import Expectation
from simulator.scenario.schema import Scenario

__all__ = ["Probe", "Search", "search"]

_FIRST: Final = 5
"""Evenly spaced values, both ends among them, that are played before the halving begins."""
_STEPS: Final = 256
"""Steps into which a range that is not of whole numbers is divided: the resolution of the answer."""
_ERROR: Final = 0.05


@dataclass(frozen=True, slots=True)
class Probe:
    """One value that was tried.

    Attributes:
        value: As the scenario file would hold it, as text.
        met: Replications that met every line.
        replications: All of them.
        failed: Replications that ended in an error; they meet nothing.
        estimate: The statistic that the first line is about, over all replications, with its interval; None
            where that line is narrowed or counts.
    """

    value: str
    met: int
    replications: int
    failed: int
    estimate: Estimate | None

    @property
    def passes(self) -> bool:
        """Whether every replication met every line."""
        return self.met == self.replications


@dataclass(frozen=True, slots=True)
class Search:
    """What was found.

    Attributes:
        key: What was varied.
        meet: The lines to be met.
        value: The smallest value that passes; None where there is none, or no telling.
        below: The largest value that was tried and fails; None where all pass.
        probes: Everything that was tried, from the smallest value to the largest.
        is_monotone: False where a value that passes lies below one that fails: there is no smallest value
            above which all pass, and `value` is None.
    """

    key: str
    meet: tuple[str, ...]
    value: str | None
    below: str | None
    probes: tuple[Probe, ...]
    is_monotone: bool

    @property
    def met_at_least(self) -> float:
        """With 95 % confidence, the share of all replications that meet the lines at `value`: n of n did
        (Clopper-Pearson, one-sided). 0 where no value was found.
        """
        if self.value is None:
            return 0.0
        return float(_ERROR ** (1 / self.probes[0].replications))


def search(
    scenario: Scenario,
    key: str,
    values: Range | str,
    meet: str | Sequence[str],
    *,
    replications: int = 10,
    seed: int | None = None,
    executor: str | Executor | None = None,
    progress: OnProgress | None = None,
) -> Search:
    """Finds the smallest value of `key` between two ends with which all of `meet` holds.

    Args:
        scenario: What is played; its own `expect:` lines are not asked.
        key: Path of the key, such as ``control_plane.cpu``.
        values: Both ends: ``1..32``, ``100ms..10s`` or, halved by ratios, ``100ms..10s log``. Whole numbers
            are found exactly, others to a 256th of the range.
        meet: Expectations, such as ``p99(active_delay) < 2s``.
        replications: Of every value; the same for all.
        seed, executor, progress: As in `sweep`.

    Raises:
        ScenarioError: Values or lines that the scenario cannot have.
        ExperimentError: Anything else that cannot be done as asked; nothing was played.
    """
    check_scenario(scenario)
    range_ = _range(key, values)
    lines = (meet,) if isinstance(meet, str) else tuple(meet)
    if not lines:
        raise ExperimentError("a search needs at least one line that is to be met")
    asked = scenario.with_(expect=list(lines))
    if any(line.condition is not None for line in asked.expect):
        raise ExperimentError("a line that is to be met cannot have a condition (... if KEY is VALUE)")
    for end in (0.0, 1.0):
        asked.with_(**{key: range_.at(end)})
    candidates = _candidates(range_)
    found: dict[int, Probe] = {}

    def play(places: Sequence[int]) -> None:
        new = [place for place in places if place not in found]
        if new:
            played = sweep(
                asked,
                {key: [candidates.at(place) for place in new]},
                replications=replications,
                seed=seed,
                executor=executor,
                progress=progress,
            )
            found.update(zip(new, _probes(played, asked.expect[0], replications), strict=True))

    last = candidates.count - 1
    play(list(dict.fromkeys(round(last * step / (_FIRST - 1)) for step in range(_FIRST))))
    while _is_monotone(found):
        passing = min((place for place, probe in found.items() if probe.passes), default=None)
        failing = max((place for place, probe in found.items() if not probe.passes), default=-1)
        if passing is None or passing - failing <= 1:
            break
        play([(passing + failing) // 2])
    return _told(key, lines, found)


@dataclass(frozen=True, slots=True)
class _Candidates:
    """The values among which the answer is, in rising order."""

    count: int
    at: Callable[[int], Any]


def _range(key: str, values: Range | str) -> Range:
    if isinstance(values, Range):
        range_ = values
    else:
        from simulator.experiment.values import parse_over

        read = parse_over(f"{key}={values}")[1]
        if not isinstance(read, Range):
            raise ExperimentError(f"{key}={values}: write both ends, LOW..HIGH, such as 1..32")
        range_ = read
    range_.check(key)
    return range_


def _candidates(range_: Range) -> _Candidates:
    low, high = range_.at(0.0), range_.at(1.0)
    if isinstance(low, int) and isinstance(high, int) and not range_.is_log:
        return _Candidates(high - low + 1, lambda place: low + place)
    # Rounding may make neighbours equal, and those of whole numbers on a scale of ratios often.
    steps = list(
        {value_text(value): value for value in (range_.at(n / _STEPS) for n in range(_STEPS + 1))}.values()
    )
    return _Candidates(len(steps), lambda place: steps[place])


def _probes(played: Sweep, line: Expectation, replications: int) -> list[Probe]:
    probes = []
    for cell in played.cells:
        runs = played.runs[played.runs["cell"] == cell.index]
        failed = int(runs["error"].notna().sum())
        met = int((runs["error"].isna() & (runs["unmet"] == "")).sum())
        (value,) = cell.varied.values()
        probes.append(Probe(value, met, replications, failed, _estimate(played, cell.index, line)))
    return probes


def _estimate(played: Sweep, cell: int, line: Expectation) -> Estimate | None:
    is_told = line.stat is not None and (line.stat in ("mean", "max") or line.stat.startswith("p"))
    if line.filters or not is_told or line.metric not in METRICS or line.metric not in played.metrics:
        return None
    assert line.stat is not None
    return played.estimate(cell, line.metric, line.stat)


def _is_monotone(found: dict[int, Probe]) -> bool:
    passes = [found[place].passes for place in sorted(found)]
    return passes == sorted(passes)


def _told(key: str, lines: tuple[str, ...], found: dict[int, Probe]) -> Search:
    places = sorted(found)
    probes = tuple(found[place] for place in places)
    if not _is_monotone(found):
        return Search(key, lines, None, None, probes, is_monotone=False)
    failing = [probe.value for probe in probes if not probe.passes]
    passing = [probe.value for probe in probes if probe.passes]
    return Search(
        key,
        lines,
        passing[0] if passing else None,
        failing[-1] if failing else None,
        probes,
        is_monotone=True,
    )
