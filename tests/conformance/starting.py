"""What the tests of start-up share: steps between messages, and the instants of a start."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.wire.stream import Stream
from tests.playing import NEVER, Play, play, word

BEGINNING = -1e3
"""Before anything was said: RTDS and static clusters come before the CDS subscription that times count
from."""

POLL = {"strategy": "poll", "propagation": {"refresh_delay": "1s"}}
"""REST as it was measured."""

SERVED = [
    *("request cds", "response cds", "request eds", "ack cds", "response eds"),
    *("request lds", "ack eds", "response lds", "request rds", "ack lds", "response rds", "ack rds"),
]
"""The whole conversation of a start that is answered at once (S2)."""


def step(played: Play, first: str, then: str) -> float:
    """Seconds from the first time something was said to the first time something else was said after it."""
    times = [(m.t, word(m)) for m in played.messages(BEGINNING)]
    start = next(t for t, said in times if said == first)
    return next(t for t, said in times if said == then and t >= start) - start


def said_at(played: Play, words: str, after: float = BEGINNING) -> float:
    """When something was first said from a time on."""
    return float(next(m.t for m in played.messages(after) if word(m) == words))


def workers_after(played: Play, words: str) -> float:
    """Seconds from something said to the start of the workers."""
    started = played.at("workers_started")
    assert started is not None, "the workers never started"
    return started - said_at(played, words)


def bootstrap_to_workers(played: Play) -> float:
    """Seconds from the end of construction to the start of the workers."""
    row = played.startup
    return (int(row.t_workers_started_ns) - int(row.t_bootstrapped_ns)) / 1e9


def never_answered(*types: str) -> dict[str, object]:
    """Answers in which these types are missing."""
    return dict.fromkeys(types, NEVER)


def late(*types: str, at: float, apart: float = 0.05) -> list[dict[str, object]]:
    """Pushes that send these types after all, one behind another."""
    return [
        {"at": f"{round((at + i * apart) * 1e3)}ms", "type": type_, "send": "all"}
        for i, type_ in enumerate(types)
    ]


def play_and_overhear(monkeypatch: pytest.MonkeyPatch, **keywords: Any) -> tuple[Play, list[Any]]:
    """A play, and the requests themselves: the table of messages does not show all they say."""
    requests: list[Any] = []
    send = Stream.send_request

    def overheard(stream: Stream, request: Any) -> None:
        requests.append(request)
        send(stream, request)

    monkeypatch.setattr(Stream, "send_request", overheard)
    return play(**keywords), requests
