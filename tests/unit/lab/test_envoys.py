"""What the laboratory makes of the logs and files of its Envoys; no Envoy runs."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

import simulator as xs

pytest.importorskip("grpc")
pytest.importorskip("envoy.config.cluster.v3.cluster_pb2")

from simulator.control_plane.scripted import ScriptedControlPlane
from simulator.engine.delays import Constant
from simulator.engine.draws import Draws
from simulator.engine.events import Clock
from simulator.lab.bootstrap import Caller
from simulator.lab.endpoints import Endpoints
from simulator.lab.envoys import Envoys
from simulator.lab.file_tree import ConfigurationFiles
from simulator.lab.log import LogFollower
from simulator.lab.network import Ports
from simulator.lab.played_envoy import PlayedEnvoy, PlayedProcess
from simulator.lab.protobufs import Builder, Surroundings
from simulator.lab.published_files import PublishedFiles
from simulator.lab.pulse import Pulse
from simulator.lab.witness import Witness
from simulator.recording.ledger import ChangeLedger
from simulator.recording.recorder import Recorder
from simulator.scenario.costs import read_calibration
from simulator.scenario.resources import script_of
from simulator.xds.resource_types import RDS
from simulator.xds.resources import Names

MS = 1_000_000
STARTING = {
    "constructed": "info|main|loading 0 static secret(s)",
    "rtds": "debug|init|init manager RTDS initializing",
    "eds": "info|upstream|cm init: initializing secondary clusters",
    "cds": "info|upstream|cm init: initializing cds",
}
"""What Envoy's log says of a start, in this order."""


class LogClock(Clock):
    """Simulated time, which the log's stamps count as well."""

    __slots__ = ()

    def of_log(self, seconds: str) -> int:
        return round(float(seconds) * 1e9)


class Stood:
    """One Envoy of a play, with a log that the test writes and files that the control plane replaces."""

    def __init__(self, scenario: xs.Scenario, directory: Path) -> None:
        calibration = read_calibration(scenario.envoy.calibration, scenario.directory)
        draws, recorder = Draws(1, 0), Recorder(["p0"], messages=True, states=True)
        ledger: ChangeLedger[Names] = ChangeLedger(recorder, Names.minus)
        self.clock = LogClock()
        script = script_of(scenario, calibration, Constant(0))
        self.control_plane = ScriptedControlPlane(script, self.clock, draws, ledger, lambda: [0])
        ports = Ports()
        self.envoys = Envoys(
            scenario,
            calibration,
            recorder,
            ledger,
            self.clock,  # type: ignore[arg-type]  # as far as it is asked here
            self.control_plane,
            ports,
            Endpoints(scenario, draws, ports),
            Pulse(),
            _no_work,
            _fail,
        )
        files, log = None, directory / "log"
        log.touch()
        if scenario.propagation.strategy == "file":
            is_directory = scenario.propagation.watch == "directory"
            files = ConfigurationFiles(directory / "config", is_directory=is_directory)
        around = Surroundings(_no_source, lambda name: 1, lambda name: 1, lambda name: 1)
        self.process = PlayedProcess(Caller(0), 1, Builder(around), [], log)
        self.process.follower = LogFollower(log)
        row = recorder.startup(0, 0, "start", 0)
        self.process.witness = Witness(0, row, self.clock, recorder, ledger)
        self.envoy = self.envoys.of[0] = PlayedEnvoy(0, "p0", directory, files, [self.process])
        if files is not None:
            self.control_plane.on_renamed = self.envoys.on_renamed
            self.control_plane.on_withdrawn = self.envoys.on_withdrawn
            published = PublishedFiles(scenario, calibration, self.control_plane)
            files.replace(published.everything(0), self.process.build)

    def read(self, *lines: str) -> None:
        """The log goes on."""
        with self.process.log.open("a") as log:
            log.writelines(f"{line}\n" for line in lines)
        self.envoys.read_log(self.process)


def _no_work(work: Coroutine[Any, Any, None]) -> None:
    work.close()


def _fail(error: BaseException) -> None:
    raise error


def _no_source(type_: object, name: str) -> Any:
    from envoy.config.core.v3 import config_source_pb2

    return config_source_pb2.ConfigSource()


def scenario(**sections: Any) -> xs.Scenario:
    given = {
        "kind": "scripted",
        "resources": {"clusters": {"count": 1}, "listeners": {"count": 1}, "runtime": {"count": 1}},
        **sections.pop("control_plane", {}),
    }
    envoy = {"preset": "envoy", **sections.pop("envoy", {})}
    return xs.Scenario(name="case", duration="5s", control_plane=given, envoy=envoy, **sections)


# --- with what the script's clock begins

FILES = {"strategy": "file"}
LAYERS = [{"name": "flags", "rtds_layer": {"name": "rtds0"}}]


def bootstrap_of(kind: str) -> dict[str, Any]:
    return {"static": {"clusters": [{"count": 1, "type": kind, "prefix": "s"}]}}


@pytest.mark.parametrize(
    ("sections", "first"),
    [
        ({}, "cds"),
        ({"propagation": FILES}, "cds"),
        ({"envoy": bootstrap_of("static")}, "cds"),
        ({"envoy": bootstrap_of("strict_dns"), "propagation": FILES}, "cds"),
        ({"envoy": bootstrap_of("eds")}, "eds"),
        ({"envoy": bootstrap_of("eds"), "propagation": {"streams": "separate"}}, "eds"),
        ({"envoy": bootstrap_of("eds"), "propagation": FILES}, "constructed"),
        ({"envoy": {"runtime_layers": LAYERS}}, "rtds"),
        ({"envoy": {"runtime_layers": LAYERS, **bootstrap_of("eds")}}, "rtds"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_scripts_clock_begins_with_the_first_subscription(
    sections: dict[str, Any], first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stood, begun = Stood(scenario(**sections), tmp_path), []
    monkeypatch.setattr(stood.control_plane, "begin", begun.append)

    for number, (what, line) in enumerate(STARTING.items()):
        stood.read(f"{number}.5|{line}")
        if begun:
            assert what == first
            break

    assert begun == [list(STARTING).index(first) * 10**9 + 500 * MS]


def test_an_ads_stream_that_opens_tells_of_no_subscription_and_one_for_a_type_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Envoy opens its ADS stream while static clusters are still checked."""
    stood, begun = Stood(scenario(envoy=bootstrap_of("eds")), tmp_path), []
    monkeypatch.setattr(stood.control_plane, "begin", begun.append)

    stood.envoys.attempted(stood.envoy, "ads")
    assert begun == []
    stood.envoys.attempted(stood.envoy, "eds")
    assert len(begun) == 1


# --- files that are withdrawn


@pytest.mark.parametrize("watch", ["path", "directory"])
def test_a_file_the_script_removes_goes_although_no_other_is_replaced(watch: str, tmp_path: Path) -> None:
    pushes: list[dict[str, Any]] = [{"at": "1s", "type": "rds", "remove": ["r0"]}]
    pushes += [{"at": "2s", "type": "rds", "change": ["r0"]}]
    stood = Stood(scenario(propagation={**FILES, "watch": watch}, control_plane={"pushes": pushes}), tmp_path)
    files = stood.envoy.files
    assert files is not None
    path = files.path(RDS, "r0")
    assert path.exists()
    moved = path.parent.resolve()

    stood.control_plane.begin(0)
    stood.clock.run(until_ns=1500 * MS)
    assert not path.exists()
    assert path.parent.resolve() == moved, "nothing was moved into place: Envoy is not told"

    stood.clock.run(until_ns=2500 * MS)
    assert path.exists(), "what is changed afterwards is there again"
