"""Pushes delivered row by row, as they are where numba is installed, give the tables of those delivered
column by column."""

from __future__ import annotations

import numpy as np
import pytest

import simulator as xs
from simulator.engine.draws import Draws
from simulator.fleet import compiled_streams, delivery_kernel
from simulator.fleet.compiled import DeliveryKernel, compiled_delivery
from simulator.fleet.errors import CannotTakeFleet
from simulator.results.tables import build_tables, digest_of
from tests.determinism.engine_equality import by_rows
from tests.fleet_scenarios import scenario

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


@pytest.mark.parametrize("of", [drawn(), *map(scenario, SEEDS)], ids=lambda of: f"{of.name}-{of.seed}")
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
    by_columns = found(scenario(seed))
    used(monkeypatch, kernel)
    assert found(scenario(seed)) == by_columns


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
