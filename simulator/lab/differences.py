"""What a simulated run and measured ones of the same scenario must agree in, rule by rule.

Sequences must be equal. Times must be equal within `Tolerance`. The order of messages must be equal but for
races: two messages that the measurement itself shows in both orders, and those of a known class, which the
table names:

- crossing: one is Envoy's, the other the server's, they do not answer each other, and in both worlds they
  pass within the tolerance of one another (rule S2: an ACK and the next response already on the way);
- streams: they travel on different streams and pass within the tolerance of one another.

A time agrees as it is after the origin, or if it is as late as one of the messages just before it: what a
busy machine takes for each step adds up, and each step is held to the tolerance. Altogether a run may be
behind by `MOST_DRIFT_S`; and until its workers start, an Envoy may be late by as much as its construction
took longer than the calibration says, for then the machine is slow. Where waits are random (reconnecting,
rule D2) the draws of the two worlds differ, so there a time may also be off by as much as the opening of a
stream is, and each subscription has an order of its own. Polls wait at random all the time (rule R1): only
what they are answered is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Final

from simulator.lab.conversation import PHASES, Entered, Reading, Said, starts_of
from simulator.lab.expectation_rows import expectation_rows
from simulator.lab.flag_rows import flag_rows
from simulator.lab.lateness import MeasuredRun, heard
from simulator.lab.orders import Order
from simulator.lab.polls import answers, news
from simulator.lab.races import Races
from simulator.lab.rows import AGREES, DIFFERS, RACES, Row, Tolerance
from simulator.lab.wording import (
    first_difference,
    ms,
    timed,
    told_answers,
    told_timeouts,
)
from simulator.results.result import Result
from simulator.scenario.schema import Scenario

__all__ = ["AGREES", "DIFFERS", "RACES", "Row", "Tolerance", "compare"]


_Timed = tuple[float, str]
"""When, and what."""

_OF_CDS: Final = "t_cds_initialized_ns"
"""Without CDS Envoy's log does not tell of it."""


def compare(
    scenario: Scenario, simulated: Result, measured: Sequence[Result], tolerance: Tolerance | None = None
) -> list[Row]:
    """Everything that is compared, in reading order; they agree if every row is met."""
    tolerance = tolerance or Tolerance()
    rows: list[Row] = []
    proxies = [str(proxy) for proxy in simulated.startups.proxy_id]
    for proxy in dict.fromkeys(proxies):
        prefix = f"{proxy}: " if len(set(proxies)) > 1 else ""
        rows += [_prefixed(row, prefix) for row in _of_envoy(scenario, simulated, measured, proxy, tolerance)]
    rows += expectation_rows(simulated, measured, tolerance)
    return rows


def _of_envoy(
    scenario: Scenario, simulated: Result, measured: Sequence[Result], proxy: str, tolerance: Tolerance
) -> list[Row]:
    """One Envoy: each of its starts, and its requests."""
    starts = len(starts_of(simulated, proxy))
    there = [result for result in measured if len(starts_of(result, proxy)) == starts]
    if len(there) * 2 <= len(measured):
        odd = next(len(starts_of(result, proxy)) for result in measured if result not in there)
        return [Row("starts", "equal", str(starts), str(odd), n=len(measured), verdict=DIFFERS)]
    rows: list[Row] = []
    for number in range(starts):
        one = _Comparison(scenario, simulated, there, proxy, tolerance, number)
        prefix = f"start {number + 1}: " if starts > 1 else ""
        rows += [_prefixed(row, prefix) for row in one.rows()]
    whole = _Comparison(scenario, simulated, there, proxy, tolerance)
    return rows + whole.flips() + whole.traffic()


def _prefixed(row: Row, prefix: str) -> Row:
    return replace(row, rule=prefix + row.rule)


class _Comparison:
    """One start of one Envoy, and what its process did."""

    def __init__(
        self,
        scenario: Scenario,
        simulated: Result,
        measured: Sequence[Result],
        proxy: str,
        tolerance: Tolerance,
        number: int = 0,
    ) -> None:
        self._scenario = scenario
        self._tolerance = tolerance
        self._number = number
        self._simulated = Reading(simulated, proxy, number)
        self._has_xds = scenario.control_plane.kind != "none"
        self._is_polled = scenario.propagation.strategy == "poll"
        self._is_random = _reconnects(scenario) and not self._is_polled
        self._until_s = self._common_window()
        ours = [said for said in self._simulated.said if said.at_s < self._until_s]
        self._ours = heard(ours, self._simulated.subscriptions()) if self._is_random else ours
        self._runs = [
            MeasuredRun(
                Reading(result, proxy, number),
                self._ours,
                self._until_s,
                self._simulated,
                tolerance,
                is_random=self._is_random,
            )
            for result in measured
        ]
        self._races = Races(self._simulated, self._ours, self._runs, tolerance, is_random=self._is_random)

    def _common_window(self) -> float:
        until_s = self._scenario.duration / 1e9 - self._simulated.origin_ns / 1e9
        margin = self._tolerance.at(until_s)
        until_s -= margin
        # Not through the middle of something: whether that is seen would be a matter of milliseconds.
        said_there = self._simulated.said
        for said in reversed(news(said_there) if self._is_polled else said_there):
            if abs(said.at_s - until_s) < margin:
                until_s = said.at_s - margin
        return until_s

    def rows(self) -> list[Row]:
        """The rows of this start."""
        rows = [self._phase(column) for column in PHASES if self._has_xds or column != _OF_CDS]
        rows.append(self._equal("fetch timeouts", told_timeouts))
        rows.append(self._equal("outcome", lambda one: str(one.startup["outcome"])))
        rows += self._polls() if self._is_polled else self._messages()
        rows += self._states()
        if self._number:
            rows.append(self._takeover())
        return rows

    def _takeover(self) -> Row:
        """Rule W11; its times count from when the child's workers start."""
        mine = [one for one in self._simulated.takeover() if one[0] < self._until_s]
        measured = [[one for one in run.reading.takeover() if one[0] < self._until_s] for run in self._runs]
        near = [
            [state for _, state in one] == [state for _, state in mine]
            and all(
                abs(there_s - at_s) <= self._tolerance.at(at_s)
                for (at_s, _), (there_s, _) in zip(mine, one, strict=True)
            )
            for one in measured
        ]
        is_met = self._is_most(sum(near))
        shown = measured[near.index(is_met)] if is_met in near else measured[0]
        return Row(
            "takeover",
            "equal, in time",
            timed(mine),
            timed(shown),
            n=len(measured),
            verdict=AGREES if is_met else DIFFERS,
        )

    def _equal(self, rule: str, read: Callable[[Reading], str]) -> Row:
        simulated, measured = read(self._simulated), [read(run.reading) for run in self._runs]
        agreeing = [value for value in measured if value == simulated]
        if self._is_most(len(agreeing)):
            return Row(rule, "equal", simulated, simulated, n=len(measured))
        odd = next(value for value in measured if value != simulated)
        return Row(rule, "equal", simulated, odd, n=len(measured), verdict=DIFFERS)

    def _is_most(self, count: int) -> bool:
        return count * 2 > len(self._runs)

    # --- times

    def _phase(self, column: str) -> Row:
        rule = column.removeprefix("t_").removesuffix("_ns").replace("_", " ")
        simulated = self._simulated.at(column)
        if simulated is not None and simulated >= self._until_s:
            simulated = None
        measured = [self._inside(run.reading.at(column)) for run in self._runs]
        seen = [value for value in measured if value is not None]
        low, high = (ms(min(seen)), ms(max(seen))) if seen else ("", "")
        return Row(
            rule,
            "never" if simulated is None else f"± {ms(self._tolerance.at(simulated))}",
            "never" if simulated is None else ms(simulated),
            ms(median(seen)) if seen else "never",
            low,
            high,
            len(seen),
            AGREES if self._is_time_met(simulated, measured) else DIFFERS,
        )

    def _inside(self, at_s: float | None) -> float | None:
        return None if at_s is None or at_s >= self._until_s + self._tolerance.at(at_s) else at_s

    def _is_time_met(self, simulated: float | None, measured: list[float | None]) -> bool:
        if simulated is None:
            return self._is_most(sum(value is None for value in measured))
        near = [
            value is not None and (self._is_polled or run.is_near(simulated, value, self._tolerance))
            for run, value in zip(self._runs, measured, strict=True)
        ]
        return self._is_most(sum(near))

    # --- messages

    def _messages(self) -> list[Row]:
        rows: list[Row] = []
        keys = _keys([self._ours, *(run.said for run in self._runs)])
        for key in keys:
            rows.append(self._of_one_type(key))
        if all(row.is_met for row in rows):
            rows.append(self._order())
        return rows

    def _of_one_type(self, type_name: str) -> Row:
        mine = [said for said in self._ours if said.type == type_name]
        measured = [[said for said in run.said if said.type == type_name] for run in self._runs]
        rule, told = f"messages {type_name}", f"{len(mine)} in order"
        wanted = self._sequence(self._simulated, mine)
        same = [self._sequence(r.reading, one) == wanted for r, one in zip(self._runs, measured, strict=True)]
        if not self._is_most(sum(same)):
            odd = measured[same.index(False)]
            ours, theirs = first_difference(mine, odd)
            return Row(rule, "equal", ours, theirs, n=len(measured), verdict=DIFFERS, note="sequence")
        late: list[str] = []
        for run, is_same in zip(self._runs, same, strict=True):
            late_ones = self._late(run, mine) if is_same else []
            if late_ones:
                late.append(late_ones[0])
        if self._is_most(len(late)):
            return Row(rule, "equal, in time", told, told, n=sum(same), verdict=DIFFERS, note=late[0])
        return Row(rule, "equal, in time", told, told, n=sum(same))

    def _sequence(self, reading: Reading, said: list[Said]) -> object:
        """What must be equal: what each side says, for each subscription that has streams of its own."""
        of_stream = reading.subscriptions()
        told: dict[tuple[str, bool], list[object]] = {}
        for one in said:
            told.setdefault((of_stream[one.stream], one.is_of_server), []).append(one.same)
        return told

    def _late(self, run: MeasuredRun, mine: list[Said]) -> list[str]:
        keys = {id(said): key for key, said in zip(Order(self._ours).keys, self._ours, strict=True)}
        late = []
        for said in mine:
            there = run.order.counterpart(keys[id(said)])
            if there is not None and not run.is_near(said.at_s, there.at_s, self._tolerance):
                late.append(f"{said}: {ms(said.at_s)} against {ms(there.at_s)}")
        return late

    def _order(self) -> Row:
        races: dict[str, None] = {}
        ours = Order(self._ours)
        told = f"{len(self._ours)} messages"
        for run in self._runs:
            for first, second in ours.inversions(run.order):
                kind = self._races.kind(first, second, run)
                one, other = ours.counterpart(first), ours.counterpart(second)
                if kind is None:
                    return Row(
                        "order",
                        "equal but for races",
                        f"{one}, {other}",
                        f"{other}, {one}",
                        n=len(self._runs),
                        verdict=DIFFERS,
                    )
                races[f"{kind}: {one} | {other}"] = None
        note = "; ".join(races)
        verdict = RACES if races else AGREES
        return Row("order", "equal but for races", told, told, n=len(self._runs), verdict=verdict, note=note)

    # --- polls: the waits are random, so only what was answered can be equal, and when the first answer came

    def _polls(self) -> list[Row]:
        rows: list[Row] = []
        for type_name in _keys([self._ours, *(run.said for run in self._runs)]):
            mine = told_answers(answers(self._ours, type_name))
            measured = [told_answers(answers(run.said, type_name)) for run in self._runs]
            agreeing = sum(one == mine for one in measured)
            rule = f"answers {type_name}"
            if self._is_most(agreeing):
                rows.append(Row(rule, "equal", mine, mine, n=len(measured)))
            else:
                odd = next(one for one in measured if one != mine)
                rows.append(Row(rule, "equal", mine, odd, n=len(measured), verdict=DIFFERS))
        return rows

    # --- states, traffic

    def _states(self) -> list[Row]:
        ours = self._within(self._simulated.entered())
        theirs = [self._within(run.reading.entered()) for run in self._runs]
        objects = dict.fromkeys((e.machine, e.name) for run in [ours, *theirs] for e in run)
        rows = []
        for machine, name in sorted(objects):
            mine = [e for e in ours if (e.machine, e.name) == (machine, name)]
            measured = [[e for e in run if (e.machine, e.name) == (machine, name)] for run in theirs]
            rows.append(self._states_of(machine, name, _pairs(mine), [_pairs(m) for m in measured]))
        return rows

    def _states_of(self, machine: str, name: str, mine: list[_Timed], measured: list[list[_Timed]]) -> Row:
        rule = f"{machine} {name}"
        row = self._timed_sequence(rule, mine, measured)
        if row.is_met or machine != "cluster":
            return row
        apart = [self._races.warms_apart(name, run) for run in self._runs]
        if not any(apart):
            return row
        excused = self._timed_sequence(rule, mine, measured, apart=apart)
        return replace(excused, verdict=RACES, note="random waits") if excused.is_met else row

    def _within(self, entered: list[Entered]) -> list[Entered]:
        return [e for e in entered if e.at_s < self._until_s]

    def _timed_sequence(
        self,
        rule: str,
        mine: list[tuple[float, str]],
        measured: list[list[tuple[float, str]]],
        slack_s: float = 0.0,
        untimed: int = 0,
        apart: Sequence[bool] = (),
    ) -> Row:
        """Something goes through states: which, and when; the first `untimed` of them at any time. In runs
        that are `apart` it does not matter whether it warms first."""
        near, shown = [], measured[0]
        tolerance = Tolerance(self._tolerance.floor_s + slack_s, self._tolerance.share)
        for run, one, is_apart in zip(self._runs, measured, apart or [False] * len(measured), strict=True):
            ours, theirs = (_warmed(mine), _warmed(one)) if is_apart else (mine, one)
            is_same = [what for _, what in theirs] == [what for _, what in ours]
            is_in_time = is_same and all(
                self._is_polled or run.is_near(at_s, there_s, tolerance)
                for (at_s, _), (there_s, _) in list(zip(ours, theirs, strict=True))[untimed:]
            )
            near.append(is_in_time)
            if not is_in_time:
                shown = one
        if self._is_most(sum(near)):
            shown = measured[near.index(True)]
        verdict = AGREES if self._is_most(sum(near)) else DIFFERS
        return Row(rule, "equal, in time", timed(mine), timed(shown), n=len(measured), verdict=verdict)

    def flips(self) -> list[Row]:
        """Feature flags."""
        there = [run.reading.flips() for run in self._runs]
        return flag_rows(self._simulated.flips(), there, self._tolerance, is_polled=self._is_polled)

    def traffic(self) -> list[Row]:
        rows = []
        for service in dict.fromkeys(entry.traffic.to for entry in self._scenario.traffic):
            trains = [entry.traffic for entry in self._scenario.traffic if entry.traffic.to == service]
            between_s = max(1 / traffic.rate.per_second for traffic in trains)
            mine = _lasting(self._simulated.outcomes(service), self._until_s, between_s)
            measured = [
                _lasting(run.reading.outcomes(service), self._until_s, between_s) for run in self._runs
            ]
            rows.append(self._timed_sequence(f"requests to {service}", mine, measured, between_s, untimed=1))
        return rows


def _reconnects(scenario: Scenario) -> bool:
    """Whether streams wait for a random time before they open."""
    given = scenario.control_plane
    return (
        given.connect.kind != "accept"
        or any(push.close for push in given.pushes)
        or any(answer.close for turns in given.answers.values() for answer in turns)
    )


# --- reading and telling


def _keys(conversations: list[list[Said]]) -> list[str]:
    return list(dict.fromkeys(said.type for one in conversations for said in one))


def _pairs(entered: list[Entered]) -> list[tuple[float, str]]:
    return [(e.at_s, e.state) for e in entered]


def _warmed(states: list[_Timed]) -> list[_Timed]:
    """Without a first WARMING."""
    return states[1:] if states and states[0][1] == "WARMING" else states


def _lasting(outcomes: list[tuple[float, str]], until_s: float, between_s: float) -> list[tuple[float, str]]:
    """Outcomes that last long enough for a request to meet them for sure."""
    ends = [*(at_s for at_s, _ in outcomes), until_s][1:]
    lasting: list[tuple[float, str]] = []
    for (at_s, outcome), end_s in zip(outcomes, ends, strict=True):
        is_long = end_s - at_s > between_s + Tolerance().floor_s
        if is_long and at_s < until_s and (not lasting or lasting[-1][1] != outcome):
            lasting.append((at_s, outcome))
    # That nothing listens before the workers start is compared by when they do.
    return lasting[1:] if lasting and lasting[0][1] == "refused" and lasting[0][0] <= 0 else lasting
