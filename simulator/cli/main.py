"""The command ``xdsim``: reads the arguments, runs one command, turns what happened into an exit status.

0 done and every expectation met; 1 an expectation not met or a verdict failed; 2 bad input; 3 the run failed
inside; 130 interrupted; 141 the reader of a pipe went away.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import Final

from simulator.cli import (
    compare,
    explain,
    lab,
    report,
    run,
    schema,
    scorecard,
    search,
    status,
    sweep,
    trace,
    validate,
)
from simulator.cli.nearest import did_you_mean
from simulator.cli.refusal import BadInput

__all__ = ["COMMANDS", "main"]

DONE, BAD_INPUT, FAILED, INTERRUPTED, NO_READER = 0, 2, 3, 130, 141

COMMANDS: Final = {
    "run": run,
    "compare": compare,
    "sweep": sweep,
    "search": search,
    "explain": explain,
    "scorecard": scorecard,
    "report": report,
    "validate": validate,
    "schema": schema,
    "trace": trace,
    "status": status,
    "lab": lab,
}
"""Command -> its module: HELP, DESCRIPTION, ``add_arguments(parser)`` and ``execute(options) -> status``."""

_EPILOG: Final = """\
exit status:
  0  done, and every expectation of the scenario is met
  1  an expectation is not met, or a verdict failed (scorecard, search, lab)
  2  bad input; nothing was written
  3  the run failed inside (XDSIM_DEBUG=1 shows where); of many runs: all failed, or the disk is full
  130  interrupted; finished runs are kept, --resume goes on from there

first steps:
  xdsim run scenarios/first-start.yaml
  xdsim trace scenarios/first-start.yaml
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line ``arguments`` (default: those of the process) and return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without "µ" shows "?" instead of a traceback
    try:
        try:
            ended = _dispatch(words)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Python would complain again when it closes standard output at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_READER
    return ended


def _dispatch(words: list[str]) -> int:
    parser = _parser()
    if not words:
        parser.print_help(sys.stderr)
        return BAD_INPUT
    command = words[0]
    if not command.startswith("-") and command not in COMMANDS:
        return _complain(f"xdsim: {_unknown_command(command)}")
    try:
        options, unknown = parser.parse_known_args(words)
        if unknown:
            return _complain(f"xdsim {command}: {_unknown_words(parser, words, unknown)}")
        ended: int = options.execute(options)
    except SystemExit as stop:  # argparse: --help and --version (0), or arguments that make no sense (2)
        return stop.code if isinstance(stop.code, int) else BAD_INPUT
    except BadInput as refusal:
        return _complain(str(refusal) if refusal.is_located else f"xdsim: {refusal}")
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        print("xdsim: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        return _failed(command, error)
    return ended


def _failed(command: str, error: Exception) -> int:
    """Say that something broke inside, in one line; where it broke, to those who ask."""
    asked = bool(os.environ.get("XDSIM_DEBUG"))
    if asked:
        import traceback

        traceback.print_exception(error)
    told = " ".join(str(error).split()) or "no further message"
    print(f"xdsim: {command} failed: {type(error).__name__}: {told}", file=sys.stderr)
    if not asked:
        print("xdsim: set XDSIM_DEBUG=1 to see where", file=sys.stderr)
    return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xdsim",
        description="Simulates how configuration travels from a control plane into Envoy: "
        "who waits, for what, and for how long.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_PrintVersion, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        described = commands.add_parser(
            name, help=command.HELP, description=command.DESCRIPTION, allow_abbrev=False
        )
        command.add_arguments(described)
        described.set_defaults(execute=command.execute)
    return parser


class _PrintVersion(argparse.Action):
    """Looks the version up only when asked: reading it costs as much as everything else here."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import simulator as xs

        print(f"xdsim {xs.__version__}")
        parser.exit()


def _unknown_command(word: str) -> str:
    if word.endswith((".yaml", ".yml")):
        return f"unknown command {word!r}; to run a scenario, write 'xdsim run {word}'"
    return f"unknown command {word!r}; {did_you_mean(word, list(COMMANDS))}"


def _unknown_words(parser: argparse.ArgumentParser, words: Sequence[str], unknown: Sequence[str]) -> str:
    """What was given too much, and which option the first may have been meant to be."""
    said = f"unrecognized arguments: {' '.join(unknown)}"
    option = unknown[0].partition("=")[0]
    if not option.startswith("--"):
        return said
    for word in words:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction) and word in action.choices:
                parser = action.choices[word]
    known = [name for name in parser._option_string_actions if name.startswith("--")]
    return f"{said}; {did_you_mean(option, known)}"


def _complain(text: str) -> int:
    print(text, file=sys.stderr)
    return BAD_INPUT
