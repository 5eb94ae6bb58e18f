"""What one answer to a poll, or one version of a file, does to a proxy of the arrays."""

from __future__ import annotations

from typing import Protocol

from simulator.xds.resources import Names, Resources


class Step(Protocol):
    """What one answer does (envoy/answered.py: AnswerStep)."""

    @property
    def cost_ns(self) -> int:
        """Main-thread time."""

    @property
    def held(self) -> Resources:
        """What is held after it."""

    @property
    def refused(self) -> Names:
        """Names that are refused."""

    @property
    def awaited(self) -> Names:
        """Names that do not serve when it is applied."""

    @property
    def post_ns(self) -> int:
        """Delay of the first publication to the workers."""

    @property
    def posts_always(self) -> bool:
        """Whether there is one where no change takes effect by it."""

    @property
    def then_ns(self) -> int | None:
        """Delay of the second; None for none."""


class Stepping(Protocol):
    """What works steps out."""

    def step(self, type_name: str, held: Resources, answer: Resources, *, warms: bool) -> Step:
        """The step of a proxy that holds this and gets that."""
