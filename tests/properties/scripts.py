"""Random scripted scenarios with small horizons: what a control plane may say, refuse, delay, withdraw or
drop."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from simulator.scenario.schema import Scenario
from tests.playing import scenario

CLUSTERS = 3
LISTENERS = 2
MILLISECONDS = st.integers(0, 2500).map(lambda ms: f"{ms}ms")
PUSHED = [*["cds", "eds", "lds", "rds"] * 3, "sds", "ecds", "rtds", "srds", None]


def some(names: list[str]) -> st.SearchStrategy[list[str]]:
    """Some of the names, possibly none."""
    return st.lists(st.sampled_from(names), unique=True, max_size=len(names))


def one_or_more(names: list[str]) -> st.SearchStrategy[list[str]]:
    """At least one of the names."""
    return st.lists(st.sampled_from(names), unique=True, min_size=1, max_size=len(names))


@st.composite
def clusters(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Clusters c0, c1, ... of mixed types."""
    mappings = []
    for _ in range(draw(st.integers(1, CLUSTERS))):
        kind = draw(st.sampled_from(["eds", "eds", "eds", "static", "strict_dns"]))
        mapping: dict[str, Any] = {"count": 1, "type": kind, "endpoints": draw(st.integers(0, 2))}
        if kind == "strict_dns":
            mapping["resolver"] = draw(st.sampled_from(["ok", {"after": "700ms"}, "never"]))
        if draw(st.integers(0, 3)) == 0:
            mapping["secret"] = "sds0"
        mappings.append(mapping)
    return mappings


@st.composite
def listeners(draw: st.DrawFn, *, with_scopes: bool) -> list[dict[str, Any]]:
    """Listeners l0, l1, ... with routes of every kind."""
    kinds = ["rds", "rds", "rds", "inline", *(["scoped"] if with_scopes else [])]
    mappings = []
    for _ in range(draw(st.integers(1, LISTENERS))):
        mapping: dict[str, Any] = {"count": 1, "routes": draw(st.sampled_from(kinds))}
        if draw(st.integers(0, 3)) == 0:
            mapping["secret"] = "sds1"
        if draw(st.integers(0, 3)) == 0:
            mapping["filters"] = ["ecds0"]
        mappings.append(mapping)
    return mappings


@st.composite
def bootstrap(draw: st.DrawFn) -> dict[str, Any]:
    """Mostly nothing, else clusters and listeners of the bootstrap."""
    if draw(st.integers(0, 3)):
        return {}
    kinds = draw(st.lists(st.sampled_from(["eds", "static", "strict_dns"]), max_size=2))
    given: dict[str, Any] = {"clusters": [{"count": 1, "type": kind, "prefix": "s"} for kind in kinds]}
    routes = draw(st.sampled_from([None, "rds", "inline"]))
    if routes is not None:
        given["listeners"] = [{"count": 1, "routes": routes, "prefix": "sl"}]
    return given


def names_by_type(
    given_clusters: list[dict[str, Any]], given_listeners: list[dict[str, Any]]
) -> dict[str, list[str]]:
    """What exists at first."""
    scoped = any(mapping["routes"] == "scoped" for mapping in given_listeners)
    return {
        "cds": [f"c{i}" for i in range(len(given_clusters))],
        "eds": [f"c{i}" for i, c in enumerate(given_clusters) if c["type"] == "eds"],
        "lds": [f"l{i}" for i in range(len(given_listeners))],
        "rds": [f"r{i}" for i, mapping in enumerate(given_listeners) if mapping["routes"] != "inline"],
        "sds": ["sds0", "sds1"],
        "ecds": ["ecds0"],
        "rtds": ["rtds0"],
        "srds": ["srds0"] if scoped else [],
    }


@st.composite
def answers(draw: st.DrawFn, names: dict[str, list[str]]) -> dict[str, list[dict[str, Any]]]:
    """For some types a list of one to three answers."""
    chosen: dict[str, list[dict[str, Any]]] = {}
    for type_name in names:
        if draw(st.integers(0, 3)) == 0:
            chosen[type_name] = [draw(answer(names[type_name])) for _ in range(draw(st.integers(1, 3)))]
    return chosen


@st.composite
def answer(draw: st.DrawFn, names: list[str]) -> dict[str, Any]:
    """One answer."""
    given: dict[str, Any] = {}
    if draw(st.booleans()):
        given["after"] = draw(MILLISECONDS)
    what = draw(st.sampled_from(["all", "all", "never", "omit", "remove", "reject", "close"]))
    if what == "never":
        given["never"] = True
    elif what == "close":
        given["close"] = True
    elif what == "reject":
        given["reject"] = draw(st.sampled_from(["decode", "build"]))
    elif what in ("omit", "remove") and names:
        given[what] = draw(one_or_more(names))
    return given


@st.composite
def pushes(draw: st.DrawFn, names: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Up to six pushes in order of time, of names that exist at their time."""
    present = {type_name: dict.fromkeys(held) for type_name, held in names.items()}
    given = []
    times = sorted(draw(st.lists(st.integers(0, 6000), max_size=6)))
    for number, at_ms in enumerate(times):
        push: dict[str, Any] = {"at": f"{at_ms}ms"}
        type_name = draw(st.sampled_from(PUSHED))
        if type_name is None or not present[type_name]:
            given.append({**push, "close": True})
            continue
        push["type"] = type_name
        held = list(present[type_name])
        verb = draw(st.sampled_from(["change", "change", "send", "add", "remove", "special", "reject"]))
        _say(draw, push, verb, type_name, held, number, present)
        if draw(st.integers(0, 7)) == 0:
            push["close"] = True
        given.append(push)
    return given


def _say(
    draw: st.DrawFn,
    push: dict[str, Any],
    verb: str,
    type_name: str,
    held: list[str],
    number: int,
    present: dict[str, dict[str, None]],
) -> None:
    chosen = draw(one_or_more(held))
    special = {"eds": "empty", "lds": "change_filter_chains"}
    prefixes = {"cds": "c", "lds": "l", "eds": "c", "rds": "r"}
    if verb == "add":
        # Numbers of their own, so that the route or assignment brought along is new as well.
        added = f"{prefixes.get(type_name, type_name)}{20 + number}"
        push["add"] = [added]
        present[type_name][added] = None
    elif verb == "remove":
        push["remove"] = chosen
        for name in chosen:
            present[type_name].pop(name, None)
    elif verb == "reject":
        push["reject"] = draw(st.sampled_from(["decode", "build"]))
        if draw(st.booleans()):
            push["change"] = chosen
    elif verb == "special" and type_name in special:
        push[special[type_name]] = chosen
    else:
        push["send" if verb == "send" else "change"] = chosen


@st.composite
def transport(draw: st.DrawFn) -> dict[str, Any]:
    """How configuration travels."""
    way = draw(st.sampled_from(["ads", "ads", "ads", "separate", "poll", "file"]))
    given: dict[str, Any] = {"protocol": draw(st.sampled_from(["sotw", "delta"]))}
    if way == "poll":
        return {
            **given,
            "strategy": "poll",
            "propagation": {"refresh_delay": "500ms", "request_timeout": "400ms"},
        }
    if way == "file":
        watch = draw(st.sampled_from(["path", "directory"]))
        return {**given, "strategy": "file", "propagation": {"watch": watch}}
    return {**given, "strategy": "push", "streams": way}


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """One scenario of ten simulated seconds."""
    with_scopes = draw(st.integers(0, 4)) == 0
    given_clusters, given_listeners = draw(clusters()), draw(listeners(with_scopes=with_scopes))
    names = names_by_type(given_clusters, given_listeners)
    resources: dict[str, Any] = {"secrets": {"count": 2}, "extensions": {"count": 1}, "runtime": {"count": 1}}
    if any(mapping["routes"] == "scoped" for mapping in given_listeners):
        resources["scopes"] = {"count": 1}
    if draw(st.integers(0, 2)) == 0:
        answered = draw(st.sampled_from(["pass", "fail", "refuse", {"after": "300ms"}, "never"]))
        resources["health_check"] = {"answers": answered, "timeout": "800ms"}
    envoy: dict[str, Any] = {
        "static": draw(bootstrap()),
        "drain_time": draw(st.sampled_from(["0s", "1s", "3s"])),
        "drain_strategy": draw(st.sampled_from(["gradual", "immediate"])),
    }
    if draw(st.integers(0, 3)) == 0:
        envoy["runtime_layers"] = [{"name": "rtds0", "rtds_layer": {"name": "rtds0"}}]
    if draw(st.integers(0, 3)) == 0:
        envoy["costs"] = "zero"
    if draw(st.integers(0, 5)) == 0:
        envoy["rate_limit"] = {"max_tokens": 3, "fill_rate": "5/s"}
    return scenario(
        preset=draw(st.sampled_from(["envoy", "istio"])),
        timeout=draw(st.sampled_from(["0s", "300ms", "1s", "2s", {"eds": "500ms", "rds": "0s"}])),
        clusters=given_clusters,
        listeners=given_listeners,
        resources=resources,
        answers=draw(answers(names)),
        pushes=draw(pushes(names)),
        connect=draw(st.sampled_from(["accept"] * 8 + ["refuse", "close", {"refuse_until": "1500ms"}])),
        duration="10s",
        traffic="10/s",
        connection=draw(st.sampled_from(["fresh", "kept"])),
        envoy=envoy,
        mesh={"proxies": draw(st.sampled_from([1, 1, 2]))},
        seed=draw(st.integers(1, 1000)),
        **draw(transport()),
    )
