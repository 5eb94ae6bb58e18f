"""``xdsim schema``: the JSON Schema of scenario files."""

from __future__ import annotations

import argparse
import json

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "execute"]

HELP = "print the JSON Schema of scenario files"
DESCRIPTION = (
    "Prints the JSON Schema (draft 2020-12) of scenario files, with every default, the Istio or Envoy "
    "setting it stands for and its source. Editors use it for completion and checks."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def execute(options: argparse.Namespace) -> int:
    """Print the schema; always 0."""
    from simulator.scenario.json_schema import json_schema

    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return 0
