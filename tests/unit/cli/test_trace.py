import json

import pytest

from simulator.cli.main import main


@pytest.fixture
def results(scenario_file, played, monkeypatch, tmp_path):
    monkeypatch.setattr("simulator.report.figures.FIGURES", {})
    directory = tmp_path / "results"
    assert main(["run", str(scenario_file("mesh: {proxies: 2}\n")), "--out", str(directory)]) == 0
    played.clear()
    return directory


def test_a_scenario_is_played_with_everything_recorded_and_told_line_by_line(scenario_file, played, capsys):
    assert main(["trace", str(scenario_file("recording: {messages: false}\n")), "--seed", "5"]) == 0
    ((scenario, seed),) = played
    assert (scenario.recording.messages, scenario.recording.states, seed) == (True, True, 5)
    printed = capsys.readouterr().out
    assert "2060.000ms  p0  start-up  workers started, listeners accept" in printed
    assert "cluster c0..c1 -> WARMING" in printed


def test_a_results_directory_is_told_without_playing(results, played, capsys):
    capsys.readouterr()
    assert main(["trace", str(results)]) == 0
    assert "workers started" in capsys.readouterr().out
    assert played == []


def test_perfetto_gives_trace_json_of_one_proxy(results, capsys):
    capsys.readouterr()
    assert main(["trace", str(results), "--format", "perfetto", "--proxy", "p1"]) == 0
    events = json.loads(capsys.readouterr().out)["traceEvents"]
    assert [each["args"]["name"] for each in events if each["name"] == "process_name"] == ["p1"]
    assert {"bootstrap", "clusters"} <= {each["name"] for each in events if each["ph"] == "X"}


def test_the_trace_goes_into_a_file_when_asked(results, tmp_path, capsys):
    main(["trace", str(results)])
    printed = capsys.readouterr().out.split("ready\n", 1)[-1]
    assert main(["trace", str(results), "--out", str(tmp_path / "trace.txt")]) == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "trace.txt").read_text().endswith(printed)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--proxy", "P0"], "--proxy P0: no such proxy; did you mean 'p0'?"),
        (["--seed", "3"], "belong to a scenario file"),
        (["--out", "."], "that is a directory"),
        (["--out", "absent/trace.txt"], "there is no directory absent"),
    ],
)
def test_what_cannot_be_traced_ends_with_2(results, capsys, more, said):
    capsys.readouterr()
    assert main(["trace", str(results), *more]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


def test_a_directory_without_results_ends_with_2(tmp_path, capsys):
    assert main(["trace", str(tmp_path)]) == 2
    assert "manifest.json" in capsys.readouterr().err
