"""Everything here plays against real Envoys: marked `lab` and `slow`, and skipped where there are none. What
takes minutes, or needs the machine for itself, is marked `long` besides and is no part of `.ci/run`."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.lab.requirements import LabUnavailable, check

HERE = Path(__file__).parent
LONG = ("test_calibrate.py", "test_distributions.py", "test_measured_rules.py")


def missing() -> str:
    """Why nothing can be played here; empty if it can."""
    try:
        check()
    except LabUnavailable as unavailable:
        return str(unavailable)
    return ""


MISSING = missing()

# These import the protocol of a real Envoy; test_ended.py stays and says why it skips.
collect_ignore = (
    [
        "test_calibrate.py",
        "test_distributions.py",
        "test_flags.py",
        "test_live.py",
        "test_measured_rules.py",
        "test_shrinking.py",
        "test_wrong_models.py",
    ]
    if MISSING
    else []
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.lab)
            item.add_marker(pytest.mark.slow)
            if item.path.name in LONG:
                item.add_marker(pytest.mark.long)
            if MISSING:
                item.add_marker(pytest.mark.skip(reason=f"no real Envoy: {MISSING}"))
