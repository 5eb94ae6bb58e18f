"""The peak of memory of a benchmark's process."""

from __future__ import annotations

import re
import resource
from pathlib import Path


def own_peak_mb() -> float:
    """Of this process so far. Linux hands on the peak of whoever started it in ru_maxrss, not in VmHWM."""
    status = Path("/proc/self/status")
    own = re.search(r"VmHWM:\s*(\d+)", status.read_text()) if status.exists() else None
    return (int(own[1]) if own else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024
