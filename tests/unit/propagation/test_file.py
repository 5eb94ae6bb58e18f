"""Files: read with their subscription and after each rename, without timers or answers."""

from __future__ import annotations

from itertools import pairwise

from simulator.engine.clock import MS, S
from simulator.propagation.file import FilesystemSubscriptions
from simulator.xds.resource_types import CDS, EDS
from simulator.xds.resources import NO_NAMES, Names
from tests.conformance.strategies import SERVICES, SYNC_PERIOD_NS, World
from tests.playing import Play, play


def files(**keywords: object) -> Play:
    return play(strategy="file", **keywords)


def test_no_message_travels() -> None:
    played = files()
    assert played.startup.outcome == "live"
    assert played.messages() == []


def test_a_file_that_does_not_exist_ends_the_process_f2() -> None:
    for type_ in ("cds", "lds"):
        assert files(answers={type_: {"never": True}}).startup.outcome == "exited", type_


def test_a_missing_endpoint_file_refuses_its_cluster_alone() -> None:
    played = files(clusters={"count": 2, "type": "eds"}, answers={"eds": {"omit": ["c1"]}}, traffic="10/s")
    assert played.startup.outcome == "live"
    assert {name for name in ("c0", "c1") if played.states("cluster", name)} == {"c0"}
    assert played.outcome_at(5.0) == "200"


def test_a_rename_is_read_at_once() -> None:
    played = files(pushes=[{"at": "5s", "type": "rds", "change": ["r0"]}])
    delivery = played.delivery()
    assert (delivery.outcome, delivery.carried_by) == ("active", "file")
    assert delivery.t_received_ns == delivery.t_changed_ns


def test_a_file_that_cannot_be_parsed_changes_nothing() -> None:
    played = files(pushes=[{"at": "5s", "type": "cds", "change": ["c0"], "reject": "decode"}], traffic="10/s")
    assert played.delivery().outcome == "rejected"
    assert played.outcome_at(10.0) == "200"


def test_a_watched_directory_takes_longer_than_a_path() -> None:
    pushes = [{"at": "5s", "type": "rds", "change": ["r0"]}]
    by_path = files(pushes=pushes).delivery()
    by_directory = files(pushes=pushes, propagation={"watch": "directory"}).delivery()
    assert by_directory.t_applied_ns > by_path.t_applied_ns


# --- in a cluster: ConfigMaps and kubelets


def pods(proxies: int = 1, start_ns: int = 0) -> World:
    return World("file", proxies=proxies, start_ns=start_ns)


def read_at(world: World, revision: int, proxy: int = 0, name: str = "c1") -> int:
    [seen] = [s for s in world.revisions(proxy, EDS, name) if s.revision == revision]
    return seen.t_ns - 100_000


def test_a_pod_starts_with_what_is_published() -> None:
    world = pods()
    world.run(1 * MS)
    assert world.held(0) == world.latest()


def test_nothing_is_scheduled_while_nothing_is_published() -> None:
    world = pods(proxies=10)
    world.run(1 * S)
    events = world.clock.events
    world.run(10_000 * S)
    assert world.clock.events == events


def test_a_file_is_renamed_when_the_kubelet_next_synchronizes_the_pod() -> None:
    world = pods(proxies=200)
    world.change(100 * S, EDS, "c1")
    world.run(110 * S)
    waits = [read_at(world, 2, proxy) - 100 * S for proxy in range(200)]
    assert min(waits) < 0.1 * SYNC_PERIOD_NS
    assert 1.2 * SYNC_PERIOD_NS < max(waits) < 1.5 * SYNC_PERIOD_NS
    assert len(dict.fromkeys(waits)) == 200, "each in its own rhythm"


def test_between_two_synchronizations_lie_one_to_one_and_a_half_periods() -> None:
    world = pods()
    for k in range(4000):
        world.change(10 * S + k * 50 * MS, EDS, "c1")
    world.run(210 * S)
    reads = [s.t_ns for s in world.revisions(0, EDS, "c1")][2:]
    apart = [later - earlier for earlier, later in pairwise(reads)]
    assert len(apart) > 70
    # A change every 50 ms finds each of them with something to do.
    assert SYNC_PERIOD_NS <= min(apart) < 1.1 * SYNC_PERIOD_NS
    assert 1.4 * SYNC_PERIOD_NS < max(apart) < 1.5 * SYNC_PERIOD_NS


def test_the_rhythm_does_not_depend_on_what_is_published() -> None:
    def second_read(at: list[int]) -> int:
        world = pods()
        for t_ns in at:
            world.change(t_ns, EDS, "c1")
        world.run(100 * S)
        return world.revisions(0, EDS, "c1")[-1].t_ns

    assert second_read([50 * S]) == second_read([10 * S, 20 * S, 30 * S, 50 * S])


def test_publications_between_two_synchronizations_are_read_once() -> None:
    world = pods()
    for k in range(5):
        world.change(50 * S + k, EDS, "c1")
    world.run(60 * S)
    assert [s.revision for s in world.revisions(0, EDS, "c1")] == [1, 6]


def test_only_files_that_differ_are_swapped() -> None:
    world = pods()
    world.change(50 * S, EDS, "c1")
    world.run(49 * S)
    before = len(world.seen)
    world.run(52 * S)
    world.kubelet.on_published(EDS, None)
    world.kubelet.on_published(CDS, NO_NAMES)
    world.run(60 * S)
    assert [(s.name, s.revision) for s in world.seen[before:]] == [("c1", 2)]


def test_a_file_first_read_late_is_as_old_as_the_last_synchronization() -> None:
    world = pods()
    world.run(1 * S)
    world.sources[0].unsubscribe(EDS, SERVICES)
    world.change(50 * S, EDS, "c1")
    world.run(50 * S)
    world.sources[0].subscribe(EDS, Names(("c1",)), world.consumers[0])
    world.run(50 * S + 1 * MS)
    assert world.held(0)[EDS, "c1"] == 1, "the kubelet has not been there yet"
    world.run(60 * S)
    assert world.held(0)[EDS, "c1"] == 2


def test_an_envoy_that_restarts_in_its_pod_reads_what_is_on_disk() -> None:
    world = pods()
    world.change(50 * S, EDS, "c1")
    world.run(50 * S)
    world.sources[0].stop()
    again = FilesystemSubscriptions(world.process(0), world.kubelet, watches_directory=True)
    world.kubelet.watch(0, again)
    again.subscribe(EDS, SERVICES, world.consumers[0])
    world.run(60 * S)
    assert [s.revision for s in world.revisions(0, EDS, "c1")] == [1, 1, 2]


def test_a_pod_that_is_gone_is_not_synchronized() -> None:
    world = pods()
    world.change(50 * S, EDS, "c1")
    world.run(50 * S)
    world.kubelet.unmount(0)
    events = world.clock.events
    world.run(60 * S)
    assert world.clock.events == events


def test_pods_of_before_the_start_are_met_in_the_middle_of_their_rhythm() -> None:
    world = pods(proxies=200, start_ns=-1)
    world.change(0, EDS, "c1")
    world.run(10 * S)
    waits = [read_at(world, 2, proxy) for proxy in range(200)]
    assert min(waits) < 0.1 * SYNC_PERIOD_NS
    new = pods(proxies=200)
    new.change(0, EDS, "c1")
    new.run(10 * S)
    assert min(read_at(new, 2, proxy) for proxy in range(200)) >= SYNC_PERIOD_NS, "just synchronized"
