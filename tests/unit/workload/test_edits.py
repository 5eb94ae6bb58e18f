"""Edits write distinct objects unless they are told which; services and proxies are chosen by keyed lot."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest

from simulator.engine.draws import Draws
from simulator.engine.events import Clock
from simulator.mesh.services import Service
from simulator.workload.contract import Edit
from simulator.workload.entries import Arrivals, EditEntry, Selection, TraceRow
from simulator.workload.play import Workload
from simulator.workload.selection import ServicesInTurn, chosen_proxies, drawn_service
from simulator.workload.timeline import timeline
from tests.unit.workload.acting import Mesh, service


def written(*entries: EditEntry, services: int = 3, until_ns: int = 1000) -> list[tuple[int, Edit]]:
    clock = Clock()
    mesh = Mesh(clock, services=services)
    Workload(clock, mesh.draws, mesh.kubernetes, mesh).play(timeline(entries, mesh.draws, until_ns))
    clock.run(until_ns)
    return mesh.edits


def edits_of(kind: str, happenings: int = 6, services: int = 3) -> list[Edit]:
    entry = EditEntry(kind, Arrivals(at=tuple(range(happenings))))
    return [edit for _, edit in written(entry, services=services)]


def test_an_edit_is_written_at_its_instant_with_what_the_entry_says() -> None:
    s1 = service(1)
    entry = EditEntry("VirtualService", Arrivals(at=(5, 9)), "vs-a", "other", s1, rejected_by_envoy=True)
    edit = Edit("VirtualService", "other", "vs-a", s1, rejected_by_envoy=True)
    assert written(entry) == [(5, edit), (9, edit)]


def test_unnamed_edits_touch_distinct_objects_of_services_in_turn() -> None:
    edits = edits_of("VirtualService")
    assert len({(edit.namespace, edit.name) for edit in edits}) == 6
    assert {edit.service.name for edit in edits[:3] if edit.service} == {"s0", "s1", "s2"}
    assert Counter(edit.service.name for edit in edits if edit.service) == {"s0": 2, "s1": 2, "s2": 2}
    first = edits[0]
    assert first.service is not None
    assert first.name == f"vs-{first.service.name}-0"
    assert first.namespace == first.service.namespace


def test_two_entries_without_names_do_not_write_each_others_objects() -> None:
    entry = EditEntry("DestinationRule", Arrivals(at=(1, 2, 3)), service=service(0))
    names = [(edit.namespace, edit.name) for _, edit in written(entry, entry)]
    assert len(set(names)) == 6


@pytest.mark.parametrize("kind", ["ServiceEntry", "Endpoints", "DNSName"])
def test_objects_that_stand_for_a_service_bear_its_name(kind: str) -> None:
    edits = edits_of(kind, happenings=3)
    assert sorted(edit.name for edit in edits) == ["s0", "s1", "s2"]


def test_a_named_object_is_about_the_service_of_its_name_or_always_the_same_one() -> None:
    (_, by_name), *_ = written(EditEntry("VirtualService", Arrivals(at=(1,)), name="s2"))
    assert by_name.service is not None
    assert by_name.service.name == "s2"
    named = written(EditEntry("VirtualService", Arrivals(at=(1, 2, 3)), name="vs-a"))
    assert len({edit.service for _, edit in named}) == 1


def test_there_is_one_mesh_config() -> None:
    edits = edits_of("MeshConfig", happenings=2)
    assert edits == [Edit("MeshConfig", "istio-system", "istio", None)] * 2


def test_an_object_in_a_namespace_without_services_may_be_about_any() -> None:
    (_, edit), *_ = written(EditEntry("AuthorizationPolicy", Arrivals(at=(1,)), namespace="istio-system"))
    assert edit.namespace == "istio-system"
    assert edit.service is not None


def test_edits_of_a_mesh_without_services_are_in_the_root_namespace() -> None:
    (edit,) = edits_of("PeerAuthentication", happenings=1, services=0)
    assert (edit.namespace, edit.service, edit.name) == ("istio-system", None, "pa-mesh-0")


def test_a_recorded_row_says_what_the_entry_leaves_open() -> None:
    rows = (TraceRow(1, "Secret", "ns9", "tls"), TraceRow(2))
    entry = EditEntry("VirtualService", Arrivals(trace=rows), name="vs-a", namespace="shop")
    edits = [edit for _, edit in written(entry)]
    assert [(edit.kind, edit.namespace, edit.name) for edit in edits] == [
        ("Secret", "ns9", "tls"),
        ("VirtualService", "shop", "vs-a"),
    ]


def test_a_service_more_changes_a_choice_only_by_being_chosen() -> None:
    services = [Service(i, i, f"s{i}", "ns") for i in range(20)]
    more = [*services[:7], Service(20, 999, "new", "ns"), *services[7:]]
    draws = Draws(3)
    before = [drawn_service(services, draws, "x", index) for index in range(500)]
    after = [drawn_service(more, draws, "x", index) for index in range(500)]
    kept = [(b, a) for b, a in zip(before, after, strict=True) if a.name != "new"]
    assert all(b is a for b, a in kept)
    n, p = 500, 1 / 21
    assert abs((n - len(kept)) - n * p) < 4 * (n * p * (1 - p)) ** 0.5


def test_services_in_turn_come_each_once_before_any_comes_again() -> None:
    services = [Service(i, i, f"s{i}", "ns") for i in range(7)]
    turn = ServicesInTurn(Draws(1), "x")
    names = [turn.next(services).name for _ in range(21)]
    for start in (0, 7, 14):
        assert sorted(names[start : start + 7]) == [f"s{i}" for i in range(7)]
    assert names[:7] != names[7:14]


def test_a_selection_is_a_number_a_share_or_a_list() -> None:
    proxies, draws = list(range(0, 50, 2)), Draws(1)
    assert chosen_proxies(Selection(proxies=(4, 3, 8)), proxies, draws, "x", 0) == (4, 8)
    three = chosen_proxies(Selection(count=3), proxies, draws, "x", 0)
    assert len(three) == 3
    assert list(three) == sorted(three)
    assert three != chosen_proxies(Selection(count=3), proxies, draws, "x", 1)
    assert len(chosen_proxies(Selection(share=Fraction(1, 10)), proxies, draws, "x", 0)) == 3
    assert chosen_proxies(Selection(count=99), proxies, draws, "x", 0) == tuple(proxies)
    assert chosen_proxies(Selection(count=2), [], draws, "x", 0) == ()


def test_every_proxy_is_chosen_equally_often() -> None:
    draws, times = Draws(1), Counter[int]()
    for index in range(1000):
        times.update(chosen_proxies(Selection(count=2), range(10), draws, "x", index))
    # 2 of 10 each time: binomial(1000, 0.2), sd 12.6
    assert all(abs(times[proxy] - 200) < 4 * 12.65 for proxy in range(10))
