"""How much of what changed got through: a measure of its own for `compare` and `sweep` (``measure=``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.results.result import Result

__all__ = ["delivered"]


def delivered(result: Result) -> dict[str, float]:
    """Share of the deliveries whose change came to decide traffic within the run; nothing without changes."""
    if result.folded is not None:
        counts = result.folded.outcomes()
        return {"delivered": counts.get("active", 0) / sum(counts.values())} if counts else {}
    outcomes = result.deliveries.outcome
    return {"delivered": float((outcomes == "active").mean())} if len(outcomes) else {}
