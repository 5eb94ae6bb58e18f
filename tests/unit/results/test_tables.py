"""Tables have the promised columns and types, a fixed order, and a digest of their content alone."""

import os
import random
import subprocess
import sys
from collections.abc import Callable

import pandas as pd
import pytest

from simulator.recording.columns import DIGESTED, TABLES
from simulator.recording.recorder import Recorder
from simulator.results.result import Result
from simulator.results.tables import PANDAS_TYPES, build_tables, digest_of


def test_tables_have_the_columns_and_types_of_the_contract(result: Result, empty_result: Result) -> None:
    for run in (result, empty_result):
        for table, kinds in TABLES.items():
            assert list(run.tables[table].columns) == list(kinds), table
            for column, kind in kinds.items():
                assert str(run.tables[table][column].dtype) == PANDAS_TYPES[kind], (table, column)


def test_an_instant_that_was_not_reached_is_missing(result: Result) -> None:
    stuck = result.startups.set_index("proxy_id").loc["p1"]
    assert stuck["t_cds_initialized_ns"] == 1_043_000_000
    assert stuck["t_ready_ns"] is pd.NA
    assert stuck["fetch_timeouts"] == '{"eds": 2, "rds": 1}'


def test_rows_are_ordered_by_what_identifies_them(result: Result) -> None:
    assert result.startups["proxy_id"].tolist() == ["p0", "p1"]
    assert result.deliveries[["change_id", "proxy_id"]].to_numpy().tolist() == [
        [0, "p0"], [0, "p1"], [1, "p0"], [1, "p1"], [2, "p0"], [2, "p1"],
    ]  # fmt: skip


def test_a_state_of_many_names_is_one_row_for_each(result: Result) -> None:
    assert result.states[["name", "state"]].to_numpy().tolist() == [
        ["c0", "warming"], ["c1", "warming"], ["c2", "warming"], ["c0", "active"], ["c1", "active"],
    ]  # fmt: skip


def test_messages_of_one_instant_keep_their_order(result: Result) -> None:
    assert result.messages["proxy_id"].tolist() == ["p0", "p0", "p0", "p1"]
    assert result.messages["resources"].tolist()[1] == ["c0", "c1", "c2", "x"]


def test_the_digest_does_not_depend_on_the_order_of_recording(recorder: Recorder) -> None:
    before = digest_of(build_tables(recorder))
    shuffled = random.Random(5)
    for rows in (recorder.startup_rows, recorder.delivery_rows, recorder.traffic_rows, recorder.change_rows):
        shuffled.shuffle(rows)
    assert digest_of(build_tables(recorder)) == before


def test_the_digest_does_not_depend_on_what_is_kept(recorder: Recorder) -> None:
    everything = Result.from_recorder(recorder, {}).digest
    recorder.message_rows.clear()
    recorder.state_rows.clear()
    recorder.keeps_messages = recorder.keeps_states = recorder.keeps_deliveries = False
    recorder.keeps_queues = recorder.keeps_proxy_pushes = False
    least = Result.from_recorder(recorder, {})
    assert least.digest == everything
    assert least.deliveries.empty
    assert least.manifest["tables"] == {
        "changes": 3,
        "startups": 2,
        "pushes": 0,
        "traffic": 2,
        "regressions": 0,
        "watch_events": 0,
        "components": 0,
        "certificates": 0,
    }


def test_neither_queues_nor_pushes_to_proxies_enter_the_digest(recorder: Recorder) -> None:
    before = Result.from_recorder(recorder, {}).digest
    recorder.depth(5, 0, "push", 3)
    recorder.proxy_push(0, 1, 0, 1, 2, 3, 4, ("cds", "eds"))
    recorder.regression(5, 0, 0, 0, "cds")
    result = Result.from_recorder(recorder, {})
    assert result.digest == before
    assert result.queues.to_numpy().tolist() == [[5, 0, "push", 3]]
    assert result.proxy_pushes.to_numpy().tolist() == [[0, "p1", 0, 1, 2, 3, 4, ["cds", "eds"]]]


def test_pushes_to_proxies_that_are_not_kept_are_still_in_the_summary(recorder: Recorder) -> None:
    recorder.proxy_push(0, 1, 0, 1, 2, 3, 4, ("cds",))
    recorder.keeps_proxy_pushes = False
    result = Result.from_recorder(recorder, {})
    assert result.proxy_pushes.empty
    assert "proxy_pushes" not in result.manifest["tables"]
    assert result.summary().loc["pilot_proxy_convergence_time", "n"] == 1


def later(recorder: Recorder) -> None:
    recorder.startup_rows[0].t_bootstrapped_ns = 40_000_001


def lost(recorder: Recorder) -> None:
    recorder.delivery_rows.pop()


def renamed(recorder: Recorder) -> None:
    recorder.change_rows[0] = (0, "cds", "c9", recorder.change_rows[0][3], 2)


def pushed(recorder: Recorder) -> None:
    recorder.push(0, 5, kinds=["cds"])


def failed(recorder: Recorder) -> None:
    recorder.traffic_rows[0] = (*recorder.traffic_rows[0][:7], 8.999999999)


def null_not_zero(recorder: Recorder) -> None:
    recorder.delivery_rows[0].push_id = 0


@pytest.mark.parametrize("alter", [later, lost, renamed, pushed, failed, null_not_zero])
def test_the_digest_sees_every_difference(recorder: Recorder, alter: Callable[[Recorder], None]) -> None:
    before = digest_of(build_tables(recorder))
    alter(recorder)
    assert digest_of(build_tables(recorder)) != before


def test_the_digest_covers_every_table_it_promises(result: Result) -> None:
    for table in DIGESTED:
        others = dict(result.tables)
        others[table] = pd.concat([others[table], others[table]]) if len(others[table]) else None
        if others[table] is not None:
            assert digest_of(others) != result.digest, table


@pytest.mark.slow
def test_the_digest_does_not_depend_on_the_hash_seed() -> None:
    program = """
from simulator.recording.recorder import Recorder
from simulator.results.result import Result
recorder = Recorder(["p0"], messages=False, states=False)
recorder.startup(0, 0, "start", 0).fetch_timeouts.update({name: 1 for name in {"rds", "eds", "lds", "cds"}})
recorder.change("cds", "c0", 1, 1)
print(Result.from_recorder(recorder, {}).digest)
"""
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(digests) == 1
