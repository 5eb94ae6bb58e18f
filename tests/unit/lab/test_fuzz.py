"""Invented scenarios and making them small; no Envoy is needed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import simulator as xs

pytest.importorskip("grpc")
pytest.importorskip("envoy.config.cluster.v3.cluster_pb2")

from simulator.lab.fuzz import written
from simulator.lab.inventions import Mapping, invented
from simulator.lab.playable import reasons_against
from simulator.lab.shrink import shrunk, simpler


def test_the_same_seed_and_number_invent_the_same_scenario() -> None:
    assert invented(7, 3) == invented(7, 3)
    assert invented(7, 3) != invented(7, 4)
    assert invented(8, 3) != invented(7, 3)


def test_what_is_invented_can_be_played_and_varies() -> None:
    mappings = [invented(1, number) for number in range(25)]
    assert all(reasons_against(xs.Scenario(**mapping)) == [] for mapping in mappings)
    assert {mapping["propagation"]["strategy"] for mapping in mappings} == {"push", "poll", "file"}
    assert any(mapping["control_plane"].get("answers") for mapping in mappings)


def test_a_saved_scenario_is_the_same_when_read_again(tmp_path) -> None:  # type: ignore[no-untyped-def]
    mapping = invented(2, 5)
    path = tmp_path / "case.yaml"
    path.write_text(written(mapping))
    assert xs.load_scenario(path).control_plane == xs.Scenario(**mapping).control_plane


def test_what_does_not_matter_is_left_out() -> None:
    """The disagreement is in one push: everything else goes."""
    mapping = invented(1, 0)
    needed = {"at": "2560ms", "type": "cds", "change": ["c0"]}
    other = {"at": "3360ms", "type": "lds", "change": ["l0"]}
    mapping["control_plane"]["pushes"] = [needed, other]

    def differing(tried: Sequence[Mapping]) -> list[list[str]]:
        return [["messages cds"] if needed in one["control_plane"]["pushes"] else [] for one in tried]

    small = shrunk(mapping, ["messages cds"], differing, most=200, at_once=2)
    assert small["control_plane"]["pushes"] == [needed]
    assert not small["control_plane"].get("answers")
    assert len(small["control_plane"]["resources"]["clusters"]) == 1
    assert list(simpler(small)) == [] or all(
        needed not in m["control_plane"]["pushes"] for m in simpler(small)
    )


def test_shrinking_ends_after_so_many_plays() -> None:
    played: list[Mapping] = []

    def differing(tried: Sequence[Mapping]) -> list[list[str]]:
        played.extend(tried)
        return [["order"] for _ in tried]

    shrunk(invented(1, 0), ["order"], differing, most=3)
    assert len(played) == 3
