"""What may stand behind --over, and what is refused with the reason."""

import pytest

from simulator.experiment.errors import ExperimentError
from simulator.experiment.values import Range, parse_over, read_values, value_text


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("propagation.strategy=push,poll, long-poll", "propagation.strategy", ["push", "poll", "long-poll"]),
        ("mesh.proxies=10,100", "mesh.proxies", [10, 100]),
        ("mesh.scope=25%,{services: 20},all", "mesh.scope", ["25%", {"services": 20}, "all"]),
        ("a=[1, 2],'x,y'", "a", [[1, 2], "x,y"]),
        ("a.b=true,null", "a.b", [True, None]),
        ("a=1", "a", [1]),
    ],
)
def test_values_are_read_as_in_a_file(text: str, key: str, values: list[object]) -> None:
    assert parse_over(text) == (key, values)


@pytest.mark.parametrize("text", ["", "a", "a=", "=1", "a=1,,2", "a=1,", "a={b", "a= "])
def test_what_varies_nothing_is_refused(text: str) -> None:
    with pytest.raises(ExperimentError):
        parse_over(text)


def test_a_range_is_read_with_its_scale() -> None:
    assert parse_over("d=50ms..1s") == ("d", Range("50ms", "1s"))
    assert parse_over("cpu=1..32 log") == ("cpu", Range("1", "32", True))
    assert read_values("d", "50ms..1s") == Range("50ms", "1s")


@pytest.mark.parametrize(
    ("given", "share", "value"),
    [
        (Range("100ms", "300ms"), 0.5, "200ms"),
        (Range("10ms", "1s", True), 0.5, "100ms"),
        (Range("1", "32"), 0.5, 16),
        (Range("1.0", "2.0"), 0.25, 1.25),
        (Range("10%", "50%"), 0.5, "30%"),
        (Range("100ms", "10s"), 1.0, "10s"),
    ],
)
def test_a_share_of_a_range_is_a_value_a_file_could_hold(given: Range, share: float, value: object) -> None:
    assert given.at(share) == value


@pytest.mark.parametrize(
    "given", [Range("1s", "1s"), Range("2", "1"), Range("a", "b"), Range("1%", "2"), Range("0", "9", True)]
)
def test_a_range_that_is_none_is_refused(given: Range) -> None:
    with pytest.raises(ExperimentError, match="key="):
        given.check("key")


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (None, "null"), (0.5, "0.5"), ("5s", "5s"), ({"services": 20}, "{services: 20}")],
)
def test_a_value_as_people_write_it(value: object, text: str) -> None:
    assert value_text(value) == text


@pytest.mark.parametrize("values", [[], 5, {"a": 1}])
def test_python_gives_a_list_of_values(values: object) -> None:
    with pytest.raises(ExperimentError):
        read_values("key", values)
