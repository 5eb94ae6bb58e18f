"""Joins what rows need that lose their streams when their istiod ends (reconnects.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from simulator.control_plane.istiod.connection import Connection
from simulator.control_plane.istiod.deployment import Deployment, backends_of
from simulator.engine.draws import Draws
from simulator.engine.events import Clock
from simulator.envoy.settings import EnvoySettings
from simulator.fleet.batches import Ints
from simulator.fleet.redials import NO_REQUEST, Redials, RedialSettings
from simulator.propagation.push import DeltaSession, SotwSession
from simulator.recording.recorder import Recorder
from simulator.scenario.fleet.connections import RowRequest
from simulator.scenario.fleet.reconnects import Reconnects
from simulator.scenario.fleet.rows import ReplicaRows


def make_reconnects(
    clock: Clock,
    deployment: Deployment,
    draws: Draws,
    recorder: Recorder,
    envoy: EnvoySettings,
    rows: ReplicaRows,
    shown: Sequence[Connection],
    clusters: Sequence[int],
    ends_ns: Mapping[int, Sequence[int]],
    ages_ns: Ints,
    end_ns: int,
) -> Reconnects:
    """How rows come back.

    Args:
        clock: Time.
        deployment: The istiods.
        draws: Random numbers.
        recorder: Counts.
        envoy: Settings of every Envoy.
        rows: The rows, at the first istiod.
        shown: By group the connection of a proxy that is played by messages: it shows what all ask for.
        clusters: By group the cluster objects of an Envoy.
        ends_ns: When each istiod ends.
        ages_ns: When the streams of the start are old enough to end, by place.
        end_ns: End of the run.
    """
    streams, entity, group = rows.streams, rows.entity, rows.group
    requests = [_requests(connection) for connection in shown]
    most = max(map(len, requests))
    padded: list[Sequence[RowRequest | None]] = [
        [*asked, *[None] * (most - len(asked))] for asked in requests
    ]
    sizes = np.array(
        [[NO_REQUEST if one is None else one.size_bytes for one in asked] for asked in padded], np.int64
    )
    law = envoy.costs["stream_open"]
    settings = RedialSettings(envoy.backoff, law, sizes, np.array(clusters, np.int64), backends_of, end_ns)  # type: ignore[arg-type]
    redials = Redials(settings, draws, streams, entity, group)
    return Reconnects(
        clock,
        deployment,
        recorder,
        streams,
        redials,
        entity,
        group,
        padded,
        ends_ns,
        ages_ns,
        end_ns,
        is_delta=rows.is_delta,
    )


def _requests(connection: Connection) -> list[RowRequest]:
    """What a proxy asks for when it opens a stream, in order."""
    session = connection.session
    assert isinstance(session, DeltaSession | SotwSession), "a session is one or the other"
    return [
        RowRequest(request.type, session.names(request.type), request.size_bytes)
        for request in session.asked_again()
    ]
