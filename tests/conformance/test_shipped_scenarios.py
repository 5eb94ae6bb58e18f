"""Every scenario that ships, and the one the README shows, asks a question and meets what it expects; those
of meshes are drawn, too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import simulator as xs
from simulator.report.figures import write_figures

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "scenarios").glob("*.yaml"))
MESHES = [
    path
    for path in SHIPPED
    if any(f"kind: {kind}" in path.read_text() for kind in ("istiod", "components", "rest-v1"))
    or "extends: consolidation" in path.read_text()
]
"""These take seconds; of what they show, other tests hold each part to its numbers."""


def unmet(result: xs.Result) -> list[str]:
    return [f"{o.text}: {o.actual}" for o in result.expectations if not o.met]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_scenario_asks_a_question_and_expects_an_answer(path: Path) -> None:
    scenario = xs.load_scenario(path)
    assert scenario.name == path.stem
    assert scenario.question.endswith("?")
    assert len(scenario.expect) >= 2


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=pytest.mark.slow if p in MESHES else ()) for p in SHIPPED],
    ids=lambda path: path.stem,
)
def test_a_shipped_scenario_is_met(path: Path, tmp_path: Path) -> None:
    result = xs.run(xs.load_scenario(path))
    assert unmet(result) == []
    if path in MESHES:  # figures take longer than the runs of the others
        assert write_figures(result, tmp_path)


def test_the_scenarios_of_the_readme_exist() -> None:
    table = re.findall(r"^\| `([a-z0-9-]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(table) == sorted(path.stem for path in SHIPPED)


def test_the_scenario_written_in_the_readme_is_met(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    path = tmp_path / "shown.yaml"
    path.write_text(text)
    scenario = xs.load_scenario(path)
    assert len(scenario.expect) == 3
    assert unmet(xs.run(scenario)) == []
