"""Two conversations side by side, from a little before the first event in which they differ."""

from __future__ import annotations

from typing import Final

from simulator.lab.conversation import Reading, Said

BEFORE: Final = 4
AFTER: Final = 10
_WIDTH: Final = 46


def side_by_side(simulated: Reading, measured: Reading) -> str:
    """Both traces around the first difference, times in ms after the origin."""
    ours, theirs = _lines(simulated), _lines(measured)
    first = next(
        (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a[1] != b[1]),
        min(len(ours), len(theirs)),
    )
    begin = max(0, first - BEFORE)
    told = [f"   {'simulated (ms after the origin)':<{_WIDTH}}   measured"]
    if begin:
        told.append(f"   ... {begin} messages alike ...")
    for position in range(begin, min(max(len(ours), len(theirs)), first + AFTER)):
        mark = ">" if position == first else " "
        told.append(f" {mark} {_cell(ours, position):<{_WIDTH}}   {_cell(theirs, position)}".rstrip())
    return "\n".join(told)


def _lines(reading: Reading) -> list[tuple[float, str]]:
    lines = [(said.at_s, _told(said)) for said in reading.said]
    workers = reading.at("t_workers_started_ns")
    if workers is not None:
        lines.append((workers, "workers started"))
    return sorted(lines, key=lambda line: line[0])


def _told(said: Said) -> str:
    text = str(said)
    return text if len(text) <= _WIDTH - 10 else f"{text[: _WIDTH - 13]}..."


def _cell(lines: list[tuple[float, str]], position: int) -> str:
    if position >= len(lines):
        return ""
    at_s, text = lines[position]
    return f"{at_s * 1e3:9.1f} {text}"
