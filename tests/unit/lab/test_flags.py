"""Flips of feature flags, as a real Envoy tells of them and as they are compared; no Envoy runs."""

from __future__ import annotations

from typing import Any

import pytest

import simulator as xs

pytest.importorskip("grpc")
pytest.importorskip("envoy.config.cluster.v3.cluster_pb2")

from simulator.lab.differences import compare
from simulator.lab.protobufs import Builder, Surroundings, numerator_of
from simulator.mesh.configuration import RuntimeFields
from simulator.results.result import Result
from simulator.xds.resource_types import RTDS
from simulator.xds.resources import Resource

BY_ADMIN = '{"numerator": 250000, "denominator": "MILLION"}'
BY_RTDS = (
    'goo.gle/debugstr  \nfields {\n  key: "denominator"\n  value {\n    string_value: "MILLION"\n  }\n}\n'
    'fields {\n  key: "numerator"\n  value {\n    number_value: 250000\n  }\n}\n'
)
"""As Envoy 1.40 shows them at /runtime."""


@pytest.mark.parametrize(("told", "numerator"), [(BY_ADMIN, 250_000), (BY_RTDS, 250_000), ("75", None)])
def test_a_share_is_read_whichever_way_it_came(told: str, numerator: int | None) -> None:
    assert numerator_of(told) == numerator


def test_a_runtime_resource_carries_its_flags() -> None:
    build = Builder(Surroundings(_nothing, lambda name: 1, lambda name: 1, lambda name: 1))
    body = RuntimeFields((("checkout.v2", 0.25),))
    layer = build.message(RTDS, Resource("rtds0", 2, body)).layer
    assert dict(layer["checkout.v2"]) == {"numerator": 250_000, "denominator": "MILLION"}


def _nothing(*_: object) -> Any:
    raise AssertionError("a runtime resource refers to nothing")


@pytest.fixture(scope="module")
def flipped() -> xs.Scenario:
    return xs.Scenario(
        name="case",
        duration="3s",
        envoy={"preset": "envoy", "runtime_layers": [{"name": "flags", "rtds_layer": {"name": "rtds0"}}]},
        control_plane={"kind": "scripted", "resources": {"runtime": {"count": 1}}},
        workload=[{"runtime_flag": "checkout.v2", "value": "25%", "at": "1s"}],
        recording={"messages": True, "states": True},
    )


@pytest.mark.parametrize(
    "spoil",
    [{"outcome": "pending", "t_active_ns": None}, {"t_active_ns": 1_400_000_000}],
    ids=["never", "late"],
)
def test_a_flip_that_does_not_decide_or_decides_late_is_a_difference(
    flipped: xs.Scenario, spoil: dict[str, Any]
) -> None:
    simulated = xs.run(flipped)
    assert all(row.is_met for row in compare(flipped, simulated, [simulated]))
    tables = {**dict(simulated.tables), "deliveries": simulated.tables["deliveries"].assign(**spoil)}

    rows = compare(flipped, simulated, [Result(tables, simulated.manifest)])

    assert [row.rule for row in rows if not row.is_met] == ["flag checkout.v2"]
