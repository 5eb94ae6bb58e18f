"""Files: read with their subscription and after each rename, without timers or answers."""

from __future__ import annotations

from tests.playing import Play, play


def files(**keywords: object) -> Play:
    return play(strategy="file", **keywords)


def test_no_message_travels() -> None:
    played = files()
    assert played.startup.outcome == "live"
    assert played.messages() == []


def test_a_file_that_does_not_exist_ends_the_process_f2() -> None:
    for type_ in ("cds", "lds"):
        assert files(answers={type_: {"never": True}}).startup.outcome == "exited", type_


def test_a_missing_endpoint_file_refuses_its_cluster_alone() -> None:
    played = files(clusters={"count": 2, "type": "eds"}, answers={"eds": {"omit": ["c1"]}}, traffic="10/s")
    assert played.startup.outcome == "live"
    assert {name for name in ("c0", "c1") if played.states("cluster", name)} == {"c0"}
    assert played.outcome_at(5.0) == "200"


def test_a_rename_is_read_at_once() -> None:
    played = files(pushes=[{"at": "5s", "type": "rds", "change": ["r0"]}])
    delivery = played.delivery()
    assert (delivery.outcome, delivery.carried_by) == ("active", "file")
    assert delivery.t_received_ns == delivery.t_changed_ns


def test_a_file_that_cannot_be_parsed_changes_nothing() -> None:
    played = files(pushes=[{"at": "5s", "type": "cds", "change": ["c0"], "reject": "decode"}], traffic="10/s")
    assert played.delivery().outcome == "rejected"
    assert played.outcome_at(10.0) == "200"


def test_a_watched_directory_takes_longer_than_a_path() -> None:
    pushes = [{"at": "5s", "type": "rds", "change": ["r0"]}]
    by_path = files(pushes=pushes).delivery()
    by_directory = files(pushes=pushes, propagation={"watch": "directory"}).delivery()
    assert by_directory.t_applied_ns > by_path.t_applied_ns
