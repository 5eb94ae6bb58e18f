"""One page of one run and one comparison, with everything inside."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import simulator as xs
from simulator.cli.main import main


def mesh(**more: object) -> xs.Scenario:
    return xs.Scenario(
        name="little-mesh",
        question="How <slow> is it?",
        duration="8s",
        mesh={"proxies": 2, "services": 2},
        control_plane={"kind": "istiod"},
        workload=[{"edit": "VirtualService", "at": "1s"}],
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.slow
def test_a_page_of_a_run_and_a_comparison_needs_nothing_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    xs.run(mesh(expect=["max(active_delay) < 1ms", "count(changes) == 1"])).save(tmp_path / "run")
    xs.compare(
        mesh(),
        {"control_plane.debounce.after": ["100ms", "1s"]},
        replications=2,
        executor="serial",
        out=tmp_path / "cmp",
    )
    path = tmp_path / "page.html"
    words = ["report", str(tmp_path / "run"), str(tmp_path / "cmp"), "--out", str(path)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert str(path) in said
    for directory, figure in (("run", "convergence"), ("cmp", "comparison")):
        assert f"figures: {tmp_path / directory}  (" in said
        assert {f"{figure}.png", f"{figure}.svg"} <= {file.name for file in (tmp_path / directory).iterdir()}
    text = path.read_text()
    assert "How &lt;slow&gt; is it?" in text
    assert "<slow>" not in text
    assert text.count("NOT MET") == 1
    assert text.count('class="met">met<') == 1
    assert "Bottleneck:" in text
    assert "Bottlenecks of active_delay" in text
    assert re.search(r">100ms</td><td class=\"text\">p99</td><td class=\"text\">debounce</td><td>9\d %", text)
    assert "* too few samples" in text
    assert "1s - 100ms, replication by replication" in text
    assert re.search(r">mean</td><td>\+\d", text)
    assert text.count("<section>") == 2
    assert text.count("data:image/svg+xml;base64,") >= 3
    assert not re.search(r'(src|href)="(?!data:)', text)
    before = path.read_bytes()
    assert main(words) == 0
    assert path.read_bytes() == before


def test_what_is_no_results_directory_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "manifest.json" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
