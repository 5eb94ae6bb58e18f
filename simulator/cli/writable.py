"""Whether results can be put where the user wants them, asked before the work is done."""

from __future__ import annotations

import json
import os
from pathlib import Path

from simulator.cli.refusal import BadInput

__all__ = ["check_writable"]


def check_writable(directory: Path) -> None:
    """Refuse a place where the results could not be put; raises BadInput."""
    if directory.exists() and not directory.is_dir():
        raise BadInput(f"--out {directory}: there is a file of that name; name a directory")
    nearest = next(parent for parent in (directory, *directory.absolute().parents) if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise BadInput(f"--out {directory}: cannot write into {nearest}")
    manifest = directory / "manifest.json"
    if manifest.exists() and not _is_ours(manifest):
        raise BadInput(f"--out {directory}: its manifest.json is not of a run; name another directory")


def _is_ours(manifest: Path) -> bool:
    """Whether an earlier run wrote it: results may replace results, and nothing else."""
    try:
        content = json.loads(manifest.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and ("digest" in content or "finished" in content)
