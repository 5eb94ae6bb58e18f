"""What a run leaves behind: named instants, append-only columns and counters.

The model writes here while it runs and never reads. Nothing in this package imports numpy or pandas, so that
the model can be loaded without them; ``results/`` turns what was recorded into tables.
"""

from simulator.recording.columns import TABLES
from simulator.recording.counters import Counters, prometheus
from simulator.recording.instants import METRICS, Metric, UnknownMetric, find_metric
from simulator.recording.istio_metrics import ISTIO_METRICS, IstioMetrics
from simulator.recording.recorder import Recorder
from simulator.recording.rows import DeliveryRow, PushRow, StartupRow

__all__ = [
    "ISTIO_METRICS",
    "METRICS",
    "TABLES",
    "Counters",
    "DeliveryRow",
    "IstioMetrics",
    "Metric",
    "PushRow",
    "Recorder",
    "StartupRow",
    "UnknownMetric",
    "find_metric",
    "prometheus",
]
