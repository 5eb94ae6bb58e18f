"""``xdsim status``: the table of ``istioctl proxy-status`` as of a simulated instant, with ages."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.cli.nearest import did_you_mean
from simulator.cli.refusal import BadInput

if TYPE_CHECKING:
    from simulator.results.result import Result
    from simulator.results.status import ProxyStatus, TypeStatus

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "execute"]

HELP = "show istioctl's proxy-status as of a simulated instant"
DESCRIPTION = (
    "Reads a results directory and prints, for an instant of the run, the table of istioctl proxy-status: "
    "per type ERROR (the last answer was a NACK), STALE (a response is not answered yet), SYNCED or NOT "
    "SENT, with the time since. OUTSTANDING counts the changes that had happened by then and did not decide "
    "the traffic of the proxy yet, which no tool of Istio tells: one in debounce or in the push queue shows "
    "SYNCED."
)

_GAP = "   "


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare whose status, and when."""
    parser.add_argument("directory", metavar="DIR", type=Path, help="results directory of a run")
    parser.add_argument(
        "--at", metavar="TIME", help="simulated instant, e.g. 12.5s (default: the end of the run)"
    )
    parser.add_argument("--proxy", metavar="NAME", help="only this proxy, e.g. p0")


def execute(options: argparse.Namespace) -> int:
    """Print the table; 0."""
    from simulator.results.status import UnknownStatus, proxy_statuses, types_shown

    result = _read(options.directory)
    at_ns = _instant(options.at, result)
    try:
        statuses = proxy_statuses(result, at_ns)
    except UnknownStatus as error:
        raise BadInput(f"{options.directory}: {error}") from error
    if options.proxy is not None:
        known = [status.proxy for status in statuses]
        if options.proxy not in known:
            raise BadInput(
                f"--proxy {options.proxy}: no such proxy then; {did_you_mean(options.proxy, known)}"
            )
        statuses = [status for status in statuses if status.proxy == options.proxy]
    types = types_shown(statuses)
    sys.stdout.writelines(f"{line}\n" for line in _lines(statuses, types))
    if any(status.outstanding is None for status in statuses):
        print("xdsim: this run did not keep its deliveries: OUTSTANDING is unknown", file=sys.stderr)
    return 0


def _read(directory: Path) -> Result:
    from simulator.results.result import Result, ResultsError

    try:
        return Result.load(directory)
    except ResultsError as error:
        raise BadInput(str(error)) from error


def _instant(text: str | None, result: Result) -> int:
    """The instant asked for, in nanoseconds; it must lie within the run."""
    from simulator.engine.clock import DurationError, format_duration, parse_duration
    from simulator.report.watched import watched_ns

    end_ns = watched_ns(result)
    if text is None:
        return end_ns
    try:
        at_ns = parse_duration(text)
    except DurationError as error:
        raise BadInput(f"--at {text}: {error}") from error
    if not 0 <= at_ns <= end_ns:
        raise BadInput(f"--at {text}: the run goes from 0s to {format_duration(end_ns)}")
    return at_ns


def _lines(statuses: Sequence[ProxyStatus], types: Sequence[str]) -> Iterator[str]:
    """The table in columns as wide as they must be."""
    rows = [["NAME", *(kind.upper() for kind in types), "ISTIOD", "OUTSTANDING"]]
    rows += [_row(status, types) for status in statuses]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield _GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _row(status: ProxyStatus, types: Sequence[str]) -> list[str]:
    if not status.is_connected:
        return [status.proxy, *("-" for _ in types), "disconnected", _outstanding(status)]
    replica = "-" if status.replica is None else f"istiod-{status.replica}"
    cells = [_cell(status.types[kind]) if kind in status.types else "-" for kind in types]
    return [status.proxy, *cells, replica, _outstanding(status)]


def _cell(status: TypeStatus) -> str:
    from simulator.report.wording import seconds_text

    if status.age_ns is None:
        return status.sync.value
    return f"{status.sync.value} ({seconds_text(status.age_ns)})"


def _outstanding(status: ProxyStatus) -> str:
    from simulator.report.wording import seconds_text

    if status.outstanding is None:
        return "?"
    if not status.outstanding or status.oldest_ns is None:
        return "0"
    oldest = "" if status.outstanding == 1 else "oldest "
    return f"{status.outstanding:,} ({oldest}{seconds_text(status.oldest_ns)})"
