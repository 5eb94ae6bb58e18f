"""What one run of an experiment leaves behind: one row of numbers and the samples of every metric.

A record is a small file. It is written whole or not at all, and carries a checksum; one that is torn or of
another version is taken for one that is not there, so that its run is played again.
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.recording.bottlenecks import BOTTLENECK, QUANTILES
from simulator.recording.instants import METRICS
from simulator.results import metrics
from simulator.results.histograms import Histogram
from simulator.results.samples import Samples
from simulator.results.statistics import number
from simulator.results.storage import write_bytes

if TYPE_CHECKING:
    from simulator.results.result import Result

__all__ = ["OWNED", "OWNERS", "STATISTICS", "TOTALS", "RunRecord", "read_record", "write_record"]

TOTALS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "xds_messages": ("count", "xDS messages of the run, polls that find nothing new included"),
        "xds_bytes": ("B", "encoded bytes of these messages"),
        "control_plane_cpu": ("s", "time that processors of the control plane were busy"),
        "push_rounds": ("count", "push rounds of all replicas"),
        "without_configuration": ("s", "process start until ready, of all starts together but hot restarts"),
        "most_without_configuration": ("count", "processes between start and ready, the most at once"),
        "without_stream": ("s", "between the loss of a proxy's stream and its next one, all together"),
        "most_new_streams": ("count", "streams opened within one second, the most"),
    }
)
"""What a run costs as a whole: name -> (unit, meaning). Each is one number a run."""

STATISTICS: Final = ("mean", "p50", "p90", "p99", "max", "n", "pending")
"""What a row of runs tells of every metric of the summary."""

OWNERS: Final = tuple(f"{BOTTLENECK}.{at}" for at in QUANTILES)
"""Columns of a row of runs that name what owns a quantile of the delay; beside each, what it owns of it
(``.share``) and how busy it was (``.utilisation``).
"""
OWNED: Final = ("share", "utilisation")

_MAGIC: Final = b"xdsim-run-2\n"


@dataclass(frozen=True, slots=True, eq=False)
class RunRecord:
    """One run that has ended.

    Attributes:
        fingerprint: Of everything that decides the run: scenario, seed, replication, version.
        replication: Which repetition of the seed.
        row: Its numbers, by column.
        samples: Metric -> its samples; empty where the run failed.
        is_final: False for a run that its surroundings ended, such as a killed worker: it is worth another
            try.
    """

    fingerprint: str
    replication: int
    row: Mapping[str, Any]
    samples: Mapping[str, Samples] = field(default_factory=dict)
    is_final: bool = True

    @property
    def error(self) -> str | None:
        """Why the run failed; None for one that did not."""
        error: str | None = self.row["error"]
        return error

    @classmethod
    def of_result(
        cls, fingerprint: str, replication: int, result: Result, measures: Mapping[str, float]
    ) -> RunRecord:
        """The record of a run that went well. `measures` are further numbers of the caller's own."""
        values = metrics.all_values(result)
        lines = {name: metrics.summary_line(METRICS[name], found) for name, found in values.items()}
        totals = {name: float(result.manifest["totals"][name]) for name in TOTALS}
        single = {**totals, **{name: float(value) for name, value in measures.items()}}
        row = {
            "digest": result.digest,
            "timeline": _timeline(result),
            "error": None,
            "events": int(result.manifest["events"]),
            "unmet": "; ".join(outcome.text for outcome in result.expectations if not outcome.met),
            "warnings": len(result.warnings),
            **_owners(result),
            **single,
            **{
                f"{metric}.{statistic}": number(line[statistic])
                for metric, line in lines.items()
                for statistic in STATISTICS
            },
        }
        samples = {
            name: found if isinstance(found, Samples) else Samples.of(found) for name, found in values.items()
        }
        samples |= {name: Samples.of(np.array([value])) for name, value in single.items()}
        return cls(fingerprint, replication, row, samples)

    @classmethod
    def of_error(cls, fingerprint: str, replication: int, error: str, *, is_final: bool = True) -> RunRecord:
        """The record of a run that failed."""
        return cls(fingerprint, replication, {"error": error}, is_final=is_final)

    def to_bytes(self) -> bytes:
        """The record as a file."""
        arrays: list[bytes] = []
        described = {}
        for name, samples in self.samples.items():
            described[name] = _described(samples)
            if samples.histogram is None:
                arrays.append(samples.values.astype("<f8").tobytes())
        head = json.dumps(
            {
                "fingerprint": self.fingerprint,
                "replication": self.replication,
                "is_final": self.is_final,
                "row": {name: _written(value) for name, value in self.row.items()},
                "samples": described,
            },
            separators=(",", ":"),
        ).encode()
        body = zlib.compress(len(head).to_bytes(8, "little") + head + b"".join(arrays), 1)
        return _MAGIC + hashlib.sha256(body).digest() + body

    @classmethod
    def from_bytes(cls, content: bytes) -> RunRecord:
        """What `to_bytes` gave; raises ValueError for anything else."""
        start = len(_MAGIC) + 32
        body = content[start:]
        if not content.startswith(_MAGIC) or hashlib.sha256(body).digest() != content[len(_MAGIC) : start]:
            raise ValueError("not the record of a run, or damaged")
        plain = zlib.decompress(body)
        length = int.from_bytes(plain[:8], "little")
        head = json.loads(plain[8 : 8 + length])
        samples: dict[str, Samples] = {}
        place = 8 + length
        for name, told in head["samples"].items():
            total = _read(told["total"])
            if "histogram" in told:
                low, high = (_read(end) for end in told["range"])
                histogram = Histogram.from_lists(told["histogram"], low, high)
                samples[name] = Samples.of_histogram(histogram, total)
            else:
                values = np.frombuffer(plain, dtype="<f8", count=told["n"], offset=place)
                samples[name] = Samples(values.astype(np.float64), total)
                place += 8 * int(told["n"])
        row = {name: _read(value) for name, value in head["row"].items()}
        return cls(head["fingerprint"], head["replication"], row, samples, head["is_final"])


def write_record(path: Path, record: RunRecord) -> None:
    """Put a record in its place, whole or not at all; raises OSError."""
    write_bytes(path, record.to_bytes())


def read_record(path: Path) -> RunRecord | None:
    """The record in a file; None where there is none that can be used."""
    try:
        return RunRecord.from_bytes(path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError, zlib.error):
        return None


def _owners(result: Result) -> dict[str, Any]:
    """What owns the quantiles of the delay; nothing where no change concerns any proxy."""
    row: dict[str, Any] = {}
    for owner in result.bottlenecks:
        name = f"{BOTTLENECK}.{owner.at}"
        row |= {name: owner.stage, f"{name}.share": owner.share}
        if owner.utilisation is not None:
            row[f"{name}.utilisation"] = owner.utilisation
    return row


def _timeline(result: Result) -> str:
    """A hash of what happened to the mesh: runs with equal ones met the same changes at the same instants."""
    changes = result.changes[["kind", "name", "t_changed_ns"]]
    rows = list(zip(*(changes[column].tolist() for column in changes.columns), strict=True))
    return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()[:16]


def _described(samples: Samples) -> dict[str, Any]:
    told: dict[str, Any] = {"total": _written(samples.total)}
    if samples.histogram is None:
        return {**told, "n": samples.n}
    ends = [_written(samples.histogram.low), _written(samples.histogram.high)]
    return {**told, "histogram": samples.histogram.to_lists(), "range": ends}


def _written(value: Any) -> Any:
    """A number as JSON can hold it: infinity and NaN are text in a list."""
    return [repr(value)] if isinstance(value, float) and not math.isfinite(value) else value


def _read(value: Any) -> Any:
    return float(value[0]) if isinstance(value, list) else value
