"""A pytest plugin: writes down every scripted scenario that tests simulate, with the test that does.

XDSIM_OVERHEARD=scenarios.json python -m pytest -p tests.lab.overhearing tests/conformance
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

import simulator as xs

_simulate = xs.run
_test = ""
_heard: dict[str, str] = {}


def _run(scenario: xs.Scenario, *positional: Any, **named: Any) -> Any:
    if scenario.control_plane.kind in ("scripted", "none"):
        _heard.setdefault(json.dumps({**scenario.resolved(), "name": "case"}, sort_keys=True), _test)
    return _simulate(scenario, *positional, **named)


def pytest_configure() -> None:
    xs.run = _run


def pytest_runtest_setup(item: pytest.Item) -> None:
    global _test
    _test = item.nodeid


def name_of(test: str) -> str:
    """Its id, as a scenario may be called."""
    return re.sub("[^A-Za-z0-9._-]+", "-", Path(test).name)[-100:].strip("-._")


def pytest_sessionfinish() -> None:
    told = [{**json.loads(scenario), "name": name_of(test)} for scenario, test in _heard.items()]
    Path(os.environ["XDSIM_OVERHEARD"]).write_text(json.dumps(told))
