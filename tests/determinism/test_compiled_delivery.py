"""Pushes delivered row by row, as they are where numba is installed, give the tables of those delivered
column by column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import simulator as xs
from simulator.engine.delays import Constant, Uniform
from simulator.engine.draws import Draws
from simulator.fleet import compiled_streams, delivery_kernel
from simulator.fleet.compiled import DeliveryKernel, compiled_delivery
from simulator.fleet.errors import CannotTakeFleet
from simulator.fleet.moves import Move, Request
from simulator.fleet.stream_settings import StreamSettings
from simulator.fleet.streams import Streams
from simulator.results.tables import build_tables, digest_of
from tests.determinism.engine_equality import by_rows
from tests.fleet_scenarios import scenario
from tests.outage_scenarios import ages, outage

SEEDS = (131, 138, 143, 155, 168)
MORE_SEEDS = range(25, 60)


class Counted:
    """The kernel, and how often it was asked to deliver."""

    def __init__(self, kernel: DeliveryKernel) -> None:
        self._kernel, self.calls = kernel, 0

    def draw(self, *args: object) -> None:
        with np.errstate(over="ignore"):  # numpy's scalars say that they wrap
            self._kernel.draw(*args)

    def deliver(self, *args: object) -> None:
        self.calls += 1
        with np.errstate(over="ignore"):
            self._kernel.deliver(*args)


PLAIN = DeliveryKernel(delivery_kernel.draw, delivery_kernel.deliver)


def used(monkeypatch: pytest.MonkeyPatch, kernel: DeliveryKernel | None, from_pushes: int = 0) -> Counted:
    """From so many pushes on; never without a kernel."""
    counted = Counted(kernel or PLAIN)
    monkeypatch.setattr(
        "simulator.fleet.streams.is_worth_it", lambda _, pushes: kernel is not None and pushes >= from_pushes
    )
    monkeypatch.setattr(compiled_streams, "compiled_delivery", lambda: counted)
    return counted


def found(of: xs.Scenario) -> tuple[str, int, int] | str:
    """Digest, messages and bytes; or the limit that the run came to."""
    try:
        recorder = by_rows(of)
    except CannotTakeFleet as error:
        return str(error)
    return digest_of(build_tables(recorder)), recorder.xds_messages, recorder.xds_bytes


def drawn(**keys: object) -> xs.Scenario:
    """Every message draws twice; main threads flush often; pushes meet pushes."""
    return xs.Scenario(
        name="drawn",
        duration="6s",
        mesh={"proxies": 40, "services": 4, "endpoints": 3},
        control_plane={"kind": "istiod", "push_throttle": 2},
        network={"latency": {"lognormal": {"median": "2ms", "p99": "20ms"}}, "bandwidth": "1Mi"},
        agent={"hop": {"exponential": {"mean": "200us"}}},
        envoy={
            "stats_flush_interval": "50ms",
            "costs": {"stats_flush_per_cluster": {"uniform": ["50us", "900us"]}},
        },
        recording={"messages": False, "states": False, "queues": False},
        workload=[
            {"edit": "DestinationRule", "every": "40ms", "from": "1s", "until": "1300ms"},
            {"endpoints": "any", "poisson": "10/s", "until": "3s"},
        ],
    ).with_(**keys)


def ageless(seed: int) -> xs.Scenario:
    """No stream ends within the run."""
    return scenario(seed).with_(**{"control_plane.max_connection_age": "none"})


def short_lived(**keys: object) -> xs.Scenario:
    """Streams end all the time, with answers under way, and rows come back."""
    ages = {"control_plane.max_connection_age": "2s", "control_plane.max_connection_age_grace": "0s"}
    return drawn(**ages, **keys)


@pytest.mark.parametrize(
    "of",
    [drawn(), short_lived(), outage(1), outage(3), ages(1), ages(3), *map(ageless, SEEDS)],
    ids=lambda of: f"{of.name}-{of.seed}",
)
def test_row_by_row_gives_the_tables_of_column_by_column(
    of: xs.Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    used(monkeypatch, None)
    by_columns = found(of)
    kernel = used(monkeypatch, PLAIN)
    assert found(of) == by_columns
    assert kernel.calls > 0


def test_a_run_may_go_on_compiled_that_began_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    used(monkeypatch, None)
    by_columns = found(drawn())
    all_along = used(monkeypatch, PLAIN)
    found(drawn())
    kernel = used(monkeypatch, PLAIN, from_pushes=300)
    assert found(drawn()) == by_columns
    assert 0 < kernel.calls < all_along.calls


@pytest.mark.parametrize(
    ("keys", "limit"),
    [
        ({"agent.window_bytes": "4Ki"}, "agent.window_bytes"),
        ({"envoy.costs.stats_flush_per_cluster": "20ms"}, "envoy.stats_flush_interval"),
        (
            {"envoy.initial_fetch_timeout": "1ms", "network.latency": {"uniform": ["0s", "99ms"]}},
            "envoy.initial_fetch_timeout",
        ),
    ],
)
def test_row_by_row_the_same_limits_are_named(
    keys: dict[str, object], limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    used(monkeypatch, None)
    by_columns = found(drawn(**keys))
    used(monkeypatch, PLAIN)
    assert found(drawn(**keys)) == by_columns
    assert limit in by_columns


@pytest.mark.slow
@pytest.mark.parametrize("seed", MORE_SEEDS)
def test_compiled_it_gives_the_same_tables(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = compiled_delivery()
    if kernel is None:
        pytest.skip("numba is not installed: xdsim[fast]")
    used(monkeypatch, None)
    by_columns = found(ageless(seed))
    used(monkeypatch, kernel)
    assert found(ageless(seed)) == by_columns


@pytest.mark.parametrize("kernel", [PLAIN, compiled_delivery()], ids=["plain", "compiled"])
def test_numbers_of_the_kernel_are_those_of_their_keys(kernel: DeliveryKernel | None) -> None:
    if kernel is None:
        pytest.skip("numba is not installed: xdsim[fast]")
    draws, purposes = Draws(-7, 3), ["one", "two"]
    entity, first = np.array([0, 5, 2**40, 5]), np.array([0, 1, 2**33, 9])
    bits, u = np.empty(4, np.uint64), np.empty((2, 3, 4))
    with np.errstate(over="ignore"):
        kernel.draw(draws.keys(purposes), entity, first, bits, u)
    for law, purpose in enumerate(purposes):
        for message in range(3):
            expected = [
                draws.uniform(purpose, who, before + message)
                for who, before in zip(entity.tolist(), first.tolist(), strict=True)
            ]
            assert u[law, message].tolist() == expected


# --- situations too rare for whole runs: pushes to a few proxies, made up

MS = 1_000_000
PROXIES = 5


class Made:
    """Every push is one of these moves, whatever state a proxy is in."""

    def __init__(self, moves: Sequence[Move]) -> None:
        self._moves = moves

    def move(self, _state: int, made: int, _cds: Sequence[int], _lds: Sequence[int]) -> Move:
        return self._moves[made]


def move(sizes: Sequence[int], costs: Sequence[int], delays: Sequence[int | None], clusters: int = 0) -> Move:
    """Each message is answered."""
    count = len(sizes)
    return Move(
        state=0,
        sizes=tuple(sizes),
        costs=tuple(costs),
        clusters=(clusters,) * count,
        delays=tuple(delays),
        types=("cds",) * count,
        refused=(False,) * count,
        requests=tuple(Request(at, 50, at) for at in range(count)),
        warms=None,
        carried=(),
    )


def settings(**keys: object) -> StreamSettings:
    """Messages take 10 ms; nothing else holds them up."""
    nothing = StreamSettings(
        latency=Constant(10 * MS),
        hop=None,
        bytes_per_second=None,
        window_bytes=1 << 20,
        flush_interval_ns=0,
        flush_per_cluster=Constant(0),
        end_ns=10_000 * MS,
        answers_differ=False,
        eds_timeout_ns=0,
    )
    return replace(nothing, **keys)  # type: ignore[arg-type]  # keys are its own


def delivered(
    of: StreamSettings, pushes: Sequence[tuple[int, Move]], ends_ns: Sequence[int] | None = None
) -> tuple[Streams, list[Any]]:
    """Sends these, at their instants, to all proxies; and all that it led to, in numbers."""
    streams = Streams(
        of,
        Draws(5, 0),
        np.arange(PROXIES, dtype=np.int64),
        np.zeros(PROXIES, np.int32),
        Made([move for _, move in pushes]),
    )
    streams.ends_ns = None if ends_ns is None else np.array(ends_ns, np.int64)
    place = np.arange(PROXIES, dtype=np.int32)
    for number, (sent_ns, _) in enumerate(pushes):
        at_ns = np.full(PROXIES, sent_ns, np.int64)
        made = np.full(PROXIES, number, np.int32)
        streams.take(place, np.zeros(PROXIES, np.int32), made, at_ns, at_ns.copy())
    columns = [
        [column.tolist() for column in (*b.received_ns, *b.applied_ns, *b.workers_ns, *b.acked_ns)]
        for b in streams.batches
    ]
    state = streams._table.tolist(), streams._flushes.state.tolist()
    return streams, [columns, state, streams.messages, streams.bytes]


FORMS = pytest.mark.parametrize("kernel", [PLAIN, compiled_delivery()], ids=["plain", "compiled"])


def assert_as_by_columns(
    of: StreamSettings,
    pushes: Sequence[tuple[int, Move]],
    kernel: DeliveryKernel | None,
    monkeypatch: pytest.MonkeyPatch,
    ends_ns: Sequence[int] | None = None,
) -> Streams:
    """What came of it column by column, which row by row is the same."""
    if kernel is None:
        pytest.skip("numba is not installed: xdsim[fast]")
    used(monkeypatch, None)
    streams, by_columns = delivered(of, pushes, ends_ns)
    counted = used(monkeypatch, kernel)
    assert delivered(of, pushes, ends_ns)[1] == by_columns
    assert counted.calls == len(pushes)
    return streams


@FORMS
def test_flushes_that_wait_for_each_other_behind_a_long_job_are_worked_off_one_by_one(
    kernel: DeliveryKernel | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the job lasts some ten of them come due; when it is over they are behind until long after."""
    of = settings(flush_interval_ns=10 * MS, flush_per_cluster=Uniform(1 * MS, 2 * MS))
    pushes = [
        (10 * MS, move([100], [95 * MS], [0], clusters=4)),
        (120 * MS, move([100, 100], [1 * MS, 1 * MS], [0, 0], clusters=4)),
        (400 * MS, move([100], [1 * MS], [0], clusters=4)),
    ]
    streams = assert_as_by_columns(of, pushes, kernel, monkeypatch)
    job, after, last = streams.batches
    assert (after.received_ns[0] > job.applied_ns[0] + of.flush_interval_ns).all(), "none came due between"
    assert (after.applied_ns[0] > after.received_ns[0] + 11 * MS).all(), "none was held up by another"
    assert (last.applied_ns[0] < last.received_ns[0] + 10 * MS).all(), "what was behind is not worked off"


@FORMS
def test_workers_have_nothing_before_what_was_posted_to_them_earlier(
    kernel: DeliveryKernel | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message with a long way to the workers is followed by some with short ones and one that is nothing to
    them; so is another push."""
    pushes = [
        (0, move([100] * 4, [MS] * 4, [50 * MS, 1 * MS, None, 2 * MS])),
        (20 * MS, move([100] * 2, [MS] * 2, [3 * MS, 90 * MS])),
        (30 * MS, move([100] * 2, [MS] * 2, [3 * MS, 4 * MS])),
        (500 * MS, move([100] * 2, [MS] * 2, [None, MS])),
    ]
    streams = assert_as_by_columns(settings(), pushes, kernel, monkeypatch)
    first, second, *later = streams.batches
    posted_ns = (first.applied_ns[0] + 50 * MS).tolist()
    assert [before.tolist() for before in first.workers_ns] == [[-1] * PROXIES, *[posted_ns] * 3]
    assert [before.tolist() for before in second.workers_ns] == [posted_ns] * 2
    second_ns = (second.applied_ns[1] + 90 * MS).tolist()
    assert [batch.workers_ns[1].tolist() for batch in later] == [second_ns] * 2


@FORMS
@pytest.mark.parametrize("latency", [Constant(10 * MS), Uniform(1 * MS, 30 * MS)])
def test_answers_that_the_end_of_a_stream_cuts_off_never_arrive(
    latency: Constant | Uniform, kernel: DeliveryKernel | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams end before the first answer leaves, with both under way, at an arrival, after it, and never."""
    pushes = [
        (0, move([100, 100], [MS, 5 * MS], [0, 0])),
        (200 * MS, move([100, 100], [MS, MS], [0, 0])),
    ]
    ends_ns = [11 * MS, 20 * MS, 21 * MS, 23 * MS, 2**62]
    streams = assert_as_by_columns(settings(latency=latency), pushes, kernel, monkeypatch, ends_ns)
    lost = [(acked == 2**62).tolist() for batch in streams.batches for acked in batch.acked_ns]
    sent = streams._up.sent.tolist()
    assert lost[2:] == [[True, True, True, True, False]] * 2
    assert sent[-1] == 4
    if isinstance(latency, Constant):
        assert lost[:2] == [[True, True, True, False, False], [True, True, True, True, False]]
        assert sent[:-1] == [0, 2, 2, 2]


FLOWS = {
    "all but the last message fit": ([0], 1, 301, None),
    "all but the last message fill it": ([0], 1, 300, "agent.window_bytes"),
    "another is under way": ([0, 5], 2, 700, "agent.window_bytes"),
    "another is under way, and there is room": ([0, 5], 2, 701, None),
    "another is read at that instant": ([0, 10], 1, 301, None),
    "two are under way": ([0, 3, 9], 3, 1100, "agent.window_bytes"),
    "two are under way, and there is room": ([0, 3, 9], 3, 1101, None),
    "what was under way is read": ([0, 3, 13, 14], 2, 701, None),
}
"""Instants in ms, pushes under way at once at most, the window, and what is named."""


@FORMS
@pytest.mark.parametrize("flow", FLOWS)
def test_what_is_under_way_already_counts_against_the_window(
    flow: str, kernel: DeliveryKernel | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent_ms, at_once, window, named = FLOWS[flow]
    assert at_once == max(sum(0 <= t - other < 10 for other in sent_ms) for t in sent_ms)
    pushes = [(t * MS, move([300, 100], [MS, MS], [0, 0])) for t in sent_ms]
    of = settings(window_bytes=window)
    if named is None:
        assert_as_by_columns(of, pushes, kernel, monkeypatch)
        return
    if kernel is None:
        pytest.skip("numba is not installed: xdsim[fast]")
    for form in (None, kernel):
        used(monkeypatch, form)
        with pytest.raises(CannotTakeFleet, match=named):
            delivered(of, pushes)
