"""Proxies are cut off, slowed and restarted; replicas of istiod come and go through their Service."""

from __future__ import annotations

from fractions import Fraction

from simulator.engine.clock import MS, S
from simulator.engine.delays import Constant
from simulator.engine.events import Band, Clock
from simulator.workload.entries import (
    AddIstiodEntry,
    Arrivals,
    Entry,
    PartitionEntry,
    Portion,
    RestartEntry,
    RestartIstiodEntry,
    RolloutIstiodEntry,
    Selection,
    SlowReaderEntry,
)
from simulator.workload.istiod_pods import IstiodPods, IstiodPodSettings
from simulator.workload.play import Workload
from simulator.workload.timeline import timeline
from tests.unit.workload.acting import Mesh


def play(clock: Clock, *entries: Entry, until_ns: int = 100) -> list[tuple[int, str]]:
    mesh = Mesh(clock)
    Workload(clock, mesh.draws, mesh.kubernetes, mesh).play(timeline(entries, mesh.draws, until_ns))
    clock.run(until_ns)
    return mesh.done


def these(*proxies: int) -> Selection:
    return Selection(proxies=proxies)


def test_a_partition_cuts_its_proxies_off_and_lets_the_same_ones_through(clock: Clock) -> None:
    done = play(clock, PartitionEntry(Arrivals(at=(5,)), Selection(share=Fraction(1, 10)), lasts_ns=20))
    cut = [text.removeprefix("cut off ") for t_ns, text in done if t_ns == 5]
    assert len(cut) == 2
    assert done[2:] == [(25, f"let through {proxy}") for proxy in cut]


def test_a_partition_without_an_end_lasts(clock: Clock) -> None:
    assert play(clock, PartitionEntry(Arrivals(at=(5,)), these(3))) == [(5, "cut off 3")]


def test_overlapping_incidents_hold_a_proxy_until_the_last_one_ends(clock: Clock) -> None:
    done = play(
        clock,
        SlowReaderEntry(Arrivals(at=(0,)), these(1, 2), lasts_ns=20),
        SlowReaderEntry(Arrivals(at=(10,)), these(2), lasts_ns=20),
        PartitionEntry(Arrivals(at=(12,)), these(2), lasts_ns=1),
    )
    assert done == [
        (0, "slow 1"),
        (0, "slow 2"),
        (12, "cut off 2"),
        (13, "let through 2"),
        (20, "fast 1"),
        (30, "fast 2"),
    ]


def test_restarts_meet_the_proxies_that_exist(clock: Clock) -> None:
    assert play(clock, RestartEntry(Arrivals(at=(1, 2)), these(7, 99))) == [
        (1, "restart 7"),
        (2, "restart 7"),
    ]


class Istiod:
    """Replicas that sync in 4 s, with Kubernetes's probes and a Service that follows in 2 s."""

    def __init__(self, clock: Clock, replicas: int = 2, settings: IstiodPodSettings | None = None) -> None:
        self.clock = clock
        self.mesh = Mesh(clock)
        self.mesh.sync_ns = 4 * S
        follows = Constant(1 * S)
        settings = settings or IstiodPodSettings(endpoint_slice_delay=follows, kube_proxy_delay=follows)
        self.pods = IstiodPods(clock, self.mesh.draws, settings, self.mesh, replicas)

    def play(self, *entries: Entry, until_ns: int = 100 * S) -> list[tuple[float, str]]:
        mesh = self.mesh
        workload = Workload(self.clock, mesh.draws, mesh.kubernetes, mesh, self.pods)
        workload.play(timeline(entries, mesh.draws, until_ns))
        self.clock.run(until_ns)
        return [(t_ns / S, text) for t_ns, text in mesh.done]


def test_a_replica_restarts_in_place_and_clients_follow_late_both_ways(clock: Clock) -> None:
    done = Istiod(clock).play(RestartIstiodEntry(Arrivals(at=(10 * S,)), 1, 20 * S))
    assert done == [
        (10, "stop istiod 1"),
        (12, "istiod 1 out"),
        (30, "start istiod 1"),
        # synced at 34, probed at 31, 34, ...: at 34
        (36, "istiod 1 in"),
    ]


def test_the_probe_comes_at_its_own_times(clock: Clock) -> None:
    istiod = Istiod(clock)
    istiod.mesh.sync_ns = 4 * S + 1
    done = istiod.play(AddIstiodEntry(Arrivals(at=(0,)), 1))
    assert done == [(0, "start istiod 2"), (9, "istiod 2 in")]  # probed at 1, 4, 7
    quick = Istiod(Clock())
    quick.mesh.sync_ns = MS
    assert quick.play(AddIstiodEntry(Arrivals(at=(0,)), 1))[-1] == (3, "istiod 2 in")  # probed at 1


def test_a_replica_stopped_while_it_starts_is_neither_synced_nor_probed(clock: Clock) -> None:
    istiod = Istiod(clock)
    done = istiod.play(
        RestartIstiodEntry(Arrivals(at=(10 * S,)), 0, 1 * S),
        RestartIstiodEntry(Arrivals(at=(13 * S,)), 0, 1 * S),
    )
    assert done == [
        (10, "stop istiod 0"),
        (11, "start istiod 0"),
        (12, "istiod 0 out"),
        (13, "stop istiod 0"),
        (14, "start istiod 0"),
        (20, "istiod 0 in"),  # synced and probed at 18
    ]


def test_a_replica_stopped_between_sync_and_probe_is_not_ready(clock: Clock) -> None:
    istiod = Istiod(clock)
    istiod.mesh.sync_ns = 2 * S
    done = istiod.play(
        AddIstiodEntry(Arrivals(at=(0,)), 1),  # synced at 2, to be probed at 4
        RestartIstiodEntry(Arrivals(at=(3 * S,)), 2, 5 * S),
    )
    assert done == [
        (0, "start istiod 2"),
        (3, "stop istiod 2"),
        (8, "start istiod 2"),
        (14, "istiod 2 in"),  # probed at 12
    ]


def test_a_rollout_of_istiod_brings_new_pods_before_the_old_ones_go(clock: Clock) -> None:
    done = Istiod(clock).play(RolloutIstiodEntry(Arrivals(at=(0,))))
    # Surge 100 %: both new ones at once; unavailable 25 % of 2 is 0: the old ones wait for them.
    assert done == [
        (0, "start istiod 2"),
        (0, "start istiod 3"),
        (4, "stop istiod 0"),
        (4, "stop istiod 1"),
        (6, "istiod 0 out"),
        (6, "istiod 1 out"),
        (6, "istiod 2 in"),
        (6, "istiod 3 in"),
    ]


def test_a_deleted_replica_is_not_started_again(clock: Clock) -> None:
    done = Istiod(clock, replicas=1).play(
        RolloutIstiodEntry(Arrivals(at=(0,)), Portion(count=1), Portion(count=0)),
        RestartIstiodEntry(Arrivals(at=(1 * S, 50 * S)), 0, 10 * S),
    )
    assert [text for _, text in done if text == "start istiod 0"] == []
    assert (4, "stop istiod 0") not in done  # it was down already when its pod was deleted


def test_what_happens_to_istiod_comes_before_messages_of_that_instant(clock: Clock) -> None:
    istiod = Istiod(clock)
    seen: list[int] = []
    clock.at(10 * S, lambda: seen.append(len(istiod.mesh.done)), band=Band.MESSAGE)
    istiod.play(RestartIstiodEntry(Arrivals(at=(10 * S,)), 0, S))
    assert seen == [1]
