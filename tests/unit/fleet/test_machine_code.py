"""Kernels are compiled once on a machine; whoever comes later reads them, and needs no numba for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from simulator.fleet import machine_code
from simulator.fleet.machine_code import Ints, MachineCode, can_compile

pytestmark = pytest.mark.skipif(not can_compile(), reason="numba is not installed: xdsim[fast]")

READ = """
import sys
import numpy as np
from pathlib import Path
from simulator.fleet import machine_code
from tests.unit.fleet.test_machine_code import added, doubled

machine_code._folders = lambda: [Path(sys.argv[1])]
into = np.zeros((2, 3), np.int64)
told = machine_code.MachineCode(added, [doubled])(np.arange(3, dtype=np.int32), 5, into)
print(told, into.tolist(), "numba" in sys.modules)
"""


def doubled(number: int) -> int:
    return 2 * number


def added(numbers: Ints, more: int, into: Ints) -> int:
    """Fills in a table; how many there were."""
    for row in range(into.shape[0]):
        for at in range(numbers.size):
            into[row, at] = doubled(numbers[at]) + more * row
    return numbers.size


def nothing_told(into: Ints) -> None:
    into[0] = 7


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where code is kept meanwhile."""
    monkeypatch.setattr(machine_code, "_folders", lambda: [tmp_path / "kept"])
    return tmp_path / "kept"


def called() -> tuple[int, list[list[int]]]:
    into = np.zeros((2, 3), np.int64)
    told = MachineCode(added, [doubled])(np.arange(3, dtype=np.int32), 5, into)
    return told, into.tolist()


FOUND = 3, [[0, 2, 4], [5, 7, 9]]


def test_what_was_compiled_is_read_without_numba(folder: Path) -> None:
    assert called() == FOUND
    assert len(list(folder.iterdir())) == 1
    read = subprocess.run(
        [sys.executable, "-c", READ, str(folder)], capture_output=True, text=True, check=True
    )
    assert read.stdout.split() == f"{FOUND[0]} {FOUND[1]} False".split()


def test_a_file_that_is_damaged_or_of_another_function_is_not_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []
    callback = machine_code._callback
    monkeypatch.setattr(
        machine_code,
        "_callback",
        lambda plain, *args: compiled.append(plain.__name__) or callback(plain, *args),
    )
    called()
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert called() == FOUND
    assert called() == FOUND
    assert compiled == ["added", "added"]
    MachineCode(nothing_told)(np.zeros(1, np.int64))
    assert compiled == ["added", "added", "nothing_told"]


def test_where_nothing_can_be_kept_it_is_compiled_for_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(machine_code, "_folders", lambda: [tmp_path / "file"])
    assert called() == FOUND


def test_code_that_only_numba_can_run_is_run_by_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_code, "_object_code", lambda ir: None)
    assert called() == FOUND
    assert not folder.exists()


def test_with_an_llvm_that_has_other_parts_numba_runs_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import llvmlite.binding

    monkeypatch.delattr(llvmlite.binding, "create_mcjit_compiler")
    assert called() == FOUND


def test_each_kind_of_arguments_has_code_of_its_own(folder: Path) -> None:
    code, into = MachineCode(nothing_told), np.zeros(2)
    assert code(into) == 0
    assert into.tolist() == [7, 0]
    ints = np.zeros(2, np.int8)
    code(ints)
    assert ints.tolist() == [7, 0]
    assert len(list(folder.iterdir())) == 2


def test_arguments_that_are_bound_are_looked_up_once_and_may_change_what_they_hold(folder: Path) -> None:
    numbers, into = np.arange(3), np.zeros((2, 3), np.int64)
    bound = MachineCode(added, [doubled]).bound([numbers, 1, into])
    numbers += 10
    assert bound() == 3
    assert into.tolist() == [[20, 22, 24], [21, 23, 25]]
    assert bound.args[0] is numbers


@pytest.mark.parametrize("array", [np.zeros((4, 4), np.int64)[:, ::2], np.zeros((3, 4), np.int64).T])
def test_an_array_that_is_not_contiguous_is_refused(array: Ints, folder: Path) -> None:
    with pytest.raises((TypeError, ValueError, BufferError)):
        MachineCode(nothing_told)(array[0:1])


def test_an_array_without_elements_is_an_array(folder: Path) -> None:
    assert MachineCode(added, [doubled])(np.empty(0, np.int64), 1, np.empty((0, 3), np.int64)) == 0
