"""What merging the components into istiod bought: one table of paired differences, and the claims.

The claims are those of the announcement (istio.io/latest/blog/2020/istiod, "Introducing istiod"). Each names
the rows of the table that could speak for or against it; a claim without rows is about something that no run
measures. Verdicts follow from the intervals: a row speaks for the newer architecture where its whole 95 %
interval is on the better side, and for the older where it is on the worse.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pandas as pd

if TYPE_CHECKING:
    from simulator.results.comparison import Comparison

__all__ = ["CLAIMS", "Claim", "Row", "claims_table", "study_table"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the study: what is compared.

    Attributes:
        question: What it is about.
        comparison: The runs; None for a row that is counted, not measured.
        metric: Metric or measure.
        stat: mean or a percentile.
        counted: Values by variant where nothing was run.
        more_is_better: Whether larger is better.
    """

    question: str
    comparison: Comparison | None = None
    metric: str = "active_delay"
    stat: str = "mean"
    counted: Mapping[str, float] | None = None
    more_is_better: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim of the announcement.

    Attributes:
        says: In its words or close to them.
        rows: Questions of the table that bear on it.
        rests_on: The assumption that the verdict hangs on, or why the model is silent.
    """

    says: str
    rows: tuple[str, ...]
    rests_on: str


CLAIMS: Final = (
    Claim(
        "startup time goes down: components need not wait for each other in a defined order",
        ("installation until all is ready, s",),
        "starts of 2 s each; the kubelet's growing waits for Citadel's Secret; probes as in the charts",
    ),
    Claim(
        "resource usage goes down",
        ("CPU of a calm day, s", "CPU of a day of churn, s", "memory, MiB"),
        "the same cost of each piece of work in all versions; 40 MiB a process and 3 KiB an object",
    ),
    Claim(
        "responsiveness goes up",
        ("a calm edit, median, s", "an edit under churn, p99, s"),
        "Galley's debounce is the constant of 1.4; only delays and costs that the calibration has",
    ),
    Claim(
        "communication is guaranteed, not subject to gRPC size limits",
        ("changes delivered while VirtualServices exceed 4 MiB",),
        "collections as large as the scenario says",
    ),
    Claim(
        "caches are shared safely, which decreases the footprint",
        ("objects in caches, MiB",),
        "an account of what each process watches, without runtimes and generated configuration",
    ),
    Claim(
        "(not claimed) nothing is lost by it: one process away does not stop the others",
        (
            "endpoints while what reads configuration is away, s",
            "an edit around a restart of what reads configuration, p99, s",
        ),
        "30 s without Galley, against 30 s without istiod; a restart of 2 s of each",
    ),
    Claim(
        "installation, configuration and debugging become easier", (), "no run measures the work of people"
    ),
    Claim("virtual machines, upgrades and scaling become easier", (), "no run measures the work of people"),
)


def study_table(rows: Sequence[Row], variants: Sequence[str], older: str, newer: str) -> pd.DataFrame:
    """One row a question: each variant with its 95 % interval, then newer - older, paired, with its interval.

    ``better`` says which of the two the interval speaks for: the newer's name, the older's, or neither.
    """
    made = [_row(row, variants, older, newer) for row in rows]
    return pd.DataFrame(made, index=pd.Index([row.question for row in rows], name="question"))


def _row(row: Row, variants: Sequence[str], older: str, newer: str) -> dict[str, object]:
    if row.counted is not None:
        cells: dict[str, object] = {name: _number(row.counted.get(name, math.nan)) for name in variants}
        difference = low = high = row.counted[newer] - row.counted[older]
    else:
        assert row.comparison is not None, f"{row.question}: neither counted nor compared"
        cells = {name: _estimate(row, name) for name in variants}
        paired = row.comparison.paired(newer, older, [row.metric], [row.stat]).iloc[0]
        difference, low, high = (float(paired[name]) for name in ("difference", "ci_low", "ci_high"))
    cells[f"{newer} - {older}"] = _number(difference) + (
        "" if row.counted is not None else f" [{_number(low)}, {_number(high)}]"
    )
    return {**cells, "better": _better(low, high, older, newer, more=row.more_is_better)}


def _estimate(row: Row, variant: str) -> str:
    assert row.comparison is not None
    if variant not in row.comparison.variants:
        return "-"
    found = row.comparison.estimate(variant, row.metric, row.stat)
    if math.isnan(found.value):
        return "-"
    interval = "" if math.isnan(found.low) else f" [{_number(found.low)}, {_number(found.high)}]"
    return _number(found.value) + interval


def _better(low: float, high: float, older: str, newer: str, *, more: bool) -> str:
    if more:
        low, high = -high, -low
    if high < 0:
        return newer
    return older if low > 0 else "neither"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"


def claims_table(table: pd.DataFrame, newer: str) -> pd.DataFrame:
    """One row a claim: supported, partly or not by the model, what says so, and what that rests on."""
    made = []
    for claim in CLAIMS:
        verdicts = [str(table.loc[question, "better"]) for question in claim.rows]
        made.append(
            {
                "claim": claim.says,
                "by the model": _verdict(verdicts, newer),
                "evidence": "; ".join(f"{q}: {v}" for q, v in zip(claim.rows, verdicts, strict=True)) or "-",
                "rests on": claim.rests_on,
            }
        )
    return pd.DataFrame(made).set_index("claim")


def _verdict(verdicts: Sequence[str], newer: str) -> str:
    if not verdicts:
        return "not: outside the model"
    if all(verdict == newer for verdict in verdicts):
        return "supported"
    return "partly" if newer in verdicts else "not supported"
