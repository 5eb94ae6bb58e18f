"""The result of one run: tables, summary, verdicts and provenance."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import pandas as pd

from simulator.engine.clock import DurationError, parse_duration
from simulator.recording.bottlenecks import QUANTILES
from simulator.recording.columns import TABLES
from simulator.recording.counters import prometheus
from simulator.recording.meanings import meaning_of
from simulator.recording.recorder import Recorder
from simulator.results import metrics, rest_cycles, storage
from simulator.results.bottleneck import Owner, owners_of
from simulator.results.disruption import disruption
from simulator.results.expectations import Expectation, Outcome, evaluate
from simulator.results.folded import FoldedDeliveries, fold
from simulator.results.histograms import RELATIVE_ERROR
from simulator.results.in_notebooks import page
from simulator.results.storage import ResultsError
from simulator.results.tables import (
    build_tables,
    digest_of,
    empty_frame,
    further_deliveries,
    own_deliveries,
    sampled_deliveries,
)

__all__ = ["Result", "ResultsError"]

_INFINITE: Final = "inf"  # JSON has no infinity


class Result:
    """What one run showed.

    The tables are pandas DataFrames; `columns` says what each column means. Times are nanoseconds, which
    ``pd.to_timedelta`` makes timedeltas. A table that was not recorded has no rows. `manifest` tells how the
    run came about and holds its digest, `expectations` the verdicts on the scenario's `expect:` lines,
    `counters_text` the statistics of Envoy and the metrics of Istio as Prometheus text.
    """

    def __init__(
        self,
        tables: Mapping[str, pd.DataFrame],
        manifest: Mapping[str, Any],
        summary: pd.DataFrame | None = None,
        expectations: Sequence[Outcome] = (),
        warnings: Sequence[str] = (),
        counters_text: str = "",
    ) -> None:
        self.tables: dict[str, pd.DataFrame] = dict(tables)
        self.manifest: dict[str, Any] = dict(manifest)
        self.expectations: list[Outcome] = list(expectations)
        self.warnings: list[str] = list(warnings)
        self.counters_text = counters_text
        self.folded: FoldedDeliveries | None = None
        """The deliveries as histograms, where their rows were too many; the table then holds a sample."""
        self._summary = summary
        self._owners: list[Owner] | None = None

    @classmethod
    def from_recorder(
        cls, recorder: Recorder, manifest: Mapping[str, Any], expectations: Sequence[Expectation] = ()
    ) -> Result:
        """The result of what `recorder` holds at the end of a run.

        `manifest` is kept as it is, with the digest of the run and its number of events added. The digest,
        the summary and the verdicts see every delivery and every push to a proxy, also when the scenario
        asks not to keep them.
        """
        kept = kept_tables(recorder)
        folded: FoldedDeliveries | None = None
        if recorder.folds:
            pushes = [] if recorder.keeps_proxy_pushes else ["proxy_pushes"]
            tables = build_tables(recorder, without=["deliveries", *pushes])
            folded, sampled = fold(recorder, own_deliveries(recorder), further_deliveries(recorder))
            tables["deliveries"] = sampled_deliveries(recorder, sampled)
        else:
            tables = build_tables(recorder)
        result = cls(
            tables,
            {
                **manifest,
                "digest": digest_of(tables, () if folded is None else folded.to_bytes()),
                "events": recorder.events,
                "totals": {
                    "xds_messages": recorder.xds_messages,
                    "xds_bytes": recorder.xds_bytes,
                    "control_plane_cpu": recorder.control_plane_busy_ns / 1e9,
                    "push_rounds": len(recorder.push_rows),
                },
                "utilisation": dict(sorted(recorder.utilisation.items())),
                "tables": {table: len(rows) for table, rows in tables.items()},
            },
            warnings=recorder.warnings,
            counters_text=_counters_text(recorder),
        )
        result.manifest["totals"] |= disruption(tables["startups"], recorder, result.end_ns)
        if folded is not None:
            result._stand_for(folded)
        result.expectations = [evaluate(expectation, result) for expectation in expectations]
        result.drop([table for table in TABLES if table not in kept])
        return result

    def _stand_for(self, folded: FoldedDeliveries) -> None:
        """Histograms stand for the rows, and the manifest says so."""
        self.folded = folded
        self.manifest["tables"].pop("deliveries")
        self.manifest["deliveries"] = {
            "kept": "histogram",
            "rows": folded.rows,
            "sampled_rows": len(self.deliveries),
            "relative_error": RELATIVE_ERROR,
        }

    def drop(self, tables: Sequence[str]) -> None:
        """Forget the rows of some tables; what they say stays in the summary, the verdicts and the digest."""
        if any(len(self.tables[table]) for table in tables):
            self._summary = self.summary()
            self._owners = self.bottlenecks
        if "deliveries" in tables:
            self.folded = None
        for table in tables:
            self.tables[table] = empty_frame(table)
            self.manifest["tables"].pop(table, None)

    @property
    def changes(self) -> pd.DataFrame:
        """One row per exogenous change."""
        return self.tables["changes"]

    @property
    def deliveries(self) -> pd.DataFrame:
        """One row per change and proxy that it concerns; of some proxies alone where the rest are
        histograms (`folded`).
        """
        return self.tables["deliveries"]

    @property
    def startups(self) -> pd.DataFrame:
        """One row per start of an Envoy."""
        return self.tables["startups"]

    @property
    def pushes(self) -> pd.DataFrame:
        """One row per push round of a control plane."""
        return self.tables["pushes"]

    @property
    def messages(self) -> pd.DataFrame:
        """One row per xDS message."""
        return self.tables["messages"]

    @property
    def states(self) -> pd.DataFrame:
        """One row per state entered."""
        return self.tables["states"]

    @property
    def traffic(self) -> pd.DataFrame:
        """What became of requests: one row per interval, proxy, service and outcome."""
        return self.tables["traffic"]

    @property
    def queues(self) -> pd.DataFrame:
        """How many wait in each queue of a control plane: one row per change of its depth."""
        return self.tables["queues"]

    @property
    def connections(self) -> pd.DataFrame:
        """Which replica each proxy is connected to: one row per stream opened, closed or turned away."""
        return self.tables["connections"]

    @property
    def proxy_pushes(self) -> pd.DataFrame:
        """One row per push and proxy: Istio's own view of a push, from Start to the last Send."""
        return self.tables["proxy_pushes"]

    @property
    def regressions(self) -> pd.DataFrame:
        """One row per change that a proxy had and lost again to older content."""
        return self.tables["regressions"]

    @property
    def watch_events(self) -> pd.DataFrame:
        """When each replica of a control plane heard of each change: one row per change and replica."""
        return self.tables["watch_events"]

    @property
    def components(self) -> pd.DataFrame:
        """One row per state that a process of the control plane, or an MCP stream between two, entered."""
        return self.tables["components"]

    @property
    def certificates(self) -> pd.DataFrame:
        """One row per certificate that an agent wanted."""
        return self.tables["certificates"]

    @property
    def digest(self) -> str:
        """The sha256 over the tables that exist at every recording level: equal runs have equal digests."""
        return str(self.manifest["digest"])

    @property
    def warm_up_ns(self) -> int:
        """Changes before this instant happened but are not counted, in nanoseconds since the start of the
        run.
        """
        return self._scenario_duration_ns("warm_up")

    @property
    def end_ns(self) -> int:
        """When the run ended: the duration of its scenario."""
        return self._scenario_duration_ns("duration")

    @property
    def utilisation(self) -> Mapping[str, float]:
        """Station, named as the bottleneck it can be -> share of the run that it was busy; of the busiest
        where there are several.
        """
        return dict(self.manifest.get("utilisation", {}))

    @property
    def bottlenecks(self) -> list[Owner]:
        """What owns the median and the 99th percentile of the delay of changes; nothing where there were
        none.
        """
        if self._owners is None:
            self._owners = owners_of(self, QUANTILES)
        return list(self._owners)

    @property
    def met(self) -> bool:
        """Whether every expectation is met."""
        return all(outcome.met for outcome in self.expectations)

    def summary(self) -> pd.DataFrame:
        """Metric x (mean, p50, p90, p99, max, n, ci_low, ci_high, unit, pending, note), in seconds and
        counts.

        A delivery that is pending, rejected or disconnected counts as +infinity, and `pending` says how many
        did.
        """
        if self._summary is None:
            self._summary = rest_cycles.summary(self)
        return self._summary.copy()

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Write a results directory; equal runs give equal bytes. Raises OSError."""
        histograms = None if self.folded is None else self.folded.to_frame()
        storage.write_directory(
            Path(directory),
            self.tables,
            self.manifest,
            self._summary_content(),
            self.counters_text,
            histograms,
        )

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> Result:
        """Read what `save` wrote; raises ResultsError, naming the file, when there is no such thing."""
        path = Path(directory)
        manifest = storage.read_json(path / storage.MANIFEST)
        if "cells" in manifest:
            raise ResultsError(
                f"{directory}: holds many runs: xs.load_experiment and xdsim report read them; with "
                "--keep-tables each run has a directory of its own below runs/"
            )
        content = storage.read_json(path / storage.SUMMARY)
        try:
            result = cls(
                storage.read_tables(path),
                manifest,
                _summary_of(content["metrics"]),
                [Outcome(**outcome) for outcome in content["expectations"]],
                content["warnings"],
                storage.read_text(path / storage.COUNTERS),
            )
            histograms = storage.read_histograms(path)
            if histograms is not None:
                result.folded = FoldedDeliveries.from_frame(histograms)
            if "bottlenecks" in content:
                result._owners = [Owner.of_plain(told) for told in content["bottlenecks"]]
        except (KeyError, TypeError) as error:
            raise ResultsError(f"{path / storage.SUMMARY}: not a summary of this version: {error}") from error
        return result

    @staticmethod
    def columns(table: str) -> pd.DataFrame:
        """What the columns of a table mean: column x (kind, meaning), e.g. ``Result.columns("deliveries")``.

        Raises KeyError, naming the tables there are. `xdsim schema --tables` prints all of them.
        """
        if table not in TABLES:
            raise KeyError(f"no table {table!r}; there are {', '.join(TABLES)}")
        rows = [(kind, meaning_of(table, column)) for column, kind in TABLES[table].items()]
        index = pd.Index(list(TABLES[table]), name="column")
        return pd.DataFrame(rows, index=index, columns=["kind", "meaning"])

    def _repr_html_(self) -> str:
        """For Jupyter: warnings, verdicts and the summary; times in seconds, as its unit says."""
        verdicts = [
            f"{'met' if one.met else 'NOT MET'}: {one.text} ({one.actual})" for one in self.expectations
        ]
        notes = [*(f"warning: {text}" for text in self.warnings), *verdicts]
        return page(repr(self), notes, self.summary().drop(columns="note"))

    def __repr__(self) -> str:
        rows = ", ".join(f"{len(rows)} {table}" for table, rows in self.tables.items() if len(rows))
        return f"<Result {self.manifest.get('name', '')} {str(self.manifest.get('digest', ''))[:12]}: {rows}>"

    def _scenario_duration_ns(self, key: str) -> int:
        """A duration of the resolved scenario in the manifest; 0 where there is none."""
        scenario = self.manifest.get("scenario")
        text = scenario.get(key) if isinstance(scenario, dict) else None
        try:
            return parse_duration(text) if isinstance(text, str) else 0
        except DurationError:
            return 0

    def _summary_content(self) -> dict[str, Any]:
        return {
            "metrics": {
                str(metric): {column: _jsonable(value) for column, value in line.items()}
                for metric, line in self.summary().to_dict(orient="index").items()
            },
            "expectations": [asdict(outcome) for outcome in self.expectations],
            "bottlenecks": [owner.plain() for owner in self.bottlenecks],
            "warnings": self.warnings,
        }


def kept_tables(recorder: Recorder) -> tuple[str, ...]:
    """The tables that a run's recording keeps."""
    is_kept = {
        "messages": recorder.keeps_messages,
        "states": recorder.keeps_states,
        "deliveries": recorder.keeps_deliveries,
        "queues": recorder.keeps_queues,
        "connections": recorder.keeps_queues,
        "proxy_pushes": recorder.keeps_proxy_pushes,
    }
    return tuple(table for table in TABLES if is_kept.get(table, True))


def _counters_text(recorder: Recorder) -> str:
    """Envoy's statistics, then Istio's metrics, as one Prometheus text."""
    if not recorder.counts_all:
        return "# The fleet engine keeps no statistics of Envoy and istiod; engine: events does.\n"
    of_envoy = prometheus(recorder.counters, recorder.proxy_names)
    return of_envoy + recorder.istio.text(recorder.proxy_names, per_proxy=recorder.counters.per_proxy)


def _jsonable(value: Any) -> Any:
    """A value of the summary as JSON can hold it: no interval is null, infinity is text."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else _INFINITE
    return value


def _summary_of(lines: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    columns = list(metrics.SUMMARY_COLUMNS)
    rows = {metric: [_readable(line[column]) for column in columns] for metric, line in lines.items()}
    return metrics.summary_types(pd.DataFrame.from_dict(rows, orient="index", columns=columns))


def _readable(value: Any) -> Any:
    if value is None:
        return math.nan
    return math.inf if value == _INFINITE else value
