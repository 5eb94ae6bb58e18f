from simulator.cli.main import main


def test_good_files_are_named_and_end_with_0(scenario_file, capsys):
    paths = [str(scenario_file(name=name)) for name in ("a.yaml", "b.yaml")]
    assert main(["validate", *paths]) == 0
    assert capsys.readouterr().out == f"{paths[0]}: ok\n{paths[1]}: ok\n"


def test_every_problem_of_every_file_is_printed_and_ends_with_2(scenario_file, capsys):
    first = str(scenario_file("duraton: 5s\nseed: -1\n", "first.yaml"))
    good = str(scenario_file(name="good.yaml"))
    last = str(scenario_file("mesh: {proxies: lots}\n", "last.yaml"))
    assert main(["validate", first, good, last]) == 2
    captured = capsys.readouterr()
    assert captured.out == f"{good}: ok\n"
    places = [line.split(": ")[:2] for line in captured.err.splitlines()]
    assert places == [[f"{first}:1", "duraton"], [f"{first}:2", "seed"], [f"{last}:1", "mesh.proxies"]]
