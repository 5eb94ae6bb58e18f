import math

import pytest

from simulator.report.phases import PHASES, durations, late_types, read_starts

QUICK = (47, 47, 47, 52, 54, 56, 60, 61, 62)


def test_phases_add_up_to_the_time_until_ready(recorded, begin):
    (start,) = read_starts(recorded([begin(*QUICK)]))
    assert [span.phase for span in start.spans] == list(PHASES)
    assert sum(span.ends_ns - span.begins_ns for span in start.spans) == start.ready_ns == 62_000_000


def test_a_phase_without_content_takes_no_time_though_its_instant_is_missing(recorded, begin):
    (start,) = read_starts(recorded([begin(47, None, None, 52, 54, 56, 60, 61, 62)]))
    primary = start.spans[1]
    assert (primary.begins_ns, primary.ends_ns) == (47_000_000, 47_000_000)
    assert start.waiting_in is None


def test_a_start_that_waits_ends_with_the_phase_it_waits_in(recorded, begin):
    (start,) = read_starts(recorded([begin(47, 47, 47, 52, outcome="initializing")]))
    assert start.waiting_in is not None
    assert start.waiting_in.key == "cds"
    assert start.spans[-1].ends_ns is None
    assert start.workers_ns is None


def test_time_counts_from_the_process_start_not_from_the_run(recorded, begin):
    (start,) = read_starts(recorded([begin(*QUICK, begins_ms=5000)]))
    assert start.workers_ns == 61_000_000
    assert start.spans[0].begins_ns == 0


def test_a_time_out_belongs_to_the_phase_that_waits_for_its_type(recorded, begin):
    (start,) = read_starts(recorded([begin(*QUICK, timed_out={"rds": 2, "eds": 5, "cds": 0})]))
    assert {span.phase.key: dict(span.timed_out) for span in start.spans if span.timed_out} == {
        "clusters": {"eds": 5},
        "listeners": {"rds": 2},
    }
    assert list(start.timed_out) == ["eds", "rds"]  # in the order of start-up


@pytest.mark.parametrize(("at_ms", "phase"), [(1000, "clusters"), (2500, "listeners")])
def test_a_secret_timed_out_in_the_phase_of_its_instant(recorded, begin, at_ms, phase):
    start_row = begin(47, 47, 47, 52, 54, 2054, 3000, 3001, 3002, timed_out={"sds": 1})
    (start,) = read_starts(
        recorded([start_row], [(at_ms, "subscription", "sds0", "SETTLED", "sds timed out")])
    )
    assert [span.phase.key for span in start.spans if "sds" in span.timed_out] == [phase]


def test_time_outs_after_the_workers_started_are_not_of_the_start(recorded, begin):
    states = [
        (20, "subscription", "cds", "SETTLED", "cds answered"),
        (900, "subscription", "c0", "SETTLED", "eds timed out"),
    ]
    (start,) = read_starts(recorded([begin(*QUICK, timed_out={"eds": 1})], states))
    assert start.timed_out == {}


def test_time_outs_belong_to_the_start_in_which_they_happened(recorded, begin):
    starts = [
        begin(*QUICK, timed_out={"eds": 1}),
        begin(*QUICK, timed_out={"lds": 2}, epoch=1, begins_ms=5000),
    ]
    states = [(55, "subscription", "c0", "SETTLED", "eds timed out")]
    states += [(5059, "subscription", name, "SETTLED", "lds timed out") for name in ("a", "b")]
    result = recorded(starts, states)
    assert (
        [start.timed_out for start in read_starts(result)] == late_types(result) == [{"eds": 1}, {"lds": 2}]
    )


def test_durations_are_those_of_the_spans_and_missing_from_the_unfinished_phase_on(recorded, begin):
    starts = [begin(*QUICK), begin(47, None, None, 52), begin(50, 50, 50, 52, 54, 60, 60, 61, 62)]
    result = recorded(starts)
    spent = durations(result.startups)
    for row, start in enumerate(read_starts(result)):
        for index, phase in enumerate(PHASES):
            ended = index < len(start.spans) and start.spans[index].ends_ns is not None
            if ended:
                span = start.spans[index]
                assert spent[phase.key].iloc[row] == pytest.approx((span.ends_ns - span.begins_ns) / 1e9)
            else:
                assert math.isnan(spent[phase.key].iloc[row])


def test_an_empty_table_has_no_starts_and_no_durations(recorded):
    result = recorded()
    assert read_starts(result) == []
    assert durations(result.startups).shape == (0, len(PHASES))
