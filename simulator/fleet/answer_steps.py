"""What one answer to a poll, or one version of a file, does to a proxy of the arrays."""

from __future__ import annotations

from typing import Protocol

from simulator.fleet.subscriptions import Subscriptions
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


class KnownSteps:
    """The steps that proxies made so far: each is worked out once.

    Args:
        subscriptions: What there is to ask for, and its contents; told what is held where a part is refused.
        stepping: Works them out.

    Attributes:
        eds: Of each subscription of CDS, by name of a cluster, that of its endpoints.
    """

    def __init__(self, subscriptions: Subscriptions[Resources, Names], stepping: Stepping) -> None:
        self._subscriptions, self._stepping = subscriptions, stepping
        self._known: dict[tuple[int, int, int, bool], tuple[Step, int]] = {}
        by_group: dict[int, dict[str, int]] = {}
        for number, one in enumerate(subscriptions.all):
            if one.type_name == "eds":
                by_group.setdefault(one.group, {})[one.name] = number
        self.eds = [by_group.get(s.group, {}) if s.type_name == "cds" else {} for s in subscriptions.all]

    def step(self, sub: int, held: int, content: int, is_warm: bool) -> tuple[Step, int]:
        """What the answer with a content does where another one is held; the content held after it."""
        key = sub, held, content, is_warm
        found = self._known.get(key)
        if found is None:
            contents, type_name = self._subscriptions.contents[sub], self._subscriptions.all[sub].type_name
            step = self._stepping.step(type_name, contents[held], contents[content], warms=is_warm)
            after = content
            if step.refused:
                # What is held then was never published.
                after = held if step.held is contents[held] else len(contents)
                contents.extend([step.held] * (after == len(contents)))
            found = self._known[key] = step, after
        return found

    def may_warm(self, sub: int, held: int, content: int) -> bool:
        """Whether clusters may warm by that answer of CDS: not where it is known that none does."""
        known = self._known.get((sub, held, content, False))
        return known is None or bool(known[0].awaited)

    def begun(self, sub: int, step: Step) -> list[int]:
        """The subscriptions that clusters begin which an answer to one of CDS makes warm."""
        return [self.eds[sub][name] for name in step.awaited]
