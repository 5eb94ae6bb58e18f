import pytest

from simulator.engine.clock import MS
from simulator.report.histories import group_histories, read_histories


def history_of(recorded, *changes, restarts_ns=()):
    states = [(at_ms, machine, name, state) for at_ms, machine, name, state in changes]
    (history,) = read_histories(recorded([], states).states, "p0", restarts_ns)
    return [(at_ns // MS, present) for at_ns, present in history.steps]


def test_a_new_cluster_warms_and_then_serves(recorded):
    assert history_of(recorded, (10, "cluster", "c0", "warming"), (12, "cluster", "c0", "active")) == [
        (10, ("warming",)),
        (12, ("active",)),
    ]


def test_the_old_version_serves_while_the_new_one_warms(recorded):
    changes = [
        (0, "cluster", "c0", "active"),
        (10, "cluster", "c0", "warming"),
        (12, "cluster", "c0", "active"),
    ]
    assert history_of(recorded, *changes) == [
        (0, ("active",)),
        (10, ("active", "warming")),
        (12, ("active",)),
    ]


@pytest.mark.parametrize("order", [("active", "draining"), ("draining", "active")])
def test_a_replaced_listener_drains_beside_its_successor(recorded, order):
    changes = [
        (0, "listener", "l0", "active"),
        *((10, "listener", "l0", state) for state in order),
        (15, "listener", "l0", "removed"),
    ]
    assert history_of(recorded, *changes) == [
        (0, ("active",)),
        (10, ("draining", "active")),
        (15, ("active",)),
    ]


def test_a_removed_listener_drains_and_is_gone(recorded):
    changes = [
        (0, "listener", "l0", "active"),
        (10, "listener", "l0", "draining"),
        (15, "listener", "l0", "removed"),
    ]
    assert history_of(recorded, *changes) == [(0, ("active",)), (10, ("draining",)), (15, ())]


def test_a_warming_version_that_was_replaced_leaves_the_serving_one(recorded):
    changes = [(0, "cluster", "c0", "ACTIVE"), (5, "cluster", "c0", "WARMING"), (10, "cluster", "c0", "GONE")]
    assert history_of(recorded, *changes)[-1] == (10, ("active",))
    again = [*changes, (10, "cluster", "c0", "WARMING")]
    assert history_of(recorded, *again)[-1] == (5, ("active", "warming"))


def test_a_removed_cluster_is_gone_at_once(recorded):
    changes = [(0, "cluster", "c0", "ACTIVE"), (5, "cluster", "c0", "WARMING")]
    changes += [(10, "cluster", "c0", "GONE"), (10, "cluster", "c0", "GONE")]
    assert history_of(recorded, *changes)[-1] == (10, ())


def test_a_listener_is_pending_until_the_workers_start(recorded):
    changes = [(0, "listener", "l0", "ACTIVE_PENDING"), (9, "listener", "l0", "ACTIVE")]
    assert history_of(recorded, *changes) == [(0, ("pending",)), (9, ("active",))]


def test_two_replaced_listeners_drain_until_the_later_one_is_gone(recorded):
    changes = [(0, "listener", "l0", "ACTIVE")]
    for at in (10, 12):
        changes += [(at, "listener", "l0", "ACTIVE"), (at, "listener", "l0", "FILTER_CHAINS_DRAINING")]
    changes += [(15, "listener", "l0", "GONE"), (17, "listener", "l0", "GONE")]
    assert history_of(recorded, *changes) == [
        (0, ("active",)),
        (10, ("draining", "active")),
        (17, ("active",)),
    ]


def test_removal_ends_the_warming_successor_and_drains_the_serving_listener(recorded):
    changes = [(0, "listener", "l0", "ACTIVE"), (5, "listener", "l0", "WARMING")]
    changes += [
        (10, "listener", "l0", "GONE"),
        (10, "listener", "l0", "DRAINING"),
        (15, "listener", "l0", "GONE"),
    ]
    assert history_of(recorded, *changes)[2:] == [(10, ("draining",)), (15, ())]


def test_nothing_survives_the_end_of_its_process(recorded):
    changes = [(0, "cluster", "c0", "active"), (30, "cluster", "c0", "warming")]
    steps = history_of(recorded, *changes, restarts_ns=[20 * MS])
    assert steps == [(0, ("active",)), (20, ()), (30, ("warming",))]


def test_other_machines_and_other_proxies_are_left_out(recorded):
    result = recorded([], [(0, "subscription", "c0", "waiting"), (0, "cluster", "c0", "active")])
    assert len(read_histories(result.states, "p0")) == 1
    assert read_histories(result.states, "p1") == []


def test_longest_counts_unbroken_time_and_what_is_not_over(recorded):
    result = recorded(
        [], [(0, "cluster", "c0", "warming"), (3, "cluster", "c0", "active"), (9, "cluster", "c0", "warming")]
    )
    (history,) = read_histories(result.states, "p0")
    assert history.longest("warming", 10 * MS) == 3 * MS
    assert history.longest("warming", 20 * MS) == 11 * MS
    assert history.longest("draining", 20 * MS) == 0


def test_names_with_equal_histories_share_a_row_and_c10_comes_after_c2(recorded):
    states = [(0, "cluster", f"c{i}", "warming") for i in range(12)]
    states += [(5 if i == 3 else 2, "cluster", f"c{i}", "active") for i in range(12)]
    groups = group_histories(read_histories(recorded([], states).states, "p0"), rows_at_most=10)
    assert [group.label for group in groups] == ["c0 … c11 (11)", "c3"]


def test_too_many_different_histories_are_joined_by_their_sequence_of_states(recorded):
    states = [(0, "cluster", f"c{i}", "warming") for i in range(100)]
    states += [(1 + i, "cluster", f"c{i}", "active") for i in range(99)]
    groups = group_histories(read_histories(recorded([], states).states, "p0"), rows_at_most=10)
    assert [len(group.members) for group in groups] == [99, 1]


def test_shares_of_a_row_move_from_warming_to_active_and_add_up(recorded):
    states = [(0, "cluster", f"c{i}", "warming") for i in range(4)] + [
        (1 + i, "cluster", f"c{i}", "active") for i in range(4)
    ]
    (group,) = group_histories(read_histories(recorded([], states).states, "p0"), rows_at_most=1)
    shares = dict(group.shares())
    assert shares[0] == (0, 0, 0, 1)
    assert shares[2 * MS] == (0, 0.5, 0, 0.5)
    assert shares[4 * MS] == (0, 1, 0, 0)
    assert all(sum(each) == pytest.approx(1) for each in shares.values())
