"""Where the time goes between a change and the traffic that it decides: one bar a stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from simulator.report import look
from simulator.report.stages import StageTimes, arrived, stage_times
from simulator.report.wording import seconds_text, share_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from simulator.results.result import Result

__all__ = ["HEIGHT", "waterfall"]

HEIGHT: Final = 5.4
THICK: Final = 0.62
STAGE_COLOUR: Final = "#0072B2"
TAIL_COLOUR: Final = "#56B4E9"


def waterfall(result: Result, ax: Axes | None = None) -> Axes:
    """Draw the median and the 99th percentile of every stage of the deliveries that became active.

    The bar of a stage is its median and begins where the median of the stage before it ends; the line behind
    it reaches to its 99th percentile. Returns the axes, those given or those of a new figure.
    """
    ax = look.own_axes(ax, HEIGHT)
    stages, whole = stage_times(result)
    if whole is None:
        return look.blank(ax, "No change came to decide traffic", "No delivery became active.")
    begins = _begins(stages)
    end = max(begin + stage.p99_ns for begin, stage in zip([*begins, 0.0], [*stages, whole], strict=True))
    size = look.time_axis(ax, max(end, 1000), "the change")
    for row, (begin, stage) in enumerate(zip([*begins, 0.0], [*stages, whole], strict=True)):
        _bar(ax, row, begin / size, stage, size, is_whole=stage is whole)
    labels = [stage.label for stage in (*stages, whole)]
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    look.frame(ax)
    look.end_axis_at(ax, max(end, 1000) / size, room=0.3)
    ax.axhline(len(stages) - 0.5, color=look.GRID, linewidth=1.2)
    look.legend(
        ax,
        [
            Patch(color=STAGE_COLOUR, label="median"),
            Line2D([], [], color=TAIL_COLOUR, linewidth=3, label="to p99"),
        ],
    )
    look.headline(ax, _finding(stages, whole), _subject(_count(result), whole))
    return ax


def _begins(stages: Sequence[StageTimes]) -> list[float]:
    """Where each stage begins: after the medians of those before it."""
    begins, so_far = [], 0.0
    for stage in stages:
        begins.append(so_far)
        so_far += stage.median_ns
    return begins


def _bar(ax: Axes, row: int, begin: float, stage: StageTimes, size: float, *, is_whole: bool) -> None:
    median, high = stage.median_ns / size, stage.p99_ns / size
    colour = look.INK if is_whole else STAGE_COLOUR
    if high > 0:
        ax.plot(
            [begin, begin + high], [row, row], color=TAIL_COLOUR, linewidth=3, solid_capstyle="butt", zorder=3
        )
    if median > 0:
        # The outline keeps a stage of microseconds visible beside one of seconds.
        ax.barh(row, median, left=begin, height=THICK, color=colour, edgecolor=colour, zorder=4)
    look.beside(ax, begin + max(median, high), row, _spoken(stage), look.INK if high else look.PALE)


def _spoken(stage: StageTimes) -> str:
    if stage.p99_ns == 0:
        return "no time"
    few = "" if stage.is_supported else " (too few)"
    return f"{seconds_text(stage.median_ns)}   p99 {seconds_text(stage.p99_ns)}{few}"


def _finding(stages: Sequence[StageTimes], whole: StageTimes) -> str:
    if whole.mean_ns == 0:
        return "Changes take effect at once"
    longest = max(stages, key=lambda stage: stage.mean_ns)
    share = share_text(longest.mean_ns / whole.mean_ns)
    return f"{share} of the time until active goes into one stage: {longest.label}"


def _count(result: Result) -> int:
    folded = result.folded
    return len(arrived(result)) if folded is None else folded.after(result.warm_up_ns).good()


def _subject(count: int, whole: StageTimes) -> str:
    deliveries = "1 delivery" if count == 1 else f"{count:,} deliveries"
    return (
        f"Median and 99th percentile of {deliveries} that became active, on average after "
        f"{seconds_text(whole.mean_ns)}. The stages of one delivery sum to its total; percentiles do not"
    )
