"""The scenarios that are played live: small ones, each of which shows a rule that was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import simulator as xs

if TYPE_CHECKING:
    from simulator.lab.verify import Verdict

NEVER = {"never": True}


def script(name: str, duration: str = "5s", **sections: Any) -> xs.Scenario:
    """One Envoy against a script: one EDS cluster and one listener with RDS, fetch timeouts of 1 s."""
    envoy = {
        "preset": "envoy",
        "initial_fetch_timeout": "1s",
        "drain_time": "1s",
        **sections.pop("envoy", {}),
    }
    propagation = {"protocol": "sotw", **sections.pop("propagation", {})}
    resources = {"clusters": {"count": 1}, "listeners": {"count": 1}, **sections.pop("resources", {})}
    given = {"kind": "scripted", "resources": resources}
    given |= {key: sections.pop(key) for key in ("answers", "pushes", "connect") if key in sections}
    return xs.Scenario(
        name=name, duration=duration, envoy=envoy, propagation=propagation, control_plane=given, **sections
    )


PUSHES = [
    {"at": "1s", "type": "cds", "change": ["c0"]},
    {"at": "1.4s", "type": "eds", "send": ["c0"]},
    {"at": "1.8s", "type": "rds", "change": ["r0"]},
    {"at": "2.2s", "type": "lds", "change": ["l0"]},
    {"at": "2.6s", "type": "lds", "change_filter_chains": ["l0"]},
    {"at": "3s", "type": "cds", "add": ["c1"]},
    {"at": "3.4s", "type": "lds", "remove": ["l0"]},
]


def scripts() -> list[xs.Scenario]:
    """About fifteen, of a few seconds each."""
    delta = {"protocol": "delta"}
    return [
        script("with-latency", "3s", network={"latency": "60ms"}),
        script("order-of-types-sotw", resources={"clusters": {"count": 3}, "listeners": {"count": 2}}),
        script("pushes-sotw", "4.5s", pushes=PUSHES, workload=[{"traffic": {"to": "l0", "rate": "50/s"}}]),
        script("pushes-delta", "4.5s", propagation=delta, pushes=PUSHES),
        script("pushes-separate-streams", "4.5s", propagation={"streams": "separate"}, pushes=PUSHES),
        script("nothing-answered", "4s", answers={"cds": NEVER, "lds": NEVER}),
        script("eds-and-rds-unanswered", "4s", answers={"eds": NEVER, "rds": NEVER}),
        script(
            "one-name-omitted", "4s", resources={"clusters": {"count": 3}}, answers={"eds": {"omit": ["c1"]}}
        ),
        script("delta-removed-rds", "4s", propagation=delta, answers={"rds": {"remove": ["r0"]}}),
        script("nack-at-start", "4s", answers={"cds": {"reject": "decode"}, "lds": {"reject": "build"}}),
        script("refused", "4s", connect="refuse"),
        script(
            "refused-for-a-while", "6s", envoy={"initial_fetch_timeout": "3s"}, connect={"refuse_until": "1s"}
        ),
        script(
            "stream-reset",
            "4s",
            pushes=[{"at": "1.5s", "close": True}, {"at": "3s", "type": "rds", "change": ["r0"]}],
        ),
        script(
            "health-check-holds-start",
            "4s",
            resources={"health_check": {"answers": "never", "timeout": "1500ms"}},
        ),
        script(
            "late-dns",
            "4s",
            resources={"clusters": {"count": 1, "type": "strict_dns", "resolver": {"after": "700ms"}}},
        ),
        script(
            "static-bootstrap",
            "2s",
            envoy={
                "static": {
                    "clusters": {"count": 2, "type": "static"},
                    "listeners": {"count": 1, "routes": "inline"},
                }
            },
            resources={"clusters": {"count": 0}, "listeners": {"count": 0}},
        ),
        script(
            "polled",
            "5s",
            propagation={"strategy": "poll", "refresh_delay": "300ms"},
            answers={"eds": {"after": "300ms"}},
        ),
        script(
            "hot-restart",
            "6s",
            envoy={"parent_shutdown_time": "2s"},
            answers={"rds": [{}, {"after": "700ms"}]},
            pushes=[{"at": "5s", "type": "rds", "change": ["r0"]}],
            workload=[
                {"hot_restart": {"proxies": ["p0"]}, "at": "1500ms"},
                {"traffic": {"to": "l0", "rate": "50/s", "connection": "kept"}, "from": "300ms"},
                {
                    "traffic": {"to": "l0", "rate": "4/s", "request_time": "10s"},
                    "from": "300ms",
                    "until": "4s",
                },
            ],
        ),
        *(_feature_flags(*layer) for layer in (("rtds_layer", {"name": "rtds0"}), ("admin_layer", {}))),
        *(_hot_restart_over(strategy) for strategy in ("poll", "file")),
        script(
            "files",
            "3s",
            propagation={"strategy": "file"},
            pushes=[{"at": "1s", "type": "rds", "change": ["r0"]}],
        ),
        script(
            # The listener is read when the cluster's name is resolved; its route's file is gone by then.
            "file-withdrawn",
            "3s",
            propagation={"strategy": "file"},
            resources={"clusters": {"count": 1, "type": "strict_dns", "resolver": {"after": "700ms"}}},
            pushes=[
                {"at": "300ms", "type": "rds", "remove": ["r0"]},
                {"at": "2s", "type": "lds", "add": ["l1"]},
            ],
        ),
        script(
            "listener-removed-while-start-up-waits-for-it",
            "4s",
            envoy={"initial_fetch_timeout": "0s"},
            propagation={"protocol": "delta"},
            answers={"rds": NEVER},
            pushes=[{"at": "1s", "type": "lds", "remove": ["l0"]}],
        ),
        script(
            "clusters-removed-in-the-order-of-a-hash-map",
            "3s",
            envoy={"initial_fetch_timeout": "0s"},
            resources={
                "clusters": [
                    {"count": 1, "type": "static"},
                    {"count": 1},
                    {"count": 1, "type": "strict_dns", "resolver": "never"},
                ]
            },
            pushes=[{"at": "1s", "type": "cds", "remove": ["c0", "c1", "c2"]}],
        ),
        script(
            "runtime-layer-first",
            "4s",
            envoy={"runtime_layers": [{"name": "n0", "rtds_layer": {"name": "rtds0"}}]},
            resources={"runtime": {"count": 1}},
            answers={"rtds": NEVER},
        ),
    ]


def _feature_flags(kind: str, layer: dict[str, str]) -> xs.Scenario:
    base = {"name": "base", "static_layer": {"checkout.v2": 75}}
    return script(
        f"feature-flags-{kind.replace('_', '-')}",
        "4s",
        envoy={"runtime_layers": [base, {"name": "flags", kind: layer}]},
        resources={"runtime": {"count": 1}},
        workload=[
            {"runtime_flag": "checkout.v2", "value": "25%", "at": "1s"},
            {"runtime_flag": "search", "value": "100%", "at": "2s"},
        ],
    )


def _hot_restart_over(strategy: str) -> xs.Scenario:
    refresh = {"refresh_delay": "300ms"} if strategy == "poll" else {}
    return script(
        f"hot-restart-over-{strategy}",
        "6s",
        envoy={"parent_shutdown_time": "2s"},
        propagation={"strategy": strategy, **refresh},
        answers={"rds": [{}, {"after": "700ms"}]} if strategy == "poll" else {},
        pushes=[
            {"at": "2200ms", "type": "rds", "change": ["r0"]},
            {"at": "5s", "type": "lds", "change": ["l0"]},
        ],
        workload=[
            {"hot_restart": {"proxies": ["p0"]}, "at": "1500ms"},
            {"traffic": {"to": "l0", "rate": "50/s", "connection": "kept"}, "from": "300ms"},
        ],
    )


def told(verdict: Verdict) -> str:
    """What differs, for who reads a failure."""
    rows = "\n".join(f"{r.rule}: {r.simulated} | {r.measured} {r.note}" for r in verdict.differing)
    return f"{rows}\n\n{verdict.explained()}"
