"""A report as one HTML page that needs nothing beside it: figures, tables and verdicts are inside."""

from __future__ import annotations

import base64
import math
import tempfile
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from simulator.recording.bottlenecks import BOTTLENECK, QUANTILES
from simulator.report.experiment_figures import write_experiment_figures
from simulator.report.figures import write_figures
from simulator.report.paired_wording import change, narrowing, paired_interval, ratio_text, seconds
from simulator.report.stages import bottleneck_text
from simulator.report.wording import amount_text, folded_text, seconds_text, share_text
from simulator.results.comparison import Comparison
from simulator.results.experiment import MEAN_ONLY
from simulator.results.records import OWNED

if TYPE_CHECKING:
    import pandas as pd

    from simulator.results.experiment import Experiment
    from simulator.results.result import Result

__all__ = ["experiment_section", "page", "run_section"]

_STYLE: Final = """\
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff; max-width: 1100px;
  margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 3rem; border-top: 1px solid #d0d7de; padding-top: 1rem; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; display: block; overflow-x: auto; }
th, td { padding: .2rem .5rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #eaeef2; }
th:first-child, td:first-child, .text { text-align: left; } td.long { white-space: normal; }
th { color: #57606a; font-weight: 600; } figure { margin: 1.5rem 0; } img { max-width: 100%; }
.met { color: #116329; } .unmet { color: #a40e26; font-weight: 700; } .quiet { color: #57606a; }
.warning { color: #7d4e00; }
"""
_LONG: Final = 40
"""Letters from which on a text may take several lines."""
_QUANTILES: Final = ("mean", "p50", "p90", "p99", "max")


def page(sections: Sequence[str], title: str) -> str:
    """The whole page. Equal sections give equal bytes."""
    body = "\n".join(sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def run_section(result: Result) -> str:
    """One run: its question, what was expected and found, its bottleneck, its metrics, its figures."""
    manifest = result.manifest
    scenario = manifest.get("scenario")
    question = scenario.get("question", "") if isinstance(scenario, Mapping) else ""
    parts = [_head(str(manifest.get("name", "run")), str(question), manifest)]
    parts += [f'<p class="warning">Warning: {escape(text)}</p>' for text in result.warnings]
    if result.folded is not None:
        parts.append(f"<p>{escape(folded_text(result))}.</p>")
    if result.expectations:
        rows = [
            [_verdict(outcome.met), _text(outcome.text), _text(outcome.actual)]
            for outcome in result.expectations
        ]
        parts.append(_table("Expectations", ["", "expected", "actual"], rows))
    if result.bottlenecks:
        told = "; ".join(bottleneck_text(owner) for owner in result.bottlenecks)
        parts.append(f"<p><strong>Bottleneck:</strong> {escape(told)}.</p>")
    summary = result.summary()
    if len(summary):
        parts.append(_summary("Metrics", ["metric"], summary.reset_index()))
    with tempfile.TemporaryDirectory() as folder:
        parts.append(_figures(write_figures(result, Path(folder))))
    return _section(parts)


def experiment_section(experiment: Experiment) -> str:
    """A comparison, a sweep or a replicated run: which runs failed or did not meet what was expected, the
    pooled metrics of every variant with the intervals of their means, and the figures.
    """
    manifest = experiment.manifest
    parts = [_head(str(manifest.get("name", "")), str(manifest.get("question") or ""), manifest)]
    runs = experiment.runs
    unmet = runs[runs["unmet"].fillna("") != ""]
    counted = f"{len(runs):,} runs of {len(experiment.variants):,} variants"
    parts.append(f"<p>{counted}; {len(experiment.failed):,} failed inside.</p>")
    if len(unmet):
        lines = unmet.groupby(["variant", "unmet"], sort=True).size().reset_index(name="runs")
        rows = [
            [_text(str(one["variant"])), _text(str(one["unmet"])), _text(str(one["runs"]), is_number=True)]
            for one in lines.to_dict("records")
        ]
        parts.append(_table("Expectations that were not met", ["variant", "expected", "runs"], rows))
    else:
        parts.append('<p class="met">Every run met what was expected of it.</p>')
    parts.append(_owners(experiment))
    if isinstance(experiment, Comparison):
        parts += [_paired(experiment, other) for other in experiment.variants[1:]]
    parts.append(_summary("Metrics, all replications pooled", ["variant", "metric"], experiment.summary()))
    with tempfile.TemporaryDirectory() as folder:
        parts.append(_figures(write_experiment_figures(experiment, Path(folder))))
    return _section(parts)


def _paired(comparison: Comparison, other: str) -> str:
    """What one variant has more than the first, replication by replication."""
    first = comparison.variants[0]
    rows = []
    for line in comparison.paired(other, first).reset_index().to_dict("records"):
        say = seconds if line["unit"] == "s" else amount_text
        numbers = [
            change(line, say),
            paired_interval(line, say),
            ratio_text(line["ratio"]),
            "-" if math.isnan(line["correlation"]) else f"{line['correlation']:.2f}",
            narrowing(line),
        ]
        names = [_text(str(line["metric"])), _text(str(line["stat"]))]
        rows.append([*names, *(_text(number, is_number=True) for number in numbers)])
    headings = ["metric", "", "difference", "95 % interval", "ratio", "correlation", "width to unpaired"]
    return _table(f"{other} - {first}, replication by replication", headings, rows)


def _owners(experiment: Experiment) -> str:
    """What owns the delay in each variant, and how sure that is; nothing where no change takes time."""
    rows = []
    for cell in experiment.cells:
        here = experiment.runs[experiment.runs["cell"] == cell.index]
        for at in QUANTILES:
            owner = experiment.bottleneck(cell.index, at)
            if owner:
                column = f"{BOTTLENECK}.{at}"
                stage = next(iter(experiment.owners(cell.index, at)))
                of_stage = here[here[column] == stage]
                rows.append(
                    [
                        _text(cell.label),
                        _text(at),
                        _text(owner),
                        *(_text(_shares(of_stage[f"{column}.{name}"]), is_number=True) for name in OWNED),
                    ]
                )
    if not rows:
        return ""
    headings = ["variant", "quantile", "owned by", "its share of the delay", "busy share of the run"]
    return _table("Bottlenecks of active_delay", headings, rows)


def _shares(of_runs: pd.Series[float]) -> str:
    """The range over the runs."""
    known = of_runs.dropna()
    if not len(known):
        return "-"
    low, high = share_text(float(known.min())), share_text(float(known.max()))
    return low if low == high else f"{low} to {high}"


def _section(parts: Sequence[str]) -> str:
    return "<section>\n" + "\n".join(part for part in parts if part) + "\n</section>"


def _head(name: str, question: str, manifest: Mapping[str, Any]) -> str:
    told = [f"seed {manifest['seed']}"] if "seed" in manifest else []
    told += [f"digest {str(manifest['digest'])[:12]}"] if "digest" in manifest else []
    asked = f"<p><em>{escape(question.strip())}</em></p>\n" if question.strip() else ""
    return f'<h2>{escape(name)}</h2>\n{asked}<p class="quiet">{escape(", ".join(told))}</p>'


def _summary(title: str, keys: Sequence[str], summary: pd.DataFrame) -> str:
    has_interval = bool(summary["ci_low"].notna().any())
    headings = [*keys, *_QUANTILES, "n", "pending", *(["95 % of the mean"] if has_interval else [])]
    rows = []
    for line in summary.to_dict("records"):
        unit = str(line["unit"])
        cells = [_text(str(line[key])) for key in keys]
        cells += [_text(_statistic(line, name), is_number=True) for name in _QUANTILES]
        cells += [_text(f"{line[name]:,}", is_number=True) for name in ("n", "pending")]
        if has_interval:
            low, high = (_amount(line[name], unit) for name in ("ci_low", "ci_high"))
            cells.append(_text("none" if "-" in (low, high) else f"{low} to {high}", is_number=True))
        rows.append(cells)
    few = '<p class="quiet">* too few samples for this percentile</p>' if _has_few(summary) else ""
    return _table(title, headings, rows) + few


def _statistic(line: Mapping[Any, Any], name: str) -> str:
    """A number of the summary; of what a run has one of, no percentiles, and a mark where samples are few."""
    note = str(line["note"])
    if name.startswith("p") and MEAN_ONLY in note:
        return "-"
    return _amount(line[name], str(line["unit"])) + ("*" if name in note.partition("too few for")[2] else "")


def _has_few(summary: pd.DataFrame) -> bool:
    notes = summary["note"].astype("string").fillna("")
    return bool((notes.str.contains("too few for") & ~notes.str.contains(MEAN_ONLY)).any())


def _amount(value: float, unit: str) -> str:
    if math.isnan(value):
        return "-"
    return seconds_text(value * 1e9) if unit == "s" else amount_text(value)


def _table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f"<h3>{escape(title)}</h3>\n<table>\n<tr>{head}</tr>\n{body}\n</table>"


def _text(text: str, *, is_number: bool = False) -> str:
    if is_number:
        return f"<td>{escape(text)}</td>"
    return f'<td class="text{" long" * (len(text) > _LONG)}">{escape(text)}</td>'


def _verdict(is_met: bool) -> str:
    return '<td class="met">met</td>' if is_met else '<td class="unmet">NOT MET</td>'


def _figures(paths: Sequence[Path]) -> str:
    """Every figure once, as SVG inside the page; in an image, so that the names in two do not clash."""
    told = []
    for path in paths:
        if path.suffix == ".svg":
            name = escape(path.stem.replace("_", " "))
            data = base64.b64encode(path.read_bytes()).decode()
            told.append(f'<figure><img alt="{name}" src="data:image/svg+xml;base64,{data}"></figure>')
    return "\n".join(told)
