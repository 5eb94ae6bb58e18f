import pytest

from simulator.cli.main import main


@pytest.fixture
def results(scenario_file, played, monkeypatch, tmp_path):
    """A run of two proxies in which p0 asked for CDS at 60 ms; the second of two pushes is rejected."""
    monkeypatch.setattr("simulator.report.figures.FIGURES", {})
    directory = tmp_path / "results"
    text = "duration: 60s\nmesh: {proxies: 2}\n"
    assert main(["run", str(scenario_file(text)), "--out", str(directory)]) == 0
    return directory


def test_the_table_is_istioctls_with_changes_outstanding_beside_it(results, capsys):
    capsys.readouterr()
    assert main(["status", str(results), "--at", "20.5s"]) == 0
    first, *rows = capsys.readouterr().out.splitlines()
    assert first.split() == ["NAME", "CDS", "LDS", "EDS", "RDS", "ECDS", "ISTIOD", "OUTSTANDING"]
    assert [row.split("   ")[0].strip() for row in rows] == ["p0", "p1"]
    assert rows[0].split() == ["p0", *["NOT", "SENT"] * 5, "istiod-0", "1", "(500", "ms)"]
    assert rows[1].split()[-4:] == ["-", "1", "(500", "ms)"]
    assert {row.index("NOT SENT") for row in rows} == {first.index("CDS")}


def test_a_directory_of_many_runs_is_told_apart_and_where_single_ones_are(scenario_file, tmp_path, capsys):
    words = ["run", str(scenario_file("duration: 1s\n")), "--replications", "2", "--executor", "serial"]
    assert main([*words, "--keep-tables", "--out", str(tmp_path / "many")]) == 0
    capsys.readouterr()
    for command in ("status", "trace"):
        assert main([command, str(tmp_path / "many")]) == 2
        assert "below runs/" in capsys.readouterr().err
    one = next(path for path in (tmp_path / "many" / "runs").iterdir() if path.is_dir())
    assert main(["trace", str(one)]) == 0


def test_without_an_instant_the_end_of_the_run_is_meant(results, capsys):
    capsys.readouterr()
    assert main(["status", str(results), "--proxy", "p1"]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith("1 (40.0 s)")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--at", "61s"], "--at 61s: the run goes from 0s to 1m"),
        (["--at", "12"], "--at 12: "),
        (["--proxy", "P0"], "--proxy P0: no such proxy then; did you mean 'p0'?"),
    ],
)
def test_what_cannot_be_shown_ends_with_2(results, capsys, more, said):
    capsys.readouterr()
    assert main(["status", str(results), *more]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


def test_a_run_without_messages_says_how_to_record_them(scenario_file, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("simulator.report.figures.FIGURES", {})
    path = scenario_file("control_plane: {kind: none}\nrecording: {messages: false}\n")
    assert main(["run", str(path), "--out", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    assert main(["status", str(tmp_path / "out")]) == 2
    assert "--set recording.messages=true" in capsys.readouterr().err


def test_a_directory_without_results_ends_with_2(tmp_path, capsys):
    assert main(["status", str(tmp_path)]) == 2
    assert "manifest.json" in capsys.readouterr().err
