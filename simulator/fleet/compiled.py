"""The kernel compiled by numba, where that is installed (`xdsim[fast]`). Results are the same without it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from simulator.fleet import kernel


@cache
def compiled() -> Callable[..., int] | None:
    """The compiled kernel; None where numba is missing."""
    try:
        import numba
    except ImportError:
        return None
    try:
        return _compile(numba, is_cached=True)
    except RuntimeError:  # nowhere to keep what was compiled
        return _compile(numba, is_cached=False)


def _compile(numba: object, *, is_cached: bool) -> Callable[..., int]:
    """Compiled at the first call, or read from beside the module's own bytecode: two seconds less."""
    import types

    njit = numba.njit(nogil=True, cache=is_cached)  # type: ignore[attr-defined]
    names = dict(vars(kernel))
    for name in ("_close", "heap_push", "heap_pop"):
        names[name] = njit(getattr(kernel, name))
    plain = kernel.advance
    function = types.FunctionType(plain.__code__, names, plain.__name__)
    compiled_kernel: Callable[..., int] = njit(function)
    return compiled_kernel
