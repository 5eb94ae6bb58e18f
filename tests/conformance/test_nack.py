"""Rejected configuration: rules N1 to N4 of the Envoy 1.40 measurements.

`decode` is a message that does not decode or validate: the whole response is dropped. `build` is a resource
that cannot be built: the good ones of the response are applied all the same. Times are in seconds.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.running import (
    AT,
    DELTA,
    SEPARATE,
    SEPARATE_DELTA,
    SOTW,
    both_protocols,
    counter,
    every_stream,
    push,
)
from tests.conformance.starting import POLL, said_at, step, workers_after
from tests.conformance.tolerance import MS, assert_close, assert_inside
from tests.playing import TYPES, Play, play

REJECTED_STAT = {
    "cds": "envoy_cluster_manager_cds_update_rejected",
    "eds": "envoy_cluster_update_rejected",
    "lds": "envoy_listener_manager_lds_update_rejected",
    "rds": "envoy_http_rds_update_rejected",
}

each_type = pytest.mark.parametrize("type_", TYPES)
each_fault = pytest.mark.parametrize("fault", ["decode", "build"])


def _rejected_at_start(type_: str, fault: str, wire: dict[str, Any], **keywords: Any) -> Play:
    keywords.setdefault("traffic", "1000/s")
    return play(**wire, timeout="5s", answers={type_: {"reject": fault}}, **{"duration": "3s", **keywords})


def _nack(played: Play, type_: str, after: float = -1.0) -> Any:
    return next(m for m in played.messages(after, type_, "request") if m.error_detail)


# --- N1


@both_protocols
def test_n1_a_rejected_cds_is_followed_by_lds_at_once(wire: dict[str, str]) -> None:
    """N1: first CDS rejected: LDS asked for about 1 ms later, workers 3 to 8 ms after; traffic gets 503
    without a cluster."""
    played = _rejected_at_start("cds", "decode", wire)
    assert_close(step(played, "response cds", "request lds"), 1 * MS, "LDS after the rejected CDS")
    assert_inside(workers_after(played, "response cds"), 3 * MS, 8 * MS, "workers")
    assert played.order()[:4] == ["request cds", "response cds", "request lds", "nack cds"]
    assert played.outcomes()[-1][1] == "NC"


@both_protocols
@each_fault
@pytest.mark.parametrize(
    ("type_", "outcome"), [("cds", "NC"), ("eds", "UH"), ("lds", "refused"), ("rds", "NR")]
)
def test_n1_a_nack_releases_the_step_at_once(
    wire: dict[str, str], type_: str, outcome: str, fault: str
) -> None:
    """N1: result as with the timeout, but at once: CDS 503, EDS 503 `no healthy upstream`, LDS no port (yet
    LIVE), RDS 404. Workers 3 to 8 ms after a rejected CDS or EDS, and right away after LDS or RDS, which
    nothing follows."""
    played = _rejected_at_start(type_, fault, wire)
    after = workers_after(played, f"response {type_}")
    if type_ in ("cds", "eds"):
        assert_inside(after, 3 * MS, 8 * MS, "workers")
    else:
        assert 0 < after < 4 * MS
    assert played.outcomes()[-1][1] == outcome
    assert played.startup.outcome == "live"
    assert played.fetch_timeouts == {}


@pytest.mark.parametrize(
    "wire", [SEPARATE, SEPARATE_DELTA, POLL], ids=["separate-sotw", "separate-delta", "poll"]
)
@each_type
@each_fault
def test_n1_a_rejection_releases_over_every_transport(wire: dict[str, Any], type_: str, fault: str) -> None:
    played = _rejected_at_start(type_, fault, wire)
    started = played.at("workers_started")
    assert started is not None
    assert started < 40 * MS
    assert played.fetch_timeouts == {}
    assert counter(played, REJECTED_STAT[type_]) >= 1


@both_protocols
@each_fault
def test_n1_one_bad_assignment_releases_every_cluster(wire: dict[str, str], fault: str) -> None:
    """Every watch of the type is told of the rejection: of a hundred assignments with one bad, all hundred
    clusters are released at once. Those called before the bad one have hosts (`build`), the bad one has
    none."""
    played = _rejected_at_start("eds", fault, wire, clusters={"count": 100}, traffic="100/s")
    started = played.at("workers_started")
    assert started is not None
    assert started < 0.2
    assert played.fetch_timeouts == {}
    assert played.outcomes()[-1][1] == "UH"
    assert counter(played, REJECTED_STAT["eds"]) == 100
    served = counter(played, "envoy_cluster_update_success")
    assert served == (99 if fault == "build" else 0)


# --- N2


@both_protocols
@each_type
@each_fault
def test_n2_a_nack_at_start_says_what_it_refuses(wire: dict[str, str], type_: str, fault: str) -> None:
    """N2: 1 to 4 ms after the response; response_nonce is the refused one, version_info the last accepted
    one, none at start; error_detail says why; update_rejected +1."""
    played = _rejected_at_start(type_, fault, wire)
    [response] = played.messages(type=type_, direction="response")
    nack = _nack(played, type_)
    assert_inside(nack.t - response.t, 1 * MS, 4 * MS, "NACK")
    assert nack.t - response.t >= 1 * MS
    assert nack.nonce == response.nonce
    assert nack.version_info == ""
    assert "c0" in nack.error_detail or "l0" in nack.error_detail or "r0" in nack.error_detail
    assert counter(played, REJECTED_STAT[type_]) == 1


@both_protocols
@each_type
@each_fault
def test_n2_a_nack_while_running_states_the_version_accepted_before(
    wire: dict[str, str], type_: str, fault: str
) -> None:
    """N2: while running version_info is that of the last accepted response (SotW; delta has none)."""
    name = {"cds": "c0", "eds": "c0", "lds": "l0", "rds": "r0"}[type_]
    played = play(**wire, pushes=[push(type_, change=[name], reject=fault)], duration="8s")
    response = next(m for m in played.messages(AT - MS, type_) if m.direction == "response")
    nack = _nack(played, type_, AT)
    assert_inside(nack.t - response.t, 1 * MS, 4 * MS, "NACK")
    assert (response.version_info, nack.nonce) == ("2", response.nonce)
    assert nack.version_info == ("1" if wire is SOTW else "")
    assert counter(played, REJECTED_STAT[type_]) == 1
    assert played.delivery().outcome == "rejected"


# --- N3


@both_protocols
@each_type
@each_fault
def test_n3_the_old_version_serves_on_until_a_correct_one_comes(
    wire: dict[str, str], type_: str, fault: str
) -> None:
    """N3: no failed request; Envoy sends nothing more until the server sends again; the corrected version is
    ACKed."""
    name = {"cds": "c0", "eds": "c0", "lds": "l0", "rds": "r0"}[type_]
    played = play(
        **wire,
        pushes=[push(type_, change=[name], reject=fault), push(type_, after=2, change=[name])],
        answers={} if type_ != "cds" else {"eds": [{}, {}, {}]},
        traffic="1000/s",
        duration="12s",
    )
    assert [o for _, o in played.outcomes()] == ["refused", "200"]
    between = [m for m in played.messages(AT) if m.t < AT + 2 - MS]
    assert [(m.direction, bool(m.error_detail)) for m in between] == [("response", False), ("request", True)]
    corrected = next(m for m in played.messages(AT + 1, type_) if m.direction == "response")
    if type_ != "cds":
        # The ACK of a changed EDS cluster waits for its assignment (W2).
        acked = next(m for m in played.messages(AT + 1, type_, "request") if m.nonce == corrected.nonce)
        assert not acked.error_detail
        assert acked.version_info == ("3" if wire is SOTW else "")
    assert not [said for said in played.order(AT + 1) if said.startswith("nack")]


@both_protocols
def test_n3_a_corrected_static_cluster_is_acked(wire: dict[str, str]) -> None:
    played = play(
        **wire,
        clusters={"type": "static"},
        pushes=[push("cds", change=["c0"], reject="build"), push("cds", after=2, change=["c0"])],
        traffic="1000/s",
        duration="12s",
    )
    assert played.order(AT) == ["response cds", "nack cds", "response cds", "ack cds"]
    assert [o for _, o in played.outcomes()] == ["refused", "200"]


@both_protocols
@each_type
def test_n3_a_correct_version_repairs_a_start_that_was_rejected(wire: dict[str, str], type_: str) -> None:
    played = _rejected_at_start(type_, "decode", wire, pushes=[push(type_, send="all")], duration="8s")
    assert played.outcomes()[-1][1] == "200"
    assert said_at(played, f"ack {type_}") > AT


# --- N4


@both_protocols
@pytest.mark.parametrize(("fault", "survives"), [("decode", False), ("build", True)])
def test_n4_good_clusters_survive_where_a_bad_one_cannot_be_built(
    wire: dict[str, str], fault: str, survives: bool
) -> None:
    """N4 (CDS): a message that does not decode takes the good clusters with it; one that cannot be built does
    not, and the response is NACKed all the same."""
    kinds = {"type": "static", "count": 2}
    played = _rejected_at_start("cds", fault, wire, clusters=kinds, listeners={"count": 2})
    assert counter(played, "envoy_cluster_manager_active_clusters") == int(survives)
    assert [name for name in ("c0", "c1") if played.states("cluster", name)] == (["c1"] if survives else [])
    assert "c0" in _nack(played, "cds").error_detail
    assert counter(played, REJECTED_STAT["cds"]) == 1


@both_protocols
@pytest.mark.parametrize(("fault", "survives"), [("decode", False), ("build", True)])
def test_n4_good_listeners_survive_where_a_bad_one_cannot_be_built(
    wire: dict[str, str], fault: str, survives: bool
) -> None:
    """N4 (LDS): l1 serves although l0 could not be built; of a message that does not decode nothing
    serves."""
    workload = [{"traffic": {"to": "l1", "rate": "100/s"}}]
    played = _rejected_at_start(
        "lds", fault, wire, clusters={"count": 2}, listeners={"count": 2}, traffic=None, workload=workload
    )
    assert counter(played, "envoy_listener_manager_total_listeners_active") == int(survives)
    assert played.outcomes()[-1][1] == ("200" if survives else "refused")
    assert "l0" in _nack(played, "lds").error_detail


@both_protocols
@pytest.mark.parametrize("type_", ["cds", "lds"])
@pytest.mark.parametrize(("fault", "survives"), [("decode", False), ("build", True)])
def test_n4_holds_while_running(wire: dict[str, str], type_: str, fault: str, survives: bool) -> None:
    """N4 while running: of two new resources, the bad one is refused, the good one applied only with `build`;
    what ran before runs on."""
    new = {"cds": ["c2", "c3"], "lds": ["l2", "l3"]}[type_]
    played = play(
        **wire,
        clusters={"type": "static", "count": 2},
        listeners={"count": 2},
        pushes=[push(type_, add=new, reject=fault)],
        traffic="100/s",
        duration="8s",
    )
    gauge = {
        "cds": "envoy_cluster_manager_active_clusters",
        "lds": "envoy_listener_manager_total_listeners_active",
    }
    # In SotW the first resource by name is the old c0 or l0: refused as a change, it serves on as it was.
    expected = 2 + (0 if not survives else 1 if wire is DELTA else 2)
    assert counter(played, gauge[type_]) == expected
    assert [o for _, o in played.outcomes()] == ["refused", "200"]
    assert _nack(played, type_, AT).error_detail


@every_stream
def test_an_inline_route_to_an_unknown_cluster_is_refused(wire: dict[str, str]) -> None:
    """Inline routes are validated against the clusters that exist; routes by RDS are not."""
    played = play(**wire, listeners={"routes": "inline"}, answers={"cds": {"omit": ["c0"]}}, duration="3s")
    assert "unknown cluster 'c0'" in _nack(played, "lds").error_detail
    by_rds = play(**wire, answers={"cds": {"omit": ["c0"]}}, traffic="100/s", duration="3s")
    assert not [said for said in by_rds.order() if said.startswith("nack")]
    assert by_rds.outcomes()[-1][1] == "NC"
