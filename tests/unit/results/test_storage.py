"""A results directory comes back as it was, is equal byte for byte for equal runs, and fails in plain
words.
"""

import json
from pathlib import Path

import pandas as pd
import pytest

from simulator.recording.recorder import Recorder
from simulator.results import storage
from simulator.results.expectations import Outcome
from simulator.results.result import Result, ResultsError
from simulator.results.tables import digest_of

FILES = {
    "manifest.json", "summary.json", "counters.prom", "changes.parquet", "deliveries.parquet",
    "startups.parquet", "pushes.parquet", "messages.parquet", "states.parquet", "traffic.parquet",
    "queues.parquet", "proxy_pushes.parquet", "regressions.parquet", "watch_events.parquet",
    "components.parquet",
    "connections.parquet",
    "certificates.parquet",
}  # fmt: skip


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_loading_gives_back_what_was_saved(recorder: Recorder, tmp_path: Path) -> None:
    result = Result.from_recorder(recorder, {"name": "by-hand", "scenario": {"duration": "10s"}})
    result.expectations.append(Outcome("time_to_ready < 5s", True, "4.06s", 1))
    result.save(tmp_path / "run")
    loaded = Result.load(tmp_path / "run")
    for table, rows in result.tables.items():
        pd.testing.assert_frame_equal(loaded.tables[table], rows)
    pd.testing.assert_frame_equal(loaded.summary(), result.summary())
    assert loaded.manifest == result.manifest
    assert loaded.expectations == result.expectations
    assert loaded.warnings == result.warnings == ["something to know"]
    assert loaded.counters_text == result.counters_text
    assert digest_of(loaded.tables) == loaded.digest == result.digest


@pytest.mark.parametrize("run", ["result", "empty_result"])
def test_saving_a_loaded_result_gives_equal_bytes(
    run: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    request.getfixturevalue(run).save(tmp_path / "first")
    Result.load(tmp_path / "first").save(tmp_path / "second")
    assert contents(tmp_path / "first") == contents(tmp_path / "second")
    assert contents(tmp_path / "first").keys() == FILES


def test_equal_runs_give_equal_bytes(recorder: Recorder, tmp_path: Path) -> None:
    for name in ("first", "second"):
        Result.from_recorder(recorder, {"name": "again"}).save(tmp_path / name)
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_infinity_is_text_in_json_and_comes_back(result: Result, tmp_path: Path) -> None:
    result.save(tmp_path)
    line = json.loads((tmp_path / "summary.json").read_text())["metrics"]["active_delay"]
    assert line["max"] == "inf"
    assert line["ci_low"] is None
    assert line["pending"] == 2
    assert Result.load(tmp_path).summary().loc["active_delay", "max"] == float("inf")


def test_saving_over_a_run_replaces_it_and_leaves_other_files(
    result: Result, empty_result: Result, tmp_path: Path
) -> None:
    result.save(tmp_path)
    (tmp_path / "startup.png").write_bytes(b"figure")
    empty_result.save(tmp_path)
    assert Result.load(tmp_path).startups.empty
    assert contents(tmp_path).keys() == FILES | {"startup.png"}


def test_a_write_that_fails_leaves_no_manifest_and_no_scraps(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result.save(tmp_path)

    def no_space(table: str, rows: pd.DataFrame) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "parquet_bytes", no_space)
    with pytest.raises(OSError, match="No space"):
        result.save(tmp_path)
    assert contents(tmp_path).keys() == FILES - {"manifest.json"}
    with pytest.raises(ResultsError, match=r"manifest\.json"):
        Result.load(tmp_path)


def test_a_directory_that_is_no_result_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"manifest\.json: No such file.*is this a results directory"):
        Result.load(tmp_path)


@pytest.mark.parametrize("damaged", sorted(FILES))
def test_a_damaged_file_is_refused_by_name(result: Result, tmp_path: Path, damaged: str) -> None:
    result.save(tmp_path)
    (tmp_path / damaged).write_bytes(b"\xff\xfe not what it was")
    with pytest.raises(ResultsError, match=damaged.replace(".", r"\.")):
        Result.load(tmp_path)


def test_a_missing_table_is_refused_by_name(result: Result, tmp_path: Path) -> None:
    result.save(tmp_path)
    (tmp_path / "startups.parquet").unlink()
    with pytest.raises(ResultsError, match=r"startups\.parquet"):
        Result.load(tmp_path)


def test_json_of_another_shape_is_refused(result: Result, tmp_path: Path) -> None:
    result.save(tmp_path)
    (tmp_path / "summary.json").write_text('{"metrics": {}}')
    with pytest.raises(ResultsError, match=r"summary\.json: not a summary"):
        Result.load(tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(ResultsError, match=r"manifest\.json: expected a mapping"):
        Result.load(tmp_path)
