"""What a push changes in the published state, and what it sends."""

from __future__ import annotations

import pytest

from simulator.control_plane.script import Answer, PublishedState, Push, Script, spoil_first
from simulator.mesh.configuration import Cluster, ClusterLoadAssignment, Listener, RouteConfiguration
from simulator.xds.resource_types import CDS, EDS, LDS, RDS, ResourceType
from simulator.xds.resources import Fault, Names, Resource, Resources


def clusters(*names: str) -> Resources:
    return Resources(Resource(name, 1, Cluster("eds")) for name in names)


def assignments(*names: str) -> Resources:
    return Resources(Resource(name, 1, ClusterLoadAssignment(2)) for name in names)


def listeners(*names: str) -> Resources:
    return Resources(Resource(name, 1, Listener(route_name=f"r{name[1:]}")) for name in names)


def routes(*names: str) -> Resources:
    return Resources(Resource(name, 1, RouteConfiguration("c0")) for name in names)


@pytest.fixture
def state() -> PublishedState:
    return PublishedState(
        {CDS: clusters("c0", "c1"), EDS: assignments("c0", "c1"), LDS: listeners("l0"), RDS: routes("r0")}
    )


def push(type_: ResourceType, **what: object) -> Push:
    return Push(0, type_, **what)  # type: ignore[arg-type]


def test_versions_start_at_one_and_count_changes_of_their_type(state: PublishedState) -> None:
    assert [state.version(t) for t in (CDS, EDS)] == ["1", "1"]
    state.apply(push(CDS, change=Names(("c0",))))
    assert [state.version(t) for t in (CDS, EDS)] == ["2", "1"]


def test_a_change_rewrites_the_named_resources_only(state: PublishedState) -> None:
    before = state.of(CDS)
    state.apply(push(CDS, change=Names(("c0",))))
    assert [r.revision for r in state.of(CDS)] == [2, 1]
    assert state.of(CDS)["c1"] is before["c1"]


def test_a_changed_listener_is_a_full_change_that_keeps_its_route(state: PublishedState) -> None:
    state.apply(push(LDS, change=Names(("l0",))))
    body = state.of(LDS)["l0"].body
    assert body == Listener(route_name="r0", edition=1)


def test_changed_filter_chains_leave_the_rest_of_a_listener(state: PublishedState) -> None:
    state.apply(push(LDS, change_filter_chains=Names(("l0",))))
    assert state.of(LDS)["l0"].body == Listener(route_name="r0", filter_chains=1)


def test_an_added_cluster_brings_its_assignment_without_a_push_of_it(state: PublishedState) -> None:
    added = push(CDS, add={CDS: clusters("c5"), EDS: assignments("c5")})
    assert list(added.listed) == ["c5"]
    state.apply(added)
    assert list(state.of(CDS).names) == ["c0", "c1", "c5"]
    assert "c5" in state.of(EDS)
    assert [state.version(t) for t in (CDS, EDS)] == ["2", "1"]


def test_an_added_listener_brings_its_route(state: PublishedState) -> None:
    state.apply(push(LDS, add={LDS: listeners("l5"), RDS: routes("r5")}))
    assert "l5" in state.of(LDS)
    assert "r5" in state.of(RDS)


def test_what_is_removed_is_gone(state: PublishedState) -> None:
    state.apply(push(CDS, remove=Names(("c0",))))
    assert list(state.of(CDS).names) == ["c1"]
    assert state.version(CDS) == "2"


def test_what_was_removed_exists_again_when_it_is_sent_or_changed(state: PublishedState) -> None:
    state.apply(push(CDS, remove=Names(("c0", "c1"))))
    state.apply(push(CDS, send=Names(("c0",))))
    assert [(r.name, r.revision) for r in state.of(CDS)] == [("c0", 1)]
    state.apply(push(CDS, change=Names(("c1",))))
    assert {r.name: r.revision for r in state.of(CDS)} == {"c0": 1, "c1": 2}


def test_a_change_follows_the_last_one_also_of_what_was_once_removed(state: PublishedState) -> None:
    for what in ({"remove": Names(("c0",))}, {"change": Names(("c0",))}, {"change": Names(("c0",))}):
        state.apply(push(CDS, **what))
    assert state.of(CDS)["c0"].revision == 3


def test_what_was_removed_and_added_anew_is_the_new_one(state: PublishedState) -> None:
    state.apply(push(CDS, remove=Names(("c0",))))
    state.apply(push(CDS, add={CDS: Resources([Resource("c0", 9, Cluster("static"))])}))
    state.apply(push(CDS, send=Names(("c0",))))
    assert state.of(CDS)["c0"].body == Cluster("static")


def test_an_emptied_assignment_has_no_endpoints(state: PublishedState) -> None:
    state.apply(push(EDS, empty=Names(("c0",))))
    assert [r.body for r in state.of(EDS)] == [ClusterLoadAssignment(0), ClusterLoadAssignment(2)]


def test_sending_again_changes_nothing(state: PublishedState) -> None:
    again = push(EDS, send=Names(("c0",)))
    before = state.of(EDS)
    state.apply(again)
    assert again.is_send_only
    assert state.of(EDS) is before
    assert state.version(EDS) == "1"


def test_a_reset_alone_changes_nothing(state: PublishedState) -> None:
    state.apply(Push(0, close=True))
    assert state.version(CDS) == "1"


def test_a_type_without_resources_is_empty(state: PublishedState) -> None:
    assert len(PublishedState({}).of(CDS)) == 0


def test_the_first_resource_by_name_is_spoiled_in_a_copy() -> None:
    good = clusters("c2", "c10", "c3")
    spoiled = spoil_first(good, Fault.BUILD)
    assert [(r.name, r.fault) for r in spoiled] == [("c2", None), ("c10", Fault.BUILD), ("c3", None)]
    assert spoiled["c10"] != good["c10"]
    assert good["c10"].fault is None


def test_answers_are_used_in_turn_and_the_last_one_for_ever() -> None:
    first, last = Answer(never=True), Answer(close=True)
    script = Script(resources={}, answers={CDS: (first, last)})
    assert [script.answer(CDS, turn) for turn in range(4)] == [first, last, last, last]
    assert not script.answer(EDS, 0).never
