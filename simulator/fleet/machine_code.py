"""Machine code of the kernels: compiled by numba once on a machine, kept in files, and read without numba.

To read what it compiled before, numba takes half a second and 130 MB (measured); LLVM's binding, which numba
brings with it, takes 40 ms and 60 MB. So a kernel is compiled as a C function of arrays and integers, and
what is kept is its object code, which calls nothing but itself.
"""

from __future__ import annotations

import ctypes
import os
import sys
import types
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

Kinds = tuple[tuple[str, int] | None, ...]
"""Of each argument type and dimensions of an array; None for an integer."""


class _Entry(NamedTuple):
    """Machine code, as long as its owner lives: called with the place of the addresses of all arrays, and
    with that of their sizes and the integers."""

    call: Callable[[int, int], int]
    owner: Any


_NO_BYTES = ctypes.c_char * 0
_ENTRY_TYPE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)
_ENTRY = "xdsim_entry"
_CHECK_BYTES = 16


def can_compile() -> bool:
    """Whether numba is installed."""
    return find_spec("numba") is not None


class MachineCode:
    """A function of int64 and of arrays, which are contiguous and can be written to; called as the function
    that it is compiled from.

    It is compiled, or read from a file, when it is first called with arguments of some kinds.

    Args:
        plain: The function: it allocates nothing and raises nothing.
        helpers: Functions that it calls, each behind those of them that it calls itself.
    """

    def __init__(self, plain: Callable[..., Any], helpers: Sequence[Callable[..., Any]] = ()) -> None:
        self._plain, self._helpers = _functions([plain])[0], _functions(helpers)
        self._entries: dict[Kinds, _Entry] = {}

    def __call__(self, *arguments: Any) -> int:
        """What the function returns; 0 for nothing."""
        return self.bound(arguments)()

    def bound(self, arguments: Sequence[Any]) -> Bound:
        """Ready to be called with these arguments, more than once."""
        kinds = tuple((a.dtype.char, a.ndim) if isinstance(a, np.ndarray) else None for a in arguments)
        entry = self._entries.get(kinds)
        if entry is None:
            entry = self._entries[kinds] = self._loaded(kinds)
        return Bound(entry, arguments)

    def _loaded(self, kinds: Kinds) -> _Entry:
        try:
            return self._from_file(kinds)
        except AttributeError:  # an llvmlite whose binding has other parts
            return self._by_numba(kinds)

    def _by_numba(self, kinds: Kinds) -> _Entry:
        callback = _callback(self._plain, self._helpers, kinds)
        return _Entry(_ENTRY_TYPE(callback.address), callback)

    def _from_file(self, kinds: Kinds) -> _Entry:
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        key = self._key(kinds)
        code = _read(key)
        if code is None:
            compiled = self._by_numba(kinds)
            code = _object_code(compiled.owner.inspect_llvm())
            if code is None:
                return compiled
            _keep(key, code)
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _this_machine())
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        return _Entry(_ENTRY_TYPE(engine.get_function_address(_ENTRY)), engine)

    def _key(self, kinds: Kinds) -> str:
        """Names the file: of all that the code depends on."""
        import llvmlite.binding as llvm

        digest = blake2b(digest_size=_CHECK_BYTES)
        for file in dict.fromkeys(
            [__file__, *(f.__code__.co_filename for f in (self._plain, *self._helpers))]
        ):
            digest.update(Path(file).read_bytes())
        machine = llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
        digest.update(repr((kinds, llvm.llvm_version_info, machine)).encode())
        return f"{self._plain.__name__}-{digest.hexdigest()}"


class Bound:
    """Machine code with the arguments of a call.

    Attributes:
        args: The arguments.
    """

    __slots__ = ("_addresses", "_call", "_entry", "_integers", "args")

    def __init__(self, entry: _Entry, arguments: Sequence[Any]) -> None:
        self._entry, self.args = entry, arguments
        addresses: list[int] = []
        integers: list[int] = []
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                addresses.append(_address(argument))
                integers += argument.shape
            else:
                integers.append(int(argument))
        self._addresses, self._integers = np.array(addresses, np.int64), np.array(integers, np.int64)
        self._call = entry.call, _address(self._addresses), _address(self._integers)

    def __call__(self) -> int:
        """What the function returns."""
        call, addresses, integers = self._call
        return call(addresses, integers)


def _address(array: NDArray[Any]) -> int:
    """Of its first element. What is not contiguous, or read only, has no such buffer: an error."""
    return ctypes.addressof(_NO_BYTES.from_buffer(array))  # type: ignore[arg-type]  # a buffer from Python 3.12 on


def _this_machine() -> Any:
    import llvmlite.binding as llvm

    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        codemodel="jitdefault",
        jit=True,
    )


def _functions(given: Sequence[Callable[..., Any]]) -> list[types.FunctionType]:
    functions = [function for function in given if isinstance(function, types.FunctionType)]
    assert len(functions) == len(given), "what is compiled is a function of Python"
    return functions


def _callback(plain: types.FunctionType, helpers: Sequence[types.FunctionType], kinds: Kinds) -> Any:
    """numba's C callback: an `_Entry`."""
    import numba

    inlined = numba.njit(error_model="numpy", forceinline=True)
    known: dict[str, Any] = {}
    for helper in helpers:
        names = helper.__globals__ | known
        known[helper.__name__] = inlined(types.FunctionType(helper.__code__, names, helper.__name__))
    function = inlined(types.FunctionType(plain.__code__, plain.__globals__ | known, plain.__name__))
    space: dict[str, Any] = {"function": function, "carray": numba.carray}
    given, arrays, integers = [], 0, 0
    for kind in kinds:
        if kind is None:
            given.append(f"integers[{integers}]")
            integers += 1
            continue
        type_, axes = kind
        space[f"type_{type_}"] = np.dtype(type_).type
        shape = "".join(f"integers[{integers + axis}], " for axis in range(axes))
        given.append(f"carray(addresses[{arrays}], ({shape}), type_{type_})")
        arrays += 1
        integers += axes
    call = f"function({', '.join(given)})"
    body = f"return {call}" if plain.__annotations__["return"] == "int" else f"{call}; return 0"
    exec(f"def entry(addresses, integers): {body}", space)
    pointer = numba.types.CPointer
    signature = numba.int64(pointer(numba.types.voidptr), pointer(numba.int64))
    return numba.cfunc(signature, error_model="numpy")(space["entry"])


def _object_code(ir: str) -> bytes | None:
    """Of a C callback; None where it would call what only numba has, or where that was never tried."""
    import llvmlite.binding as llvm

    module = llvm.parse_assembly(ir)
    for function in module.functions:
        if function.name.startswith("cfunc."):
            function.name = _ENTRY
        elif not function.is_declaration:
            function.linkage = "internal"
    # What numba adds for errors goes, now that it is seen that there are none.
    machine = _this_machine()
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(3))
    passes.getModulePassManager().run(module, passes)
    beyond = [f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")]
    if beyond or sys.platform == "win32":
        return None
    code: bytes = machine.emit_object(module)
    return code


# --- files


@cache
def _folders() -> list[Path]:
    """Where code is kept: beside the bytecode of this module, else where programs keep what they can do
    without."""
    of_user = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return [Path(__file__).parent / "__pycache__", Path(of_user, "xdsim")]


def _read(key: str) -> bytes | None:
    for folder in _folders():
        with suppress(OSError):
            kept = (folder / f"{key}.o").read_bytes()
            if kept[:_CHECK_BYTES] == _check(kept[_CHECK_BYTES:]):
                return kept[_CHECK_BYTES:]
    return None


def _keep(key: str, code: bytes) -> None:
    """Where there is no place it is compiled again by the next process."""
    for folder in _folders():
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            # Who reads meanwhile finds nothing, or all of it.
            part = folder / f"{key}.{os.getpid()}.part"
            part.write_bytes(_check(code) + code)
            part.replace(folder / f"{key}.o")
            return


def _check(code: bytes) -> bytes:
    return blake2b(code, digest_size=_CHECK_BYTES).digest()
