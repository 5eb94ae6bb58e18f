"""Reference numbers beside simulated ones, and what the verdicts do to the exit status."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.cli.main import main

SCENARIO = """\
name: bare
duration: 5s
mesh: {proxies: 2, services: 1}
control_plane: {kind: istiod, costs: zero}
workload:
  - {edit: VirtualService, at: 1s}
"""


def written(folder: Path, rows: str) -> Path:
    (folder / "bare.yaml").write_text(SCENARIO)
    path = folder / "scorecard.yaml"
    path.write_text(f"- scenario: bare.yaml\n  source: a page\n  rows:\n{rows}")
    return path


def row(kind: str, expect: str = "") -> str:
    told = f', expect: "{expect}"' if expect else ""
    return f"    - {{quantity: held for, published: 100.18 ms, kind: {kind}{told}}}\n"


@pytest.mark.parametrize(
    ("limit", "status", "verdict"),
    [("== 100ms", 0, "1 of 1 verdicts are good"), ("> 200ms", 1, "0 of 1 verdicts are good")],
)
def test_the_verdict_decides_the_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], limit: str, status: int, verdict: str
) -> None:
    path = written(tmp_path, row("input") + row("predicted", f"max(debounce_delay) {limit}"))
    assert main(["scorecard", str(path)]) == status
    shown = capsys.readouterr().out
    assert verdict in shown
    assert "100.18 ms" in shown
    assert "  100 ms  " in shown
    assert "rows" not in shown
    assert ("FAILED" in shown) == bool(status)


def test_every_line_about_a_number_counts(tmp_path: Path) -> None:
    lines = '["max(debounce_delay) < 1s", "max(debounce_delay) > 200ms"]'
    rows = f"    - {{quantity: held for, published: 100 ms, kind: predicted, expect: {lines}}}\n"
    assert main(["scorecard", str(written(tmp_path, rows))]) == 1


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (row("guessed", "max(debounce_delay) < 1s"), "none of input, fitted, predicted"),
        (row("predicted"), "needs an expect line"),
        (row("predicted", "max(debounce_dely) < 1s"), "debounce_delay"),
        ("    - {quantity: held for, kind: input}\n", "missing key 'published'"),
    ],
)
def test_a_scorecard_that_cannot_be_read_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: str, told: str
) -> None:
    assert main(["scorecard", str(written(tmp_path, rows))]) == 2
    assert told in capsys.readouterr().err


def test_a_missing_scorecard_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scorecard", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml" in capsys.readouterr().err


def test_where_the_shipped_scorecards_are_not_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["scorecard"]) == 2
    assert "name a scorecard" in capsys.readouterr().err


def test_keys_may_be_set_and_the_case_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, row("predicted", "max(debounce_delay) == 2s"))
    path.write_text(path.read_text() + "  set: {control_plane.debounce.after: 2s}\n  name: patient\n")
    assert main(["scorecard", str(path)]) == 0
    assert "patient" in capsys.readouterr().out
    path.write_text(path.read_text().replace("debounce.after", "debounce.aftr"))
    assert main(["scorecard", str(path)]) == 2
    assert "after" in capsys.readouterr().err


def test_a_directory_stands_for_all_scorecards_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = written(tmp_path, row("predicted", "max(debounce_delay) == 100ms"))
    folder = tmp_path / "all"
    folder.mkdir()
    for name in ("a.yaml", "b.yaml"):
        (folder / name).write_text(first.read_text().replace("bare.yaml", "../bare.yaml"))
    assert main(["scorecard", str(folder)]) == 0
    assert "2 of 2 verdicts are good" in capsys.readouterr().out
    assert main(["scorecard", str(tmp_path / "none")]) == 2
    (tmp_path / "empty").mkdir()
    assert main(["scorecard", str(tmp_path / "empty")]) == 2
    assert "holds no scorecard" in capsys.readouterr().err


@pytest.mark.slow
def test_every_reference_number_that_is_shipped_has_a_good_verdict(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])
    status = main(["scorecard"])
    assert status == 0, capsys.readouterr().out
