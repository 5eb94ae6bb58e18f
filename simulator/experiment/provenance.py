"""What a result must carry so that it can be made again: scenario, seed, versions, commit."""

from __future__ import annotations

import platform
import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from simulator.scenario.schema import Scenario

_PACKAGES = ("xdsim", "simpy", "numpy", "scipy", "pandas", "pyarrow", "pydantic")


def manifest(
    scenario: Scenario, seed: int, replication: int, engine: str = "events", reason: str = ""
) -> dict[str, Any]:
    """The part of a manifest that the tables do not tell: how the run came about, by which engine and why."""
    return {
        "name": scenario.name,
        "question": scenario.question,
        "seed": seed,
        "replication": replication,
        "engine": engine,
        "engine_reason": reason,
        "scenario": scenario.resolved(),
        "versions": dict(versions()),
        "git_commit": commit(),
    }


@lru_cache(maxsize=1)
def versions() -> tuple[tuple[str, str], ...]:
    """Python and the packages that results depend on, with their versions."""
    found = [("python", platform.python_version())]
    for package in _PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return tuple(found)


@lru_cache(maxsize=1)
def commit() -> str | None:
    """The commit of the checkout the package runs from; None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
