"""A link delays each message and keeps their order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from simulator.engine.clock import MS
from simulator.engine.delays import Constant, Uniform
from simulator.engine.draws import Draws
from simulator.wire.link import Link


def test_a_constant_latency_is_added_to_each_message(draws: Draws) -> None:
    link = Link(Constant(3 * MS), draws, "latency", proxy=0)
    assert [link.arrival_ns(t) for t in (0, 0, MS)] == [3 * MS, 3 * MS, 4 * MS]


@given(st.lists(st.integers(0, 20 * MS), min_size=2, max_size=40), st.integers(0, 99))
def test_a_later_message_never_overtakes_and_none_is_early(gaps: list[int], seed: int) -> None:
    link = Link(Uniform(0, 50 * MS), Draws(seed), "latency", proxy=0)
    now_ns, last_ns = 0, 0
    for gap in gaps:
        now_ns += gap
        arrival_ns = link.arrival_ns(now_ns)
        assert arrival_ns >= max(now_ns, last_ns)
        assert arrival_ns <= max(now_ns + 50 * MS, last_ns)
        last_ns = arrival_ns


def test_directions_and_proxies_draw_for_themselves(draws: Draws) -> None:
    law = Uniform(0, 50 * MS)
    there, back = Link(law, draws, "there", 0), Link(law, draws, "back", 0)
    other = Link(law, draws, "there", 1)
    assert len({link.arrival_ns(0) for link in (there, back, other)}) == 3
    assert Link(law, draws, "there", 0).arrival_ns(0) == Link(law, draws, "there", 0).arrival_ns(0)


@given(st.integers(0, 20), st.integers(0, 99))
def test_a_link_that_continues_from_another_delays_as_that_one_would_have(sent: int, seed: int) -> None:
    law, draws = Uniform(0, 50 * MS), Draws(seed)
    whole, rest = (Link(law, draws, "latency", proxy=0) for _ in range(2))
    for number in range(sent):
        whole.arrival_ns(number * MS)
    rest.continue_from(*whole.past)
    assert [rest.arrival_ns(sent * MS) for _ in range(5)] == [whole.arrival_ns(sent * MS) for _ in range(5)]
