"""Where the time of a delivery goes, stage by stage: one vocabulary for figures and terminal.

The stages lie between the instants of the ``deliveries`` table, one after another, so those of one delivery
sum to its delay exactly. Means of stages sum too; medians and percentiles of stages do not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.recording.bottlenecks import OF_CARRIERS
from simulator.recording.columns import DELIVERY_INSTANTS
from simulator.recording.instants import METRICS, STAGES
from simulator.report.delays import spread
from simulator.report.wording import seconds_text, share_text
from simulator.results.metrics import metric_rows
from simulator.results.statistics import Values, quantile, supports

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from simulator.results.bottleneck import Owner
    from simulator.results.folded import FoldedDeliveries
    from simulator.results.result import Result

__all__ = ["StageTimes", "arrived", "bottleneck_text", "carried_by", "stage_times"]

_P99: Final = Fraction(99, 100)
_MEDIAN: Final = Fraction(1, 2)

LABELS: Final[Mapping[str, str]] = {
    "watch_delay": "watch",
    "debounce_delay": "debounce",
    "context_delay": "PushContext",
    "queue_delay": "push queue",
    "generate_delay": "generation and Send",
    "network_delay": "network and agent",
    "main_thread_delay": "Envoy's main thread",
    "warming_time": "warming",
}

# What a stage is where content does not travel by pushes: the instants have the same names.
_LABELS_OF_CARRIERS: Final[Mapping[str, Mapping[str, str]]] = {
    "poll": {
        "context_delay": "until the next poll",
        "queue_delay": "the poll's turn",
        "generate_delay": "answer",
    },
    "file": {"context_delay": "kubelet sync", "queue_delay": "rename", "generate_delay": "file event"},
}

RECONNECT: Final = "reconnect"
"""Beside the metrics: what deliveries over a new stream spend between debounce and network, where nobody
waits for a push."""

_RECONNECT_LABEL: Final = "reconnect and answer"


@dataclass(frozen=True, slots=True)
class StageTimes:
    """One stage over all deliveries that came to decide traffic; times in nanoseconds.

    Attributes:
        metric: Name of the metric it is; `RECONNECT` for what a new stream takes of several.
        label: What it is called in figures and tables.
        median_ns: Median over the deliveries.
        p99_ns: 99th percentile over the deliveries.
        mean_ns: Mean; the means of all stages sum to the mean delay.
        is_supported: Whether there are deliveries enough for a 99th percentile.
    """

    metric: str
    label: str
    median_ns: float
    p99_ns: float
    mean_ns: float
    is_supported: bool


def arrived(result: Result) -> pd.DataFrame:
    """The deliveries, after the warm-up, that decide traffic and whose every instant is known."""
    rows = metric_rows(result, METRICS["active_delay"])
    rows = rows[rows["outcome"].isin(("active", "superseded"))]
    return rows.dropna(subset=list(DELIVERY_INSTANTS[:-1]))


def carried_by(rows: pd.DataFrame) -> str:
    """How most of the deliveries travelled: push, poll, file, ...; push where there are none."""
    counts = rows["carried_by"].value_counts()
    return str(counts.index[0]) if len(counts) else "push"


def stage_times(result: Result) -> tuple[list[StageTimes], StageTimes | None]:
    """Every stage in order of time, and the whole; nothing where no delivery arrived."""
    rows = arrived(result)
    if result.folded is not None:
        return _folded_times(result.folded.after(result.warm_up_ns), carried_by(rows))
    if not len(rows):
        return [], None
    reconnected = rows["carried_by"].to_numpy(dtype=object, na_value="") == RECONNECT
    labels = {
        **LABELS,
        **_LABELS_OF_CARRIERS.get(carried_by(rows[~reconnected]), {}),
        RECONNECT: _RECONNECT_LABEL,
    }
    spans = {name: _spans_ns(name, rows) for name in STAGES}
    stages = [_times(name, labels[name], spans_ns) for name, spans_ns in _apart(spans, reconnected).items()]
    return stages, _times("active_delay", "changed to active", _spans_ns("active_delay", rows))


def _apart(spans_ns: Mapping[str, Values], reconnected: NDArray[np.bool_]) -> dict[str, Values]:
    """The stages with those that belong to a new stream put together behind the last of them.

    The instants between debounce and Send are those of the stream that is opened (recording/bottlenecks.py):
    no stage of a push is to blame for them.
    """
    if not reconnected.any():
        return dict(spans_ns)
    owned = OF_CARRIERS[RECONNECT]
    *_, last = (name for name in spans_ns if name in owned)
    told: dict[str, Values] = {}
    for name, spans in spans_ns.items():
        told[name] = np.where(reconnected, 0.0, spans) if name in owned else spans
        if name == last:
            together = sum((spans_ns[stage] for stage in owned), np.zeros(len(reconnected)))
            told[RECONNECT] = np.where(reconnected, together, 0.0)
    return told


def _folded_times(folded: FoldedDeliveries, carrier: str) -> tuple[list[StageTimes], StageTimes | None]:
    """The same from histograms: of the deliveries that came to each stage's end."""
    if not folded.good():
        return [], None
    labels = {**LABELS, **_LABELS_OF_CARRIERS.get(carrier, {})}
    named = [*((name, labels[name]) for name in STAGES), ("active_delay", "changed to active")]
    told = []
    for name, label in named:
        samples = folded.samples(METRICS[name])
        values = spread(samples) * 1e9
        values = values[np.isfinite(values)]
        told.append(
            StageTimes(
                name,
                label,
                quantile(values, _MEDIAN),
                quantile(values, _P99),
                samples.mean * 1e9 if not samples.never else float(values.mean()),
                supports(len(values), _P99),
            )
        )
    return told[:-1], told[-1]


def bottleneck_text(owner: Owner) -> str:
    """What owns a quantile of the delay, in words: ``registry queue, 95 % of p99 (18.2 s), busy 40 % of the
    run``.
    """
    busy = "" if owner.utilisation is None else f", busy {share_text(owner.utilisation)} of the run"
    delay = "never" if math.isinf(owner.delay) else seconds_text(owner.delay * 1e9)
    return f"{owner.stage}, {share_text(owner.share)} of {owner.at} ({delay}){busy}"


def _spans_ns(name: str, rows: pd.DataFrame) -> Values:
    metric = METRICS[name]
    spans: Values = (rows[metric.later] - rows[metric.earlier]).to_numpy(dtype=np.float64)
    return spans


def _times(name: str, label: str, spans_ns: Values) -> StageTimes:
    return StageTimes(
        name,
        label,
        quantile(spans_ns, _MEDIAN),
        quantile(spans_ns, _P99),
        float(spans_ns.mean()),
        supports(len(spans_ns), _P99),
    )
