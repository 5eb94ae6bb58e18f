"""The hint for a word that is almost right."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["did_you_mean"]

_SHOWN = 8


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """``did you mean 'x'?`` for a near miss, otherwise the words there are, the first few of many."""
    from difflib import get_close_matches

    near = get_close_matches(word[:100].lower(), known, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    if not known:
        return "there are none"
    more = f", ... ({len(known):,} in all)" if len(known) > _SHOWN else ""
    return f"there are {', '.join(known[:_SHOWN])}{more}"
