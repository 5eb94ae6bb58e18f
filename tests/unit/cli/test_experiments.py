"""`compare`, `sweep` and replicated `run`: what they print, write and refuse, and with which exit status."""

import re

import pytest

import simulator as xs
from simulator.cli.main import main
from tests.many import TINY_YAML

TINY = TINY_YAML.replace("name: tiny\n", "question: How long?\n")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def quick_figures(monkeypatch):
    """Drawing takes most of a second; tests of something else go without."""
    monkeypatch.setattr("simulator.report.experiment_figures.EXPERIMENT_FIGURES", {})


def test_compare_prints_each_variant_and_the_paired_differences(here, scenario_file, quick_figures, capsys):
    path = str(scenario_file(TINY))
    words = ["compare", path, "--over", "propagation.protocol=sotw,delta", "--replications", "3"]
    assert main([*words, "--executor", "serial"]) == 0
    printed = capsys.readouterr().out
    assert "small  (seed 1, 6 runs)\nHow long?" in printed
    for heading in ("p50", "p90", "p99", "staleness", "xDS messages", "xDS bytes", "control-plane CPU"):
        assert heading in printed
    assert "delta - sotw, replication by replication" in printed
    assert re.search(r"active_delay +mean +\S+ \S+ .*correlation|correlation", printed)
    assert "results: results/small-compare-1" in printed
    compared = xs.Comparison.load(here / "results" / "small-compare-1")
    assert compared.variants == ["sotw", "delta"]


def test_compare_takes_several_files(here, scenario_file, quick_figures, capsys):
    first, second = scenario_file(TINY, "a.yaml"), scenario_file(TINY + "seed: 5\n", "b.yaml")
    words = ["compare", str(first), str(second), "--replications", "1", "--executor", "serial", "--out", "o"]
    assert main(words) == 0
    assert xs.Comparison.load("o").runs["seed"].tolist() == [1, 1]
    assert xs.Comparison.load("o").variants == ["a", "b"]


def test_sweep_and_the_python_api_give_equal_numbers(here, scenario_file, quick_figures, capsys):
    path = scenario_file(TINY)
    words = ["sweep", str(path), "--over", "network.latency=1ms,2ms", "--replications", "2", "--seed", "4"]
    assert main([*words, "--executor", "serial", "--out", "o"]) == 0
    over = {"network.latency": ["1ms", "2ms"]}
    swept = xs.sweep(xs.load_scenario(path), over, replications=2, seed=4, executor="serial")
    assert xs.Sweep.load("o").runs.equals(swept.runs)
    printed = capsys.readouterr().out
    assert "active_delay over network.latency" in printed
    assert "p99 owned by" in printed
    assert "Which knob moves p99 of active_delay" in printed
    assert re.search(r"network\.latency +1ms -> 2ms +\+", printed)


def test_a_replicated_run_prints_intervals(here, scenario_file, quick_figures, capsys):
    path = scenario_file(TINY)
    assert main(["run", str(path), "--until-ci", "80%", "--executor", "serial"]) == 0
    printed = capsys.readouterr().out
    assert "Metrics of 10 replications together" in printed
    assert re.search(r"active_delay +\d", printed)
    assert len(xs.Replications.load(here / "results" / "small-1").runs) == 10


def test_an_expectation_that_is_not_met_in_a_run_gives_status_1(here, scenario_file, quick_figures, capsys):
    path = scenario_file(TINY + "expect: [max(active_delay) < 1ns, startups.timed_out == 0]\n")
    assert main(["run", str(path), "--replications", "2", "--executor", "serial"]) == 1
    assert "NOT MET in 2 of 2 runs: max(active_delay) < 1ns" in capsys.readouterr().out


def test_failed_runs_are_told_and_only_when_all_fail_is_it_status_3(
    here, scenario_file, quick_figures, capsys, monkeypatch
):
    from simulator.experiment import engines

    real = engines.build
    fails = [1]

    def build(scenario, seed, replication, *how):
        if replication in fails:
            raise RuntimeError("no luck")
        return real(scenario, seed, replication, *how)

    monkeypatch.setattr(engines, "build", build)
    words = ["sweep", str(scenario_file(TINY)), "--over", "network.latency=1ms,2ms", "--replications", "2"]
    words += ["--executor", "serial", "--out", "o"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "1 (+1 failed)" in printed
    assert "2 x RuntimeError: no luck" in printed
    fails.append(0)
    assert main(words) == 3


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["compare", "FILE"], "compare what?"),
        (["compare", "FILE", "FILE"], "named twice"),
        (["sweep", "FILE"], "sweep over what?"),
        (["sweep", "FILE", "--over", "mesh"], "--over 'mesh' varies nothing"),
        (["sweep", "FILE", "--over", "a=1", "--over", "a=2"], "given twice"),
        (["sweep", "FILE", "--over", "propagation.strateg=push,poll"], "did you mean 'strategy'?"),
        (["sweep", "FILE", "--over", "mesh.proxies=1,-5"], "--over mesh.proxies: must be at least 0"),
        (["sweep", "FILE", "--over", "duration=1..5"], "duration=1..5: a grid needs"),
        (["sweep", "FILE", "--over", "duration=1s", "--executor", "magic"], "unknown executor 'magic'"),
        (["sweep", "FILE", "--over", "duration=1s", "--design", "lhs"], "--points"),
        (["sweep", "FILE", "--over", "duration=1s", "--replications", "0"], "whole number from 1"),
        (["compare", "FILE", "--over", "duration=1s"], "two variants"),
        (["run", "FILE", "--until-ci", "5"], "until_ci"),
        (["run", "FILE", "--executor", "threads"], "processes:N"),
        (["run", "FILE", "--keep-tables"], "--replications"),
        (
            ["search", "FILE", "--vary", "mesh.prxies=1..9", "--meet", "timed_out == 0"],
            "--vary mesh.prxies: unk",
        ),
        (
            ["search", "FILE", "--vary", "mesh.proxies=1..9", "--meet", "timed_ot == 0"],
            "--meet expect[0]: unk",
        ),
    ],
)
def test_bad_input_is_refused_with_the_reason_and_nothing_is_written(here, scenario_file, capsys, words, why):
    path = str(scenario_file(TINY))
    assert main([path if word == "FILE" else word for word in words]) == 2
    told = capsys.readouterr().err
    assert why in told
    assert "Traceback" not in told
    assert not (here / "results").exists()


def test_no_number_of_many_runs_is_cut(here, scenario_file, capsys, monkeypatch):
    monkeypatch.setattr("simulator.cli.experiment_tables._WIDE", 120)
    words = ["run", str(scenario_file(TINY)), "--replications", "5", "--executor", "serial", "--out", "o"]
    main(words)
    printed = capsys.readouterr().out.partition("Metrics of")[2].partition("\n\n")[0]
    assert "…" not in printed
    assert "pending" not in printed, "nothing is: the column would say nothing"


@pytest.mark.slow
def test_an_unreachable_dask_cluster_is_bad_input(here, scenario_file, capsys, monkeypatch):
    pytest.importorskip("distributed", reason="needs the extra `dask`")
    monkeypatch.setattr("simulator.experiment.executors._DASK_WAIT", "0.2s")
    words = ["sweep", str(scenario_file(TINY)), "--over", "duration=1s", "--executor", "dask://127.0.0.1:1"]
    assert main(words) == 2
    assert "no scheduler answers there" in capsys.readouterr().err
    assert not (here / "results").exists()


def test_an_interrupt_says_what_is_kept_and_how_to_go_on(
    here, scenario_file, quick_figures, capsys, monkeypatch
):
    from simulator.experiment import engines

    real = engines.build

    def build(scenario, seed, replication, *how):
        if replication == 2:
            raise KeyboardInterrupt
        return real(scenario, seed, replication, *how)

    monkeypatch.setattr(engines, "build", build)
    words = ["run", str(scenario_file(TINY)), "--replications", "4", "--executor", "serial", "--out", "o"]
    assert main(words) == 130
    told = capsys.readouterr().err
    assert "2 finished runs are kept in o" in told
    assert "--resume" in told
    assert main(words) == 2
    assert "--resume" in capsys.readouterr().err
    monkeypatch.setattr(engines, "build", real)
    assert main([*words, "--resume"]) == 0


def test_a_full_disk_is_said_with_what_is_kept(here, scenario_file, quick_figures, capsys, monkeypatch):
    from simulator.results import records

    def full(path, content):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(records, "write_bytes", full)
    words = ["run", str(scenario_file(TINY)), "--replications", "2", "--executor", "serial", "--out", "o"]
    assert main(words) == 3
    assert "No space left on device" in capsys.readouterr().err


@pytest.mark.slow
def test_figures_of_each_kind_of_experiment(here, scenario_file):
    path = str(scenario_file(TINY))
    common = ["--executor", "serial", "--replications", "2"]
    assert main(["compare", path, "--over", "network.latency=1ms,5ms", *common, "--out", "c"]) == 0
    assert main(["sweep", path, "--over", "network.latency=1ms,5ms", *common, "--out", "s"]) == 0
    two = ["--over", "network.latency=1ms,5ms", "--over", "propagation.protocol=sotw,delta"]
    assert main(["sweep", path, *two, *common, "--out", "h"]) == 0
    for directory, names in (
        ("c", {"comparison", "paired", "pareto", "pareto-bytes"}),
        ("s", {"sweep"}),
        ("h", {"heatmap"}),
    ):
        assert {path.stem for path in (here / directory).glob("*.svg")} == names
    assert main(["compare", path, "--over", "network.latency=1ms,5ms", *common, "--out", "c2"]) == 0
    for name in ("comparison.png", "paired.svg", "pareto.svg"):
        assert (here / "c" / name).read_bytes() == (here / "c2" / name).read_bytes()
