"""How long a control plane takes to start, from the states that its processes entered.

Both functions are measures of their own for `compare` and `sweep` (``measure=``).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import pandas as pd

if TYPE_CHECKING:
    from simulator.results.result import Result

__all__ = ["PROCESSES", "control_plane_start", "spans"]

PROCESSES: Final = ("citadel", "galley", "pilot", "istiod", "injector", "node-agent")
"""Processes of a control plane, in the order of what waits for what."""

_GONE: Final = "deleted"
_ENDS: Final = ("down", _GONE)


def control_plane_start(result: Result) -> dict[str, float]:
    """Seconds from 0 until every process of the control plane is ready, and until every proxy is.

    A process that was deleted, as by an upgrade in place, is not waited for, nor a proxy that ran before 0.
    Infinite where that did not happen within the run; nothing where no state is recorded.
    """
    rows = result.components[result.components.component.isin(PROCESSES)]
    if not len(rows):
        return {}
    last = rows.sort_values("t_ns", kind="stable").groupby(["component", "replica"]).last()
    last = last[last.state != _GONE]
    if not len(last):
        return {}
    is_ready = bool((last.state == "ready").all())
    proxies = result.startups.t_ready_ns
    return {
        "control_plane_ready": float(last.t_ns.max()) / 1e9 if is_ready else math.inf,
        "proxies_ready": math.inf if proxies.isna().any() else max(map(float, proxies), default=0.0) / 1e9,
    }


def spans(result: Result) -> pd.DataFrame:
    """One row per state that a process was in: component, replica, state, begin and end in seconds.

    What a process is in when the run ends lasts to its end; being deleted is no state to be in. One that goes
    down or is deleted before it says anything else ran since before 0: it is ready until then.
    """
    rows = result.components[result.components.component.isin(PROCESSES)]
    rows = rows[rows.state != "snapshot"].sort_values("t_ns", kind="stable")
    first = rows.drop_duplicates(["component", "replica"])
    ran_before = first[first.state.isin(_ENDS) & (first.t_ns > 0)].assign(state="ready", t_ns=0)
    rows = pd.concat([ran_before, rows], ignore_index=True)
    following = rows.groupby(["component", "replica"]).t_ns.shift(-1)
    made = pd.DataFrame(
        {
            "component": rows.component.astype(str),
            "replica": rows.replica,
            "state": rows.state.astype(str),
            "begin": rows.t_ns / 1e9,
            "end": following.fillna(result.end_ns).astype(float) / 1e9,
        }
    )
    return made[(made.end > made.begin) & (made.state != _GONE)].reset_index(drop=True)
