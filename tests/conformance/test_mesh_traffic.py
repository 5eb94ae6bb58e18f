"""Requests in a mesh: what their senders' proxies know meets the pods that answer, or answer no more."""

from __future__ import annotations

from typing import Any

import pytest

import simulator as xs
from tests.conformance.istiod import run, seconds

RATE = 10.0
D = 8.0
"""Seconds from the flip in the EndpointSlice until the last client dropped the endpoint: istiod hears of it
that late, and everything behind takes no time."""

ONE_POD = [{"name": "web", "endpoints": 1}, {"name": "a"}, {"name": "b"}, {"name": "c"}]
"""p0 is the only pod of web; p1, p2 and p3 are its clients."""
CLIENTS = ("p1", "p2", "p3")


def traffic(to: str = "web", source: str = "any", when: dict[str, str] | None = None, **more: object) -> Any:
    sent = {"from": source, "to": to, "rate": f"{RATE:g}/s", **more}
    return {"traffic": sent, **(when or {})}


def play(*workload: dict[str, Any], **keywords: Any) -> xs.Result:
    defaults: dict[str, Any] = {
        "proxies": 4,
        "services": ONE_POD,
        "endpoints": 1,
        "duration": "80s",
        "costs": {"watch_delay": f"{D:g}s"},
        "plane": {"debounce": {"after": "0s"}},
        "network": {"latency": "0s"},
    }
    return run(*workload, **{**defaults, **keywords})


def rollout(**more: object) -> dict[str, object]:
    """One pod more, and then the old one goes: it is deleted when the new one turns Ready."""
    return {"rollout": "web", "at": "10s", "max_surge": 1, "max_unavailable": 0, "ready_after": "1s", **more}


def flip(result: xs.Result) -> float:
    """When the endpoints changed, in one instant: the new pod turned Ready, the old one was deleted."""
    [instant] = set(seconds(result.changes.t_changed_ns))
    return instant


def windows(result: xs.Result, proxy: str = "p1", since: float = 0.0) -> list[tuple[Any, ...]]:
    """Begin and end of each span, in seconds from an instant, with the outcome and whether it was stale;
    neighbours of equal outcome are joined."""
    found: list[tuple[Any, ...]] = []
    rows = result.traffic[result.traffic.proxy_id == proxy].sort_values(["outcome", "stale", "t_start_ns"])
    for row in rows.itertuples():
        begin, end = (round(int(t) / 1e9 - since, 6) for t in (row.t_start_ns, row.t_end_ns))
        if row.requests == 0:
            continue
        last = found[-1] if found else None
        if last is not None and (last[1], *last[2:]) == (begin, row.outcome, row.stale):
            found[-1] = (last[0], end, *last[2:])
        else:
            found.append((begin, end, row.outcome, row.stale))
    return sorted(found)


def failing(result: xs.Result, proxy: str = "p1") -> list[tuple[float, float]]:
    """When requests fail, in seconds from the flip."""
    found = windows(result, proxy, flip(result))
    assert all(stale for *_, outcome, stale in found if outcome == "UF")
    return [(begin, end) for begin, end, outcome, _ in found if outcome != "200"]


def total(result: xs.Result, column: str = "requests", **where: object) -> float:
    rows = result.traffic
    for key, value in where.items():
        rows = rows[rows[key] == value]
    return float(rows[column].sum())


# --- a pod goes while its clients still hold its address


NATIVE: dict[str, object] = {"native_sidecar": True}
DEFAULT: dict[str, object] = {"native_sidecar": False}
ON_ZERO: dict[str, object] = {**DEFAULT, "exit_on_zero": True}


@pytest.mark.parametrize(
    ("sidecar", "pre_stop", "grace", "serves"),
    [
        # A native sidecar outlives the application, which lives as long as its hook or its grace.
        (NATIVE, 30, 60, 30),
        (NATIVE, 30, 6, 6),
        (NATIVE, 3, 60, 3),
        # Beside the default one the application is unreachable after the drain, whatever its hook.
        (DEFAULT, 30, 60, 5),
        (DEFAULT, 3, 60, 3),
        (DEFAULT, 30, 2, 2),
        ({**DEFAULT, "termination_drain": "20s"}, 30, 60, 20),
        ({**DEFAULT, "termination_drain": "20s"}, 30, 7, 7),
        # One that waits for its connections goes on as long as its clients do.
        (ON_ZERO, 30, 60, 30),
        (ON_ZERO, 30, 6, 6),
        (ON_ZERO, 2, 60, 2),
    ],
)
def test_requests_fail_from_the_end_of_the_serving_path_until_the_last_client_dropped_the_endpoint(
    sidecar: dict[str, object], pre_stop: int, grace: int, serves: float
) -> None:
    result = play(rollout(pre_stop=f"{pre_stop}s", termination_grace=f"{grace}s", **sidecar), traffic())
    rows = result.deliveries[result.deliveries.proxy_id.isin(CLIENTS)]
    assert set(rows.t_active_ns - rows.t_changed_ns) == {D * 1e9}
    at = flip(result)
    for proxy in CLIENTS:
        assert failing(result, proxy) == ([] if serves >= D else [(serves, D)])
        stale = [
            (b, e) for b, e, outcome, is_stale in windows(result, proxy, at) if outcome == "200" and is_stale
        ]
        assert stale == [(0.0, min(serves, D))]
    assert total(result, stale=True, outcome="200") == pytest.approx(3 * RATE * min(serves, D))
    assert total(result, outcome="UF") == pytest.approx(3 * RATE * max(0.0, D - serves))
    assert total(result) == pytest.approx(3 * RATE * 80)


def test_pods_without_a_sidecar_serve_as_long_as_their_hook() -> None:
    services = [{"name": "a"}, {"name": "web", "endpoints": 1}]
    for pre_stop, expected in ((3, [(3.0, D)]), (9, [])):
        roll = rollout(pre_stop=f"{pre_stop}s", **DEFAULT)
        result = play(roll, traffic(), proxies=1, services=services)
        assert failing(result, "p0") == expected


@pytest.mark.parametrize(
    ("plane", "costs"),
    [
        ({"debounce": {"after": "8s"}}, {}),
        ({"debounce": {"after": "0s"}}, {"endpoint_slice_delay": "8s"}),
        # The registry's worker is told of the ready pod first, then of the slice.
        ({"debounce": {"after": "100ms"}}, {"registry_task": "3950ms"}),
        (
            {"debounce": {"after": "0s"}},
            {"watch_delay": "5s", "endpoint_slice_delay": "1s", "generate": "2s"},
        ),
    ],
)
def test_it_does_not_matter_which_stage_takes_the_time(
    plane: dict[str, object], costs: dict[str, object]
) -> None:
    # Of the three clients one sends; the new pod is created so early that its being listed is over.
    roll = rollout(pre_stop="30s", ready_after="20s", **DEFAULT)
    result = play(roll, traffic(source="a"), plane={**plane, "cpu": 8}, costs=costs, version="1.30")
    assert failing(result) == [(pytest.approx(5), pytest.approx(D))]


@pytest.mark.parametrize(
    ("retries", "share"), [({}, 0), ({"retries": 2}, 0), ({"retries": 1}, 1 / 3), ({"retries": 0}, 2 / 3)]
)
def test_requests_are_retried_at_other_endpoints_twice_unless_told_otherwise(
    retries: dict[str, object], share: float
) -> None:
    # Two of three endpoints are gone at once; the new ones come when nobody asks any more.
    three = [{"name": "web", "endpoints": 3}, {"name": "a"}]
    roll = {**rollout(ready_after="20s", **DEFAULT), "max_unavailable": 2, "max_surge": 0}
    sent = traffic(source="a", when={"until": "25s"}, **retries)
    result = play(roll, sent, proxies=2, services=three)
    assert total(result, "attempts", outcome="UF", stale=True) == pytest.approx(RATE * D * 2 / 3)
    assert total(result, outcome="UF", stale=True) == pytest.approx(RATE * D * share)
    assert total(result, outcome="200", stale=False) == pytest.approx(RATE * (25 - D * share))
    for column in ("attempts", "requests"):
        assert total(result, column) == pytest.approx(RATE * 25)


def test_where_every_endpoint_is_gone_retries_do_not_help() -> None:
    roll = {**rollout(pre_stop="1s", **DEFAULT), "max_unavailable": "100%", "max_surge": 0}
    three = [{"name": "web", "endpoints": 3}, {"name": "a"}]
    result = play(roll, traffic(source="a"), proxies=2, services=three)
    found = windows(result, "p1")
    # Terminating, gone, none known, and then the new ones.
    assert [(outcome, stale) for *_, outcome, stale in found] == [
        ("200", False),
        ("200", True),
        ("UF", True),
        ("UH", False),
        ("200", False),
    ]
    assert [end - begin for begin, end, *_ in found[1:3]] == pytest.approx([1, D - 1])
    assert found[1][0] == 10


@pytest.mark.parametrize(
    ("timeout", "retries", "last"),
    [
        # An attempt that begins at u ends at u + timeout; it fails if the endpoint is still known by then.
        ("3s", 2, D - 6),
        ("3s", 1, D - 3),
        ("3s", 0, D),
        ("10s", 2, 0.0),  # the first retry already meets what is known 10 s later
    ],
)
def test_in_a_black_hole_the_attempts_take_their_time_and_retries_meet_what_is_known_by_then(
    timeout: str, retries: int, last: float
) -> None:
    lost = traffic(dead_endpoint="blackhole", retries=retries)
    result = play(rollout(**DEFAULT), lost, envoy={"connect_timeout": timeout})
    assert failing(result) == ([(0.0, last)] if last else [])
    assert total(result, "attempts", outcome="UF") == pytest.approx(3 * RATE * D)
    reset = play(rollout(**DEFAULT), traffic(retries=retries), envoy={"connect_timeout": timeout})
    assert failing(reset) == [(0.0, D)]


def test_a_client_that_is_cut_off_goes_on_sending_to_the_pod_that_is_gone() -> None:
    cut = {"partition": {"proxies": ["p2"]}, "at": "9s", "until": "50s"}
    result = play(rollout(pre_stop="3s", **NATIVE), cut, traffic())
    assert failing(result, "p1") == [(3.0, D)]
    [(begin, end)] = failing(result, "p2")
    assert begin == 3.0
    assert end > 50 - flip(result)


# --- who sends


def of_sender(result: xs.Result, proxy: str) -> Any:
    return result.traffic[result.traffic.proxy_id == proxy]


@pytest.mark.parametrize(
    "agent",
    [{}, {"native_sidecars": False}, {"native_sidecars": False, "hold_application_until_proxy_starts": True}],
)
def test_a_pod_that_is_created_during_the_run_sends_from_when_its_application_is_ready(
    agent: dict[str, object],
) -> None:
    up = {"scale_up": {"pods": 2}, "service": "a", "at": "10s", "ready_after": "4s"}
    result = play(up, traffic(source="a"), agent=agent)
    ready = seconds(result.changes.t_changed_ns)
    new = [of_sender(result, name) for name in sorted(result.startups.proxy_id)]
    assert sorted(int(rows.t_start_ns.iloc[0]) / 1e9 for rows in new) == pytest.approx(sorted(ready))
    for rows in new:
        assert set(rows.outcome) == {"200"}
        lasts = (rows.t_end_ns.max() - rows.t_start_ns.min()) / 1e9
        assert rows.requests.sum() == pytest.approx(RATE * lasts)
    assert of_sender(result, "p1").requests.sum() == pytest.approx(RATE * 80)


def test_early_requests_are_refused_where_the_application_does_not_wait_for_its_proxy() -> None:
    up = {"scale_up": {"pods": 1}, "service": "a", "at": "10s", "ready_after": "2s"}
    slow = {"native_sidecars": False, "bootstrap": "5s"}
    beside = play(up, traffic(source="a"), agent=slow)
    [name] = beside.startups.proxy_id
    # The containers start after a second, the application is ready after two more, Envoy after five.
    assert windows(beside, name)[0] == (13.0, 16.0, "refused", False)
    assert total(beside, proxy_id=name, outcome="refused") == pytest.approx(RATE * 3)
    for waiting in ({"hold_application_until_proxy_starts": True}, {"native_sidecars": True}):
        result = play(up, traffic(source="a"), agent={**slow, **waiting})
        assert total(result, outcome="refused") == 0
        assert windows(result, name)[0][0] >= 16 + 2


def test_a_pod_that_is_deleted_sends_no_more() -> None:
    roll = {**rollout(pre_stop="20s", **NATIVE), "rollout": "a"}
    result = play(roll, traffic(source="a"))
    at = flip(result)
    assert int(of_sender(result, "p1").t_end_ns.max()) / 1e9 == at
    [new] = [name for name in result.traffic.proxy_id.unique() if name != "p1"]
    assert int(of_sender(result, new).t_start_ns.min()) / 1e9 <= at
    assert set(result.traffic.outcome) == {"200"}


def test_an_entry_of_traffic_bounds_what_every_sender_sends() -> None:
    up = {"scale_up": {"pods": 1}, "service": "a", "at": "10s", "ready_after": "1s"}
    result = play(up, traffic(source="a", when={"from": "20s", "until": "30s"}))
    assert total(result) == pytest.approx(2 * RATE * 10)
    assert (result.traffic.t_start_ns.min(), result.traffic.t_end_ns.max()) == (20e9, 30e9)


def test_proxies_that_start_one_by_one_send_from_their_starts() -> None:
    result = play(traffic(), start={"over": "20s"}, envoy={"costs": {"server_construction": "500ms"}})
    for name in CLIENTS:
        [row] = result.startups[result.startups.proxy_id == name].itertuples()
        first, second = windows(result, name)
        assert first[0] == pytest.approx(row.t_started_ns / 1e9, abs=1e-6)
        assert first[1] == pytest.approx(row.t_workers_started_ns / 1e9, abs=0.01)
        assert (first[2], second[2]) == ("refused", "200")


def test_requests_are_refused_while_a_proxy_restarts() -> None:
    again = {"restart": {"proxies": ["p1"]}, "at": "10s"}
    result = play(again, traffic(), agent={"bootstrap": "2s"})
    assert windows(result, "p1") == [
        (0.0, 10.0, "200", False),
        (10.0, 12.0, "refused", False),
        (12.0, 80.0, "200", False),
    ]
    assert windows(result, "p2") == [(0.0, 80.0, "200", False)]


# --- what a proxy does not know yet


def test_the_first_endpoint_of_a_service_ends_its_unavailability() -> None:
    services = [{"name": "web", "endpoints": 0}, {"name": "a"}]
    # Sidecar 0 would be a pod of web: the gateway sends.
    up = {"scale_up": {"pods": 1}, "service": "web", "at": "10s", "ready_after": "1s"}
    result = play(up, traffic(), proxies={"sidecars": 0, "gateways": 1}, services=services)
    [ready] = seconds(result.changes.t_changed_ns)
    assert windows(result, "gw0") == [
        (0.0, round(ready + D, 6), "UH", False),
        (round(ready + D, 6), 80.0, "200", False),
    ]


@pytest.mark.parametrize("seed", range(3))
def test_under_polling_each_proxy_is_stale_until_its_own_poll_of_the_assignment(seed: int) -> None:
    result = play(
        rollout(pre_stop="2s", **NATIVE),
        traffic(),
        seed=seed,
        costs={},
        propagation={"strategy": "poll", "refresh_delay": "10s"},
        duration="120s",
    )
    at = flip(result)
    rows = result.deliveries[result.deliveries.t_changed_ns == round(at * 1e9)]
    dropped = {r.proxy_id: r.t_active_ns / 1e9 - at for r in rows.itertuples() if r.proxy_id in CLIENTS}
    assert len(set(dropped.values())) == 3
    assert max(dropped.values()) < 21
    for proxy, after in dropped.items():
        assert failing(result, proxy) == ([(2.0, pytest.approx(after, abs=1e-5))] if after > 2 else [])


@pytest.mark.parametrize("kind", ["ServiceEntry", "PeerAuthentication"])
def test_under_polling_a_change_in_several_subscriptions_is_active_at_the_last(kind: str) -> None:
    result = play(
        {"edit": kind, "service": "web", "at": "20s"},
        costs={},
        propagation={"strategy": "poll", "refresh_delay": "10s"},
    )
    other = {"ServiceEntry": "rds", "PeerAuthentication": "lds"}[kind]
    answers = result.messages[(result.messages.direction == "response") & (result.messages.t_ns > 20e9)]
    spread = 0.0
    for row in result.deliveries.itertuples():
        mine = answers[answers.proxy_id == row.proxy_id]
        first = {t: int(mine[mine.type == t].t_ns.min()) for t in ("cds", other)}
        assert row.t_active_ns >= max(first.values())
        # A cluster that changed warms until its assignment is polled anew, at once.
        assert row.t_active_ns == pytest.approx(max(first.values()), abs=1e6)
        spread = max(spread, abs(first["cds"] - first[other]) / 1e9)
    assert spread > 1


IMPATIENT = dict.fromkeys(("cds", "lds", "rds"), "1s")


def polled_in_parts(seed: int, eds_timeout: str) -> xs.Result:
    """A proxy that waits a second for each of its subscriptions, whose answers take longer, each its own."""
    return play(
        traffic(source="a"),
        seed=seed,
        services=[{"name": "web"}, {"name": "a"}],
        proxies=2,
        start="cold",
        costs={},
        envoy={"initial_fetch_timeout": {**IMPATIENT, "eds": eds_timeout}},
        propagation={
            "strategy": "poll",
            "refresh_delay": "60s",
            "request_timeout": "60s",
            "server": {"service_time": {"uniform": ["1100ms", "12s"]}},
        },
        duration="60s",
    )


def answered(result: xs.Result, type_: str) -> float:
    """When p1 got its first answer, for EDS that about web."""
    rows = result.messages[(result.messages.proxy_id == "p1") & (result.messages.direction == "response")]
    rows = rows[(rows.type == type_) & ((type_ != "eds") | rows.resources.astype(str).str.contains("web"))]
    return int(rows.t_ns.min()) / 1e9


@pytest.mark.parametrize("eds_timeout", ["0s", "1s"])
def test_a_configuration_that_is_polled_in_parts_shows_what_is_missing_of_it(eds_timeout: str) -> None:
    shown: dict[str, None] = {}
    for seed in range(4):
        result = polled_in_parts(seed, eds_timeout)
        cds, eds, lds, rds = (answered(result, type_) for type_ in ("cds", "eds", "lds", "rds"))
        # The listener waits a second for its routes; the cluster, where it must, for its endpoints.
        has_cluster = eds if eds_timeout == "0s" else min(eds, cds + 1)
        steps = {"refused": lds + 1, "NR": rds, "NC": has_cluster, "UH": eds, "200": 60.0}
        begin, expected = 0.0, []
        for outcome, end in steps.items():
            if end > begin:
                expected.append(
                    (pytest.approx(begin, abs=1e-5), pytest.approx(end, abs=1e-5), outcome, False)
                )
                begin = end
        found = windows(result, "p1")
        assert found == expected
        shown.update((outcome, None) for *_, outcome, _ in found)
    assert sorted(shown) == sorted(["refused", "NR", "NC", "200"] + ["UH"] * (eds_timeout == "1s"))


def test_a_proxy_that_waits_for_every_part_shows_nothing_of_it() -> None:
    for strategy in ("push", "poll"):
        result = play(
            traffic(source="a"),
            start="cold",
            costs={},
            network={"latency": "1ms"},
            propagation={"strategy": strategy, "refresh_delay": "5s"},
        )
        assert [outcome for *_, outcome, _ in windows(result, "p1")] == ["refused", "200"]


def test_a_sender_that_does_not_see_the_service_has_no_route_to_it() -> None:
    services = [
        {"name": "web", "namespace": "ns0", "export_to": "."},
        {"name": "a", "namespace": "ns1"},
        {"name": "b", "namespace": "ns0"},
    ]
    result = play(traffic(source="a"), traffic(source="b"), services=services, namespaces=2, proxies=3)
    assert windows(result, "p1") == [(0.0, 80.0, "NR", False)]
    assert windows(result, "p2") == [(0.0, 80.0, "200", False)]
