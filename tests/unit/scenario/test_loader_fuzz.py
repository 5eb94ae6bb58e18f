"""Whatever a scenario file holds, it loads or is refused with problems: never anything else."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.scenario.json_schema import settings_classes
from simulator.scenario.loader import load_scenario
from simulator.scenario.problems import Problem, ScenarioError
from simulator.scenario.schema import Scenario
from tests.unit.scenario.scenario_files import CONFORMANCE, MESH
from tests.unit.scenario.test_schema import EVERYTHING

TEXTS = (CONFORMANCE, EVERYTHING, MESH)
KEYS = sorted({field.alias or name for one in settings_classes() for name, field in one.model_fields.items()})
VALUES = (
    "0", "-1", "5", "1.40", "1e400", ".nan", ".inf", "-.inf", "99999999999999999999999", "0o17",
    "0xff", "true", "null", "~", "", "none", "never", "all", "[]", "{}", "[[]]", "{a: b}",
    "[a, [b]]", "'5s'", "5s", "-5s", "1h1h", "5 s", "10/s", "-1/s", "0/s", "1e9/s", "&x [*x]",
    "*nowhere", "!!python/name:os.system x", "!t {}", "? x", "<<", "c0", "[c0, c0]",
    "{exponential: 5}", "{uniform: [1s]}", "{gamma: {mean: 1s, cv: .nan}}",
    "{empirical: /dev/null}", "{empirical: []}", "{after: {after: 1s}}", "{kind: x}",
    "10%", "-1%", "1e3%", "500m", "1Gi", "auto", "any", "ns0/s0", "{services: 3}", "istiod", "'1.10'",
    "{size: 2, every: 1s}", "[{t: 1s}]", "{pods: 1}", "{proxies: [p0]}",
    "{kind: never, after: 1s}", "{refuse_until: x}", "p99(x) < 1", "\\0", '"\\0"', '"\\ud800"',
    "\u2028", "🙂", "2024-01-01", "1:30", "x" * 300,
)  # fmt: skip


def mutated(text: str, choices: random.Random) -> bytes:
    """The text after some accidents."""
    lines = text.splitlines()
    for _ in range(choices.randint(1, 4)):
        position = choices.randrange(len(lines))
        line = lines[position]
        match choices.randrange(8):
            case 0:
                del lines[position]
            case 1:
                lines.insert(position, choices.choice(lines))
            case 2:
                lines[position] = " " * choices.randrange(8) + line.lstrip()
            case 3 if ":" in line:
                lines[position] = f"{line.rpartition(':')[0]}: {choices.choice(VALUES)}"
            case 4 if ":" in line:
                lines[position] = f"{line.partition(':')[0]}: {choices.choice(VALUES)}"
            case 5:
                lines.insert(
                    position, f"{' ' * choices.randrange(6)}{choices.choice(KEYS)}: {choices.choice(VALUES)}"
                )
            case 6:
                words = line.split(" ")
                words[choices.randrange(len(words))] = choices.choice(VALUES)
                lines[position] = " ".join(words)
            case _:
                end = choices.randrange(len(line) + 1)
                lines[position] = line[:end] + choices.choice("{}[],:-#'\"&*!|>%@`\t \x00") + line[end:]
        lines = lines or [""]
    content = bytearray("\n".join(lines).encode("utf-8", "surrogatepass"))
    for _ in range(choices.choice((0, 0, 0, 1, 2))):
        if content:
            content[choices.randrange(len(content))] = choices.randrange(256)
    return bytes(content)


def loads_or_is_refused(content: bytes, path: Path, overrides: dict[str, str]) -> None:
    path.write_bytes(content)
    problems: list[Problem] = []
    try:
        assert isinstance(load_scenario(path, overrides), Scenario)
    except ScenarioError as error:
        problems = error.problems
    for problem in problems:
        assert problem.message, content
        assert problem.file is not None or problem.key.startswith("--set"), content
        assert "\n" not in str(problem), content
        assert len(str(problem)) < 2000, content
        assert "Input should" not in problem.message, content


@pytest.mark.parametrize("seed", range(60))
def test_mutated_scenarios_load_or_are_refused(seed: int, tmp_path: Path) -> None:
    choices = random.Random(seed)
    for _ in range(8):
        loads_or_is_refused(mutated(choices.choice(TEXTS), choices), tmp_path / "s.yaml", {})


@pytest.mark.slow
@settings(max_examples=3000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choices=st.randoms(use_true_random=False), text=st.sampled_from(TEXTS))
def test_many_mutated_scenarios_load_or_are_refused(
    choices: random.Random, text: str, tmp_path: Path
) -> None:
    loads_or_is_refused(mutated(text, choices), tmp_path / "s.yaml", {})


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode("utf-8")))
)
def test_arbitrary_bytes_load_or_are_refused(content: bytes, tmp_path: Path) -> None:
    loads_or_is_refused(content, tmp_path / "s.yaml", {})


PATHS = st.lists(st.sampled_from([*KEYS, "0", "1", "[0]", "", "x.y", "."]), min_size=1, max_size=4).map(
    ".".join
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(overrides=st.dictionaries(PATHS, st.sampled_from(VALUES), max_size=3), text=st.sampled_from(TEXTS))
def test_arbitrary_overrides_load_or_are_refused(
    overrides: dict[str, str], text: str, tmp_path: Path
) -> None:
    loads_or_is_refused(text.encode(), tmp_path / "s.yaml", overrides)
