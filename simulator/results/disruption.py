"""What a run disturbed: processes without configuration, proxies without a stream, storms of new streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.engine.clock import S

if TYPE_CHECKING:
    import pandas as pd

    from simulator.recording.recorder import Recorder
    from simulator.results.statistics import Values

__all__ = ["DISRUPTIONS", "disruption"]

DISRUPTIONS: Final = (
    "without_configuration",
    "most_without_configuration",
    "without_stream",
    "most_new_streams",
)
"""Each is one number a run; `results.records.TOTALS` says what it means."""


def disruption(startups: pd.DataFrame, recorder: Recorder, end_ns: int) -> dict[str, float]:
    """The numbers of one run, by name."""
    # The parent of a hot restart serves meanwhile.
    rows = startups[startups["cause"] != "hot_restart"]
    begun = rows["t_started_ns"].to_numpy(dtype=np.float64)
    ready = rows["t_ready_ns"].to_numpy(dtype=np.float64, na_value=np.nan)
    # A process that ended before it was ready is left out: when it ended is in no row.
    kept = ~(rows["outcome"].isin(["exited", "stopped"]).to_numpy(dtype=bool) & np.isnan(ready))
    begun, until = begun[kept], np.where(np.isnan(ready), np.maximum(begun, end_ns), ready)[kept]
    return {
        "without_configuration": float((until - begun).sum()) / S,
        "most_without_configuration": float(_most_at_once(begun, until)),
        "without_stream": recorder.connectedness.without_stream_ns / S,
        "most_new_streams": float(_most_within(np.sort(np.array(recorder.connectedness.opened_ns)), S)),
    }


def _most_at_once(begun: Values, until: Values) -> int:
    """The largest number of spans that hold one instant; one that ends as another begins does not meet it."""
    instants = np.concatenate([begun, until])
    steps = np.concatenate([np.ones(len(begun)), -np.ones(len(until))])
    order = np.lexsort((steps, instants))
    return int(np.cumsum(steps[order]).max(initial=0))


def _most_within(instants: Values, span_ns: int) -> int:
    """The largest number of instants within a span, its end not included."""
    if not len(instants):
        return 0
    first = np.searchsorted(instants, instants - span_ns, side="right")
    return int((np.arange(len(instants)) - first).max()) + 1
