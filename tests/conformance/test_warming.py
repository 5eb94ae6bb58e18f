"""Clusters that change while Envoy runs: rules W1 to W7 of the Envoy 1.40 measurements, and what the source
says besides.

Times count from the push, in seconds; the state of traffic is read from requests that cost nothing to
send.
"""

from __future__ import annotations

import pytest

from simulator.engine.draws import Draws
from tests.conformance.running import (
    AT,
    DELTA,
    SEPARATE,
    SOTW,
    acked,
    both_protocols,
    conversation,
    counter,
    entered,
    every_stream,
    outcomes,
    push,
    run,
    said,
    separate_streams,
    words_of,
)
from tests.conformance.tolerance import MS, assert_close, assert_inside, is_close, is_inside
from tests.playing import NEVER, play

EDS_LATE = {"eds": [{}, {"after": "2s"}]}
EDS_ONCE = {"eds": [{}, NEVER]}
ONE_EDS_ONE_STATIC = [{"count": 1, "type": "eds"}, {"count": 1, "type": "static"}]

# --- W1, W2: an added cluster


@both_protocols
def test_a_new_cluster_asks_for_its_assignment_at_once_and_is_active_when_it_comes(
    wire: dict[str, str],
) -> None:
    played = run(push("cds", add=["c1"]), answers=EDS_LATE, **wire)
    asked = said(played, "ack eds" if wire is SOTW else "request eds")[0]
    assert_inside(asked, 2 * MS, 7 * MS, "EDS asked for after the CDS push")
    assert_close(entered(played, "cluster", "c1", "ACTIVE"), 2.0)
    assert outcomes(played) == [(0.0, "200")]
    # In SotW the request for the new name carries the nonce used before, so it reads as an ACK that adds a
    # name.
    [request] = [m for m in played.messages(AT, "eds", "request") if m.t == AT + asked]
    assert list(request.resources) == (["c0", "c1"] if wire is SOTW else ["c1"])


@both_protocols
def test_on_ads_the_cds_ack_waits_for_the_warming_cluster(wire: dict[str, str]) -> None:
    played = run(push("cds", add=["c1"]), answers=EDS_LATE, **wire)
    assert_close(acked(played, "cds"), 2.0)
    assert conversation(played)[-2:] == ["ack cds", "ack eds"]


@both_protocols
@pytest.mark.parametrize(("timeout", "held"), [("3s", 3.0), (None, 15.0)], ids=["3s", "default"])
def test_the_cds_ack_is_held_for_as_long_as_the_fetch_timeout_lets_a_cluster_warm(
    wire: dict[str, str], timeout: str | None, held: float
) -> None:
    played = run(push("cds", add=["c1"]), answers=EDS_ONCE, timeout=timeout, duration="25s", **wire)
    assert_close(acked(played, "cds"), held)
    assert_close(entered(played, "cluster", "c1", "ACTIVE"), held)


@separate_streams
def test_on_separate_streams_the_cds_ack_leaves_at_once(wire: dict[str, str]) -> None:
    """Seen in 5 of 5 runs of a real Envoy: the ACK after 2.8 to 3.8 ms, then the new stream."""
    played = run(push("cds", add=["c1"]), answers=EDS_LATE, **wire)
    # A stream of its own takes the first turn of the answers for its name: c1 is answered at once.
    assert conversation(played) == ["response cds", "ack cds", "request eds", "response eds", "ack eds"]
    assert_close(acked(played, "cds"), 3.3 * MS)
    late = run(push("cds", change=["c0"]), answers=EDS_LATE, **wire)
    assert_close(acked(late, "cds"), 3.3 * MS)
    assert_close(entered(late, "cluster", "c0", "ACTIVE"), 2.0)


@both_protocols
def test_a_cds_push_behind_a_warming_cluster_is_applied_at_once_and_its_ack_waits_too(
    wire: dict[str, str],
) -> None:
    played = run(
        push("cds", add=["c2"]),
        push("cds", after=0.5, add=["c3"]),
        clusters=[{"count": 2}],
        answers=EDS_ONCE,
        timeout="3s",
        **wire,
    )
    static = run(
        push("cds", change=["c0"]),
        push("cds", after=0.5, add=["c2"]),
        clusters=ONE_EDS_ONE_STATIC,
        answers=EDS_ONCE,
        timeout="3s",
        **wire,
    )
    active = entered(static, "cluster", "c2", "ACTIVE")
    assert active is not None
    assert_close(active - 0.5, 2 * MS, "a static cluster added meanwhile")
    assert_close(static.messages(AT, "cds", "request")[0].t - AT, 3.0)
    # An EDS cluster added meanwhile has its own 3 s, and the ACKs wait for the last.
    assert_close(played.messages(AT, "cds", "request")[0].t - AT, 3.5)


def test_acks_held_back_become_one_in_sotw_and_stay_one_for_each_response_in_delta() -> None:
    pushes = (
        push("cds", change=["c0"]),
        push("cds", after=0.5, add=["c2"]),
        push("cds", after=1, change=["c1"]),
    )
    found = {}
    for name, wire in (("sotw", SOTW), ("delta", DELTA)):
        played = run(*pushes, clusters=ONE_EDS_ONE_STATIC, timeout="3s", **wire)
        messages = played.messages(AT - 1e-9, "cds")
        sent = [m.nonce for m in messages if m.direction == "response"]
        found[name] = sent, [m.nonce for m in messages if m.direction == "request"]
    sent, acks = found["sotw"]
    assert len(sent) == 3
    assert acks == sent[-1:]
    sent, acks = found["delta"]
    assert acks == sent


# --- W3: routes do not wait for clusters


@both_protocols
def test_a_route_to_a_warming_cluster_is_accepted_and_traffic_gets_503_until_it_is_active(
    wire: dict[str, str],
) -> None:
    played = run(
        push("cds", send=["c1"]),
        push("rds", after=0.5, change=["r1"]),
        clusters={"count": 2},
        listeners={"count": 2},
        answers={"cds": {"omit": ["c1"]}, **EDS_LATE},
        traffic=None,
        workload=[{"traffic": {"to": "l1", "rate": "200/s"}}],
        **wire,
    )
    assert_inside(acked(played, "rds"), 1.1 * MS, 1.2 * MS, "RDS is not held back")
    assert words_of(outcomes(played)) == ["NC", "200"]
    assert_close(outcomes(played)[-1][0], 2.0)


# --- W4 to W6: a changed cluster


@both_protocols
def test_the_old_cluster_serves_on_while_the_new_one_warms(wire: dict[str, str]) -> None:
    played = run(push("cds", change=["c0"]), push("eds", after=1, send=["c0"]), timeout="3s", **wire)
    assert outcomes(played) == [(0.0, "200")]
    assert_close(entered(played, "cluster", "c0", "ACTIVE"), 1.0)


def test_sotw_asks_again_with_the_same_names_version_and_used_nonce() -> None:
    played = run(push("cds", change=["c0"]), timeout="3s")
    before = [m for m in played.messages(0, "eds", "request") if m.t < AT][-1]
    [again, *_] = played.messages(AT, "eds", "request")
    assert_inside(again.t - AT, 2 * MS, 6 * MS, "the repeated EDS request")
    assert (list(again.resources), again.version_info, again.nonce) == (
        ["c0"],
        before.version_info,
        before.nonce,
    )
    # The server takes it for an ACK: nothing is answered, and the cluster warms for the whole time-out.
    assert not played.messages(AT, "eds", "response")


def test_delta_asks_for_nothing() -> None:
    played = run(push("cds", change=["c0"]), timeout="3s", **DELTA)
    assert conversation(played) == ["response cds", "ack cds"]


def test_a_separate_sotw_stream_subscribes_anew() -> None:
    played = run(push("cds", change=["c0"]), timeout="3s", **SEPARATE)
    [request, *_] = played.messages(AT, "eds", "request")
    assert (request.version_info, request.nonce, list(request.resources)) == ("", "", ["c0"])
    assert request.stream not in {m.stream for m in played.messages(-1) if m.t < AT}
    # It is a subscription, so it is answered, and the cluster is warm with that.
    assert_close(entered(played, "cluster", "c0", "ACTIVE"), 6 * MS)
    assert outcomes(played) == [(0.0, "200")]


@both_protocols
@pytest.mark.parametrize(("timeout", "warm_at"), [("3s", 3.0), (None, 15.0)], ids=["3s", "default"])
def test_without_eds_a_changed_cluster_warms_for_the_timeout_and_takes_the_cached_hosts(
    wire: dict[str, str], timeout: str | None, warm_at: float
) -> None:
    played = run(push("cds", change=["c0"]), timeout=timeout, duration="25s", **wire)
    assert_close(entered(played, "cluster", "c0", "ACTIVE"), warm_at)
    assert counter(played, "envoy_cluster_assignment_use_cached") == 1
    assert counter(played, "envoy_cluster_init_fetch_timeout") == 1
    assert outcomes(played) == [(0.0, "200")], "no request fails"


@separate_streams
def test_a_separate_stream_has_no_cache_and_the_cluster_has_no_hosts_from_the_timeout_on(
    wire: dict[str, str],
) -> None:
    played = run(push("cds", change=["c0"]), timeout="3s", answers=EDS_ONCE, **wire)
    assert words_of(outcomes(played)) == ["200", "UH"]
    assert_close(outcomes(played)[1][0], 3.0)
    assert counter(played, "envoy_cluster_assignment_use_cached") == 0


def test_with_the_cache_switched_off_ads_loses_the_hosts_too() -> None:
    played = run(push("cds", change=["c0"]), timeout="3s", envoy={"eds_cache": False})
    assert words_of(outcomes(played)) == ["200", "UH"]
    assert_close(outcomes(played)[1][0], 3.0)


@both_protocols
@pytest.mark.parametrize("how", ["send", "change"])
def test_eds_sent_again_ends_warming_in_a_moment_and_no_request_fails(wire: dict[str, str], how: str) -> None:
    played = run(push("cds", change=["c0"]), push("eds", after=0.1, **{how: ["c0"]}), timeout="3s", **wire)
    active = entered(played, "cluster", "c0", "ACTIVE")
    assert active is not None
    assert_inside(active - 0.1, 1 * MS, 2 * MS, "from the EDS push to the end of warming")
    assert outcomes(played) == [(0.0, "200")]
    assert counter(played, "envoy_cluster_init_fetch_timeout") == 0


# --- W7: what is taken away. The ranges were read with a probe that sends a request every 5 ms.

PROBE_PERIOD = 5 * MS
PROBE_ANSWER = 0.4 * MS  # a request takes 0.3 to 0.5 ms (rule P1)


def first_seen(takes_effect: float, probe: int) -> float:
    """When the probe has the first answer that shows the new outcome.

    Requests start every 5 ms; the phase of the train against the push is random, one keyed draw for each
    probe. The first request that starts when, or after, the outcome takes effect shows it with its
    answer.
    """
    phase = Draws(seed=2026).uniform("probe.phase", probe) * PROBE_PERIOD
    waits = (phase - takes_effect) % PROBE_PERIOD
    return takes_effect + waits + PROBE_ANSWER


def assert_probes_see(takes_effect: float, low: float, high: float) -> None:
    """No phase of the probe sees it later than the range says, and most of them see it within.

    A probe that happens to start just then sees it earlier than the handful of probes behind a range did.
    """
    seen = [first_seen(takes_effect, probe) for probe in range(200)]
    assert max(seen) <= high
    assert sum(low <= s for s in seen) > 100


@both_protocols
def test_cds_removes_a_cluster_in_use(wire: dict[str, str]) -> None:
    played = run(push("cds", remove=["c0"]), **wire)
    assert words_of(outcomes(played)) == ["200", "NC"]
    takes_effect = outcomes(played)[1][0]
    assert_inside(takes_effect, 1.8 * MS, 6 * MS, "seen with a probe every 0.3 ms")
    assert_probes_see(takes_effect, 2 * MS, 8 * MS)
    assert counter(played, "envoy_cluster_manager_cluster_removed") == 1


@both_protocols
def test_eds_empties_a_cluster_in_use(wire: dict[str, str]) -> None:
    played = run(push("eds", empty=["c0"]), **wire)
    assert words_of(outcomes(played)) == ["200", "UH"]
    takes_effect = outcomes(played)[1][0]
    assert_inside(takes_effect, 2.2 * MS, 5 * MS, "seen with a probe every 0.3 ms")
    assert_probes_see(takes_effect, 4 * MS, 11 * MS)


def test_an_envoy_without_costs_meets_none_of_the_short_steps() -> None:
    free = {"envoy": {"costs": "zero"}}
    added = run(push("cds", add=["c1"]), answers=EDS_LATE, **free)
    assert not is_inside(said(added, "ack eds")[0], 2 * MS, 7 * MS)
    again = run(push("cds", change=["c0"]), push("eds", after=0.1, send=["c0"]), timeout="3s", **free)
    active = entered(again, "cluster", "c0", "ACTIVE")
    assert active is not None
    assert not is_inside(active - 0.1, 1 * MS, 2 * MS)
    removed = outcomes(run(push("cds", remove=["c0"]), **free))[1][0]
    assert not is_inside(removed, 1.8 * MS, 6 * MS)
    static = run(push("cds", add=["c2"]), clusters=ONE_EDS_ONE_STATIC, **free)
    assert not is_close(entered(static, "cluster", "c2", "ACTIVE"), 2 * MS)


# --- replacement (cluster_manager_impl.cc, addOrUpdateCluster)


@both_protocols
@pytest.mark.parametrize("which", ["added", "changed"])
def test_an_update_of_a_warming_cluster_replaces_it_and_starts_its_timer_anew(
    wire: dict[str, str], which: str
) -> None:
    first = push("cds", add=["c1"]) if which == "added" else push("cds", change=["c1"])
    clusters = {"count": 1 if which == "added" else 2}
    played = run(
        first,
        push("cds", after=1.5, change=["c1"]),
        clusters=clusters,
        answers=EDS_ONCE,
        timeout="3s",
        **wire,
    )
    states = [s for t, s, _ in played.states("cluster", "c1") if t >= AT]
    assert states.count("GONE") == 1, "the replaced object"
    assert_close(entered(played, "cluster", "c1", "ACTIVE"), 4.5)
    assert_close(played.messages(AT, "cds", "request")[0].t - AT, 4.5)
    assert counter(played, "envoy_cluster_init_fetch_timeout", '"c1"') == 1


@both_protocols
def test_announcing_a_warming_cluster_again_unchanged_changes_nothing(wire: dict[str, str]) -> None:
    played = run(
        push("cds", add=["c1"]), push("cds", after=1.5, send=["c1"]), answers=EDS_ONCE, timeout="3s", **wire
    )
    assert_close(entered(played, "cluster", "c1", "ACTIVE"), 3.0)
    assert len(played.messages(AT + 0.1, "eds", "request")) == 0, "nothing is asked for again"
    assert counter(played, "envoy_cluster_manager_cluster_modified") == 0


@both_protocols
def test_sending_an_active_cluster_again_unchanged_does_not_warm_it(wire: dict[str, str]) -> None:
    played = run(push("cds", send=["c0"]), **wire)
    assert [s for t, s, _ in played.states("cluster") if t >= AT] == []
    ack = acked(played, "cds")
    assert ack is not None
    assert ack < 2 * MS


# --- removal


@both_protocols
def test_removing_a_warming_cluster_frees_the_cds_ack(wire: dict[str, str]) -> None:
    played = run(
        push("cds", add=["c1"]), push("cds", after=1, remove=["c1"]), answers=EDS_ONCE, timeout="3s", **wire
    )
    assert_close(entered(played, "cluster", "c1", "GONE"), 1.0)
    assert_close(played.messages(AT, "cds", "request")[0].t - AT, 1.0)
    assert counter(played, "envoy_cluster_init_fetch_timeout") == 0, "its timer ended with it"
    assert counter(played, "envoy_cluster_manager_warming_clusters") == 0
    # Nobody wants its assignment any more: it is not asked for after a reset.
    eds = played.messages(AT + 0.9, "eds", "request")
    if wire is SOTW:
        assert list(eds[-1].resources) == ["c0"]
    else:
        # The delta mux does not pause the type that it applies, EDS is: the ACK that waited goes first.
        said = played.messages(AT + 0.9, None, "request")
        assert [(m.type, m.nonce) for m in said] == [("cds", "n1.5"), ("eds", ""), ("cds", "n1.6")]


@both_protocols
def test_removing_a_changed_cluster_ends_the_old_and_the_warming_one(wire: dict[str, str]) -> None:
    played = run(push("cds", change=["c0"]), push("cds", after=1, remove=["c0"]), timeout="3s", **wire)
    assert words_of(outcomes(played)) == ["200", "NC"]
    assert_close(outcomes(played)[1][0], 1.0)
    assert counter(played, "envoy_cluster_manager_active_clusters") == 0
    assert counter(played, "envoy_cluster_manager_warming_clusters") == 0


@both_protocols
def test_a_cds_update_adds_before_it_removes(wire: dict[str, str]) -> None:
    played = run(push("cds", add=["c2"], remove=["c1"]), clusters=ONE_EDS_ONE_STATIC, **wire)
    rows = played.result.states
    rows = rows[(rows.machine == "cluster") & (rows.t_ns >= played.origin_ns + int(AT * 1e9))]
    order = [(r.name, r.state) for r in rows.itertuples() if r.state in ("ACTIVE", "GONE")]
    assert order == [("c2", "ACTIVE"), ("c1", "GONE")]


# --- partial failure


@both_protocols
def test_a_cluster_that_cannot_be_built_is_refused_alone(wire: dict[str, str]) -> None:
    played = run(
        push("cds", change=["c0", "c1", "c2"], reject="build"),
        clusters={"count": 3, "type": "static"},
        **wire,
    )
    [nack] = played.messages(AT, "cds", "request")
    assert "c0" in nack.error_detail
    assert "c1" not in nack.error_detail
    assert entered(played, "cluster", "c0", "ACTIVE") is None, "the old one serves on"
    assert entered(played, "cluster", "c1", "ACTIVE") is not None
    assert entered(played, "cluster", "c2", "ACTIVE") is not None
    assert outcomes(played) == [(0.0, "200")]


@both_protocols
def test_removals_of_a_partly_refused_update_still_happen(wire: dict[str, str]) -> None:
    played = run(
        push("cds", change=["c0"], remove=["c1"], reject="build"),
        clusters={"count": 2, "type": "static"},
        **wire,
    )
    assert entered(played, "cluster", "c1", "GONE") is not None
    assert played.messages(AT, "cds", "request")[0].error_detail


@both_protocols
def test_a_message_that_does_not_decode_is_dropped_whole(wire: dict[str, str]) -> None:
    played = run(
        push("cds", change=["c0", "c1"], remove=["c2"], reject="decode"),
        clusters={"count": 3, "type": "static"},
        **wire,
    )
    assert [s for t, s, _ in played.states("cluster") if t >= AT] == []
    assert counter(played, "envoy_cluster_manager_cds_update_rejected") == 1


# --- EDS of clusters in service


def test_delta_removing_an_assignment_keeps_the_hosts() -> None:
    played = run(push("eds", remove=["c0"]), **DELTA)
    assert played.messages(AT, "eds", "response"), "the server did say it"
    assert outcomes(played) == [(0.0, "200")]
    assert counter(played, "envoy_cluster_update_empty") == 1


def test_delta_removing_the_assignment_of_a_warming_cluster_ends_its_warming_without_hosts() -> None:
    played = run(
        push("cds", add=["c1"]), push("eds", after=1, remove=["c1"]), answers=EDS_ONCE, timeout="3s", **DELTA
    )
    assert_close(entered(played, "cluster", "c1", "ACTIVE"), 1.0)


def test_a_sotw_response_without_an_assignment_says_nothing_about_it() -> None:
    played = run(push("eds", remove=["c0"]), clusters={"count": 2})
    assert list(played.messages(AT, "eds", "response")[0].resources) == ["c1"]
    assert outcomes(played) == [(0.0, "200")]


@both_protocols
def test_assignments_of_other_clusters_do_not_end_warming(wire: dict[str, str]) -> None:
    played = run(
        push("cds", change=["c0"]),
        push("eds", after=1, send=["c1"]),
        clusters={"count": 2},
        timeout="3s",
        **wire,
    )
    assert_close(entered(played, "cluster", "c0", "ACTIVE"), 3.0)


@every_stream
def test_a_cluster_of_the_bootstrap_is_untouched_by_cds(wire: dict[str, str]) -> None:
    played = play(
        timeout="3s",
        duration="9s",
        traffic="200/s",
        pushes=[push("cds", change=["c0"]), push("cds", after=1, remove=["c0"])],
        envoy={"static": {"clusters": {"count": 1, "type": "static"}}},
        clusters={"count": 1, "type": "static"},
        **wire,
    )
    assert [s for t, s, _ in played.states("cluster", "c0") if t >= AT] == []
    assert outcomes(played) == [(0.0, "200")]
