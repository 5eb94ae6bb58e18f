"""Fixtures for every test: a clock, draws, and golden files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from simulator.engine.draws import Draws
from simulator.engine.events import Clock

GOLDEN = Path(__file__).parent / "golden"

# Tests are reproducible like runs: hypothesis derives its examples from the test, and a busy machine fails
# nobody.
settings.register_profile("reproducible", derandomize=True, deadline=None, print_blob=False)
settings.load_profile("reproducible")


@pytest.fixture
def clock() -> Clock:
    """A clock at 0 that refuses to run away."""
    return Clock(event_budget=1_000_000)


@pytest.fixture
def draws() -> Draws:
    return Draws(seed=20_240)


@pytest.fixture
def updates_golden() -> bool:
    """Whether expected texts are to be rewritten (UPDATE_GOLDEN=1) instead of compared."""
    return os.environ.get("UPDATE_GOLDEN") == "1"


@pytest.fixture
def golden(updates_golden: bool) -> Callable[[str, str], None]:
    """`golden(name, text)` compares with tests/golden/name, or rewrites that file under UPDATE_GOLDEN=1."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if updates_golden:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"tests/golden/{name} is missing: run UPDATE_GOLDEN=1 pytest, then read it"
        assert text == path.read_text(encoding="utf-8")

    return compare
