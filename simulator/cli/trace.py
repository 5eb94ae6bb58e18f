"""``xdsim trace``: what happened, one line per event, or as a trace for Chrome and Perfetto."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.cli.nearest import did_you_mean
from simulator.cli.refusal import BadInput
from simulator.cli.scenario_arguments import add_scenario_arguments, has_scenario_arguments, load
from simulator.cli.writable import check_file

if TYPE_CHECKING:
    from simulator.results.result import Result

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "execute"]

HELP = "show a run as a readable trace"
DESCRIPTION = (
    "Plays a scenario, or reads a results directory, and prints one line per event: phases of start-up, "
    "states of clusters and listeners, xDS messages. With --format perfetto it writes JSON for "
    "ui.perfetto.dev and chrome://tracing."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what to trace and how to show it."""
    parser.add_argument("source", metavar="SCENARIO|DIR", help="scenario file, or results directory of a run")
    parser.add_argument("--format", choices=("text", "perfetto"), default="text", help="default: text")
    parser.add_argument("--proxy", metavar="NAME", help="only this proxy, e.g. p0")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write to a file (default: standard output)")
    add_scenario_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    """Write the trace; 0."""
    source = Path(options.source)
    if options.out is not None:
        check_file(options.out)
    result = _read(source, options) if source.is_dir() else _played(options)
    _check_proxy(result, options.proxy)
    lines = _perfetto(result, options.proxy) if options.format == "perfetto" else _text(result, options.proxy)
    if options.out is None:
        sys.stdout.writelines(lines)
    else:
        from simulator.results.storage import write_bytes

        write_bytes(options.out, "".join(lines).encode())
    return 0


def _played(options: argparse.Namespace) -> Result:
    """The scenario played now, with everything recorded that a trace shows."""
    import simulator as xs

    scenario = load(options.source, options.overrides)
    recording = {"recording.messages": True, "recording.states": True}
    result: Result = xs.run(scenario.with_(**recording), seed=options.seed)
    return result


def _read(directory: Path, options: argparse.Namespace) -> Result:
    from simulator.results.result import Result, ResultsError

    if has_scenario_arguments(options):
        raise BadInput("--seed and --set belong to a scenario file; a results directory is already played")
    try:
        result = Result.load(directory)
    except ResultsError as error:
        raise BadInput(str(error)) from error
    kept = result.manifest.get("tables", {})
    missing = [table for table in ("messages", "states") if table not in kept]
    if missing:
        print(f"xdsim: this run did not record its {' and '.join(missing)}", file=sys.stderr)
    return result


def _check_proxy(result: Result, proxy: str | None) -> None:
    if proxy is None:
        return
    tables = (result.startups, result.messages, result.states)
    known = list(dict.fromkeys(str(name) for table in tables for name in table["proxy_id"].unique()))
    if proxy not in known:
        raise BadInput(f"--proxy {proxy}: no such proxy; {did_you_mean(proxy, known)}")


def _text(result: Result, proxy: str | None) -> Iterator[str]:
    from simulator.results.trace import trace_lines

    return (f"{line}\n" for line in trace_lines(result, proxy))


def _perfetto(result: Result, proxy: str | None) -> Iterator[str]:
    from simulator.results.trace import perfetto

    yield from json.JSONEncoder(ensure_ascii=False).iterencode(perfetto(result, proxy))
    yield "\n"
