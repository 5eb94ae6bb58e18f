"""The recorder keeps what it is told, shares what may be shared, and keeps nothing it was told not to."""

import subprocess
import sys
from collections.abc import Callable, Iterable

import pytest

from simulator.recording.columns import TABLES
from simulator.recording.recorder import PER_PROXY_COUNTERS, Recorder
from simulator.recording.rows import DeliveryRow, PushRow, StartupRow
from simulator.xds.resources import Names


def test_rows_carry_every_column_of_their_table() -> None:
    for row, table in ((StartupRow, "startups"), (DeliveryRow, "deliveries"), (PushRow, "pushes")):
        attributes = {"proxy_id" if name == "proxy" else name for name in row.__slots__}
        assert attributes == set(TABLES[table]), table


def test_change_ids_and_push_ids_count_from_zero() -> None:
    recorder = Recorder(["p0"], messages=False, states=False)
    assert [recorder.change("cds", "c0", 5, 1), recorder.change("cds", "c1", 5, 1)] == [0, 1]
    assert [recorder.push(0, 5).push_id, recorder.push(1, 6).push_id] == [0, 1]


def test_message_and_state_are_dropped_when_not_kept() -> None:
    recorder = Recorder(["p0"], messages=False, states=False)
    recorder.message(1, 0, 0, 0, "request", "cds", "", "", "", ("c0",), 10)
    recorder.state(1, 0, "cluster", ["c0"], "warming")
    assert recorder.message_rows == []
    assert recorder.state_rows == []


@pytest.mark.parametrize("collection", [tuple, Names])
def test_an_unchanging_set_of_names_is_shared_not_copied(
    collection: Callable[[Iterable[str]], Iterable[str]],
) -> None:
    names = collection(f"c{index}" for index in range(1000))
    recorder = Recorder(["p0", "p1"], messages=True, states=True)
    for proxy in (0, 1):
        recorder.message(1, proxy, 0, 0, "response", "eds", "1", "1", "", names, 10)
        recorder.state(1, proxy, "cluster", names, "active")
    assert all(row[9] is names for row in recorder.message_rows)
    assert all(row[3] is names for row in recorder.state_rows)


@pytest.mark.parametrize("container", [list, dict.fromkeys, lambda names: dict.fromkeys(names).keys(), iter])
def test_names_in_a_container_that_changes_later_are_kept_as_they_were(container) -> None:  # type: ignore[no-untyped-def]
    recorder = Recorder(["p0"], messages=False, states=True)
    names = container(["c1", "c0"])
    recorder.state(1, 0, "cluster", names, "warming")
    if isinstance(names, (list, dict)):
        names.clear()
    kept_names = recorder.state_rows[0][3]
    assert list(kept_names) == ["c1", "c0"]
    assert list(kept_names) == ["c1", "c0"], "a second look sees the same names"


def test_names_in_a_set_are_kept_in_order_of_name() -> None:
    recorder = Recorder(["p0"], messages=False, states=True)
    recorder.state(1, 0, "cluster", {"c2", "c0", "c1"}, "warming")
    assert recorder.state_rows[0][3] == ("c0", "c1", "c2")


def test_proxies_have_sparse_numbers_and_more_may_appear() -> None:
    recorder = Recorder({0: "p0", 2**32: "gw0"}, messages=False, states=False)
    recorder.add_proxy(2**39 | 17, "s0-5f4b")
    recorder.add_proxy(0, "p0")
    assert recorder.proxy_names == {0: "p0", 2**32: "gw0", 2**39 | 17: "s0-5f4b"}
    with pytest.raises(ValueError, match="proxy 0 is p0"):
        recorder.add_proxy(0, "another")


def test_what_happens_before_the_clock_starts_is_not_recorded() -> None:
    recorder = Recorder(["p0"], messages=True, states=True)
    for t_ns in (-1, 0):
        recorder.startup(0, 0, "start", t_ns).outcome = "live"
        recorder.message(t_ns, 0, 0, 0, "request", "cds", "", "", "", (), 10)
        recorder.state(t_ns, 0, "cluster", "c0", "warming")
        recorder.depth(t_ns, 0, "push", 7 + t_ns)
        recorder.proxy_push(0, 0, 0, t_ns, t_ns, t_ns, t_ns, ("cds",))
    assert [row.t_started_ns for row in recorder.startup_rows] == [0]
    for rows in (recorder.message_rows, recorder.state_rows, recorder.queue_rows):
        assert [row[0] for row in rows] == [0]
    assert [row[5] for row in recorder.proxy_push_rows] == [0]


def test_of_one_instant_a_queue_keeps_its_peaks_and_its_end() -> None:
    recorder = Recorder([], messages=False, states=False)
    for t_ns, depth in ((5, 1), (5, 2), (5, 3), (5, 2), (5, 1), (6, 1), (7, 2), (8, 3), (8, 4), (8, 0)):
        recorder.depth(t_ns, 0, "push", depth)
    recorder.depth(5, 1, "push", 9)
    recorder.depth(9, 1, "push", 10)
    assert recorder.queue_rows == [
        (5, 0, "push", 3),
        (5, 0, "push", 1),
        (7, 0, "push", 2),
        (8, 0, "push", 4),
        (8, 0, "push", 0),
        (5, 1, "push", 9),
        (9, 1, "push", 10),
    ]


def test_depths_are_dropped_when_not_kept() -> None:
    recorder = Recorder([], messages=False, states=False, queues=False)
    recorder.depth(5, 0, "push", 3)
    assert recorder.queue_rows == []


def test_equal_warnings_are_counted_not_repeated() -> None:
    recorder = Recorder([], messages=False, states=False)
    for text in ("queue overloaded", "clock far away", "queue overloaded"):
        recorder.warn(text)
    assert recorder.warnings == ["queue overloaded (2 times)", "clock far away"]


def test_counters_are_per_proxy_up_to_a_hundred_proxies() -> None:
    few = Recorder(["p"] * PER_PROXY_COUNTERS, messages=False, states=False)
    many = Recorder(["p"] * (PER_PROXY_COUNTERS + 1), messages=False, states=False)
    assert few.counters.per_proxy
    assert not many.counters.per_proxy


def test_importing_the_recorder_loads_neither_numpy_nor_pandas() -> None:
    program = "import simulator.recording, sys; print([m for m in ('numpy', 'pandas') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )
