"""An init manager counts targets; it knows no time and no failure."""

from __future__ import annotations

import pytest

from simulator.envoy.init_manager import InitManager, InitManagerState


class Target:
    """Writes down its start; ready at once if told so."""

    def __init__(
        self, manager: InitManager, log: list[str], name: str, *, ready_at_once: bool = False
    ) -> None:
        self._manager, self._log, self._name, self._ready_at_once = manager, log, name, ready_at_once

    def start(self) -> None:
        self._log.append(self._name)
        if self._ready_at_once:
            self._manager.ready()


@pytest.fixture
def manager() -> InitManager:
    return InitManager()


@pytest.fixture
def log() -> list[str]:
    return []


def test_a_manager_without_targets_is_ready_at_once(manager: InitManager, log: list[str]) -> None:
    manager.initialize(lambda: log.append("watcher"))
    assert (log, manager.state) == (["watcher"], InitManagerState.INITIALIZED)


def test_targets_start_in_the_order_they_were_added(manager: InitManager, log: list[str]) -> None:
    for name in "abc":
        manager.add(Target(manager, log, name).start)
    assert log == []
    manager.initialize(lambda: log.append("watcher"))
    assert (log, manager.unready) == (["a", "b", "c"], 3)
    for _ in range(3):
        assert "watcher" not in log
        manager.ready()
    assert log[-1] == "watcher"


def test_targets_ready_at_once_do_not_end_the_round_before_the_others_started(
    manager: InitManager, log: list[str]
) -> None:
    manager.add(Target(manager, log, "a", ready_at_once=True).start)
    manager.add(Target(manager, log, "b").start)
    manager.initialize(lambda: log.append("watcher"))
    assert log == ["a", "b"]
    manager.ready()
    assert log == ["a", "b", "watcher"]


def test_a_target_added_meanwhile_is_started_and_waited_for(manager: InitManager, log: list[str]) -> None:
    manager.add(Target(manager, log, "a").start)
    manager.initialize(lambda: log.append("watcher"))
    manager.add(Target(manager, log, "late").start)
    assert log == ["a", "late"]
    manager.ready()
    assert manager.state is InitManagerState.INITIALIZING
    manager.ready()
    assert log == ["a", "late", "watcher"]


def test_a_target_of_many_becomes_ready_in_parts(manager: InitManager, log: list[str]) -> None:
    manager.add(Target(manager, log, "five").start, weight=5)
    manager.initialize(lambda: log.append("watcher"))
    manager.ready(2)
    assert manager.unready == 3
    manager.ready(3)
    assert log == ["five", "watcher"]


def test_a_target_ready_before_its_manager_started_is_not_waited_for(
    manager: InitManager, log: list[str]
) -> None:
    manager.add(Target(manager, log, "a").start)
    manager.ready()
    manager.initialize(lambda: log.append("watcher"))
    assert log == ["a", "watcher"]


def test_a_target_added_too_late_is_a_programming_error(manager: InitManager, log: list[str]) -> None:
    manager.initialize(lambda: None)
    with pytest.raises(AssertionError, match="initialized manager"):
        manager.add(Target(manager, log, "late").start)


def test_more_ready_than_added_is_a_programming_error(manager: InitManager) -> None:
    with pytest.raises(AssertionError, match="more targets ready"):
        manager.ready()
