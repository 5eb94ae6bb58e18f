from enum import Enum, auto

import pytest

from simulator.engine.machine import Machine, Table, UnexpectedSignal, bind, check, describe


class Door(Enum):
    OPEN = auto()
    CLOSED = auto()
    LOCKED = auto()
    BRICKED_UP = auto()


class Deed(Enum):
    PUSHED = auto()
    PULLED = auto()
    KEY_TURNED = auto()
    WALLED = auto()


DOOR: Table[Door, Deed] = {
    (Door.OPEN, Deed.PUSHED): (Door.CLOSED, "slam"),
    (Door.OPEN, Deed.PULLED): (Door.OPEN, None),
    (Door.CLOSED, Deed.PULLED): (Door.OPEN, None),
    (Door.CLOSED, Deed.KEY_TURNED): (Door.LOCKED, "click"),
    (Door.LOCKED, Deed.KEY_TURNED): (Door.CLOSED, "click"),
    (Door.LOCKED, Deed.WALLED): (Door.BRICKED_UP, None),
}


class House:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.door = Machine(Door.OPEN, HOUSE_ROWS, self, House.entered)

    def __repr__(self) -> str:
        return "house 7"

    def entered(self, before: Door, after: Door) -> None:
        self.log.append(f"{before.name}>{after.name}")

    def slam(self) -> None:
        self.log.append("slam")
        self.door.fire(Deed.KEY_TURNED)

    def click(self) -> None:
        self.log.append("click")


HOUSE_ROWS = bind(DOOR, House)


def test_a_signal_moves_the_machine_reports_the_change_and_then_acts() -> None:
    house = House()
    house.door.fire(Deed.PUSHED)
    assert house.door.state is Door.LOCKED
    assert house.log == ["OPEN>CLOSED", "slam", "CLOSED>LOCKED", "click"]


def test_a_row_that_stays_reports_no_change() -> None:
    house = House()
    house.door.fire(Deed.PULLED)
    assert house.door.state is Door.OPEN
    assert house.log == []


def test_a_missing_pair_names_owner_signal_and_state_and_changes_nothing() -> None:
    house = House()
    with pytest.raises(UnexpectedSignal, match="house 7: WALLED while OPEN"):
        house.door.fire(Deed.WALLED)
    assert house.door.state is Door.OPEN
    assert house.log == []


def test_an_unexpected_signal_is_a_broken_assertion() -> None:
    assert issubclass(UnexpectedSignal, AssertionError)


def test_a_misspelt_action_fails_when_the_table_is_bound() -> None:
    with pytest.raises(AttributeError, match="clack"):
        bind({(Door.OPEN, Deed.PUSHED): (Door.CLOSED, "clack")}, House)


def test_two_machines_on_one_table_do_not_share_their_state() -> None:
    one, other = House(), House()
    one.door.fire(Deed.PUSHED)
    assert other.door.state is Door.OPEN


def test_the_diagram_shows_every_state_in_the_order_first_reached() -> None:
    assert describe(DOOR, Door.OPEN) == "\n".join(
        [
            "(start) -> OPEN",
            "OPEN",
            "    PUSHED     -> CLOSED / slam",
            "    PULLED     -> (same)",
            "CLOSED",
            "    PULLED     -> OPEN",
            "    KEY_TURNED -> LOCKED / click",
            "LOCKED",
            "    KEY_TURNED -> CLOSED / click",
            "    WALLED     -> BRICKED_UP",
            "BRICKED_UP (end)",
        ]
    )


def test_the_diagram_ends_with_the_states_that_cannot_be_reached() -> None:
    table: Table[Door, Deed] = {
        (Door.LOCKED, Deed.PULLED): (Door.CLOSED, None),
        (Door.OPEN, Deed.PUSHED): (Door.CLOSED, None),
    }
    assert [line for line in describe(table, Door.OPEN).splitlines() if not line.startswith(" ")] == [
        "(start) -> OPEN",
        "OPEN",
        "CLOSED (end)",
        "LOCKED",
    ]


def test_a_table_in_order_has_no_problems() -> None:
    assert check(DOOR, Door.OPEN, {Door.BRICKED_UP}) == []


def test_a_final_state_may_have_rows_that_stay() -> None:
    table = {**DOOR, (Door.BRICKED_UP, Deed.PULLED): (Door.BRICKED_UP, None)}
    assert check(table, Door.OPEN, {Door.BRICKED_UP}) == []


def test_every_kind_of_problem_is_found() -> None:
    table = dict(DOOR)
    del table[Door.LOCKED, Deed.KEY_TURNED], table[Door.LOCKED, Deed.WALLED]
    assert check(table, Door.OPEN, {Door.CLOSED}) == [
        "CLOSED is final, but has an exit",
        "LOCKED has no exit, but is not final",
        "BRICKED_UP cannot be reached from OPEN",
        "BRICKED_UP has no exit, but is not final",
    ]
