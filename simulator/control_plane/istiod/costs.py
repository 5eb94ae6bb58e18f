"""What istiod's jobs cost: the laws of a calibration with keyed draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from simulator.calibration.costs import Coefficients, Law
from simulator.engine.delays import Delay, draw_ns
from simulator.engine.draws import Draws


class IstiodCosts:
    """The costs of one replica.

    Args:
        laws: Cost key to its law or its coefficients (ns).
        draws: Where costs that vary come from.
        replica: Which istiod, or which other component: they draw apart.
    """

    __slots__ = ("_draws", "_laws", "_replica")

    def __init__(self, laws: Mapping[str, Law], draws: Draws, replica: int | str) -> None:
        self._laws = laws
        self._draws = draws
        self._replica = replica

    def ns(
        self,
        key: str,
        formula: Callable[[Coefficients], int] | None = None,
        *,
        entity: int = 0,
        index: int = 0,
    ) -> int:
        """The cost of one job: drawn where the key has a law, else the formula over its coefficients.

        Args:
            key: Cost key.
            formula: Needed where the key may have coefficients.
            entity: Whose job, for the draw.
            index: Which of its jobs, for the draw.
        """
        law = self._laws[key]
        if isinstance(law, Mapping):
            assert formula is not None, f"costs.{key} needs counts"
            return formula(law)
        return draw_ns(law, self._draws, f"istiod.costs.{key}/{self._replica}", entity, index)

    def law(self, key: str) -> Delay:
        """The law of a key that has no formula."""
        law = self._laws[key]
        assert not isinstance(law, Mapping), f"costs.{key} is a formula"
        return law
