"""Whether results can be put where the user wants them, asked before the work is done."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from simulator.cli.refusal import BadInput

__all__ = ["check_directory", "check_file", "check_writable"]


def check_writable(directory: Path) -> None:
    """Refuse a place where the results of a run could not be put; raises BadInput."""
    check_directory(directory)
    manifest = directory / "manifest.json"
    if manifest.exists() and not _is_ours(manifest):
        raise BadInput(f"--out {directory}: its manifest.json is not of a run; name another directory")


def check_directory(directory: Path) -> None:
    """Refuse a directory that cannot be made or written into; raises BadInput.

    Permissions do not tell: root has all of them, also where nobody can write. So it is tried, and what the
    trial made is removed.
    """
    if _exists(directory) and not directory.is_dir():
        raise BadInput(f"--out {directory}: there is a file of that name; name a directory")
    missing = [one for one in (directory, *directory.absolute().parents) if not _exists(one)]
    try:
        _try_to_write(directory)
    except (OSError, ValueError) as error:
        nearest = missing[-1].absolute().parent if missing else directory
        reason = getattr(error, "strerror", None) or error
        said = f"--out {directory}: cannot write into {nearest}: {reason}; name another directory"
        raise BadInput(said) from error
    finally:
        for made in missing:
            with contextlib.suppress(OSError, ValueError):
                made.rmdir()


def check_file(file: Path) -> None:
    """Refuse a file that cannot be written because of where it is to stand; raises BadInput."""
    if file.is_dir():
        raise BadInput(f"--out {file}: that is a directory; name a file")
    if not file.absolute().parent.is_dir():
        raise BadInput(f"--out {file}: there is no directory {file.parent}")
    try:
        _try_to_write(file.parent)
    except OSError as error:
        raise BadInput(f"--out {file}: cannot write into {file.parent}: {error.strerror or error}") from error


def _exists(path: Path) -> bool:
    """Whether there is something; a name too long, or one behind a file, is none."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _try_to_write(directory: Path) -> None:
    """Make the directory and write a file into it, which does not stay."""
    directory.mkdir(parents=True, exist_ok=True)
    probe = directory / f".xdsim.{os.getpid()}"
    try:
        probe.write_bytes(b"can be written")
    finally:
        probe.unlink(missing_ok=True)


def _is_ours(manifest: Path) -> bool:
    """Whether an earlier run wrote it: results may replace results, and nothing else."""
    try:
        content = json.loads(manifest.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and ("digest" in content or "finished" in content)
