"""Joins what rows need that lose their streams when the only istiod ends (fleet_reconnects.py)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simulator.control_plane.istiod.connection import Connection
from simulator.control_plane.istiod.deployment import Deployment
from simulator.engine.draws import Draws
from simulator.engine.events import Clock
from simulator.envoy.settings import EnvoySettings
from simulator.fleet.redials import NO_REQUEST, Redials, RedialSettings
from simulator.fleet.streams import Ints, Small, Streams
from simulator.propagation.push import DeltaSession
from simulator.recording.recorder import Recorder
from simulator.scenario.fleet_connections import RowRequest
from simulator.scenario.fleet_reconnects import Reconnects
from simulator.workload.entries import RestartIstiodEntry
from simulator.workload.timeline import Happening


def outages(timeline: Sequence[Happening], replicas: int) -> list[int]:
    """When the only istiod ends, in order: it is away already at some of these instants perhaps. Empty where
    it is one of several, or never does."""
    if replicas != 1:
        return []
    return [happening.t_ns for happening in timeline if isinstance(happening.entry, RestartIstiodEntry)]


def make_reconnects(
    clock: Clock,
    deployment: Deployment,
    draws: Draws,
    recorder: Recorder,
    envoy: EnvoySettings,
    streams: Streams,
    entity: Ints,
    group: Small,
    shown: Sequence[Connection],
    clusters: Sequence[int],
    breaks: Sequence[int],
    end_ns: int,
) -> Reconnects:
    """How rows come back.

    Args:
        clock: Time.
        deployment: The istiod.
        draws: Random numbers.
        recorder: Counts.
        envoy: Settings of every Envoy.
        streams: The way to the rows.
        entity: The proxies, by place.
        group: Their groups.
        shown: By group the connection of a proxy that is played by messages: it shows what all ask for.
        clusters: By group the cluster objects of an Envoy.
        breaks: When the istiod ends.
        end_ns: End of the run.
    """
    requests = [_requests(connection) for connection in shown]
    most = max(map(len, requests))
    padded = [[*asked, *[None] * (most - len(asked))] for asked in requests]
    sizes = np.array(
        [[NO_REQUEST if one is None else one.size_bytes for one in asked] for asked in padded], np.int64
    )
    law = envoy.costs["stream_open"]
    settings = RedialSettings(envoy.backoff, law, sizes, np.array(clusters, np.int64), end_ns)  # type: ignore[arg-type]
    redials = Redials(settings, draws, streams, entity, group)
    return Reconnects(clock, deployment, recorder, streams, redials, entity, group, padded, breaks, end_ns)


def _requests(connection: Connection) -> list[RowRequest]:
    """What a proxy asks for when it opens a stream, in order."""
    session = connection.session
    assert isinstance(session, DeltaSession), "state of the world is not played so"
    return [
        RowRequest(request.type, request.resource_names_subscribe, request.size_bytes)
        for request in session.asked_again()
    ]
