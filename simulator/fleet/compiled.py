"""The kernels compiled by numba, where that is installed (`xdsim[fast]`). Results are the same without it."""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

from simulator.fleet import delivery_kernel, kernel


class DeliveryKernel(NamedTuple):
    """See `delivery_kernel`."""

    draw: Callable[..., None]
    deliver: Callable[..., None]


@cache
def compiled() -> Callable[..., int] | None:
    """The compiled push line; None where numba is missing."""
    try:
        import numba
    except ImportError:
        return None
    helpers = kernel._close, kernel.heap_push, kernel.heap_pop
    try:
        return _compile(numba, kernel.advance, helpers, is_cached=True)
    except RuntimeError:  # nowhere to keep what was compiled
        return _compile(numba, kernel.advance, helpers, is_cached=False)


@cache
def compiled_delivery() -> DeliveryKernel | None:
    """The compiled delivery; None where numba is missing, or nowhere to keep what was compiled: numpy is
    not so slow that compiling for one run would pay."""
    try:
        import numba

        return DeliveryKernel(
            *(
                _compile(numba, function, delivery_kernel.HELPERS, is_cached=True)
                for function in (delivery_kernel.draw, delivery_kernel.deliver)
            )
        )
    except (ImportError, RuntimeError):
        return None


def _compile(
    numba: Any, plain: Callable[..., Any], helpers: Sequence[Callable[..., Any]], *, is_cached: bool
) -> Callable[..., Any]:
    """Compiled at the first call, or read from beside the module's own bytecode: two seconds less."""
    assert isinstance(plain, types.FunctionType)
    njit = numba.njit(nogil=True, cache=is_cached)
    names = dict(plain.__globals__)
    for helper in helpers:
        names[helper.__name__] = njit(helper)
    compiled_kernel: Callable[..., Any] = njit(types.FunctionType(plain.__code__, names, plain.__name__))
    return compiled_kernel
