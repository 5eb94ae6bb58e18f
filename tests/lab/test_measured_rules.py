"""Every scenario by which a conformance test holds the simulator to a measured rule, played for real.

The cases of start-up and of a running Envoy, order, fetch timeouts, refusals, warming, reconnecting,
listeners, polls, files, hot restarts, and what random scripts once found: the tests say which rule is meant,
the laboratory says whether an Envoy does it. About six hundred scenarios, three at once: an hour.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import simulator as xs
from simulator.lab.fuzz import Fuzzer
from simulator.lab.inventions import Mapping
from simulator.lab.playable import reasons_against
from tests.lab.scripts import told

TESTS = [
    *("cases", "running_cases", "startup_order", "fetch_timeout", "health_checks_and_dns", "nack", "warming"),
    *("reconnect", "listener_updates", "polling", "files", "hot_restart", "found_on_a_real_envoy"),
]
LONGEST_NS = 20 * 10**9
"""Longer scenarios wait for the same things to go on not happening."""


@pytest.fixture(scope="module")
def overheard(tmp_path_factory: pytest.TempPathFactory) -> list[Mapping]:
    """The scenarios those tests simulate, shortest first so that those played together end together."""
    path = tmp_path_factory.mktemp("overheard") / "scenarios.json"
    root = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.lab.overhearing", "-m", "not benchmark"]
        + [f"tests/conformance/test_{name}.py" for name in TESTS],
        cwd=root,
        env={**os.environ, "XDSIM_OVERHEARD": str(path)},
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=900,
    )
    mappings: list[Mapping] = json.loads(path.read_text())
    found = [(xs.Scenario(**mapping).duration, mapping) for mapping in mappings]
    playable = [
        (duration_ns, mapping)
        for duration_ns, mapping in found
        if duration_ns <= LONGEST_NS and not reasons_against(xs.Scenario(**mapping))
    ]
    return [mapping for _, mapping in sorted(playable, key=lambda one: one[0])]


def test_real_envoys_do_what_the_measured_rules_say(overheard: list[Mapping]) -> None:
    assert len(overheard) > 500
    differing, unjudged = [], []
    for trial in Fuzzer().trials(overheard):
        verdict = trial.verdict()
        if verdict is None:
            differing.append(f"{trial.mapping['name']}: could not be played: {trial.failures[-1]}")
        elif not verdict.is_judged:
            unjudged.append(trial.mapping["name"])
        elif not verdict.agrees:
            differing.append(f"{trial.mapping['name']}:\n{told(verdict)}")
    print(f"{len(overheard)} scenarios, {len(differing)} differ, not judged: {unjudged}")
    assert not differing, "\n\n".join(differing)
    assert len(unjudged) < len(overheard) / 20, "the machine was too busy to tell"
