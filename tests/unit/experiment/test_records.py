"""What a run leaves behind comes back unchanged, and a damaged record is taken for none."""

import math

import numpy as np
import pytest

from simulator.experiment.play import play
from simulator.experiment.task import Cell, tasks_of
from simulator.results.records import RunRecord, read_record, write_record
from simulator.results.samples import Samples
from tests.many import messages_and_failure, tiny


def record() -> RunRecord:
    samples = {
        "few": Samples.of(np.array([0.25, math.inf])),
        "many": Samples.of(np.geomspace(1e-3, 10, 20_000)),
    }
    row = {"digest": "d", "error": None, "few.mean": math.inf, "few.p50": math.nan, "events": 5}
    return RunRecord("f" * 24, 3, row, samples)


def test_a_record_comes_back_unchanged(tmp_path) -> None:
    write_record(tmp_path / "x.run", record())
    found = read_record(tmp_path / "x.run")
    assert found is not None
    assert (found.fingerprint, found.replication, found.is_final) == ("f" * 24, 3, True)
    assert found.row["few.mean"] == math.inf
    assert math.isnan(found.row["few.p50"])
    for name, samples in record().samples.items():
        assert found.samples[name].values.tolist() == samples.values.tolist()
        assert found.samples[name].total == samples.total
        assert found.samples[name].is_exact == samples.is_exact
    assert found.to_bytes() == record().to_bytes()


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b[:40] + b"x" + b[41:], lambda b: b"", lambda b: b"?"]
)
def test_a_damaged_record_is_none(tmp_path, damage) -> None:
    (tmp_path / "x.run").write_bytes(damage(record().to_bytes()))
    assert read_record(tmp_path / "x.run") is None
    assert read_record(tmp_path / "missing.run") is None


def test_a_run_that_fails_is_a_record_with_its_error(monkeypatch) -> None:
    def broken(*_):
        raise RuntimeError("the world\nended")

    monkeypatch.setattr("simulator.experiment.engines.build", broken)
    (task,) = tasks_of(Cell(0, "a", {}, tiny()), range(1), 1)
    failed = play(task)
    assert failed.error == "RuntimeError: the world ended"
    assert failed.is_final


def test_the_numbers_of_a_run_are_those_of_its_summary() -> None:
    import simulator as xs

    scenario = tiny()
    (task,) = tasks_of(Cell(0, "a", {}, scenario), range(2, 3), 5)
    row = play(task).row
    result = xs.run(scenario, seed=5, replication=2)
    assert row["digest"] == result.digest
    for metric, line in result.summary().iterrows():
        assert row[f"{metric}.p99"] == line["p99"]
        assert row[f"{metric}.mean"] == line["mean"]
        assert row[f"{metric}.pending"] == line["pending"]
    assert row["xds_messages"] == len(result.messages)
    assert row["xds_bytes"] == result.messages["bytes"].sum()


def test_a_measure_sees_the_whole_result() -> None:
    (task,) = tasks_of(Cell(0, "a", {}, tiny()), range(1), 1, measure=messages_and_failure)
    assert play(task).row["responses"] > 3


def test_what_decides_a_run_is_in_its_fingerprint() -> None:
    def name(scenario=None, seed=1, replication=0, measure=None) -> str:
        cell = Cell(0, "a", {}, tiny() if scenario is None else scenario)
        return tasks_of(cell, range(replication, replication + 1), seed, measure=measure)[0].fingerprint

    others = [
        name(tiny(duration="3s")),
        name(seed=2),
        name(replication=1),
        name(measure=messages_and_failure),
    ]
    assert len({name(), *others}) == 5
    assert name(tiny(name="other", question="why?")) == name()
