"""Invents scripted scenarios, plays them in both worlds, keeps and shrinks those that disagree.

A few are played at once. Simulating happens between plays, so that it takes no core away from them.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from simulator.experiment.run import run
from simulator.lab.inventions import Mapping, invented
from simulator.lab.play import PlayFailed, Stage, performed, undisturbed
from simulator.lab.shrink import shrunk
from simulator.lab.verify import DEFAULT_RUNS, Simulate, Trial, Verdict, watched
from simulator.scenario.schema import Scenario

DEFAULT_WIDTH: Final = 3
"""Plays at once; more of them on two cores disturb one another."""

APART_S: Final = 0.4
"""Between the starts of plays that go on at once: constructing an Envoy takes a core, for up to that long."""

MOST_SHRINKING: Final = 40
"""Simpler scenarios that are tried for each disagreement."""


@dataclass(slots=True, eq=False)
class Case:
    """One scenario and what came of it.

    Attributes:
        number: Which of the seed's scenarios.
        mapping: The scenario as it is written.
        verdict: What playing it showed; None if it could not be played.
        failure: Why it could not be played.
        small: A smaller scenario that disagrees as well.
        files: Where the scenarios were saved.
    """

    number: int
    mapping: Mapping
    verdict: Verdict | None = None
    failure: str = ""
    small: Mapping | None = None
    files: list[Path] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether both worlds did the same."""
        return self.verdict is not None and self.verdict.agrees

    @property
    def differs(self) -> bool:
        """Whether they did not, on a machine that was free enough to tell."""
        return self.verdict is not None and self.verdict.is_judged and not self.verdict.agrees


@dataclass(slots=True)
class Fuzzed:
    """What a round of fuzzing showed.

    Attributes:
        seed: Of the scenarios.
        asked: Cases asked for.
        cases: Those that were played, by number.
        seconds: How long it took.
    """

    seed: int
    asked: int
    cases: list[Case]
    seconds: float

    @property
    def disagreeing(self) -> list[Case]:
        """Those in which the worlds differ."""
        return [case for case in self.cases if case.differs]

    @property
    def unjudged(self) -> list[Case]:
        """Those that the machine was too busy for."""
        return [case for case in self.cases if case.verdict is not None and not case.verdict.is_judged]

    @property
    def failed(self) -> list[Case]:
        """Those that could not be played."""
        return [case for case in self.cases if case.verdict is None]

    @property
    def replayed(self) -> int:
        """Cases that agreed only when played again."""
        return sum(
            case.agrees
            and case.verdict is not None
            and len(case.verdict.measured) + case.verdict.disturbed > 1
            for case in self.cases
        )


class _Played:
    """A scenario under way: played until it agrees, at most so many times."""

    def __init__(self, mapping: Mapping, simulate: Simulate, runs: int) -> None:
        self.mapping = mapping
        scenario = watched(Scenario(**mapping))
        self.trial = Trial(
            scenario, simulate(scenario, None), runs, again=lambda ordered: simulate(ordered, None)
        )
        self.performed: list[Stage] = []
        self.failures: list[str] = []
        self.has_played = False
        self._runs = runs

    @property
    def is_settled(self) -> bool:
        """Whether nothing more need be played."""
        return self.trial.is_settled or len(self.failures) >= self._runs

    async def play(self, delay_s: float) -> None:
        """Once more, after so long."""
        await asyncio.sleep(delay_s)
        try:
            self.performed.append(await performed(self.trial.scenario))
        except PlayFailed as failure:
            self.failures.append(str(failure))

    def judge(self) -> None:
        """Compare what is new."""
        for stage in self.performed:
            self.trial.take(stage.result())
        self.has_played |= bool(self.performed)
        self.performed.clear()

    @property
    def is_judged(self) -> bool:
        """Whether its plays, if there were any, tell something."""
        return not self.has_played or self.trial.verdict().is_judged

    def begin_again(self) -> None:
        """Runs that do not count are forgotten; those that do stay."""
        self.trial.forgive()

    def verdict(self) -> Verdict | None:
        """What it showed; None if it could not be played."""
        return self.trial.verdict() if self.has_played else None


class Fuzzer:
    """Plays many scenarios, a few at a time.

    Args:
        runs: How often a scenario that seems to disagree is played.
        width: Plays at once.
        simulate: How a scenario is simulated.
    """

    def __init__(
        self, runs: int = DEFAULT_RUNS, width: int = DEFAULT_WIDTH, simulate: Simulate = run
    ) -> None:
        self._runs = runs
        self._width = width
        self._simulate = simulate

    def trials(self, mappings: Iterable[Mapping]) -> Iterable[_Played]:
        """Each as soon as it is settled; those that could not be judged a second time, alone, at the end."""
        made = (_Played(mapping, self._simulate, self._runs) for mapping in mappings)
        left: list[_Played] = []
        for trial in self._settled(made, self._width):
            if trial.is_judged or self._width == 1:
                yield trial
            else:
                left.append(trial)
        # What was disturbed among others may be told alone.
        for trial in left:
            trial.begin_again()
        yield from self._settled(iter(left), 1)

    def _settled(self, waiting: Iterator[_Played], width: int) -> Iterator[_Played]:
        again: list[_Played] = []
        while True:
            batch, again = again[:width], again[width:]
            batch += itertools.islice(waiting, width - len(batch))
            if not batch:
                return
            with undisturbed():
                asyncio.run(_play_all(batch))
            for trial in batch:
                trial.judge()
                if trial.is_settled:
                    yield trial
                else:
                    again.append(trial)

    def differing(self, mappings: Sequence[Mapping]) -> list[list[str] | None]:
        """For each scenario the rules it does not meet; None where no play could be judged."""
        found: dict[int, list[str] | None] = {}
        places = {id(mapping): position for position, mapping in enumerate(mappings)}
        for trial in self.trials(mappings):
            verdict = trial.verdict()
            is_judged = verdict is not None and verdict.is_judged
            rules = [row.rule for row in verdict.differing] if verdict is not None and is_judged else None
            found[places[id(trial.mapping)]] = rules
        return [found[position] for position in range(len(mappings))]


async def _play_all(trials: Sequence[_Played]) -> None:
    await asyncio.gather(*(trial.play(APART_S * position) for position, trial in enumerate(trials)))


def fuzz(
    cases: int,
    seed: int,
    *,
    first: int = 0,
    budget_s: float | None = None,
    directory: Path | None = None,
    fuzzer: Fuzzer | None = None,
    is_shrinking: bool = True,
    on_case: Callable[[Case], None] | None = None,
    invent: Callable[[int, int], Mapping] = invented,
) -> Fuzzed:
    """Plays `cases` scenarios of a seed.

    Args:
        cases: How many.
        seed: Which; the same seed and number give the same scenario.
        first: Number of the first.
        budget_s: No case is begun, and nothing is shrunk, after that many seconds.
        directory: Where scenarios that disagree are saved; nowhere if not given.
        fuzzer: How they are played.
        is_shrinking: Whether those that disagree are made small.
        on_case: Told of every case when it is settled, and again after shrinking.
        invent: Gives the scenario of a seed and number.

    Raises:
        LabUnavailable: Envoy or a library is missing.
    """
    fuzzer = fuzzer or Fuzzer()
    began_s = time.monotonic()

    def is_over() -> bool:
        return budget_s is not None and time.monotonic() - began_s >= budget_s

    numbers: dict[int, int] = {}

    def mappings() -> Iterable[Mapping]:
        for number in range(first, first + cases):
            if is_over():
                return
            mapping = invent(seed, number)
            numbers[id(mapping)] = number
            yield mapping

    settled: list[Case] = []
    for trial in fuzzer.trials(mappings()):
        failure = "" if trial.has_played else trial.failures[-1]
        case = Case(numbers[id(trial.mapping)], trial.mapping, trial.verdict(), failure)
        settled.append(case)
        if case.verdict is None or case.differs:
            _save(case, case.mapping, "", directory)
        if on_case is not None:
            on_case(case)
    settled.sort(key=lambda case: case.number)
    fuzzed = Fuzzed(seed, cases, settled, 0.0)
    for case in fuzzed.disagreeing if is_shrinking else []:
        if is_over():
            break
        assert case.verdict is not None
        rules = [row.rule for row in case.verdict.differing]
        case.small = shrunk(
            case.mapping, rules, fuzzer.differing, most=MOST_SHRINKING, at_once=DEFAULT_WIDTH, is_over=is_over
        )
        _save(case, case.small, "-small", directory)
        if on_case is not None:
            on_case(case)
    fuzzed.seconds = time.monotonic() - began_s
    return fuzzed


def written(mapping: Mapping, question: str = "") -> str:
    """A scenario as the text of a file."""
    head: dict[str, Any] = {"name": mapping["name"]}
    if question:
        head["question"] = question
    return yaml.safe_dump({**head, **mapping}, sort_keys=False, width=110, default_flow_style=None)


def _save(case: Case, mapping: Mapping, suffix: str, directory: Path | None) -> None:
    if directory is None:
        return
    directory.mkdir(parents=True, exist_ok=True)
    rules = "" if case.verdict is None else ", ".join(row.rule for row in case.verdict.differing)
    why = f"Simulator and Envoy disagreed in: {rules}" if rules else f"Could not be played: {case.failure}"
    path = directory / f"{mapping['name']}{suffix}.yaml"
    path.write_text(written(mapping, why), encoding="utf-8")
    case.files.append(path)
