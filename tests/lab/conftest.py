"""Everything here plays against real Envoys: marked `lab` and `slow`, and skipped where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.lab.requirements import LabUnavailable, check

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    try:
        check()
        missing = ""
    except LabUnavailable as unavailable:
        missing = str(unavailable)
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.lab)
            item.add_marker(pytest.mark.slow)
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"no real Envoy: {missing}"))
