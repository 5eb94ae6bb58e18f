"""What the tests of a running Envoy share: the push at `AT`, and the instants that are counted from it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.playing import Play, play, word

AT = 6.0
"""Seconds at which the first push is made; off the grid of the 5 s stats flush."""

SOTW, DELTA = {"protocol": "sotw"}, {"protocol": "delta"}
SEPARATE, SEPARATE_DELTA = {"streams": "separate"}, {"streams": "separate", "protocol": "delta"}

both_protocols = pytest.mark.parametrize("wire", [SOTW, DELTA], ids=["sotw", "delta"])
every_stream = pytest.mark.parametrize(
    "wire", [SOTW, DELTA, SEPARATE, SEPARATE_DELTA], ids=["sotw", "delta", "separate-sotw", "separate-delta"]
)
separate_streams = pytest.mark.parametrize(
    "wire", [SEPARATE, SEPARATE_DELTA], ids=["separate-sotw", "separate-delta"]
)


def push(type_: str, after: float = 0.0, **what: object) -> dict[str, object]:
    """A push so many seconds after `AT`."""
    return {"at": f"{round((AT + after) * 1e6)}us", "type": type_, **what}


def run(*pushes: dict[str, object], **keywords: Any) -> Play:
    """A running Envoy with traffic that gets these pushes; 15 s fetch time-out unless told otherwise."""
    keywords.setdefault("timeout", "15s")
    keywords.setdefault("duration", "14s")
    keywords.setdefault("traffic", "200/s")
    return play(pushes=list(pushes), **keywords)


def conversation(played: Play, after: float = 0.0) -> list[str]:
    """What is said from a push on, as words."""
    return [word(m) for m in played.messages(AT + after - 1e-9)]


def said(played: Play, words: str, after: float = 0.0) -> list[float]:
    """Seconds after `AT` at which this was said."""
    return [m.t - AT for m in played.messages(AT + after - 1e-9) if word(m) == words]


def acked(played: Play, type_: str, number: int = 0) -> float | None:
    """From a push of the type (the first, second ... one after `AT`) to its ACK, both at the server."""
    messages = played.messages(AT - 1e-9, type_)
    sent = [m for m in messages if m.direction == "response"][number]
    for m in messages:
        if m.direction == "request" and m.nonce == sent.nonce and not m.error_detail and m.t >= sent.t:
            return float(m.t - sent.t)
    return None


def entered(played: Play, machine: str, name: str, state: str, after: float = 0.0) -> float | None:
    """Seconds after `AT` at which a machine entered a state; None if it never did."""
    times = [t for t, s, _ in played.states(machine, name) if s == state and t >= AT + after - 1e-9]
    return times[0] - AT if times else None


def outcomes(played: Play) -> list[tuple[float, str]]:
    """What requests get at the push, and each change afterwards, in seconds after `AT`."""
    later = [(t - AT, o) for t, o in played.outcomes() if t > AT]
    return [(0.0, played.outcome_at(AT)), *later]


def words_of(changes: list[tuple[float, str]]) -> list[str]:
    """The outcomes alone."""
    return [outcome for _, outcome in changes]


def counter(played: Play, stat: str, label: str = "") -> float:
    """A counter or gauge at the end of the run, by its Prometheus name; 0 where it was never touched."""
    total = 0.0
    for line in played.result.counters_text.splitlines():
        name, _, value = line.rpartition(" ")
        if name.partition("{")[0] == stat and label in name:
            total += float(value)
    return total
