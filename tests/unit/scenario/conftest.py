from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.scenario.scenario_files import Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A directory for scenario files."""
    return Files(tmp_path)
