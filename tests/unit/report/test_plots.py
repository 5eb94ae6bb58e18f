import matplotlib
import pytest

from simulator.report import look, plots
from simulator.report.figures import write_figures

LATE = (47, 47, 47, 52, 1054, 3054, 4060, 4061, 4062)
QUICK = (47, 47, 47, 52, 54, 56, 60, 61, 62)
WARMING = [
    (52, "cluster", "c0", "warming"),
    (54, "cluster", "c1", "warming"),
    (2054, "cluster", "c1", "active"),
]


def startup(result):
    return plots.startup(result, ax=look.figure(4))


def words(ax):
    return [text.get_text() for text in ax.texts]


def hatched(ax):
    return sum(bool(patch.get_hatch()) for patch in (*ax.patches, *ax.collections))


def test_one_start_is_titled_by_its_time_to_workers_and_what_timed_out(recorded, begin):
    ax = startup(recorded([begin(*LATE, timed_out={"eds": 1, "rds": 1})]))
    assert ax.get_title("left") == "Workers start 4.06 s after process start: EDS timed out, RDS timed out"
    assert hatched(ax) == 2
    assert "2.00 s   EDS timed out" in words(ax)
    assert ax.get_xlabel() == "time since process start (s)"


def test_one_quick_start_names_its_longest_phase_and_marks_no_time_out(recorded, begin):
    ax = startup(recorded([begin(*QUICK)]))
    assert (
        ax.get_title("left")
        == "Workers start 61.0 ms after process start, 47.0 ms of it in bootstrap; nothing timed out"
    )
    assert hatched(ax) == 0
    assert ax.get_xlabel() == "time since process start (ms)"


def test_an_instant_phase_is_told_apart_from_one_without_content(recorded, begin):
    ax = startup(recorded([begin(47, 47, 47, 52, 54, 56, 60, 60, 60)]))
    assert words(ax).count("at once") == 2
    assert words(ax).count("nothing to wait for") == 2


def test_types_that_timed_out_are_told_in_the_order_of_start_up(recorded, begin):
    ax = startup(recorded([begin(*LATE, timed_out={"rds": 1}), begin(*LATE, timed_out={"rds": 1, "cds": 1})]))
    assert ax.get_title("left").replace("\n", " ").endswith("CDS timed out in 1, RDS timed out in 2")


def test_a_start_that_never_ends_is_drawn_to_the_end_of_the_run(recorded, begin):
    ax = startup(recorded([begin(47, 47, 47, 52, connected_ms=None, outcome="initializing")], duration="30s"))
    assert (
        ax.get_title("left") == "Workers have not started after 30.0 s: waiting for the first answer to CDS"
    )
    assert "still waiting" in words(ax)
    assert ax.patches[-1].get_x() + ax.patches[-1].get_width() == pytest.approx(30)


def test_a_start_that_exited_says_so(recorded, begin):
    ax = startup(recorded([begin(47, outcome="exited")]))
    assert ax.get_title("left") == "p0 exited before its workers started"


def test_a_few_starts_are_a_row_each(recorded, begin):
    starts = [begin(*QUICK), begin(*LATE, timed_out={"eds": 5}), begin(*QUICK, epoch=1, begins_ms=9000)]
    ax = startup(recorded(starts))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["p0", "p1", "p1 (start 2)"]
    assert ax.get_title("left").replace("\n", " ") == (
        "All 3 Envoys start their workers within 4.06 s (median 61.0 ms); EDS timed out in 1"
    )
    assert hatched(ax) == 1


@pytest.mark.parametrize("count", [31, 500])
def test_many_starts_are_bands_with_their_median_and_p99(recorded, begin, count):
    starts = [begin(*(instant + i for instant in QUICK)) for i in range(count - 1)]
    ax = startup(recorded([*starts, begin(47, 47, 47, 52, outcome="initializing", timed_out={"cds": 1})]))
    assert ax.get_title("left").startswith(
        f"{count - 1} of {count} Envoys start their workers, the last after"
    )
    assert "CDS timed out in 1" in ax.get_title("left").replace("\n", " ")
    assert [text.split(":")[0] for text in words(ax) if text.startswith(("median", "p99"))] == [
        "median",
        "p99",
    ]
    assert hatched(ax) == 1
    assert len(ax.collections) < 4 * len(look.PHASE_COLOURS)


@pytest.mark.slow
def test_ten_thousand_starts_are_drawn_by_an_even_choice_and_told_in_full(recorded, begin):
    starts = [begin(*QUICK, timed_out={"eds": 1} if i % 2 else None) for i in range(10_000)]
    ax = startup(recorded(starts))
    assert "EDS timed out in 5,000" in ax.get_title("left").replace("\n", " ")
    assert "600 of them drawn, evenly chosen" in " ".join(words(ax))
    assert ax.get_ylim() == (10_000, 0)
    assert len(ax.collections) < 1000


@pytest.mark.parametrize("draw", [plots.startup, plots.states])
def test_an_empty_result_gives_a_figure_that_says_so(recorded, draw):
    ax = draw(recorded(), ax=look.figure(3))
    assert "empty" in " ".join(words(ax))


def test_states_are_titled_by_the_longest_warming(recorded, begin):
    states = [*WARMING, (5000, "cluster", "c0", "active")]
    ax = plots.states(recorded([begin(*QUICK)], states), "p0", ax=look.figure(3))
    assert ax.get_title("left") == "The longest warming took 4.95 s: cluster c0"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["c0", "c1"]
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["warming", "active", look.WORKERS]


def test_an_assignment_that_did_not_come_is_marked_on_its_cluster(recorded):
    late = [(2052, "subscription", name, "SETTLED", "eds timed out") for name in ("c0", "not-a-cluster")]
    quiet = plots.states(recorded([], WARMING), "p0", ax=look.figure(3))
    ax = plots.states(recorded([], [*WARMING, *late]), "p0", ax=look.figure(3))
    (marks,) = [line for line in ax.lines if line not in quiet.lines and line.get_marker() == "X"]
    assert list(zip(*marks.get_data(), strict=True)) == [(2.052, 0)]
    assert "EDS timed out" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_a_cluster_that_never_warms_is_the_finding(recorded, begin):
    ax = plots.states(recorded([begin(*QUICK)], WARMING, duration="30s"), "p0", ax=look.figure(3))
    assert ax.get_title("left") == "c0 is still warming at the end of the run, after 29.9 s"


def test_a_thousand_clusters_of_different_times_fit_into_few_rows(recorded):
    states = [(50, "cluster", f"c{i}", "warming") for i in range(1000)]
    states += [(51 + i / 2, "cluster", f"c{i}", "active") for i in range(1000)]
    ax = plots.states(recorded([], states), "p0", ax=look.figure(3))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["c0 … c999 (1,000)"]


def test_a_proxy_without_states_is_told_apart_from_an_empty_table(recorded):
    ax = plots.states(recorded([], WARMING), "p7", ax=look.figure(3))
    assert "no row of a cluster or listener of p7" in " ".join(" ".join(words(ax)).split())


def test_a_plot_draws_into_the_axes_it_is_given(recorded, begin):
    ax = look.figure(3)
    assert plots.startup(recorded([begin(*QUICK)]), ax=ax) is ax


def test_without_axes_a_plot_makes_a_figure_of_its_own(recorded, begin):
    with matplotlib.rc_context({"backend": "agg"}):
        from matplotlib import pyplot

        ax = plots.startup(recorded([begin(*QUICK)]))
        assert pyplot.fignum_exists(ax.get_figure().number)
        pyplot.close(ax.get_figure())


@pytest.mark.slow
def test_figures_of_equal_results_are_equal_files_whatever_the_users_style(recorded, begin, tmp_path):
    result = recorded([begin(*LATE, timed_out={"eds": 1})], WARMING)
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    names = [path.name for path in write_figures(result, first)]
    with matplotlib.rc_context({"font.size": 30, "svg.hashsalt": "another", "axes.facecolor": "red"}):
        write_figures(result, second)
    assert names == ["startup.png", "startup.svg", "states.png", "states.svg"]
    assert sorted(path.name for path in first.iterdir()) == sorted(names)
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    assert b"<dc:date>" not in (first / "startup.svg").read_bytes()


@pytest.mark.slow
def test_odd_names_are_drawn_as_they_are_written(recorded, tmp_path):
    states = [(0, "cluster", name, "active") for name in ("a$b$", r"back\slash_^", "日本語", "c" * 200)]
    write_figures(recorded([], states), tmp_path)
    assert (tmp_path / "states.png").stat().st_size > 0
