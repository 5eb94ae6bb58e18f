"""How a config source hands an update to the part of Envoy that applies it, whichever way the update came.

A message that does not decode is refused before any part of it is looked at, and costs what saying so costs
(rules N2, N4).
"""

from __future__ import annotations

from simulator.wire.contract import ConfigConsumer, ProxyCosts, Update
from simulator.xds.resources import Fault


def undecodable(update: Update) -> str | None:
    """Why the message does not decode; None for one that does."""
    spoiled = update.resources.faulty().get(Fault.DECODE)
    return f"{next(iter(spoiled))}: the message does not decode" if spoiled else None


def cost_ns(update: Update, consumer: ConfigConsumer, costs: ProxyCosts) -> int:
    """Main-thread time the update takes, if it is taken up now."""
    return consumer.cost_ns(update) if undecodable(update) is None else costs.ns("decode_failed")


def deliver(update: Update, consumer: ConfigConsumer) -> str | None:
    """Hands it over; the error text if it, or a part of it, is refused."""
    error = undecodable(update)
    if error is None:
        return consumer.on_config_update(update)
    consumer.on_update_rejected(update, error)
    return error
