"""A machine's calibration file: measured costs, their fits, and where and when they were measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from simulator.calibration.costs import SHIPPED, shipped_data
from simulator.engine.clock import format_duration, parse_duration
from simulator.lab.cost_solution import Solution

_DIGITS: Final = 3
_AS_A_SMALL_ROUTE: Final = ("sds", "ecds", "srds")

_HEAD: Final = """\
# Costs of a real Envoy, measured by `xdsim lab calibrate`. A scenario beside this file uses it with
#   envoy: {calibration: %s}
# What could not be measured here is taken from %s, and says so. A busy machine measures that as well.
"""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What calibrating a machine gave.

    Attributes:
        solution: Costs and fits.
        rounds: How often everything was measured.
        n: Measured times.
        seconds: How long it took.
    """

    solution: Solution
    rounds: int
    n: int
    seconds: float


def host() -> str:
    """This machine, in one line."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cpu = model or platform.processor() or platform.machine()
    return f"{platform.system()} {platform.release()}, {cores} cores, {cpu}, loopback only, --concurrency 1"


def written(calibrated: Calibrated, file_name: str) -> str:
    """The text of the calibration file."""
    shipped, solution = shipped_data(), calibrated.solution
    rounds = "one round" if calibrated.rounds == 1 else f"{calibrated.rounds} rounds"
    data: dict[str, Any] = {
        "envoy": shipped["envoy"],
        "host": host(),
        "date": datetime.now(UTC).date(),
        "n": f"{calibrated.n} times in {rounds}",
        "network": {
            "loopback": _law(solution.loopback_us, "a small RDS push less one within a burst, halved")
        },
        "control_plane": {"answer": _law(solution.answer_us, _told(solution, ("server.answer",)))},
        "costs": {key: _cost(key, given, calibrated.solution) for key, given in shipped["costs"].items()},
        "sizes_bytes": {**shipped["sizes_bytes"], "source": f"those of {SHIPPED}"},
        "fits": {
            "unit": "microseconds from response to ACK, loopback included",
            **{row: line.text for row, line in sorted(solution.fits.items())},
        },
    }
    body = yaml.safe_dump(data, sort_keys=False, width=110, allow_unicode=True)
    return _HEAD % (file_name, SHIPPED) + body


def _cost(key: str, given: Mapping[str, Any], solution: Solution) -> dict[str, Any]:
    if key in solution.costs:
        solved = solution.costs[key]
        return _law(solved.law, _told(solution, solved.rows))
    if key in _AS_A_SMALL_ROUTE:
        rds = solution.costs["rds"].law
        assert isinstance(rds, Mapping)
        return _law(rds["fixed"], "assumption, as a small RDS push")
    why = given.get("source") or f"assumption: {given.get('assumption')}"
    return {**given, "source": f"not measured here; {SHIPPED}: {why}"}


def _told(solution: Solution, rows: tuple[str, ...]) -> str:
    return "; ".join(f"{row}: {solution.fits[row].text}" for row in rows)


def _law(law: Any, source: str) -> dict[str, Any]:
    if isinstance(law, Mapping):
        return {**{name: _duration(us) for name, us in law.items()}, "source": source}
    if isinstance(law, tuple):
        return {"value": {"uniform": [_duration(us) for us in law]}, "source": source}
    return {"value": _duration(law), "source": source}


def _duration(us: float) -> str:
    """Three digits are more than any of this is good for."""
    ns = round(us * 1e3)
    return format_duration(round(ns, _DIGITS - len(str(ns))))


def compared(solution: Solution) -> list[tuple[str, str, str, float | None]]:
    """Every measured value beside the shipped one: name, here, shipped, and how many times that it is."""
    shipped = shipped_data()
    here: dict[str, Any] = {key: _law(solved.law, "") for key, solved in solution.costs.items()}
    found = [
        _beside("network.loopback", _duration(solution.loopback_us), shipped["network"]["loopback"]["value"])
    ]
    for key, given in shipped["costs"].items():
        for name, value in given.items():
            if key in here and name not in ("source", "assumption"):
                label = key if name == "value" else f"{key}.{name}"
                found.append(_beside(label, here[key][name], value))
    return found


def _beside(name: str, here: Any, shipped: Any) -> tuple[str, str, str, float | None]:
    ours, theirs = _middle_ns(here), _middle_ns(shipped)
    return name, _text(here), _text(shipped), ours / theirs if theirs else None


def _text(value: Any) -> str:
    return " to ".join(value["uniform"]) if isinstance(value, dict) else str(value)


def _middle_ns(value: Any) -> float:
    ends = value["uniform"] if isinstance(value, dict) else [value]
    return sum(parse_duration(end) for end in ends) / len(ends)
