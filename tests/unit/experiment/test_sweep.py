"""Sweeps: one row a run, failures as rows, resuming, and refusals before anything is played."""

from __future__ import annotations

import errno
import math
from concurrent.futures import BrokenExecutor, Executor, ThreadPoolExecutor

import pytest

import simulator as xs
from simulator.experiment import engines
from simulator.results import records
from simulator.results.storage import ResultsError
from tests.many import bytes_of, messages_and_failure, tiny

OVER = {"envoy.initial_fetch_timeout": ["1s", "2s"]}


def swept(**keywords):
    given = {"over": OVER, "replications": 2, "executor": "serial", **keywords}
    return xs.sweep(tiny(), given.pop("over"), **given)


@pytest.fixture
def counted(monkeypatch):
    """How many worlds are built."""
    built = []
    real = engines.build

    def build(scenario, seed, replication, *how):
        built.append((seed, replication))
        return real(scenario, seed, replication, *how)

    monkeypatch.setattr(engines, "build", build)
    return built


def test_one_row_a_run_sorted_by_cell_and_replication() -> None:
    runs = swept().runs
    assert runs["variant"].tolist() == ["1s", "1s", "2s", "2s"]
    assert runs["envoy.initial_fetch_timeout"].tolist() == ["1s", "1s", "2s", "2s"]
    assert runs["replication"].tolist() == [0, 1, 0, 1]
    assert runs["error"].isna().all()
    assert runs.loc[0, "digest"] != runs.loc[1, "digest"]
    assert {"seed", "xds_messages", "xds_bytes", "control_plane_cpu", "active_delay.p99"} <= set(runs.columns)


def test_every_cell_meets_the_same_random_numbers() -> None:
    runs = swept().runs
    assert runs.loc[0, "active_delay.mean"] == runs.loc[2, "active_delay.mean"]
    assert runs["timeline"].nunique() == 1


def test_a_sweep_is_written_read_and_the_same(tmp_path) -> None:
    done = swept(out=tmp_path)
    loaded = xs.load_experiment(tmp_path)
    assert isinstance(loaded, xs.Sweep)
    assert loaded.runs.equals(done.runs)
    assert loaded.summary().equals(done.summary())
    assert loaded.table().equals(done.table())
    assert loaded.digest == done.digest
    assert {"manifest.json", "runs.parquet", "summary.parquet"} <= set(bytes_of(tmp_path))
    swept().save(tmp_path / "again")
    assert bytes_of(tmp_path / "again")["runs.parquet"] == bytes_of(tmp_path)["runs.parquet"]
    with pytest.raises(ResultsError, match="not a compare"):
        xs.Comparison.load(tmp_path)
    with pytest.raises(ResultsError, match=r"manifest\.json"):
        xs.load_experiment(tmp_path / "nowhere")


def test_the_summary_pools_and_says_what_intervals_rest_on() -> None:
    done = swept(replications=5)
    line = done.summary().query("variant == '1s' and metric == 'active_delay'").iloc[0]
    assert (line["n"], line["runs"]) == (10, 5)
    assert line["p50"] == done.pooled("1s", "active_delay").quantile(0.5)
    assert line["ci_low"] < line["mean"] < line["ci_high"]
    assert "too few for p99" in line["note"]
    assert math.isinf(line["p99_high"])
    assert "one run is one independent unit" in swept(replications=1).summary().iloc[0]["note"]


def test_a_failed_run_is_a_row_and_the_others_stay(monkeypatch, tmp_path) -> None:
    real = engines.build

    def build(scenario, seed, replication, *how):
        if replication == 1:
            raise RuntimeError("no luck")
        return real(scenario, seed, replication, *how)

    monkeypatch.setattr(engines, "build", build)
    done = swept(out=tmp_path, replications=3)
    assert done.runs["error"].fillna("").tolist() == ["", "RuntimeError: no luck", ""] * 2
    assert done.table()["failed"].tolist() == [1, 1]
    assert done.estimate("1s", "active_delay").units == 2
    assert xs.load_experiment(tmp_path).runs.equals(done.runs)


def test_a_sweep_in_which_everything_fails_still_has_its_rows(monkeypatch) -> None:
    monkeypatch.setattr(engines, "build", lambda *_: 1 / 0)
    done = swept()
    assert done.runs["error"].nunique() == 1
    assert len(done.summary()) == 0
    assert math.isnan(done.table()["value"].iloc[0])


def test_resuming_plays_only_what_is_missing(tmp_path, counted) -> None:
    swept(out=tmp_path)
    whole = bytes_of(tmp_path)
    names = sorted(path.name for path in (tmp_path / "runs").iterdir())
    (tmp_path / "runs" / names[1]).unlink()
    (tmp_path / "runs" / names[2]).write_bytes(b"torn")
    counted.clear()
    swept(out=tmp_path, resume=True)
    assert len(counted) == 2
    assert bytes_of(tmp_path) == whole
    counted.clear()
    swept(out=tmp_path, resume=True, replications=3)
    assert [replication for _, replication in counted] == [2, 2]


def test_what_a_killed_process_was_writing_is_swept_away(tmp_path) -> None:
    swept(out=tmp_path, keep_tables=True)
    whole = bytes_of(tmp_path)
    runs = tmp_path / "runs"
    some = next(path for path in runs.iterdir() if path.is_dir())
    for place in (tmp_path / ".runs.parquet", runs / ".x.run", some / ".changes.parquet"):
        place.with_name(f"{place.name}.4711.0123abcd").write_bytes(b"half a")
    (runs / ".mine").write_bytes(b"")
    swept(out=tmp_path, keep_tables=True, resume=True)
    assert bytes_of(tmp_path) == {**whole, "runs/.mine": b""}


def test_a_run_that_failed_for_good_is_not_played_again(tmp_path, monkeypatch) -> None:
    tries = []
    monkeypatch.setattr(engines, "build", lambda *_: tries.append(1) or 1 / 0)
    swept(out=tmp_path)
    swept(out=tmp_path, resume=True)
    assert len(tries) == 4


def test_without_resume_a_finished_sweep_is_replaced_and_an_unfinished_one_is_not(tmp_path, counted) -> None:
    swept(out=tmp_path)
    swept(out=tmp_path)
    assert len(counted) == 8

    def stop(progress):
        if progress.done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        swept(out=tmp_path, progress=stop)
    with pytest.raises(xs.ExperimentError, match="did not end"):
        swept(out=tmp_path)


def test_an_interrupt_keeps_what_is_done_and_tells_of_it(tmp_path, counted) -> None:
    def stop(progress):
        if progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        swept(out=tmp_path, progress=stop)
    assert len(xs.load_experiment(tmp_path).runs) == 3
    counted.clear()
    assert len(swept(out=tmp_path, resume=True).runs) == 4
    assert len(counted) == 1


def test_a_full_disk_loses_nothing_that_is_finished(tmp_path, monkeypatch, counted) -> None:
    real = records.write_bytes

    def full(path, content):
        if len(list(tmp_path.glob("runs/*.run"))) >= 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, content)

    monkeypatch.setattr(records, "write_bytes", full)
    with pytest.raises(xs.ExperimentStopped, match="No space left on device"):
        swept(out=tmp_path)
    monkeypatch.setattr(records, "write_bytes", real)
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".") and path.name != ".token"]
    counted.clear()
    done = swept(out=tmp_path, resume=True)
    assert len(counted) == 2
    assert done.runs.equals(swept().runs)


class Breaks(Executor):
    """An executor that plays two runs and is gone."""

    def __init__(self) -> None:
        self.own = ThreadPoolExecutor(1)
        self.left = 2

    def submit(self, fn, /, *arguments, **keywords):
        if not self.left:
            raise BrokenExecutor("gone")
        self.left -= 1
        return self.own.submit(fn, *arguments, **keywords)


def test_a_broken_executor_of_the_caller_stops_the_sweep_and_keeps_what_is_done(tmp_path, counted) -> None:
    with pytest.raises(xs.ExperimentStopped, match="gone"):
        swept(out=tmp_path, executor=Breaks())
    counted.clear()
    swept(out=tmp_path, resume=True)
    assert len(counted) == 2


def test_any_executor_gives_the_same(tmp_path) -> None:
    with ThreadPoolExecutor(2) as threads:
        swept(out=tmp_path / "threads", executor=threads)
    swept(out=tmp_path / "serial")
    assert bytes_of(tmp_path / "threads") == bytes_of(tmp_path / "serial")


def test_raw_tables_are_kept_when_asked(tmp_path) -> None:
    done = swept(out=tmp_path, keep_tables=True)
    for row in done.runs.itertuples():
        result = xs.Result.load(tmp_path / "runs" / row.fingerprint)
        assert result.digest == row.digest
        assert len(result.messages) == row.xds_messages


def test_a_measure_is_a_column_and_a_metric() -> None:
    done = swept(measure=messages_and_failure)
    assert (done.runs["responses"] > 3).all()
    assert done.estimate("2s", "responses").n == 2
    assert "responses" in done.summary()["metric"].tolist()


def test_progress_is_told() -> None:
    told = []
    swept(progress=lambda progress: told.append((progress.done, progress.total, progress.eta_s)))
    assert [(done, total) for done, total, _ in told] == [(n, 4) for n in range(5)]
    assert told[0][2] is None
    assert told[-1][2] == 0


@pytest.mark.parametrize(
    ("over", "key"),
    [
        ({"propagation.strateg": ["push"]}, "propagation.strateg"),
        ({"propagation.strategy": ["push", "pigeon"]}, "propagation.strategy"),
        ({"mesh.proxies": [1, -1]}, "mesh.proxies"),
        ({"envoy.initial_fetch_timeout": [5]}, "envoy.initial_fetch_timeout"),
    ],
)
def test_bad_keys_and_values_are_all_refused_before_anything_is_played(over, key, tmp_path, counted) -> None:
    with pytest.raises(xs.ScenarioError) as refused:
        swept(over={**over, "duration": ["soon", "2s"]}, out=tmp_path / "x")
    assert key in str(refused.value)
    assert "duration" in str(refused.value)
    assert len(str(refused.value).splitlines()) == len(set(str(refused.value).splitlines()))
    assert not counted
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("keywords", "why"),
    [
        ({"over": {}}, "at least one key"),
        ({"replications": 0}, "replications"),
        ({"replications": True}, "replications"),
        ({"executor": "magic"}, "unknown executor"),
        ({"resume": True}, "out"),
        ({"keep_tables": True}, "directory"),
        ({"ci_of": "mean(active_delay)"}, "until_ci"),
        ({"until_ci": "0%"}, "until_ci"),
        ({"until_ci": 5}, "until_ci"),
        ({"until_ci": "5%", "ci_of": "p99(activ_delay)"}, "did you mean"),
        ({"until_ci": "5%", "ci_of": "worst(active_delay)"}, "unknown statistic"),
        ({"measure": lambda result: {}}, "function of a module"),
        ({"design": "sobol"}, "points"),
    ],
)
def test_options_that_make_no_sense_are_refused(keywords, why, counted) -> None:
    with pytest.raises(xs.ExperimentError, match=why):
        swept(**keywords)
    assert not counted
