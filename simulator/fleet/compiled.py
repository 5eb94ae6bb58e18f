"""The kernels compiled (`machine_code`), where numba is installed (`xdsim[fast]`). Results are the same
without it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from simulator.fleet import delivery_kernel, kernel, long_poll_kernel
from simulator.fleet.machine_code import MachineCode, can_compile


class DeliveryKernel(NamedTuple):
    """See `delivery_kernel`."""

    draw: Callable[..., Any]
    deliver: Callable[..., Any]


@cache
def compiled() -> Callable[..., int] | None:
    """The compiled push line; None where numba is missing."""
    helpers = kernel.close, kernel.heap_push, kernel.heap_pop
    return MachineCode(kernel.advance, helpers) if can_compile() else None


@cache
def compiled_delivery() -> DeliveryKernel | None:
    """The compiled delivery; None where numba is missing."""
    if not can_compile():
        return None
    return DeliveryKernel(
        *(
            MachineCode(function, delivery_kernel.HELPERS)
            for function in (delivery_kernel.draw, delivery_kernel.deliver)
        )
    )


@cache
def compiled_long_polls() -> MachineCode | None:
    """The compiled loops of long polls; None where numba is missing."""
    return MachineCode(long_poll_kernel.advance, long_poll_kernel.HELPERS) if can_compile() else None
