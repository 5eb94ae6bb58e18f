"""Random scripted scenarios: what a control plane may say, refuse, delay, withdraw or drop.

A scenario is a pure function of a seed and a number. Instants lie on grids that do not meet: answers are late
by multiples of 300 ms, fetch timeouts and pushes lie between. So few of the events are races, which would
tell nothing about either world.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

from simulator.engine.draws import Draws
from simulator.lab.playable import reasons_against
from simulator.scenario.schema import Scenario

Mapping = dict[str, Any]
"""A scenario as it is written in a file."""

T = TypeVar("T")

LATE: Final = ("0s", "0s", "300ms", "600ms")
TIMEOUTS: Final[tuple[Any, ...]] = (
    *("1150ms", "1150ms", "450ms", "0s"),
    *({"eds": "450ms", "rds": "1150ms"}, {"cds": "0s", "rds": "450ms"}),
)
BACKOFF: Final = {"base": "20ms", "max": "40ms"}
"""Envoy's own bounds of 0.5 and 30 s would make every reconnect a race: the draws of both worlds differ."""

PUSHED_AT_MS: Final = (720, 1780, 2560, 3360, 4170)
DURATION: Final = "6s"
MOST_CLUSTERS: Final = 3
MOST_LISTENERS: Final = 2

_TYPES: Final = (*("cds", "eds", "lds", "rds") * 4, "sds", "ecds", "rtds", "srds")
_PREFIX: Final = {"cds": "c", "eds": "c", "lds": "l", "rds": "r"}


def invented(seed: int, number: int) -> Mapping:
    """The scenario of that number, which a real Envoy can play."""
    attempt = 0
    while True:
        mapping = _Inventor(seed, number, attempt).scenario()
        if not reasons_against(Scenario(**mapping)):
            return mapping
        attempt += 1


class _Inventor:
    """Throws the dice of one scenario."""

    def __init__(self, seed: int, number: int, attempt: int) -> None:
        self._seed, self._number = seed, number
        self._draws = Draws(seed, attempt)
        self._thrown = 0
        self._is_file = self._is_polled = False

    def scenario(self) -> Mapping:
        """Everything."""
        propagation = self._propagation()
        self._is_file = propagation["strategy"] == "file"
        self._is_polled = propagation["strategy"] == "poll"
        has_scopes = self._in(12) and not self._is_file
        clusters = [self._cluster() for _ in range(1 + self._below(MOST_CLUSTERS))]
        listeners = [self._listener(has_scopes) for _ in range(1 + self._below(MOST_LISTENERS))]
        envoy = self._envoy()
        names = _names(clusters, listeners, envoy)
        resources: Mapping = {"clusters": clusters, "listeners": listeners}
        resources |= {key: {"count": 1} for key, kind in _COUNTED if names[kind]}
        if self._in(4):
            answered = self._one(("pass", "fail", "refuse", {"after": "300ms"}, "never"))
            resources["health_check"] = {"answers": answered, "timeout": "850ms"}
        control_plane: Mapping = {"kind": "scripted", "resources": resources}
        if not self._is_file:
            control_plane["answers"] = self._answers(names)
            if self._in(8):
                control_plane["connect"] = self._one((*({"refuse_until": "1500ms"},) * 3, "refuse"))
        control_plane["pushes"] = self._pushes(names)
        written: Mapping = {
            "name": f"fuzz-{self._seed}-{self._number}",
            "duration": DURATION,
            "envoy": envoy,
            "propagation": propagation,
            "control_plane": control_plane,
        }
        # Endpoints of the laboratory do not speak TLS, as a cluster with a secret does.
        if self._in(3) and not names["sds"]:
            written["workload"] = [{"traffic": {"to": "l0", "rate": "20/s"}}]
        return written

    def _propagation(self) -> Mapping:
        way = self._one(("ads", "ads", "ads", "separate", "separate", "poll", "file"))
        if way == "poll":
            return {"strategy": "poll", "refresh_delay": "200ms", "request_timeout": "400ms"}
        if way == "file":
            return {"strategy": "file", "watch": self._one(("path", "directory"))}
        protocol = self._one(("sotw", "delta"))
        return {"strategy": "push", "protocol": protocol, "streams": way, "backoff": dict(BACKOFF)}

    def _envoy(self) -> Mapping:
        envoy: Mapping = {
            "preset": "envoy",
            "initial_fetch_timeout": self._one(TIMEOUTS),
            "drain_time": self._one(("1s", "2s")),
            "stats_flush_interval": "60s",
        }
        if self._in(6):
            kinds = [self._one(("eds", "static", "strict_dns")) for _ in range(1 + self._below(2))]
            static: Mapping = {"clusters": [{"count": 1, "type": kind, "prefix": "s"} for kind in kinds]}
            if self._in(2):
                routes = self._one(("rds", "inline"))
                static["listeners"] = [{"count": 1, "routes": routes, "prefix": "sl"}]
            envoy["static"] = static
        if self._in(6):
            envoy["runtime_layers"] = [{"name": "flags", "rtds_layer": {"name": "rtds0"}}]
        return envoy

    def _cluster(self) -> Mapping:
        kind = self._one(("eds", "eds", "eds", "static", "strict_dns"))
        mapping: Mapping = {"count": 1, "type": kind, "endpoints": self._one((1, 1, 2, 0))}
        if kind == "strict_dns" and self._in(2):
            mapping["resolver"] = self._one(({"after": "750ms"}, "never"))
        if self._in(10):
            mapping["secret"] = "sds0"
        return mapping

    def _listener(self, has_scopes: bool) -> Mapping:
        kinds = ("rds", "rds", "rds", "inline", *(("scoped",) * 4 if has_scopes else ()))
        mapping: Mapping = {"count": 1, "routes": self._one(kinds)}
        if self._in(10):
            mapping["filters"] = ["ecds0"]
        return mapping

    # --- what the control plane says

    def _answers(self, names: dict[str, list[str]]) -> Mapping:
        return {kind: self._turns(held) for kind, held in names.items() if held and self._in(3)}

    def _turns(self, names: list[str]) -> list[Mapping]:
        """Answers that do not depend on how often Envoy tries: its waits are random."""
        turns = [self._answer(names) for _ in range(1 + self._below(3))]
        failing = [turn for turn in turns if "never" in turn or "close" in turn]
        if self._is_polled and failing:
            return failing[:1]
        return [*turns, {}] if "close" in turns[-1] else turns

    def _answer(self, names: list[str]) -> Mapping:
        late = self._one(LATE[:3] if self._is_polled else LATE)
        answer: Mapping = {} if late == "0s" else {"after": late}
        what = self._one((*("all",) * 4, "never", "omit", "remove", "reject", "close"))
        if what == "never":
            return {"never": True}
        if what == "close":
            answer["close"] = True
        elif what == "reject":
            answer["reject"] = self._one(("decode", "build"))
        elif what in ("omit", "remove"):
            answer[what] = self._some(names)
        return answer

    def _pushes(self, names: dict[str, list[str]]) -> list[Mapping]:
        present = {kind: dict.fromkeys(held) for kind, held in names.items()}
        chosen = [at_ms for at_ms in PUSHED_AT_MS if self._in(2)]
        pushes = []
        for number, at_ms in enumerate(chosen):
            kind = self._one([kind for kind in _TYPES if present[kind]] or ["cds"])
            if not self._is_file and (not present[kind] or self._in(14)):
                pushes.append({"at": f"{at_ms}ms", "close": True})
            elif present[kind]:
                pushes.append({"at": f"{at_ms}ms", "type": kind, **self._said(kind, number, present[kind])})
        return pushes

    def _said(self, kind: str, number: int, present: dict[str, None]) -> Mapping:
        verbs = ["change", "change", "change", "add", "remove"]
        verbs += {"eds": ["empty"], "lds": ["change_filter_chains"]}.get(kind, [])
        if not self._is_file:
            verbs += ["send", "reject"]
        verb = self._one(verbs)
        if verb == "add":
            # Numbers of their own, so that the route or assignment brought along is new as well.
            added = f"{_PREFIX.get(kind, kind)}{20 + number}"
            present[added] = None
            return {"add": [added]}
        names = self._some(list(present))
        if verb == "reject":
            return {"reject": self._one(("decode", "build")), "change": names}
        if verb == "remove":
            for name in names:
                present.pop(name)
        return {verb: names}

    # --- dice

    def _below(self, n: int) -> int:
        self._thrown += 1
        return self._draws.integer_below(n, "lab.fuzz", self._number, self._thrown)

    def _in(self, n: int) -> bool:
        """True once in n times."""
        return self._below(n) == 0

    def _one(self, of: Sequence[T]) -> T:
        return of[self._below(len(of))]

    def _some(self, names: list[str]) -> list[str]:
        """At least one of them."""
        sure = self._one(names)
        return [name for name in names if name == sure or self._in(2)]


_COUNTED: Final = (("secrets", "sds"), ("extensions", "ecds"), ("runtime", "rtds"), ("scopes", "srds"))


def _names(clusters: list[Mapping], listeners: list[Mapping], envoy: Mapping) -> dict[str, list[str]]:
    """What exists at first, and is subscribed to, by type."""
    return {
        "cds": [f"c{i}" for i in range(len(clusters))],
        "eds": [f"c{i}" for i, one in enumerate(clusters) if one["type"] == "eds"],
        "lds": [f"l{i}" for i in range(len(listeners))],
        "rds": [f"r{i}" for i, one in enumerate(listeners) if one["routes"] != "inline"],
        "sds": ["sds0"] if any("secret" in one for one in clusters) else [],
        "ecds": ["ecds0"] if any("filters" in one for one in listeners) else [],
        "rtds": ["rtds0"] if "runtime_layers" in envoy else [],
        "srds": ["srds0"] if any(one["routes"] == "scoped" for one in listeners) else [],
    }
