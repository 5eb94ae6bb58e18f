import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import simulator as xs
from simulator.cli.main import main
from simulator.cli.terminal import _amount
from simulator.results.result import Result
from simulator.scenario.problems import Problem

FIGURES = {"startup.png", "startup.svg", "states.png", "states.svg"}


@pytest.fixture
def quick_figures(monkeypatch):
    """Drawing takes most of a second; tests of something else go without."""
    monkeypatch.setattr("simulator.report.figures.FIGURES", {})


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_a_run_writes_tables_and_figures_into_results_name_seed(here, scenario_file, played):
    assert main(["run", str(scenario_file(name="small.yaml"))]) == 0
    directory = here / "results" / "small-1"
    assert {path.name for path in directory.iterdir()} >= FIGURES | {"manifest.json", "startups.parquet"}
    assert len(Result.load(directory).startups) == 1


SMALL = """
envoy: {preset: envoy, initial_fetch_timeout: 2s}
control_plane:
  kind: scripted
  resources: {clusters: {count: 2, type: eds}, listeners: {count: 1, routes: rds}}
  answers: {eds: [{never: true}]}
expect: [startups.timed_out == 1, time_to_ready < 3s]
"""


@pytest.mark.slow
def test_the_command_and_the_python_api_give_equal_numbers(here, scenario_file, capsys):
    path = scenario_file(SMALL)
    assert main(["run", str(path), "--seed", "7", "--out", "out"]) == 0
    assert re.search(r"EDS timed out \(2\)", capsys.readouterr().out)
    stored = Result.load(here / "out")
    assert stored.digest == xs.run(xs.load_scenario(path), seed=7).digest
    assert {path.name for path in (here / "out").iterdir()} >= FIGURES


@pytest.mark.slow
def test_the_same_run_twice_gives_equal_bytes_in_every_file(here, scenario_file, capsys):
    path = str(scenario_file(SMALL))
    assert main(["run", path, "--out", "first"]) == main(["run", path, "--out", "second"]) == 0
    names = sorted(path.name for path in (here / "first").iterdir())
    assert names == sorted(path.name for path in (here / "second").iterdir())
    for name in names:
        assert (here / "first" / name).read_bytes() == (here / "second" / name).read_bytes(), name


def test_a_run_prints_question_phases_metrics_deliveries_warnings_and_place(
    here, scenario_file, played, quick_figures, capsys
):
    assert main(["run", str(scenario_file("question: How long?\n"))]) == 0
    printed = capsys.readouterr().out
    assert "small  (seed 1)\nHow long?\n" in printed
    lines = {line.split("  ")[1].strip(): line for line in printed.splitlines() if line.startswith("  ")}
    assert re.search(r"health-check round +2.06 s +2.00 s +EDS timed out \(3\)$", lines["clusters"].rstrip())
    assert "listeners begin to accept" in lines["workers"]
    assert lines["time_to_ready"].split()[:3] == ["time_to_ready", "2.06", "s"]
    assert re.search(r"20.0 s +- +1 +∞$", lines["cds c0"].rstrip())  # the later of the two pushes
    assert "warning: a queue is too long" in printed
    assert "results: results/small-1" in printed
    assert "Expectations" not in printed


def test_many_envoys_are_told_by_quantiles(here, scenario_file, played, quick_figures, capsys):
    assert main(["run", str(scenario_file("mesh: {proxies: 200}\n"))]) == 0
    printed = capsys.readouterr().out
    assert "Start-up of 200 Envoys" in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("  clusters ")]
    assert re.search(r"2.00 s +2.00 s +2.00 s +- +EDS timed out in 200$", line.rstrip())
    (line,) = [line for line in printed.splitlines() if "start to workers" in line]
    assert re.search(r"2.16 s +2.26 s +2.26 s +- +listeners begin to accept$", line.rstrip())


def test_a_narrow_terminal_gets_whole_names_and_no_explanations(
    here, scenario_file, played, quick_figures, capsys, monkeypatch
):
    monkeypatch.setattr("simulator.cli.terminal.WIDE", 80)
    assert main(["run", str(scenario_file())]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("  fetch_timeouts ") for line in lines)
    assert not any("health-check round" in line for line in lines)


@pytest.mark.parametrize(("expected", "status", "verdict"), [("3s", 0, "met"), ("2s", 1, "NOT MET")])
def test_the_exit_status_tells_whether_expectations_are_met(
    here, scenario_file, played, quick_figures, capsys, expected, status, verdict
):
    assert main(["run", str(scenario_file(f"expect: ['time_to_ready < {expected}']\n"))]) == status
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "time_to_ready <" in line]
    assert line.split("  ")[1].strip() == verdict
    assert "2.06s" in line


@pytest.mark.slow
def test_an_output_that_lacks_characters_gets_question_marks(scenario_file, tmp_path):
    code = "import sys; from simulator.cli.main import main; sys.exit(main(sys.argv[1:]))"
    path = scenario_file("expect: ['µ < 1']\n")
    ended = subprocess.run(
        [sys.executable, "-c", code, "validate", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert ended.returncode == 2
    assert "?" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_seed_and_set_reach_the_run_and_the_name_of_the_directory(here, scenario_file, played, quick_figures):
    path = str(scenario_file())
    assert main(["run", path, "--seed", "7", "--set", "mesh.proxies=2", "--set", "duration=9s"]) == 0
    ((scenario, seed),) = played
    assert (seed, scenario.mesh.proxies.sidecars, scenario.duration) == (7, 2, 9_000_000_000)
    assert (here / "results" / "small-7" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        ("duraton: 5s\n", [], "{path}:1: duraton: "),
        ("duration: 5s\n", ["--set", "durtion=5s"], "--set durtion: "),
        ("duration: 5s\n", ["--set", "name=2024"], "--set name: must be a name"),
        (None, [], "{path}: no such file"),
    ],
)
def test_bad_input_ends_with_2_and_writes_nothing(here, scenario_file, played, capsys, text, more, said):
    path = "absent.yaml" if text is None else str(scenario_file(text))
    before = sorted(here.iterdir())
    assert main(["run", path, *more]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(said.format(path=path))
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert sorted(here.iterdir()) == before
    assert played == []


@pytest.mark.parametrize(
    ("mesh", "said"),
    [
        ("{proxies: 3}", "No Envoy was started during the run: all were connected"),
        ("{proxies: 0}", "No Envoy was started."),
    ],
)
def test_a_quiet_mesh_is_told_to_have_been_connected(here, scenario_file, quick_figures, capsys, mesh, said):
    path = scenario_file(f"mesh: {mesh}\ncontrol_plane: {{kind: istiod}}\nduration: 1s\n")
    assert main(["run", str(path)]) == 0
    assert said in capsys.readouterr().out


VERSIONED = "control_plane: {kind: istiod}\n"


@pytest.mark.parametrize(("option", "words"), [("--set", ["run"]), ("--over", ["sweep"])])
def test_a_version_that_a_shell_unquoted_is_refused_with_the_words_that_work(
    here, scenario_file, capsys, option, words
):
    path = str(scenario_file(VERSIONED))
    assert main([*words, path, option, "control_plane.version=1.30"]) == 2
    advised = capsys.readouterr().err.rstrip().rpartition(f"{option} '")[2].removesuffix("'")
    assert advised == 'control_plane.version="1.30"'
    overrides = dict([tuple(advised.split("=", 1))])
    assert xs.load_scenario(path, overrides).control_plane.version == "1.30"


def test_the_fleet_engine_says_no_in_the_run_and_that_is_bad_input(here, scenario_file, monkeypatch, capsys):
    def refuse(scenario, seed=None, executor=None):
        raise xs.ScenarioError([Problem(None, None, "engine", "the fleet engine has no such thing")])

    monkeypatch.setitem(vars(xs), "run", refuse)
    path = str(scenario_file())
    assert main(["run", path]) == 2
    assert capsys.readouterr().err == f"{path}: engine: the fleet engine has no such thing\n"
    assert not (here / "results").exists()


@pytest.mark.parametrize(
    ("value", "told"), [(1252.29, "1,252"), (999.6, "1,000"), (241.4, "241"), (3.74, "3.74"), (30.0, "30")]
)
def test_expected_counts_are_told_without_exponents(value, told):
    assert _amount(value, "count") == told


def test_a_second_run_replaces_the_first_and_leaves_other_files_alone(
    here, scenario_file, played, quick_figures
):
    out = here / "out"
    path = str(scenario_file())
    assert main(["run", path, "--out", str(out)]) == 0
    (out / "notes.txt").write_text("mine")
    assert main(["run", path, "--out", str(out), "--seed", "2"]) == 0
    assert (out / "notes.txt").read_text() == "mine"
    assert json.loads((out / "manifest.json").read_text())["seed"] == 2
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_played(
    here, scenario_file, played, monkeypatch, capsys
):
    path = str(scenario_file())
    (here / "file").write_text("mine")
    before = sorted(here.rglob("*"))

    def is_full(self: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    for place, into in (("file/below/it", here / "file"), ("n" * 300, here), ("nul\0", here)):
        assert main(["run", path, "--out", place]) == 2
        assert capsys.readouterr().err.startswith(f"xdsim: --out {place}: cannot write into {into}: ")
    monkeypatch.setattr(Path, "write_bytes", is_full)
    assert main(["run", path, "--out", "new/place"]) == 2
    said = "No space left on device; name another directory\n"
    assert capsys.readouterr().err == f"xdsim: --out new/place: cannot write into {here}: {said}"
    assert sorted(here.rglob("*")) == before
    assert played == []


def test_looking_whether_results_can_be_written_leaves_nothing(here, scenario_file, capsys):
    """The scenario is refused after the place was looked at."""
    path = str(scenario_file())
    assert main(["run", path, "--out", "new/place", "--resume"]) == 2
    assert "--resume" in capsys.readouterr().err
    assert not (here / "new").exists()


def test_results_never_replace_what_is_no_result(here, scenario_file, played, capsys):
    path = str(scenario_file())
    (here / "file").write_text("mine")
    (here / "extension").mkdir()
    (here / "extension" / "manifest.json").write_text('{"manifest_version": 3}')
    for place in ("file", "file/below", "extension"):
        assert main(["run", path, "--out", place]) == 2
        assert f"xdsim: --out {place}: " in capsys.readouterr().err
    assert (here / "file").read_text() == "mine"
    assert [path.name for path in (here / "extension").iterdir()] == ["manifest.json"]
    assert played == []
