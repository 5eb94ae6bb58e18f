"""Pods of services come and go: the API server, the proxies and the world are told, each at its time."""

from __future__ import annotations

from simulator.engine.clock import MS
from simulator.engine.delays import Constant, Uniform
from simulator.engine.events import Clock
from simulator.mesh.endpoints import Health
from simulator.mesh.lives import Life
from simulator.workload.contract import PodEnd
from simulator.workload.entries import (
    Arrivals,
    EndpointsEntry,
    Entry,
    PodSettings,
    Portion,
    RolloutEntry,
    ScaleUpEntry,
)
from simulator.workload.play import Workload
from simulator.workload.timeline import timeline
from tests.unit.workload.acting import Mesh, service

ONE, NONE = Portion(count=1), Portion(count=0)


def play(mesh: Mesh, *entries: Entry, until_ns: int = 1000 * MS) -> Workload:
    workload = Workload(mesh.clock, mesh.draws, mesh.kubernetes, mesh)
    workload.play(timeline(entries, mesh.draws, until_ns))
    mesh.clock.run(until_ns)
    return workload


def rollout(mesh: Mesh, settings: PodSettings | None = None, **more: object) -> RolloutEntry:
    return RolloutEntry(
        Arrivals(at=(MS,)), mesh.all_services[0], ONE, NONE, settings or PodSettings(), **more
    )  # type: ignore[arg-type]


def test_one_pod_is_replaced_and_everything_happens_in_its_order(clock: Clock) -> None:
    mesh = Mesh(clock, services=1, pods=1, slice_delay=Constant(2 * MS))
    play(mesh, rollout(mesh, PodSettings(ready_after=Constant(4 * MS))))
    new = mesh.started[0]
    assert (new.name, new.cause, new.zone, new.service_account) == ("s0-1-0.shop", "rollout", 0, "default")
    assert mesh.done == [(1 * MS, f"start {new.name}"), (18 * MS, "stop p0")]
    assert [pod.name for pod in mesh.deleted] == ["p0"]
    seen = [
        (t_ns // MS, event.kind, event.changes, event.endpoints and [e.health for e in event.endpoints])
        for t_ns, event in mesh.watched
    ]
    assert seen == [
        (3, "Endpoints", (), [Health.HEALTHY, Health.UNHEALTHY]),
        (8, "Pod", (), None),  # created at 1, ready after 3 + 4
        (10, "Endpoints", ("s0 change 1", "s0 change 2"), [Health.TERMINATING, Health.HEALTHY]),
        (30, "Endpoints", (), [Health.HEALTHY]),  # gone at 28
    ]
    lives = mesh.kubernetes.lives
    assert [lives.at(0, t * MS) for t in (7, 8, 12, 13)] == [
        Life.SERVING,
        Life.TERMINATING,
        Life.TERMINATING,
        Life.GONE,
    ]
    assert [lives.at(new.id, t * MS) for t in (1, 7, 8)] == [Life.GONE, Life.GONE, Life.SERVING]


def test_a_rollout_replaces_every_pod_and_leaves_other_services_alone(clock: Clock) -> None:
    mesh = Mesh(clock)
    workload = play(mesh, rollout(mesh))
    s0, s1 = mesh.all_services[:2]
    assert workload.rollouts.deployment(s0).is_complete
    assert mesh.kubernetes.endpoints(s0).ids == tuple(pod.id for pod in mesh.started)
    assert [e.zone for e in mesh.kubernetes.endpoints(s0)] == [0, 1, 0, 1]
    assert mesh.kubernetes.endpoints(s1).revision == 0
    assert mesh.changes == 8  # four pods came, four went


def test_the_settings_of_the_rollout_decide_how_the_old_pods_end(clock: Clock) -> None:
    mesh = Mesh(clock, services=1, pods=2)
    settings = PodSettings(pre_stop_ns=7 * MS, native_sidecar=True)
    play(mesh, rollout(mesh, settings))
    assert mesh.settings == [settings] * 2


def test_pods_without_sidecars_serve_until_their_hook_ends_or_they_are_killed(clock: Clock) -> None:
    mesh = Mesh(clock, services=1, pods=1, has_proxies=False)
    settings = PodSettings(Constant(5 * MS), pre_stop_ns=30 * MS, termination_grace_ns=9 * MS)
    play(mesh, rollout(mesh, settings))
    assert mesh.started == []
    lives = mesh.kubernetes.lives
    assert [lives.at(0, t * MS) for t in (5, 6, 14, 15)] == [
        Life.SERVING,
        Life.TERMINATING,
        Life.TERMINATING,
        Life.GONE,
    ]
    assert len(mesh.kubernetes.endpoints(mesh.all_services[0])) == 1


def test_a_new_service_account_comes_with_the_new_pods(clock: Clock) -> None:
    mesh = Mesh(clock, services=1, pods=2)
    play(mesh, rollout(mesh, new_service_account=True))
    assert mesh.kubernetes.endpoints(mesh.all_services[0]).service_accounts == ("s0-1",)


def test_a_scale_up_adds_pods_with_sidecars_that_start_together(clock: Clock) -> None:
    mesh = Mesh(clock, services=1, pods=2)
    play(mesh, ScaleUpEntry(Arrivals(at=(5 * MS,)), 3))
    assert [(t_ns // MS, what) for t_ns, what in mesh.done] == [
        (5, f"start s0-0-{number}.shop") for number in (2, 3, 4)
    ]
    assert {pod.cause for pod in mesh.started} == {"scale_up"}
    assert len(mesh.kubernetes.endpoints(mesh.all_services[0]).serving_ids) == 5


def test_each_new_pod_draws_its_own_readiness_whatever_else_is_there(clock: Clock) -> None:
    def ready(services: int, seed: int = 1) -> list[int]:
        mesh = Mesh(Clock(), services=services, pods=1, seed=seed)
        scale = ScaleUpEntry(Arrivals(at=(0,)), 4, mesh.all_services[0], Uniform(0, 100 * MS))
        play(mesh, scale)
        return [t_ns for t_ns, event in mesh.watched if event.kind == "Pod"]

    assert len(set(ready(1))) == 4
    assert ready(1) == ready(3)
    assert ready(1) != ready(1, seed=2)


def test_a_rollout_without_a_service_takes_one_of_its_namespace(clock: Clock) -> None:
    mesh = Mesh(clock, services=2, pods=1)
    mesh.all_services[1] = service(1, "other")
    mesh.first[mesh.all_services[1]] = []
    entry = RolloutEntry(Arrivals(at=(1,)), namespace="shop")
    play(mesh, entry, RolloutEntry(Arrivals(at=(2,)), namespace="nowhere"))
    assert [pod.service.name for pod in mesh.started] == ["s0"]


def test_pods_that_end_at_once_are_gone_at_once(clock: Clock) -> None:
    mesh = Mesh(clock, services=1, pods=1)
    mesh.end = PodEnd(0, 0, 0)
    play(mesh, rollout(mesh))
    assert mesh.kubernetes.lives.at(0, 4 * MS) is Life.GONE
    assert len(mesh.kubernetes.endpoints(mesh.all_services[0])) == 1


def churn(clock: Clock, happenings: int, *, pods: int = 3, services: int = 1) -> Mesh:
    mesh = Mesh(clock, services=services, pods=pods)
    chosen = mesh.all_services[0] if services == 1 else None
    play(mesh, EndpointsEntry(Arrivals(every_ns=MS, until_ns=happenings * MS), chosen))
    return mesh


def test_churn_takes_endpoints_out_in_turn_and_brings_each_back(clock: Clock) -> None:
    mesh = churn(clock, 8)
    ids = [sorted(event.endpoints.ids) for _, event in mesh.watched if event.endpoints]
    everyone = [0, 1, 2]
    assert ids == [[1, 2], everyone, [0, 2], everyone, [0, 1], everyone, [1, 2], everyone]
    assert all(len(event.changes) == 1 for _, event in mesh.watched)
    lives = mesh.kubernetes.lives
    assert [lives.at(0, t * MS) for t in (0, 1, 6, 7)] == [
        Life.GONE,
        Life.SERVING,
        Life.GONE,
        Life.SERVING,
    ]


def test_churn_of_any_service_meets_all_of_them_in_turn(clock: Clock) -> None:
    mesh = churn(clock, 6, services=3)
    assert all(event.service for _, event in mesh.watched)
    names = [event.service.name for _, event in mesh.watched if event.service]
    assert sorted(names[:3]) == sorted(names[3:]) == ["s0", "s1", "s2"]
    assert all(len(mesh.kubernetes.endpoints(s)) == 3 for s in mesh.all_services)


def test_churn_may_empty_a_service_of_one_and_does_nothing_to_one_of_none(clock: Clock) -> None:
    mesh = churn(clock, 1, pods=1)
    assert len(mesh.kubernetes.endpoints(mesh.all_services[0])) == 0
    assert churn(Clock(), 3, pods=0).watched == []


def test_churn_does_not_bring_a_deleted_pod_back(clock: Clock) -> None:
    mesh = Mesh(clock, services=1, pods=2)
    s0 = mesh.all_services[0]
    times = Arrivals(at=(0, 500 * MS))
    play(mesh, EndpointsEntry(times, s0), rollout(mesh))
    assert 0 not in mesh.kubernetes.endpoints(s0)
    assert len(mesh.kubernetes.endpoints(s0)) == 1  # the second happening took one of the new pods
