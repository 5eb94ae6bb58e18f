"""What random scripts, played against a real Envoy 1.40 beside the simulator, taught: each disagreed once."""

from __future__ import annotations

from tests.playing import play


def test_the_watch_of_a_replaced_cluster_ends_with_a_request_that_repeats_the_last_one() -> None:
    """SotW ADS, a cluster changed and its EDS not re-sent: one request when the new object subscribes, and
    one more when the old one goes, both with the names and the nonce already used."""
    played = play(pushes=[{"at": "5s", "type": "cds", "change": ["c0"]}], duration="9s")
    repeats = list(played.messages(after=4.9, type="eds", direction="request"))
    assert [round(m.t, 1) for m in repeats] == [5.0, 7.0]
    assert len({m.nonce for m in repeats}) == 1
    assert [list(m.resources) for m in repeats] == [["c0"], ["c0"]]


def test_a_listener_replaced_while_the_server_waits_does_not_let_it_start() -> None:
    """T7, then an LDS update of the waiting listener: the new object waits for the same route as the old."""
    played = play(
        protocol="delta",
        answers={"rds": {"remove": ["r0"]}},
        pushes=[{"at": "5s", "type": "lds", "change": ["l0"]}],
        duration="20s",
    )
    assert played.at("workers_started") is None


def test_a_delta_stream_of_one_route_ends_with_its_unsubscription() -> None:
    """Separate delta streams: what the last watch wanted is unsubscribed before the stream ends."""
    played = play(
        protocol="delta",
        streams="separate",
        envoy={"drain_time": "2s"},
        pushes=[{"at": "5s", "type": "lds", "remove": ["l0"]}],
        duration="10s",
    )
    last = played.messages(after=4.9, type="rds", direction="request")
    assert [round(m.t, 1) for m in last] == [7.0]
    assert last[0].nonce == ""
    assert not len(last[0].resources)


def test_a_state_of_the_world_stream_of_one_route_ends_with_a_request_for_no_names() -> None:
    played = play(
        streams="separate",
        envoy={"drain_time": "2s"},
        pushes=[{"at": "5s", "type": "lds", "remove": ["l0"]}],
        duration="10s",
    )
    last = played.messages(after=4.9, type="rds", direction="request")
    assert [(round(m.t, 1), len(m.resources)) for m in last] == [(7.0, 0)]


def test_the_stream_of_a_removed_cluster_just_ends() -> None:
    for protocol in ("sotw", "delta"):
        played = play(
            protocol=protocol,
            streams="separate",
            pushes=[{"at": "5s", "type": "cds", "remove": ["c0"]}],
            duration="10s",
        )
        assert played.messages(after=4.9, type="eds", direction="request") == []


def test_a_rejection_on_a_stream_of_its_own_releases_only_its_own_cluster() -> None:
    """Separate streams: the NACK of one assignment is no answer for the cluster beside it."""
    played = play(
        streams="separate",
        clusters={"count": 2},
        answers={"eds": {"never": True}},
        pushes=[{"at": "1s", "type": "eds", "send": ["c0"], "reject": "decode"}],
        timeout="3s",
    )
    assert played.fetch_timeouts == {"eds": 1}
    assert round(played.at("clusters_initialized") or 0, 1) == 3.0


def test_an_empty_answer_to_a_type_without_watches_is_accepted_in_silence() -> None:
    """SotW ADS, the last EDS cluster is gone and the server sends an empty EDS response: no ACK follows."""
    played = play(
        pushes=[{"at": "5s", "type": "cds", "remove": ["c0"]}, {"at": "6s", "type": "eds", "change": ["c0"]}],
        duration="8s",
    )
    assert [m.direction for m in played.messages(after=5.9, type="eds")] == ["response"]


def test_the_stream_of_an_older_cluster_object_does_not_answer_for_the_newer_one() -> None:
    """Separate streams, a cluster changed: what its old stream brings is for the object in service."""
    played = play(
        streams="separate",
        answers={"eds": [{}, {"never": True}]},
        pushes=[{"at": "5s", "type": "cds", "change": ["c0"]}],
        timeout="2s",
        duration="9s",
    )
    assert round(played.entered("cluster", "c0", "ACTIVE", after=5.0), 1) == 7.0


def test_an_error_that_waits_is_told_with_the_nonce_and_version_of_a_later_good_update() -> None:
    """SotW ADS while a cluster warms: a rejected CDS update, then an accepted one; the one request that
    follows names the second response, its version, and the error of the first."""
    played = play(
        clusters=[{"count": 1, "type": "static"}, {"count": 1, "type": "eds"}],
        answers={"eds": [{}, {"after": "1s"}]},
        pushes=[
            {"at": "1s", "type": "cds", "change": ["c0"], "add": ["c2"], "reject": "build"},
            {"at": "1.5s", "type": "cds", "change": ["c0"]},
        ],
        duration="6s",
    )
    said = played.messages(after=0.9, type="cds", direction="request")
    pushed = played.messages(after=1.4, type="cds", direction="response")
    assert [(m.nonce, m.version_info) for m in said] == [(pushed[0].nonce, "3")]
    assert "c0" in said[0].error_detail


def test_an_empty_rest_answer_releases_the_name_it_was_asked_for() -> None:
    """REST: the answer to a poll for one assignment, or one route, holds nothing: Envoy goes on at once, with
    no hosts or no routes. On a gRPC stream the same answer says nothing, and the timeout decides."""
    for missing, outcome in (("eds", "UH"), ("rds", "NR")):
        answers = {missing: {"omit": "all"}}
        polled = play(strategy="poll", answers=answers, timeout="3s", traffic="10/s", duration="10s")
        assert (polled.at("workers_started") or 0) < 0.1
        assert polled.fetch_timeouts == {}
        assert polled.outcome_at(1.0) == outcome
        streamed = play(streams="separate", answers=answers, timeout="3s", duration="10s")
        assert streamed.fetch_timeouts == {missing: 1}


def test_two_runtime_layers_are_two_requests() -> None:
    """RTDS: nothing pauses it, so each layer asks for itself; both are waited for all the same."""
    layers = [{"name": f"n{k}", "rtds_layer": {"name": f"rtds{k}"}} for k in range(2)]
    asked = {
        protocol: [
            list(m.resources)
            for m in play(
                protocol=protocol,
                resources={"runtime": {"count": 2}},
                answers={"rtds": {"after": "300ms"}},
                envoy={"runtime_layers": layers},
            ).messages(type="rtds", direction="request")
            if not m.nonce
        ]
        for protocol in ("sotw", "delta")
    }
    assert asked == {"sotw": [["rtds0"], ["rtds0", "rtds1"]], "delta": [["rtds0"], ["rtds1"]]}


def test_a_runtime_layer_said_to_be_removed_holds_nothing_up() -> None:
    """Delta RTDS: unlike a route (T7), a removed layer is just empty."""
    played = play(
        protocol="delta",
        resources={"runtime": {"count": 1}},
        answers={"rtds": {"remove": ["rtds0"]}},
        envoy={"runtime_layers": [{"name": "n0", "rtds_layer": {"name": "rtds0"}}]},
    )
    assert (played.at("workers_started") or 1) < 0.1
    assert played.fetch_timeouts == {}


def test_each_extension_configuration_is_a_request_of_its_own() -> None:
    """ECDS: nothing pauses it, so each filter asks for itself, before the routes, which are paused."""
    asked = {
        protocol: [
            (m.type, list(m.resources))
            for m in play(
                protocol=protocol,
                listeners={"count": 1, "filters": ["ecds0", "ecds1"]},
                resources={"extensions": {"count": 2}},
                answers={"ecds": {"after": "300ms"}},
            ).messages(direction="request")
            if not m.nonce and m.type in ("ecds", "rds")
        ]
        for protocol in ("sotw", "delta")
    }
    assert asked == {
        "sotw": [("ecds", ["ecds0"]), ("ecds", ["ecds0", "ecds1"]), ("rds", ["r0"])],
        "delta": [("ecds", ["ecds0"]), ("ecds", ["ecds1"]), ("rds", ["r0"])],
    }


def test_a_removed_extension_configuration_is_never_released_like_a_route() -> None:
    """Delta ECDS, first answer in removed_resources: as T7 says of RDS, until it is really sent."""
    played = play(
        protocol="delta",
        listeners={"count": 1, "filters": ["ecds0"]},
        resources={"extensions": {"count": 1}},
        answers={"ecds": {"remove": ["ecds0"]}},
        pushes=[{"at": "10s", "type": "ecds", "send": ["ecds0"]}],
        timeout="1s",
    )
    assert round(played.at("workers_started") or 0, 1) == 10.0
    assert played.fetch_timeouts == {}


def test_names_without_endpoints_need_no_resolver() -> None:
    """STRICT_DNS without endpoints: there is nothing to resolve, so a resolver that never answers does not
    matter."""
    names = {"count": 1, "type": "strict_dns", "resolver": "never"}
    empty = play(clusters=[{**names, "endpoints": 0}], duration="5s")
    assert (empty.at("workers_started") or 9) < 0.1
    assert play(clusters=[{**names, "endpoints": 1}], duration="5s").at("workers_started") is None


def test_a_cluster_replaced_while_all_wait_for_it_lets_nobody_go_on() -> None:
    """Start-up waits for a primary that does not resolve; CDS changes it: the new object is waited for in its
    place, the secondary beside it still asks for nothing, and the update is ACKed."""
    clusters = [
        {"count": 1, "type": "strict_dns", "endpoints": 1, "resolver": "never"},
        {"count": 1, "type": "eds"},
    ]
    played = play(
        protocol="delta",
        clusters=clusters,
        pushes=[{"at": "1s", "type": "cds", "change": ["c0", "c1"]}],
        duration="5s",
    )
    assert played.messages(type="eds") == []
    assert [round(m.t) for m in played.messages(after=0.9, type="cds", direction="request")] == [1]
    assert played.at("workers_started") is None


def test_clusters_of_an_update_are_replaced_one_after_the_other() -> None:
    """Start-up waits for a primary that does not resolve; CDS changes it and a static cluster before it,
    which is ready at once: the old primary is still there then, so the secondary still asks for nothing."""
    clusters = [
        {"count": 1, "type": "static"},
        {"count": 1, "type": "eds"},
        {"count": 1, "type": "strict_dns", "endpoints": 1, "resolver": "never"},
    ]
    change = {"at": "1s", "type": "cds", "change": ["c0", "c2"]}
    assert play(clusters=clusters, pushes=[change], duration="5s").messages(type="eds") == []


def test_a_removed_secret_is_waited_for_no_longer() -> None:
    """Delta SDS, first answer in removed_resources: unlike a route (T7), the cluster goes on."""
    played = play(
        protocol="delta",
        timeout="0s",
        clusters={"count": 1, "secret": "sds0"},
        resources={"secrets": {"count": 1}},
        answers={"sds": {"remove": ["sds0"]}},
    )
    assert (played.at("workers_started") or 9) < 0.1


def test_the_watch_of_a_secret_ends_after_the_ack_that_removes_its_last_cluster() -> None:
    clusters = [{"count": 1}, {"count": 1, "secret": "sds0"}]
    for protocol in ("sotw", "delta"):
        played = play(
            protocol=protocol,
            clusters=clusters,
            resources={"secrets": {"count": 1}},
            pushes=[{"at": "5s", "type": "cds", "remove": ["c1"]}],
            duration="8s",
        )
        said = played.messages(after=4.9, direction="request")
        assert [m.type for m in said if m.type in ("cds", "sds")] == ["cds", "sds"]
        assert [list(m.resources) for m in said if m.type == "sds"] == [[]]


def test_a_replaced_cluster_says_goodbye_on_its_old_stream_unless_an_assignment_replaced_it() -> None:
    """Separate streams, a cluster changed. Requests for EDS are held back while an EDS update is handled: a
    cluster that its assignment brings into service ends the older stream in silence; one that a health check
    or a fetch timeout brings into service does not."""
    change = {"at": "5s", "type": "cds", "change": ["c0"]}
    checked = {"resources": {"health_check": {"answers": "pass"}}}
    late = {"answers": {"eds": [{}, {"never": True}]}}
    for protocol in ("sotw", "delta"):
        for more, goodbyes in (({}, 0), (checked, 1), (late, 1)):
            played = play(protocol=protocol, streams="separate", pushes=[change], duration="9s", **more)  # type: ignore[arg-type]
            said = played.messages(after=4.9, type="eds", direction="request")
            first_stream = [m for m in said if m.stream == 2]
            assert [len(m.resources) for m in first_stream] == [0] * goodbyes


def test_the_watches_of_scoped_routes_end_with_the_last_listener_with_scopes() -> None:
    for protocol, left in (("sotw", ["r1"]), ("delta", [])):
        played = play(
            protocol=protocol,
            listeners=[{"count": 1, "routes": "scoped"}, {"count": 1, "routes": "rds"}],
            resources={"scopes": {"count": 1}},
            envoy={"drain_time": "2s"},
            pushes=[{"at": "5s", "type": "lds", "remove": ["l0"]}],
            duration="10s",
        )
        last = played.messages(after=5.1, type="rds", direction="request")
        assert [(round(m.t, 1), list(m.resources)) for m in last] == [(7.0, left)]


def test_a_route_that_no_scope_selects_any_more_is_let_go_within_the_update_of_the_scopes() -> None:
    """ADS: RDS is told before SRDS is acknowledged. Streams of their own end without a word (RDS is held
    back meanwhile). While another scope selects the route, nothing ends."""
    removal = [{"at": "5s", "type": "srds", "remove": ["srds0"]}]
    for protocol in ("sotw", "delta"):
        for streams, scopes, said in (
            ("ads", 1, ["rds", "srds"]),
            ("ads", 2, ["srds"]),
            ("separate", 1, ["srds"]),
        ):
            played = play(
                protocol=protocol,
                streams=streams,
                listeners=[{"count": 1, "routes": "scoped"}],
                resources={"scopes": {"count": scopes}},
                pushes=removal,
                duration="6s",
            )
            requests = played.messages(after=4.9, direction="request")
            assert [m.type for m in requests] == said, (protocol, streams, scopes)
            assert not any(m.resources for m in requests)


def test_only_discovered_clusters_of_the_bootstrap_need_a_file() -> None:
    """Files: a static or a STRICT_DNS cluster of the bootstrap has no assignment to read (F2)."""
    for kind in ("static", "strict_dns"):
        static = {"clusters": [{"count": 1, "type": kind, "prefix": "s"}]}
        played = play(strategy="file", envoy={"static": static}, timeout=None)
        assert played.startup.outcome == "live"


def test_types_are_asked_for_again_in_the_order_in_which_listeners_refer_to_them() -> None:
    """D5, ADS: a stream opens again. Listener by listener, routes or scopes first, then HTTP filters; the
    first time, when LDS holds the others back, ECDS comes before them."""
    listeners = [{"count": 1, "routes": "scoped"}, {"count": 1, "routes": "rds", "filters": ["ecds0"]}]
    for protocol in ("sotw", "delta"):
        for order, wanted in ((1, ["srds", "rds", "ecds"]), (-1, ["rds", "ecds", "srds"])):
            played = play(
                protocol=protocol,
                listeners=listeners[::order],
                resources={"extensions": {"count": 1}, "scopes": {"count": 1}},
                pushes=[{"at": "5s", "close": True}],
                duration="8s",
            )
            again = [m.type for m in played.messages(after=5.0, direction="request") if not m.nonce]
            assert again == ["cds", "eds", "lds", *wanted]


def test_of_two_listeners_with_scopes_only_the_first_waits_for_them() -> None:
    """They share one subscription, which is a target of the listener that came first."""
    played = play(
        listeners=[{"count": 2, "routes": "scoped"}],
        resources={"scopes": {"count": 1}},
        answers={"lds": {"reject": "decode"}, "srds": {"after": "1s"}},
        pushes=[{"at": "3s", "type": "lds", "change": ["l0", "l1"]}],
        timeout="5s",
        duration="8s",
    )
    assert round(played.entered("listener", "l1", "ACTIVE"), 1) == 3.0
    assert round(played.entered("listener", "l0", "ACTIVE"), 1) == 4.0


def test_listeners_that_have_drained_let_go_of_their_routes_one_by_one() -> None:
    left = {
        protocol: [
            (round(m.t, 1), list(m.resources))
            for m in play(
                protocol=protocol,
                listeners={"count": 2},
                envoy={"drain_time": "2s"},
                pushes=[{"at": "3s", "type": "lds", "remove": ["l0", "l1"]}],
                duration="8s",
            ).messages(after=3.5, type="rds", direction="request")
        ]
        for protocol in ("sotw", "delta")
    }
    assert left == {"sotw": [(5.0, ["r1"]), (5.0, [])], "delta": [(5.0, []), (5.0, [])]}


def test_a_filter_without_configuration_answers_500() -> None:
    """ECDS never answered, or refused: the listener serves all the same, and its filter answers."""
    for answer in ({"never": True}, {"reject": "decode"}):
        played = play(
            listeners={"count": 1, "filters": ["ecds0"]},
            resources={"extensions": {"count": 1}},
            answers={"ecds": answer},
            pushes=[{"at": "5s", "type": "ecds", "send": ["ecds0"]}],
            traffic="100/s",
            duration="8s",
        )
        assert played.outcome_at(4.0) == "500"
        assert played.outcome_at(6.0) == "200"


def test_listeners_removed_while_start_up_waits_for_one_of_them_go_one_after_the_other() -> None:
    """One that is ready, and one that start-up waits for, are removed by one delta update. Where the latter
    goes first the workers start, and have the other, which is drained then; played in both orders."""
    one = {"count": 1, "routes": "rds"}

    def states_of_the_ready_one(*order: str) -> list[str]:
        played = play(
            protocol="delta",
            listeners=[one, one],
            answers={"rds": {"remove": ["r0", "r1"]}},
            pushes=[
                {"at": "2s", "type": "rds", "change": ["r0"]},
                {"at": "3s", "type": "lds", "remove": list(order)},
            ],
            duration="5s",
        )
        assert round(played.at("workers_started"), 1) == 3.0
        return [state for _, state, _ in played.states("listener", "l0")]

    assert states_of_the_ready_one("l0", "l1") == ["ACTIVE_PENDING", "GONE"]
    assert states_of_the_ready_one("l1", "l0") == ["ACTIVE_PENDING", "ACTIVE", "DRAINING"]


def test_clusters_removed_while_start_up_waits_for_one_of_them_go_one_after_the_other() -> None:
    """A cluster whose DNS never answers, and an EDS cluster that waits behind it, are removed by one update.
    Where the former goes first, the other's EDS is subscribed to, and dropped, before it goes itself: SotW
    takes the last one first, delta the order of the response. The request then names nothing."""
    dns, eds = {"count": 1, "type": "strict_dns", "resolver": "never"}, {"count": 1, "type": "eds"}
    asked = {
        (protocol, clusters[0]["type"]): [
            list(m.resources)
            for m in play(
                protocol=protocol,
                clusters=clusters,
                pushes=[{"at": "2s", "type": "cds", "remove": ["c0", "c1"]}],
                duration="4s",
            ).messages(type="eds", direction="request")
        ]
        for protocol in ("sotw", "delta")
        for clusters in ([dns, eds], [eds, dns])
    }
    assert asked == {
        ("sotw", "strict_dns"): [],
        ("sotw", "eds"): [[]],
        ("delta", "strict_dns"): [[]],
        ("delta", "eds"): [],
    }


def test_clusters_of_one_sotw_update_go_in_the_order_of_a_hash_map_which_a_scenario_may_give() -> None:
    """Played: the order is another for other names and other neighbours. Delta has one of its own."""
    dns, eds = {"count": 1, "type": "strict_dns", "resolver": "never"}, {"count": 1, "type": "eds"}

    def asked(protocol: str, *order: str) -> list[list[str]]:
        played = play(
            protocol=protocol,
            clusters=[{"count": 1, "type": "static"}, eds, dns],
            pushes=[{"at": "2s", "type": "cds", "remove": ["c0", "c1", "c2"]}],
            lab={"removal_order": list(order)},
            duration="4s",
        )
        return [list(m.resources) for m in played.messages(type="eds", direction="request")]

    assert asked("sotw") == [[]], "the last first: c2, which is waited for, before c1"
    assert asked("sotw", "c0", "c1", "c2") == [], "as a real Envoy does it with these"
    assert asked("sotw", "c2", "c0") == [[]]
    assert asked("delta", "c2", "c1", "c0") == [], "in the order of the response"


def test_a_listener_that_has_drained_lets_go_of_its_extension_configuration_behind_its_route() -> None:
    for protocol in ("sotw", "delta"):
        for streams in ("ads", "separate"):
            played = play(
                protocol=protocol,
                streams=streams,
                listeners=[{"count": 1, "filters": ["ecds0"]}],
                resources={"extensions": {"count": 1}},
                envoy={"drain_time": "2s"},
                pushes=[{"at": "3s", "type": "lds", "remove": ["l0"]}],
                duration="8s",
            )
            left = played.messages(after=3.5, direction="request")
            assert [(round(m.t, 1), m.type, list(m.resources)) for m in left] == [
                (5.0, "rds", []),
                (5.0, "ecds", []),
            ]


def test_a_route_that_is_in_use_needs_its_file_no_more() -> None:
    """Files: a listener changed after the file of its route went shares the subscription of the old one."""
    changed = play(
        strategy="file",
        pushes=[
            {"at": "2s", "type": "rds", "remove": ["r0"]},
            {"at": "3s", "type": "lds", "change": ["l0"]},
        ],
        traffic="100/s",
        duration="5s",
    )
    assert round(changed.entered("listener", "l0", "ACTIVE", after=2.9), 1) == 3.0
    assert changed.outcome_at(4.0) == "200"


def test_a_listener_in_a_file_finds_the_cluster_whose_removal_ends_the_wait() -> None:
    """Files: the removal of the last cluster that warms lets LDS be read while that cluster is still there;
    those in service went before it."""
    dns, static = {"count": 1, "type": "strict_dns", "resolver": "never"}, {"count": 1, "type": "static"}
    for clusters, accepted in (([dns, static], "l0"), ([static, dns], "l1"), ([static, dns, static], "l1")):
        played = play(
            strategy="file",
            clusters=clusters,
            listeners=[{"count": 1, "routes": "inline"} for _ in clusters],
            pushes=[{"at": "2s", "type": "cds", "remove": [f"c{i}" for i in range(len(clusters))]}],
            timeout=None,
            duration="4s",
        )
        named = [f"l{i}" for i in range(len(clusters))]
        active = [n for n in named if any(s == "ACTIVE" for _, s, _ in played.states("listener", n))]
        assert active == [accepted]


def test_delta_does_not_ask_again_for_a_cluster_replaced_while_its_assignment_is_awaited() -> None:
    """ADS: the new object watches the name before the old one lets go of it, so delta has nothing to say."""
    played = play(
        protocol="delta",
        clusters={"count": 2},
        answers={"eds": {"omit": ["c1"]}},
        pushes=[{"at": "1s", "type": "cds", "change": ["c0", "c1"]}],
        timeout="5s",
        duration="8s",
    )
    assert not played.messages(after=0.9, type="eds", direction="request")
