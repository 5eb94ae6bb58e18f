"""Figures of a mesh say in their titles what they show, and draw what never happened as never happening."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.engine.clock import MS, S
from simulator.report import look, plots
from simulator.report.figures import write_figures

DEBOUNCED = [(2, 100, 10, wait, 5, 1, 2, 0) for wait in (0, 10, 20, 30)]
STUCK = [*DEBOUNCED[:3], (2, 100, 10, 0, 5, 1, 2)]
SLOW = [(2, 100, 10, 0, 5, 1, 2, 880)] * 4


def drawn(plot, result, **more):
    return plot(result, ax=look.figure(5), **more)


def title(ax):
    return ax.get_title("left").replace("\n", " ")


def words(ax):
    return [text.get_text() for text in ax.texts]


def curve(ax, colour):
    (line,) = [line for line in ax.lines if line.get_color() == colour and line.get_marker() == "None"]
    return [list(axis) for axis in line.get_data()]


def test_convergence_is_titled_by_the_half_the_99th_percent_and_the_last(mesh):
    mesh.change("VirtualService", DEBOUNCED)
    ax = drawn(plots.convergence, mesh.result())
    assert (
        title(ax) == "Half of the proxies use a change after 130 ms, 99 % after 150 ms, the last after 150 ms"
    )
    assert {"50 %: 130 ms", "90 %: 150 ms", "99 %: 150 ms"} <= set(words(ax))
    at, share = curve(ax, look.JOURNEY_COLOURS["active"])
    assert list(zip(at[:4], share[:4], strict=True)) == [(120, 0.25), (130, 0.5), (140, 0.75), (150, 1.0)]


def test_what_never_arrives_keeps_the_curve_below_one_and_is_the_finding(mesh):
    mesh.change("VirtualService", STUCK)
    ax = drawn(plots.convergence, mesh.result())
    assert (
        title(ax)
        == "25 % of the deliveries never became active; half of the proxies use a change after 130 ms"
    )
    assert max(curve(ax, look.JOURNEY_COLOURS["active"])[1]) == 0.75
    assert not any(word.startswith("90 %") for word in words(ax))


def test_convergence_of_one_kind_leaves_the_others_out(mesh):
    mesh.change("VirtualService", DEBOUNCED)
    mesh.change("DestinationRule", SLOW)
    ax = drawn(plots.convergence, mesh.result(), kind="DestinationRule")
    assert title(ax) == "All concerned proxies use a change 1.00 s after it happened"
    assert any("4 pairs" in word and "of kind DestinationRule" in word for word in words(ax))


def test_changes_before_the_warm_up_are_not_drawn(mesh):
    mesh.change("VirtualService", SLOW)
    mesh.change("VirtualService", DEBOUNCED)
    ax = drawn(plots.convergence, mesh.result(warm_up="1500ms"))
    assert "the last after 150 ms" in title(ax)
    assert any("from 1 change;" in word for word in words(ax))


def test_delays_of_very_different_size_get_a_logarithmic_axis(mesh):
    mesh.change("VirtualService", DEBOUNCED)
    assert drawn(plots.convergence, mesh.result()).get_xscale() == "linear"
    mesh.change("VirtualService", [*DEBOUNCED[:3], (2, 100, 10, 0, 5, 1, 2, 60_000)])
    assert drawn(plots.convergence, mesh.result()).get_xscale() == "log"


def test_the_waterfall_names_the_stage_that_takes_most_of_the_time(mesh):
    mesh.change("VirtualService", DEBOUNCED)
    ax = drawn(plots.waterfall, mesh.result())
    assert title(ax) == "74 % of the time until active goes into one stage: debounce"
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[1:4] == ["debounce", "PushContext", "push queue"]
    assert labels[-1] == "changed to active"
    assert words(ax).count("no time") == 1
    lefts = [bar.get_x() for bar in ax.patches]
    widths = [bar.get_width() for bar in ax.patches]
    assert lefts[:3] == [0, 2, 102]
    assert (lefts[-1], widths[-1]) == (0, 135)


def test_a_stage_begins_where_the_median_of_the_one_before_ends(mesh):
    mesh.change("VirtualService", [(2, 100, 10, wait, 5, 1, 2, 0) for wait in (10, 10, 10, 510)])
    ax = drawn(plots.waterfall, mesh.result())
    assert [bar.get_x() for bar in ax.patches][:5] == [0, 2, 102, 112, 122]
    assert title(ax).endswith("push queue")


def test_the_waterfall_of_polls_speaks_of_polls(mesh):
    mesh.change("VirtualService", DEBOUNCED, carried_by="poll")
    labels = [label.get_text() for label in drawn(plots.waterfall, mesh.result()).get_yticklabels()]
    assert "until the next poll" in labels
    assert "PushContext" not in labels


def test_delays_by_kind_name_the_slowest_and_the_fastest(mesh):
    mesh.change("Endpoints", DEBOUNCED)
    mesh.change("DestinationRule", SLOW)
    ax = drawn(plots.delay_cdf, mesh.result())
    assert title(ax) == "Slowest is DestinationRule: 99 % active within 1.00 s; fastest Endpoints: 150 ms"
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {
        "Endpoints (4)",
        "DestinationRule (4)",
    }


def test_a_kind_that_does_not_arrive_is_the_finding(mesh):
    mesh.change("Endpoints", DEBOUNCED)
    mesh.change("EnvoyFilter", STUCK)
    assert title(drawn(plots.delay_cdf, mesh.result())) == (
        "More than 1 % of the deliveries of EnvoyFilter never become active"
    )


def test_more_kinds_than_colours_are_drawn_with_the_rarest_as_one(mesh):
    for index in range(12):
        mesh.change(f"Kind{index}", DEBOUNCED[: 4 if index < 7 else 1])
    ax = drawn(plots.delay_cdf, mesh.result())
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(labels) == len(look.SERIES_COLOURS)
    assert labels[-1] == "others (5)"


def fill_push_queue(mesh, replicas=1):
    for replica in range(replicas):
        for at_s, depth in ((10, 1000), (16, 0), (30, 500), (36, 0)):
            mesh.recorder.depth(at_s * S, replica, "push", depth)


def test_the_queue_in_use_longest_is_the_finding(mesh):
    fill_push_queue(mesh)
    mesh.recorder.depth(5 * S, 0, "registry", 3)
    mesh.recorder.depth(6 * S, 0, "registry", 0)
    ax = drawn(plots.queue_depths, mesh.result())
    assert title(ax) == "The queue that is longest in use is push queue: 20 % of the time, at most 1,000 wait"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["registry", "push queue"]
    assert "peak 1,000 at 10.0 s" in words(ax)


def test_a_queue_that_does_not_drain_is_the_finding(mesh):
    fill_push_queue(mesh, replicas=2)
    mesh.recorder.depth(5 * S, 1, "registry", 3)
    mesh.recorder.depth(40 * S, 1, "registry", 5)
    ax = drawn(plots.queue_depths, mesh.result())
    assert title(ax) == "5 still wait when the run ends (registry, istiod-1); the peak is 5"


def test_queues_of_many_replicas_are_added_up(mesh):
    fill_push_queue(mesh, replicas=20)
    ax = drawn(plots.queue_depths, mesh.result())
    assert [label.get_text() for label in ax.get_yticklabels()] == ["push queue, all replicas"]
    assert "peak 20,000 at 10.0 s" in words(ax)


def test_a_queue_of_many_changes_keeps_its_peak_in_few_points(mesh):
    for index in range(30_000):
        mesh.recorder.depth(index * 2 * MS, 0, "push", 7 if index == 12_345 else index % 2)
    ax = drawn(plots.queue_depths, mesh.result())
    (area,) = ax.collections
    path = area.get_paths()[0].vertices
    assert len(path) < 20_000
    assert np.ptp(path[:, 1]) == pytest.approx(0.84)
    assert "peak 7 at 24.7 s" in words(ax)


def send(mesh, *rows):
    for begin_s, end_s, outcome, stale, attempts, requests in rows:
        mesh.recorder.traffic(begin_s * S, end_s * S, 0, "s0", outcome, stale, attempts, requests)


def test_failed_requests_are_the_finding_and_stale_ones_are_told_apart(mesh):
    send(
        mesh,
        (0, 60, "200", False, 970.0, 970.0),
        (20, 30, "200", True, 20.0, 25.0),
        (20, 25, "UF", True, 10.0, 5.0),
    )
    ax = drawn(plots.stale_windows, mesh.result())
    assert title(ax) == "5 of 1,000 requests failed (0.50 %: 5 UF); 25 more were served stale"
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["UF", "200, stale", "attempts that fail, before retries"]
    failing, _, attempts = ax.patches
    assert failing.get_data().values.max() == pytest.approx(1.0)
    assert attempts.get_data().values.max() == pytest.approx(2.0)


def test_without_failures_the_title_says_none(mesh):
    send(mesh, (0, 60, "200", False, 600.0, 600.0))
    assert title(drawn(plots.stale_windows, mesh.result())) == "None of 600 requests failed"


@pytest.mark.parametrize(
    ("plot", "said"),
    [
        (plots.convergence, "No change concerned any proxy"),
        (plots.waterfall, "No change came to decide traffic"),
        (plots.delay_cdf, "No change concerned any proxy"),
        (plots.queue_depths, "No queue to show"),
        (plots.stale_windows, "No request was sent"),
    ],
)
def test_a_figure_without_data_says_so(mesh, plot, said):
    ax = look.figure(4)
    assert plot(mesh.result(), ax=ax) is ax
    assert title(ax) == said


@pytest.mark.parametrize("never", [STUCK[3:], [()]])
def test_a_change_that_reaches_nobody_is_drawn(mesh, never):
    mesh.change("VirtualService", never)
    assert title(drawn(plots.convergence, mesh.result())) == "No proxy ever used a change that concerned it"
    assert title(drawn(plots.waterfall, mesh.result())) == "No change came to decide traffic"
    assert "never become active" in title(drawn(plots.delay_cdf, mesh.result()))


@pytest.mark.slow
def test_a_run_of_a_mesh_writes_the_figures_that_apply_and_removes_the_others(mesh, tmp_path):
    (tmp_path / "startup.png").write_bytes(b"of an earlier run")
    (tmp_path / "notes.png").write_bytes(b"mine")
    mesh.change("VirtualService", DEBOUNCED)
    fill_push_queue(mesh)
    send(mesh, (0, 60, "200", False, 600.0, 600.0))
    stems = {path.stem for path in write_figures(mesh.result(), tmp_path)}
    assert stems == {"convergence", "waterfall", "queue_depths", "stale_windows"}
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{stem}.{end}" for stem in stems for end in ("png", "svg")
    } | {"notes.png"}
