"""``xdsim schema``: the JSON Schema of scenario files."""

from __future__ import annotations

import argparse
import json
from typing import Any

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "execute"]

HELP = "print the JSON Schema of scenario files, or the columns of result tables"
DESCRIPTION = (
    "Prints the JSON Schema (draft 2020-12) of scenario files, with every default, the Istio or Envoy "
    "setting it stands for and its source. Editors use it for completion and checks. Columns of result "
    "tables that end in _ns are nanoseconds of simulated time since the start of the run."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what else can be printed."""
    parser.add_argument(
        "--tables",
        action="store_true",
        help="print the result tables instead: what a row of each is, and kind and meaning of each column",
    )


def execute(options: argparse.Namespace) -> int:
    """Print the schema, of scenarios or of results; always 0."""
    if options.tables:
        told = _tables()
    else:
        from simulator.scenario.json_schema import json_schema

        told = json_schema()
    print(json.dumps(told, indent=2, ensure_ascii=False))
    return 0


def _tables() -> dict[str, Any]:
    from simulator.recording.columns import TABLES
    from simulator.recording.meanings import ROWS, meaning_of

    return {
        table: {
            "row": ROWS[table],
            "columns": {
                column: {"kind": kind, "meaning": meaning_of(table, column)}
                for column, kind in columns.items()
            },
        }
        for table, columns in TABLES.items()
    }
