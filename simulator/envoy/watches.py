"""The order in which a mux calls the watches of a type.

Source: source/extensions/config_subscription/grpc/grpc_mux_impl.cc (watches are inserted at the front; the
first error ends the loop, and every watch of the type is then told of the rejection).
"""

from __future__ import annotations

from simulator.xds.resources import Names


def watches_called_before(bad: Names, order: Names) -> Names:
    """Names whose watch is called before the first bad one: newest watch first, that is, last name first.

    Envoy starts the EDS subscriptions of a round in hash-map order; the order of the response stands for it
    here.
    """
    called = []
    for name in order.reversed():
        if name in bad:
            break
        called.append(name)
    return Names(reversed(called))
