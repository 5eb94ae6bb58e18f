"""How every figure looks: colours, sizes, axes, titles and the way a figure becomes a file.

Colours are the palette of Okabe and Ito ("Color Universal Design", 2008), which stays readable with every
common colour blindness; vermilion is kept for one meaning alone, a fetch that timed out. Nothing here touches
matplotlib's global settings: a figure drawn into a notebook leaves the notebook as it was.
"""

import io
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.transforms import ScaledTranslation

from simulator.report.wording import seconds_text
from simulator.results.storage import write_bytes

__all__ = [
    "DASHES",
    "GRID",
    "HATCH",
    "INK",
    "JOURNEY_COLOURS",
    "OUTCOME_COLOURS",
    "PALE",
    "PHASE_COLOURS",
    "SERIES_COLOURS",
    "STATE_COLOURS",
    "SUFFIXES",
    "TIMED_OUT",
    "WIDTH",
    "WORKERS",
    "beside",
    "blank",
    "delay_axis",
    "deterministic",
    "end_axis_at",
    "figure",
    "frame",
    "headline",
    "legend",
    "literal",
    "own_axes",
    "save",
    "share_axis",
    "time_axis",
    "timed_out_patch",
    "workers_line",
]

INK: Final = "#222222"
PALE: Final = "#6b6b6b"
GRID: Final = "#e4e4e4"
TIMED_OUT: Final = "#D55E00"
DASHES: Final = (0, (4, 3))
HATCH: Final = "////"

PHASE_COLOURS: Final = {
    "bootstrap": "#8c8c8c",
    "primary": "#56B4E9",
    "rtds": "#CC79A7",
    "secondary": "#a6d8f2",
    "cds": "#0072B2",
    "clusters": "#009E73",
    "listeners": "#E69F00",
    "workers": "#222222",
    "ready": "#F0E442",
}

STATE_COLOURS: Final = {
    "warming": "#E69F00",
    "pending": "#F0E442",
    "active": "#0072B2",
    "draining": "#CC79A7",
}

JOURNEY_COLOURS: Final = {"received": "#56B4E9", "acked": "#009E73", "active": "#0072B2"}
"""The instants of a delivery that a convergence curve shows."""

SERIES_COLOURS: Final = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#8c8c8c",
    "#F0E442",
    "#222222",
)
"""For things without a colour of their own, in order."""

OUTCOME_COLOURS: Final = {
    "200, stale": "#F0E442",
    "UF": "#CC79A7",
    "UH": "#0072B2",
    "UC": "#56B4E9",
    "NR": "#E69F00",
    "NC": "#009E73",
    "refused": "#222222",
}
"""Outcomes of requests, by Envoy's response flags."""

WORKERS: Final = "workers start, listeners accept"
"""What the mark of that moment is called in every legend."""

WIDTH: Final = 10.0
"""Inches; heights grow with the number of rows."""
DOTS_PER_INCH: Final = 150
SUFFIXES: Final[Mapping[str, dict[str, str | None]]] = {
    ".png": {"Software": "xdsim"},
    ".svg": {"Date": None, "Creator": "xdsim"},
}
"""Ending of each file a figure becomes -> its metadata, which must not tell the time."""
LOGARITHMIC_FROM: Final = 20
"""An axis of delays is logarithmic when the largest is this many times the median or more."""
_DETAIL: Final = "detail"
"""Marks the smaller words below a title; in an SVG file it is the id of their group."""
LEGEND_CHARACTERS: Final = 105
"""A legend with more than this takes two lines."""


def figure(height: float) -> Axes:
    """The axes of a new figure that belongs to nobody else: no window, no global state."""
    made = Figure(figsize=(WIDTH, height), dpi=DOTS_PER_INCH, layout="constrained", facecolor="white")
    FigureCanvasAgg(made)
    return made.add_subplot()


def own_axes(ax: Axes | None, height: float) -> Axes:
    """``ax`` itself, or the axes of a new pyplot figure, which a notebook shows by itself."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.figure(figsize=(WIDTH, height), layout="constrained").add_subplot()


@contextmanager
def deterministic() -> Iterator[None]:
    """Draw and save with the same fonts and ids everywhere, whatever the user's matplotlibrc says."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; no news to whoever runs a scenario.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        matplotlib.rcdefaults()
        matplotlib.rcParams["font.family"] = ["DejaVu Sans"]  # comes with matplotlib
        matplotlib.rcParams["svg.fonttype"] = "path"
        matplotlib.rcParams["svg.hashsalt"] = "xdsim"  # otherwise the ids in an SVG file are random
        yield


def save(ax: Axes, stem: Path) -> list[Path]:
    """Write the figure of ``ax`` as ``stem``.png and ``stem``.svg; equal figures give equal files.

    Each file appears whole or not at all. Raises OSError when the directory cannot be written.
    """
    drawn = ax.get_figure(root=True)
    assert drawn is not None
    written: list[Path] = []
    for suffix, metadata in SUFFIXES.items():
        content = io.BytesIO()
        drawn.savefig(content, format=suffix[1:], metadata=metadata, bbox_inches="tight", pad_inches=0.15)
        target = stem.with_name(stem.name + suffix)
        write_bytes(target, content.getvalue())
        written.append(target)
    return written


def headline(ax: Axes, finding: str, detail: str | None = None) -> None:
    """The title: what the figure shows, in bold; below it, smaller, what is being looked at.

    Said again, it takes the place of what it said before: a figure that was drawn can be given the finding of
    the study that it belongs to. Without a `detail` the one before stays.
    """
    before = [text for text in ax.texts if text.get_gid() == _DETAIL]
    kept = before[0].get_text().replace("\n", " ") if before and detail is None else detail or ""
    for text in before:
        text.remove()
    found = textwrap.fill(finding, 88)
    told = textwrap.fill(kept, 118) if kept else ""
    lines_below = told.count("\n") + 1 if told else 0
    ax.set_title(found, loc="left", fontsize=12, fontweight="bold", color=INK, pad=8 + 13 * lines_below)
    if told:
        ax.annotate(
            told,
            xy=(0, 1),
            xycoords="axes fraction",
            xytext=(0, 6),
            textcoords="offset points",
            fontsize=9,
            color=PALE,
            va="bottom",
            ha="left",
            annotation_clip=False,
            gid=_DETAIL,
        )


def frame(ax: Axes) -> None:
    """Only the axis that carries a scale, with a quiet grid behind the data."""
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(PALE)
    ax.tick_params(axis="y", which="both", length=0, labelsize=9, labelcolor=INK)
    ax.tick_params(axis="x", labelsize=9, color=PALE, labelcolor=INK)
    ax.grid(axis="x", color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)


def time_axis(ax: Axes, longest_ns: float, since: str) -> float:
    """Label the time axis in the unit that suits ``longest_ns``; the nanoseconds in one such unit."""
    if longest_ns >= 1e9:
        unit, size = "s", 1e9
    elif longest_ns >= 1e6:
        unit, size = "ms", 1e6
    else:
        unit, size = "µs", 1e3
    ax.set_xlabel(f"time since {since} ({unit})", fontsize=9, color=INK, loc="left")
    return size


def share_axis(ax: Axes, what: str) -> None:
    """The vertical axis as shares from 0 to 100 %, of what is said beside it."""
    ax.set_ylim(0, 1.03)
    shares = (0, 0.25, 0.5, 0.75, 0.9, 1)
    ax.set_yticks(shares, [f"{share * 100:.0f} %" for share in shares])
    ax.set_ylabel(what, fontsize=9, color=INK)
    ax.grid(axis="y", color=GRID, linewidth=0.8)


def delay_axis(ax: Axes, delays_ns: Sequence[float], since: str) -> float:
    """The horizontal axis for delays, which may span many orders of magnitude; the nanoseconds in its unit.

    Where half of the positive delays are far below the largest, the axis is logarithmic.
    """
    positive = sorted(delay for delay in delays_ns if delay > 0)
    if not positive or positive[-1] < LOGARITHMIC_FROM * positive[len(positive) // 2]:
        longest = positive[-1] if positive else 1e6
        size = time_axis(ax, longest, since)
        ax.set_xlim(0, longest / size * 1.12)
        return size
    ax.set_xscale("log")
    ax.set_xlim(max(positive[0], positive[-1] / 1e6) / 1e9 * 0.8, positive[-1] / 1e9 * 2.2)
    ax.xaxis.set_major_formatter(lambda at, _: seconds_text(at * 1e9))
    ax.xaxis.set_minor_formatter(lambda *_: "")
    ax.set_xlabel(f"time since {since} (logarithmic)", fontsize=9, color=INK, loc="left")
    return 1e9


def end_axis_at(ax: Axes, end: float, room: float) -> None:
    """Let time end at ``end``; ``room``, a share of it, stays free of ticks on the right, for words."""
    ax.set_xlim(0, end * (1 + room))
    ax.set_xticks([tick for tick in ax.get_xticks() if 0 <= tick <= end * 1.001])
    ax.spines["bottom"].set_bounds(0, end)


def beside(ax: Axes, x: float, y: float, words: str, colour: str = INK, up: float = 0) -> None:
    """Words to the right of a bar that ends at ``x``, or ``up`` points higher; they cover the lines that run
    behind them.
    """
    ax.annotate(
        words,
        xy=(x, y),
        xytext=(8, up),
        textcoords="offset points",
        va="center",
        ha="left",
        fontsize=9,
        color=colour,
        zorder=6,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.2},
    )


def workers_line(ax: Axes, at: float) -> None:
    """The moment the workers start, from which on listeners accept connections."""
    ax.axvline(at, color=INK, linewidth=1, linestyle=DASHES, zorder=4)


def timed_out_patch() -> Artist:
    """The legend's entry for a phase that a fetch time-out ended."""
    return Patch(facecolor="white", edgecolor=TIMED_OUT, hatch=HATCH, label="ended by a fetch time-out")


def legend(ax: Axes, entries: Sequence[Artist]) -> None:
    """What the colours and marks mean, below the time axis."""
    if not entries:
        return
    characters = sum(len(str(entry.get_label())) + 6 for entry in entries)
    below = ScaledTranslation(0, -0.5, ax.get_figure(root=True).dpi_scale_trans)  # type: ignore[union-attr]
    ax.legend(
        handles=list(entries),
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=ax.transAxes + below,
        borderaxespad=0,
        borderpad=0,
        ncol=len(entries) if characters <= LEGEND_CHARACTERS else -(-len(entries) // 2),
        frameon=False,
        fontsize=9,
        handlelength=1.6,
        columnspacing=1.6,
    )


def literal(name: str) -> str:
    """A name as it is written: matplotlib would take what stands between two dollar signs for a formula."""
    return name.replace("$", r"\$")


def blank(ax: Axes, finding: str, why: str) -> Axes:
    """A figure without data says so, instead of showing empty axes."""
    frame(ax)
    ax.grid(visible=False)
    ax.spines["bottom"].set_visible(False)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.text(
        0.5,
        0.5,
        textwrap.fill(why, 80),
        transform=ax.transAxes,
        ha="center",
        va="center",
        fontsize=10,
        color=PALE,
    )
    headline(ax, finding)
    return ax
