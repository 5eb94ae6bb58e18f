"""A mesh connected when the clock starts serves at once, and streams opened anew take nothing back."""

from __future__ import annotations

import simulator as xs


def test_a_mesh_that_starts_connected_serves_from_the_first_instant() -> None:
    result = xs.run(
        xs.Scenario(
            duration="2s",
            mesh={"proxies": 4, "services": 3},
            control_plane={"kind": "istiod"},
            workload=[{"traffic": {"from": "any", "to": "s1", "rate": "10/s"}}],
        )
    )
    traffic = result.traffic
    assert set(traffic["outcome"]) == {"200"}
    assert traffic.groupby("proxy_id")["t_start_ns"].min().eq(0).all()
    assert not len(result.startups)
    assert not len(result.messages)


def test_endpoints_that_a_stream_got_from_the_live_index_are_not_lost_when_it_is_opened_anew() -> None:
    # What is gathered for 20 s reaches proxies before its push, through the live index, when they reconnect;
    # that they reconnect once more takes nothing back.
    result = xs.run(
        xs.Scenario(
            duration="20s",
            mesh={"proxies": 4, "services": 2},
            control_plane={
                "kind": "istiod",
                "debounce": {"after": "20s", "max": "30s"},
                "max_connection_age": "3s",
                "max_connection_age_grace": "0s",
            },
            workload=[{"endpoints": "s0", "at": "1s"}],
        )
    )
    assert not len(result.pushes)
    deliveries = result.deliveries
    assert list(deliveries["outcome"].unique()) == ["active"]
    assert list(deliveries["carried_by"].unique()) != ["push"]
    assert not len(result.regressions)


def test_requests_of_before_the_first_instant_pass_the_rate_limit_of_an_envoy() -> None:
    # One token in ten seconds: a start would take minutes. Theirs is over, and left the bucket full.
    result = xs.run(
        xs.Scenario(
            duration="3s",
            mesh={"proxies": 2, "services": 2},
            control_plane={"kind": "istiod"},
            envoy={"rate_limit": {"max_tokens": 1, "fill_rate": "6/min"}},
            workload=[{"endpoints": "s0", "at": "1s"}],
        )
    )
    assert set(result.deliveries["outcome"]) == {"active"}
    assert result.deliveries["t_acked_ns"].notna().all()
