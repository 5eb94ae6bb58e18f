"""Published measurements, played as scenarios: what others saw is what the model says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import simulator as xs
from simulator.engine.clock import MS, S

CASES = Path(__file__).parents[2] / "scenarios" / "published"
SLOW = ("v2-idle-band", "v3-registry-queue")
NAMES = sorted(path.stem for path in CASES.glob("*.yaml"))


def case(name: str) -> xs.Scenario:
    return xs.load_scenario(CASES / f"{name}.yaml")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in NAMES]
)
def test_a_published_case_comes_out_as_it_was_seen(name: str) -> None:
    scenario = case(name)
    assert scenario.name == name
    assert scenario.question.endswith("?")
    assert len(scenario.expect) >= 2
    unmet = [f"{o.text}: {o.actual}" for o in xs.run(scenario).expectations if not o.met]
    assert unmet == []


@pytest.mark.parametrize("name", NAMES)
def test_a_published_case_says_where_it_is_from_and_what_each_number_is(name: str) -> None:
    text = (CASES / f"{name}.yaml").read_text()
    if "\nextends:" in text:
        text += (CASES / re.findall(r"^extends: (.*)$", text, re.MULTILINE)[0]).read_text()
    assert re.search(r"# Published:.*https://github\.com/", text)
    assert re.search(r"^# +published +simulated +kind$", text, re.MULTILINE)
    assert re.search(r"\bpredicted\b", text)
    assert re.search(r"\binput\b", text)


def test_a_change_by_itself_is_pushed_100_ms_after_it_exactly() -> None:
    result = xs.run(case("v1-debounce"))
    pushes = result.pushes
    alone = pushes[pushes["t_first_event_ns"] == S]
    assert list(alone["t_started_ns"]) == [S + 100 * MS]


def test_a_stream_without_a_pause_is_pushed_every_10_s_while_its_last_change_is_young() -> None:
    result = xs.run(case("v1-debounce"))
    pushes = result.pushes
    forced_out = pushes[pushes["events_merged"] > 100]
    waited = forced_out["t_started_ns"] - forced_out["t_first_event_ns"]
    assert list(waited) == [107 * 92_850_000 + 100 * MS] * 3
    changed = result.changes["t_changed_ns"]
    for t_ns in forced_out["t_started_ns"]:
        assert t_ns - changed[changed <= t_ns].max() < 92_850_000


def test_requests_fail_with_uh_15_s_after_a_cds_change_without_eds() -> None:
    scenario = case("v5-cds-without-eds")
    result = xs.run(scenario)
    traffic, changes = result.traffic, result.changes
    unhealthy = traffic[traffic["outcome"] == "UH"]
    (changed_ns,) = changes[changes["kind"] == "cds"]["t_changed_ns"]
    since_ns = unhealthy["t_start_ns"].min() - changed_ns
    assert 15 * S <= since_ns < 15 * S + 100 * MS
    assert unhealthy["t_end_ns"].max() == scenario.duration


def test_with_the_cache_of_endpoints_the_same_case_has_no_uh() -> None:
    traffic = xs.run(case("v5-with-eds-cache")).traffic
    assert "UH" not in set(traffic["outcome"])
