"""What results look like in Jupyter, and what their columns mean."""

from __future__ import annotations

import pytest

import simulator as xs
from simulator.recording.columns import TABLES
from simulator.recording.meanings import ROWS, meaning_of
from tests.many import mesh, tiny


def test_a_result_shows_warnings_verdicts_and_the_summary() -> None:
    result = xs.run(tiny().with_(name="a.b", expect=["time_to_ready < 1ns"]))
    result.warnings.append("<b>too hot</b>")
    shown = result._repr_html_()
    assert "<strong>&lt;Result a.b " in shown
    assert "warning: &lt;b&gt;too hot&lt;/b&gt;" in shown
    assert "NOT MET: time_to_ready &lt; 1ns" in shown
    assert "<th>time_to_ready</th>" in shown


def test_many_runs_show_their_table_and_the_errors_of_those_that_failed() -> None:
    sweep = xs.sweep(tiny(), {"network.latency": ["1ms", "2ms"]}, executor="serial")
    assert "2 cells, 2 runs" in sweep._repr_html_()
    sweep.runs.loc[0, "error"] = "RuntimeError: <bad>"
    assert "failed: RuntimeError: &lt;bad&gt;" in sweep._repr_html_()


def test_numbers_are_short_and_nothing_is_a_dash() -> None:
    comparison = xs.compare({"a": mesh(), "b": mesh()}, replications=2, executor="serial")
    shown = comparison._repr_html_()
    assert "nan" not in shown.lower()
    assert "<td>2</td>" in shown
    longest = max(len(cell) for cell in shown.replace("</td>", "<td>").split("<td>")[1::2])
    assert longest < 20


@pytest.mark.parametrize("table", TABLES)
def test_every_column_of_every_table_has_a_meaning(table: str) -> None:
    assert ROWS[table]
    told = xs.Result.columns(table)
    assert list(told.index) == list(TABLES[table])
    assert told["meaning"].str.len().min() >= 4
    assert told.loc[told.index[0], "meaning"] == meaning_of(table, told.index[0])


def test_every_table_is_an_attribute_of_a_result() -> None:
    result = xs.run(tiny())
    for table in TABLES:
        assert getattr(result, table) is result.tables[table]


def test_an_unknown_table_names_those_there_are() -> None:
    with pytest.raises(KeyError, match="no table 'delivery'; there are changes, deliveries"):
        xs.Result.columns("delivery")
