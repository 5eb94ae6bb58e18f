"""Invariants: what the tables of every run obey, whatever the scenario.

Each checker reads one rule off a result and yields a sentence for each row that breaks it; a result that
comes out of this simulator breaks none, so a violation is a defect of the model (or of a table that somebody
changed). `violations` asks all of them::

    from simulator.experiment.checkers import unconverged, violations

    result = xs.run(scenario)
    assert not violations(result)
    assert not list(unconverged(result, settled_ns=30_000_000_000))

Tables that the scenario did not ask to keep (``recording``) have nothing to check. Convergence stands apart:
it holds only where nothing is broken at the end and enough time was left, which the tables do not say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from simulator.engine.clock import S, parse_duration
from simulator.recording.columns import DELIVERY_INSTANTS
from simulator.recording.instants import METRICS, STAGES
from simulator.results.result import Result
from simulator.scenario.sections.workload import ANY, TrafficEntry

__all__ = ["CHECKERS", "Checker", "unconverged", "violations"]

Checker = Callable[[Result], Iterator[str]]
"""Yields what breaks one rule."""

OUTCOMES: Final = ("active", "rejected", "superseded", "disconnected", "pending")
_CHAIN: Final = tuple(name for name in DELIVERY_INSTANTS if name != "t_acked_ns")
_PHASES: Final = (
    "t_started_ns",
    "t_bootstrapped_ns",
    "t_primary_initialized_ns",
    "t_rtds_initialized_ns",
    "t_cds_subscribed_ns",
    "t_cds_initialized_ns",
    "t_clusters_initialized_ns",
    "t_listeners_initialized_ns",
    "t_workers_started_ns",
    "t_ready_ns",
)
"""Phases of a start in the order in which Envoy passes them; being connected is no phase."""

_ROUND: Final = ("t_first_event_ns", "t_started_ns", "t_context_ready_ns", "t_last_sent_ns")
_PROXY_PUSH: Final = ("t_start_ns", "t_enqueued_ns", "t_dequeued_ns", "t_sent_ns")
_ROUNDING: Final = 1e-9
"""Relative error that sums of floats may have."""

_UNREACHED: Final = -1
_LATEST: Final = 2**62


def violations(result: Result) -> list[str]:
    """What breaks an invariant in this result, as sentences; empty for a sound one."""
    return [f"{name}: {found}" for name, check in CHECKERS.items() for found in check(result)]


def unconverged(result: Result, settled_ns: int = 0) -> Iterator[str]:
    """Changes that happened at least `settled_ns` before the end and still wait for their outcome at a proxy.

    Where nothing is broken at the end (no partition, no stopped reader, an istiod in service) and
    `settled_ns` is more than the strategy needs, there are none: each proxy came to have the change, or
    refused it, or is gone.
    """
    end_ns = _duration_ns(result) - settled_ns
    rows = result.deliveries
    for row in rows[(rows.outcome == "pending") & (rows.t_changed_ns <= end_ns)].itertuples(index=False):
        yield f"change {row.change_id} ({_kind_of(result, row.change_id)}) is still pending at {row.proxy_id}"


# --- changes and their deliveries


def one_outcome_each(result: Result) -> Iterator[str]:
    """Conservation: each change has exactly one row and one outcome for each proxy that it concerns."""
    if "deliveries" not in result.manifest["tables"]:
        return
    changes, rows = result.changes, result.deliveries
    counts = dict(rows.change_id.value_counts())
    for change, concerned in zip(changes.change_id, changes.proxies_concerned, strict=True):
        if counts.pop(change, 0) != concerned:
            yield f"change {change} concerns {concerned} proxies, but not as many have a row"
    for change in counts:
        yield f"there is no change {change}"
    for row in rows[rows.duplicated(["change_id", "proxy_id"])].itertuples(index=False):
        yield f"change {row.change_id} has two rows for {row.proxy_id}"
    for row in rows[~rows.outcome.isin(OUTCOMES)].itertuples(index=False):
        yield f"change {row.change_id} ends as {row.outcome!r} at {row.proxy_id}"


def outcomes_agree_with_instants(result: Result) -> Iterator[str]:
    """What is active or superseded has its instant; what is rejected was received; nothing else is active."""
    rows = result.deliveries
    took_effect = rows.outcome.isin(["active", "superseded"])
    for row in rows[took_effect != rows.t_active_ns.notna()].itertuples(index=False):
        yield f"change {row.change_id} is {row.outcome} at {row.proxy_id}, active at {row.t_active_ns}"
    refused = rows.outcome == "rejected"
    for row in rows[refused & rows.t_received_ns.isna()].itertuples(index=False):
        yield f"change {row.change_id} is rejected at {row.proxy_id}, which never received it"


def instants_never_decrease(result: Result) -> Iterator[str]:
    """Instants of a row are in order, and none is reached before the one before it: deliveries, starts, push
    rounds, pushes to proxies. An acknowledgement is not before its message."""
    named: tuple[tuple[Any, Sequence[str], Sequence[str]], ...] = (
        (result.deliveries, _CHAIN, ("change_id", "proxy_id")),
        (
            result.deliveries.dropna(subset=["t_acked_ns"]),
            ("t_sent_ns", "t_acked_ns"),
            ("change_id", "proxy_id"),
        ),
        (result.startups, _PHASES, ("proxy_id", "epoch")),
        (result.pushes, _ROUND, ("push_id",)),
        (result.proxy_pushes, _PROXY_PUSH, ("push_id", "proxy_id")),
    )
    for rows, chain, label in named:
        instants = [_instants(rows, name) for name in chain]
        for (earlier, before), (later, after) in pairwise(zip(chain, instants, strict=True)):
            broken = (after != _UNREACHED) & ((before == _UNREACHED) | (after < before))
            for place in np.flatnonzero(broken):
                who = " ".join(f"{key} {rows[key].iloc[place]}" for key in label)
                yield f"{who}: {later} {after[place]} after {earlier} {before[place]}"


def stages_sum_to_the_delay(result: Result) -> Iterator[str]:
    """The stages of a delivery sum to its `active_delay`, to the nanosecond."""
    rows = result.deliveries[result.deliveries.t_active_ns.notna()]
    total = np.zeros(len(rows), np.int64)
    for stage in STAGES:
        metric = METRICS[stage]
        assert metric.later is not None
        assert metric.earlier is not None
        total += _instants(rows, metric.later) - _instants(rows, metric.earlier)
    delay = _instants(rows, "t_active_ns") - _instants(rows, "t_changed_ns")
    for place in np.flatnonzero(total != delay):
        row = rows.iloc[place]
        yield f"change {row.change_id} at {row.proxy_id}: {total[place]} ns in stages, {delay[place]} in all"


def nothing_is_overwritten_by_what_is_older(result: Result) -> Iterator[str]:
    """At one proxy the changes of one object take effect in the order in which they happened; where one is
    superseded, a newer one had been applied by then."""
    changes = result.changes[["change_id", "kind", "name"]]
    rows = result.deliveries.merge(changes, on="change_id").sort_values(["change_id"], kind="stable")
    rows = rows[rows.duplicated(["proxy_id", "kind", "name"], keep=False)]
    for (proxy, kind, name), group in rows.groupby(["proxy_id", "kind", "name"], sort=True):
        ids, active = group.change_id.to_numpy(), _instants(group, "t_active_ns")
        applied = _instants(group, "t_applied_ns")
        outcomes = group.outcome.tolist()
        newest = -1
        for place, outcome in enumerate(outcomes):
            at = active[place]
            if at == _UNREACHED:
                continue
            if newest >= 0 and at < active[newest]:
                yield f"{kind} {name} at {proxy}: change {ids[place]} is active before {ids[newest]}"
            newest = place
            newer = applied[place + 1 :]
            if outcome == "superseded" and not np.any((newer != _UNREACHED) & (newer <= at)):
                yield f"{kind} {name} at {proxy}: change {ids[place]} is superseded by nothing"


def deliveries_agree_with_their_push(result: Result) -> Iterator[str]:
    """What a push carried was debounced when the round began, enqueued when its PushContext was there, and
    came from its replica."""
    rows = result.deliveries[result.deliveries.carried_by == "push"].dropna(subset=["push_id"])
    if rows.empty or result.pushes.empty:
        return
    rounds = result.pushes.set_index("push_id")
    own = rounds.loc[rows.push_id.astype("int64")]
    pairs = (
        ("t_debounced_ns", "t_started_ns"),
        ("t_enqueued_ns", "t_context_ready_ns"),
        ("replica", "replica"),
    )
    for column, of_round in pairs:
        for place in np.flatnonzero(_instants(rows, column) != _instants(own, of_round)):
            row = rows.iloc[place]
            yield f"change {row.change_id} at {row.proxy_id}: {column} differs from push {row.push_id}"


def only_what_was_had_is_lost(result: Result) -> Iterator[str]:
    """A regression is of a change that the proxy had applied."""
    rows = result.regressions.merge(
        result.deliveries[["change_id", "proxy_id", "t_applied_ns"]], on=["change_id", "proxy_id"], how="left"
    )
    if "deliveries" not in result.manifest["tables"]:
        return
    for row in rows[~(rows.t_applied_ns <= rows.t_ns).fillna(False).astype(bool)].itertuples(index=False):
        yield f"{row.proxy_id} lost change {row.change_id} at {row.t_ns} ns without having had it"


# --- queues and messages


def queues_are_never_negative(result: Result) -> Iterator[str]:
    """No queue holds less than nothing."""
    rows = result.queues
    for row in rows[rows.depth < 0].itertuples(index=False):
        yield f"{row.depth} wait in queue {row.queue} of replica {row.replica} at {row.t_ns} ns"


def streams_never_go_backwards(result: Result) -> Iterator[str]:
    """Within one stream, which is one to one replica, what is sent of a type is never older than before."""
    rows = result.messages
    rows = rows[
        (rows.direction == "response") & rows.version_info.str.match(r"istiod-\d+/\d+$").fillna(False)
    ]
    if rows.empty:
        return
    order = rows.version_info.str.rpartition("/")[2].astype("int64")
    previous = order.groupby([rows.proxy_id, rows.stream, rows.type]).shift(1)
    for row in rows[(order < previous).to_numpy()].itertuples(index=False):
        yield f"{row.type} goes back to {row.version_info} on stream {row.stream} of {row.proxy_id}"


# --- requests


def requests_are_conserved(result: Result) -> Iterator[str]:
    """Of each sender and destination, at each instant, the outcomes sum to the rate that was asked for; so do
    those of first attempts. When a sender begins and ends the tables do not say: it does so once."""
    rows = result.traffic
    if rows.empty:
        return
    for row in rows[(rows.requests < 0) | (rows.attempts < 0)].itertuples(index=False):
        yield f"{row.requests} requests, {row.attempts} attempts from {row.proxy_id} at {row.t_start_ns} ns"
    entries = _traffic_entries(result)
    for (proxy, service), group in rows.groupby(["proxy_id", "service"], sort=True):
        cuts, rates = _rates(group)
        asked = list(_asked(entries, str(service), cuts))
        for column, found in rates.items():
            if not any(np.allclose(found, rate, rtol=_ROUNDING, atol=_ROUNDING) for rate in asked):
                yield f"{column} from {proxy} to {service}: {found} a second between {cuts} ns"


def _rates(group: Any) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
    """Instants between which the rates of a sender are constant, and the rates."""
    starts, ends = group.t_start_ns.to_numpy(), group.t_end_ns.to_numpy()
    cuts = np.unique(np.concatenate([starts, ends]))
    rates = {}
    for column in ("requests", "attempts"):
        density = group[column].to_numpy() / (ends - starts) * S
        steps = np.zeros(len(cuts))
        np.add.at(steps, np.searchsorted(cuts, starts), density)
        np.add.at(steps, np.searchsorted(cuts, ends), -density)
        rates[column] = np.cumsum(steps)[:-1]
    return cuts, rates


def _asked(
    entries: Sequence[TrafficEntry], service: str, cuts: NDArray[np.int64]
) -> Iterator[NDArray[np.float64]]:
    """The rates that a sender to the service may have: besides what all send, that of one service's pods."""
    own = [e for e in entries if service == e.traffic.to or service.endswith(f"/{e.traffic.to}")]
    for source in dict.fromkeys([ANY, *(e.traffic.source for e in own)]):
        rate = np.zeros(len(cuts) - 1)
        for entry in own:
            if entry.traffic.source in (ANY, source):
                until_ns = _LATEST if entry.until is None else entry.until
                within = (cuts[:-1] >= entry.begin) & (cuts[1:] <= until_ns)
                rate += np.where(within, entry.traffic.rate.per_second, 0.0)
        yield rate


def _traffic_entries(result: Result) -> list[TrafficEntry]:
    """The entries of traffic of the scenario that the manifest holds."""
    written = result.manifest["scenario"]["workload"]
    return [TrafficEntry.model_validate(entry) for entry in written if "traffic" in entry]


CHECKERS: Final[Mapping[str, Checker]] = MappingProxyType(
    {
        check.__name__: check
        for check in (
            one_outcome_each,
            outcomes_agree_with_instants,
            instants_never_decrease,
            stages_sum_to_the_delay,
            nothing_is_overwritten_by_what_is_older,
            deliveries_agree_with_their_push,
            only_what_was_had_is_lost,
            queues_are_never_negative,
            streams_never_go_backwards,
            requests_are_conserved,
        )
    }
)
"""The invariants by name, in the order in which they are asked."""


def _instants(rows: Any, column: str) -> NDArray[np.int64]:
    """A column of instants as integers; -1 where it was not reached."""
    values: NDArray[np.int64] = rows[column].fillna(_UNREACHED).to_numpy(dtype=np.int64)
    return values


def _duration_ns(result: Result) -> int:
    return parse_duration(result.manifest["scenario"]["duration"])


def _kind_of(result: Result, change: Any) -> str:
    rows = result.changes
    return " ".join(rows[rows.change_id == change][["kind", "name"]].iloc[0])
