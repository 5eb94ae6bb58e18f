import os
import re
import subprocess
import sys
import time

import pytest

import simulator as xs
from simulator.cli.main import COMMANDS, main

HEAVY = (
    "numpy",
    "pandas",
    "matplotlib",
    "pydantic",
    "pydantic_core",
    "yaml",
    "rich",
    "pyarrow",
    "simpy",
    "scipy",
)


def python(*words, **more):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60, **more)


def test_help_names_every_command_and_imports_nothing_heavy():
    code = (
        "import sys\nfrom simulator.cli.main import main\nstatus = main(['--help'])\n"
        f"print([name for name in {HEAVY} if name in sys.modules], status)"
    )
    ended = python("-c", code)
    assert ended.stdout.splitlines()[-1] == "[] 0", ended.stderr
    assert [c for c in COMMANDS if not re.search(rf"^    {c}\s", ended.stdout, re.MULTILINE)] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    assert main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: xdsim {command}")


@pytest.mark.benchmark
def test_help_takes_a_few_times_what_an_empty_program_takes(tmp_path):
    """Meant to stay under 100 ms. Machines differ in what 100 ms are, so it is told in empty programs.

    Measured: 80 ms against 40 ms for Python with argparse and nothing else. NumPy alone would add 100 ms.
    """
    compiled = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    compiled.pop("PYTHONDONTWRITEBYTECODE", None)
    programs = {
        "help": "import sys; from simulator.cli.main import main; sys.exit(main(['--help']))",
        "empty": "import argparse",
    }
    took: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(11):
        for name, program in programs.items():
            began = time.perf_counter()
            assert python("-c", program, env=compiled).returncode == 0
            took[name].append(time.perf_counter() - began)
    told = {name: f"{min(times) * 1e3:.0f} to {max(times[1:]) * 1e3:.0f} ms" for name, times in took.items()}
    print(f"xdsim --help: {told['help']}; an empty program: {told['empty']}")
    assert min(took["help"]) < 3.5 * min(took["empty"])


def test_importing_the_package_imports_nothing_heavy():
    ended = python("-c", f"import sys, simulator; print([name for name in {HEAVY} if name in sys.modules])")
    assert ended.stdout == "[]\n", ended.stderr


def test_the_public_names_are_listed_and_loaded_when_used():
    assert set(xs.__all__) <= set(dir(xs))
    assert xs.load_scenario.__module__ == "simulator.scenario.loader"
    assert issubclass(xs.ScenarioError, Exception)
    assert xs.__version__


@pytest.mark.slow
def test_plots_are_a_module_of_functions():
    assert xs.plots.startup.__name__ == "startup"
    assert xs.plots.states.__name__ == "states"


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="load_senario"):
        _ = xs.load_senario


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rnu", "x.yaml"], "unknown command 'rnu'; did you mean 'run'?"),
        (["Validate"], "unknown command 'Validate'; did you mean 'validate'?"),
        (
            ["scenarios/x.yaml"],
            "unknown command 'scenarios/x.yaml'; to run a scenario, write 'xdsim run scenarios/x.yaml'",
        ),
        (["qqqq"], "unknown command 'qqqq'; there are run, compare, sweep, search"),
        (["run"], "the following arguments are required: SCENARIO"),
        (["run", "a.yaml", "--seed", "1.5"], "'1.5' is no seed"),
        (["run", "a.yaml", "--seed", "-1"], "'-1' is no seed"),
        (["run", "a.yaml", "--set", "duration"], "'duration' sets nothing"),
        (["run", "a.yaml", "--sed", "7"], "unrecognized arguments: --sed 7"),
        (["trace", "a.yaml", "--format", "pdf"], "invalid choice: 'pdf'"),
        ([], "usage: xdsim"),
    ],
)
def test_a_mistyped_command_line_ends_with_2_and_a_hint(words, said, capsys):
    assert main(words) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["run", "s.yaml", "--sed", "7"],
            "xdsim run: unrecognized arguments: --sed 7; did you mean '--seed'?\n",
        ),
        (
            ["run", "s.yaml", "--sed=7"],
            "xdsim run: unrecognized arguments: --sed=7; did you mean '--seed'?\n",
        ),
        (["lab", "run", "s.yaml", "--rus", "3"], "--rus 3; did you mean '--runs'?\n"),
        (["schema", "s.yaml"], "xdsim schema: unrecognized arguments: s.yaml\n"),
    ],
)
def test_an_unknown_option_is_bad_input_and_the_nearest_is_named(words, said, capsys):
    assert main(words) == 2
    assert capsys.readouterr().err.endswith(said)


def test_help_tells_every_exit_status(capsys):
    assert main(["--help"]) == 0
    told = re.findall(r"^  (\d+)  ", capsys.readouterr().out, re.MULTILINE)
    assert told == ["0", "1", "2", "3", "130"]


def test_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"xdsim {xs.__version__}\n"


@pytest.mark.parametrize(("debug", "shown"), [("", False), ("1", True)])
def test_a_run_that_fails_inside_ends_with_3_and_shows_where_only_on_demand(
    debug, shown, scenario_file, monkeypatch, capsys, tmp_path
):
    def fail(scenario, seed=None, executor=None):
        raise RuntimeError("the model\nis broken")

    monkeypatch.setitem(vars(xs), "run", fail)
    monkeypatch.setenv("XDSIM_DEBUG", debug)
    words = ["run", str(scenario_file()), "--out", str(tmp_path / "out")]
    assert main(words) == 3
    error = capsys.readouterr().err
    assert "run failed: RuntimeError: the model is broken" in error
    assert ("Traceback" in error) == shown
    assert ("XDSIM_DEBUG=1" in error) != shown
    assert not (tmp_path / "out").exists()


def test_an_interrupted_run_ends_with_130(scenario_file, monkeypatch, capsys, tmp_path):
    def interrupt(scenario, seed=None, executor=None):
        raise KeyboardInterrupt

    monkeypatch.setitem(vars(xs), "run", interrupt)
    assert main(["run", str(scenario_file()), "--out", str(tmp_path / "out")]) == 130
    assert capsys.readouterr().err == "xdsim: interrupted\n"


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error():
    code = "import sys; from simulator.cli.main import main; sys.exit(main(['schema']))"
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", code],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, "")
