"""The table of resource types is what the protocol text says."""

from __future__ import annotations

import pickle

import pytest

from simulator.xds.resource_types import CDS, LDS, RESOURCE_TYPES, resource_type


def test_the_types_of_the_protocol_are_all_there() -> None:
    assert list(RESOURCE_TYPES) == ["cds", "eds", "lds", "rds", "srds", "vhds", "sds", "ecds", "rtds"]


def test_only_clusters_listeners_and_scopes_are_subscribed_without_names() -> None:
    assert [name for name, row in RESOURCE_TYPES.items() if row.wildcard] == ["cds", "lds", "srds"]


def test_only_clusters_listeners_and_scopes_are_removed_by_their_absence() -> None:
    assert [name for name, row in RESOURCE_TYPES.items() if row.states_all] == ["cds", "lds", "srds"]


def test_make_before_break_order_is_clusters_endpoints_listeners_scopes_routes() -> None:
    ranked = sorted(RESOURCE_TYPES.values(), key=lambda row: row.push_order)
    assert [row.name for row in ranked[:6]] == ["cds", "eds", "lds", "srds", "rds", "vhds"]
    assert len({row.push_order for row in ranked}) == len(ranked)


def test_type_urls_are_those_of_the_protocol_buffers() -> None:
    assert CDS.type_url == "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    assert LDS.type_url == "type.googleapis.com/envoy.config.listener.v3.Listener"
    assert len({row.type_url for row in RESOURCE_TYPES.values()}) == len(RESOURCE_TYPES)


def test_a_type_stays_the_same_row_when_it_travels_between_processes() -> None:
    assert pickle.loads(pickle.dumps(CDS)) is CDS


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(KeyError):
        resource_type("xds")
