"""Reference numbers that others published or measured, beside what the scenarios that stand for them show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from simulator.experiment.errors import ExperimentError
from simulator.experiment.run import run
from simulator.scenario.loader import load_scenario
from simulator.scenario.problems import WrittenNumber
from simulator.scenario.yaml_text import parse_yaml

__all__ = ["KINDS", "Score", "Subject", "read_scorecard", "scores_of"]

KINDS: Final = ("input", "fitted", "predicted")
"""What a reference number is to the simulation: given to it, matched by choosing a cost, or neither."""

_OF_SUBJECT: Final = frozenset({"scenario", "source", "rows"})
_MAY_BE_OF_SUBJECT: Final = frozenset({"name", "set"})
_OF_ROW: Final = frozenset({"quantity", "published", "kind", "expect"})


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference number: what it is of, its value as published, its kind, and what is expected of the
    simulated one, all about one number; nothing for an input.
    """

    quantity: str
    published: str
    kind: str
    expect: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """A scenario, the keys of it that are set to stand for what others did, and their numbers.

    Attributes:
        scenario: Its file.
        source: Who published or measured the numbers.
        references: The numbers.
        settings: Key -> value, as `Scenario.with_` takes them.
        name: What it is called; empty = as the scenario.
    """

    scenario: Path
    source: str
    references: tuple[Reference, ...]
    settings: Mapping[str, Any]
    name: str


@dataclass(frozen=True, slots=True)
class Score:
    """A reference number beside the simulated one.

    Attributes:
        scenario: Name of the scenario.
        source: Who published it.
        quantity, published, kind: As in the scorecard.
        expected: What the simulated number had to satisfy; empty for an input.
        simulated: What it is; the published one for an input.
        met: The verdict; None for an input, which has none.
    """

    scenario: str
    source: str
    quantity: str
    published: str
    kind: str
    expected: str
    simulated: str
    met: bool | None


def read_scorecard(path: Path) -> list[Subject]:
    """Reads a file of reference numbers. Raises ExperimentError, with the file, for what is none."""
    try:
        tree, problems = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if problems or tree is None:
        raise ExperimentError(str(problems[0]) if problems else f"{path}: is empty")
    told = tree.plain()
    if not isinstance(told, list):
        raise ExperimentError(f"{path}: must be a list of scenarios with their reference numbers")
    return [_subject(path, number, each) for number, each in enumerate(told)]


def scores_of(subject: Subject, seed: int | None = None) -> list[Score]:
    """Plays the scenario once and holds every reference number against it.

    Raises:
        ScenarioError: The scenario cannot be read, or an expectation cannot.
    """
    lines = [line for reference in subject.references for line in reference.expect]
    scenario = load_scenario(subject.scenario).with_(**{**subject.settings, "expect": lines})
    if any(line.condition is not None for line in scenario.expect):
        raise ExperimentError(f"{subject.scenario}: a reference number cannot have a condition (... if ...)")
    outcomes = iter(run(scenario, seed=seed).expectations)
    scores = []
    for reference in subject.references:
        judged = [next(outcomes) for _ in reference.expect]
        scores.append(
            Score(
                subject.name or scenario.name,
                subject.source,
                reference.quantity,
                reference.published,
                reference.kind,
                "; ".join(outcome.text for outcome in judged),
                judged[0].actual if judged else reference.published,
                all(outcome.met for outcome in judged) if judged else None,
            )
        )
    return scores


def _subject(path: Path, number: int, told: Any) -> Subject:
    where = f"{path}: [{number}]"
    _check_keys(where, told, _OF_SUBJECT | _MAY_BE_OF_SUBJECT, _OF_SUBJECT)
    rows, settings = told["rows"], told.get("set", {})
    if not isinstance(settings, Mapping):
        raise ExperimentError(f"{where}.set: must be a mapping from keys of the scenario to values")
    if not isinstance(rows, list) or not rows:
        raise ExperimentError(f"{where}.rows: must be a list of reference numbers")
    references = tuple(_reference(f"{where}.rows[{place}]", row) for place, row in enumerate(rows))
    file = path.parent / str(told["scenario"])
    return Subject(file, str(told["source"]), references, dict(settings), str(told.get("name", "")))


def _reference(where: str, told: Any) -> Reference:
    _check_keys(where, told, _OF_ROW, _OF_ROW - {"expect"})
    kind, given = str(told["kind"]), told.get("expect", [])
    lines = tuple(str(line) for line in (given if isinstance(given, list) else [given]))
    if kind not in KINDS:
        raise ExperimentError(f"{where}.kind: {kind!r} is none of {', '.join(KINDS)}")
    if bool(lines) == (kind == "input"):
        raise ExperimentError(f"{where}: what is fitted or predicted needs an expect line, an input has none")
    return Reference(str(told["quantity"]), _text(told["published"]), kind, lines)


def _check_keys(where: str, told: Any, known: frozenset[str], needed: frozenset[str]) -> None:
    if not isinstance(told, Mapping):
        raise ExperimentError(f"{where}: must have the keys {', '.join(sorted(known))}")
    for wrong, said in ((sorted(set(told) - known), "unknown"), (sorted(needed - set(told)), "missing")):
        if wrong:
            raise ExperimentError(f"{where}: {said} key {wrong[0]!r}")


def _text(value: Any) -> str:
    """As written, also where it is a number."""
    return value.text if isinstance(value, WrittenNumber) else str(value)
