"""What a run disturbed, from its starts and its streams."""

from __future__ import annotations

import pandas as pd

from simulator.recording.recorder import Recorder
from simulator.results.disruption import disruption

S = 10**9


def starts(*rows: tuple[float, float | None, str, str]) -> pd.DataFrame:
    """(started, ready, cause, outcome), in seconds."""
    return pd.DataFrame(
        {
            "t_started_ns": pd.array([int(row[0] * S) for row in rows], dtype="Int64"),
            "t_ready_ns": pd.array([None if row[1] is None else int(row[1] * S) for row in rows], "Int64"),
            "cause": [row[2] for row in rows],
            "outcome": [row[3] for row in rows],
        }
    )


def test_starts_count_until_they_are_ready_and_to_the_end_where_they_never_are() -> None:
    table = starts(
        (0, 2, "start", "live"),
        (1, 4, "restart", "stopped"),
        (2, 3, "start", "live"),  # begins as the first is ready
        (5, None, "rollout", "initializing"),
        (5, None, "rollout", "stopped"),  # when it ended is not known
        (0, 9, "hot_restart", "live"),  # its parent serves
    )
    found = disruption(table, Recorder([], messages=False, states=False), 10 * S)
    assert found["without_configuration"] == 2 + 3 + 1 + 5
    assert found["most_without_configuration"] == 2


def test_streams_count_within_any_second_and_gaps_until_the_next_one() -> None:
    recorder = Recorder(["p0", "p1"], messages=False, states=False)
    recorder.connection(-1, 0, 0, "opened")
    recorder.connection(-1, 1, 0, "opened")
    recorder.connection(1 * S, 0, 0, "closed")
    recorder.connection(1 * S, 1, 0, "closed")
    recorder.connection(2 * S, 1, 0, "turned_away")
    recorder.connection(int(2.5 * S), 0, 1, "opened")
    recorder.connection(int(3.4 * S), 1, 1, "opened")
    recorder.connection(int(3.5 * S), 1, 1, "opened")  # the child of a hot restart, a second after the first
    recorder.connection(9 * S, 0, 1, "closed")  # never back: its pod may be gone
    found = disruption(starts(), recorder, 10 * S)
    assert found["without_stream"] == 1.5 + 2.4
    assert found["most_new_streams"] == 2
