"""Delays in a scenario: a duration, or one distribution with its parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from simulator.engine.clock import DurationError, format_duration, parse_duration
from simulator.engine.delays import Constant, Delay, Empirical, Exponential, Gamma, LogNormal, Uniform
from simulator.scenario.durations import DURATION_PATTERN, LONGEST_NS, duration_ns
from simulator.scenario.problems import REFUSED, Location, described, nearest, refusal, refusals
from simulator.scenario.quantities import JsonSchema

MOST_SAMPLES = 100_000
"""Samples an empirical distribution may have."""

_KINDS = (Constant, Exponential, Uniform, LogNormal, Gamma, Empirical)


@dataclass(frozen=True, slots=True)
class DelayValue:
    """Marks a field that holds a delay."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._read,
            serialization=core_schema.plain_serializer_function_ser_schema(written_delay, when_used="json"),
        )

    def _read(self, value: Any, info: ValidationInfo) -> Delay:
        directory = getattr(info.context, "directory", None)
        return read_delay(value, directory if isinstance(directory, Path) else Path())

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return delay_json_schema()


DelayField = Annotated[Delay, DelayValue()]


def read_delay(value: Any, directory: Path) -> Delay:
    """The delay that `value` describes; files of samples are looked up in `directory`. Raises a `refusal`."""
    if isinstance(value, _KINDS):
        return value
    if not isinstance(value, dict):
        if isinstance(value, list | tuple) or value is None or isinstance(value, bool):
            expected = f"a duration, such as 5ms, or a distribution, such as {_EXAMPLE}"
            raise refusal(f"must be {expected}, not {described(value)}")
        return Constant(duration_ns(value))
    if len(value) != 1:
        raise refusal(f"must name exactly one distribution, such as {_EXAMPLE}; it names {len(value)}")
    (kind, parameters), *_ = value.items()
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        near = nearest(str(kind), _READERS)
        hint = f"did you mean {near!r}?" if near else f"known: {', '.join(_READERS)}"
        raise refusal(f"{kind!r} is no distribution; {hint}", str(kind))
    return reader(parameters, directory)


def written_delay(delay: Any) -> Any:
    """The delay as a scenario file would hold it, samples spelt out."""
    match delay:
        case Constant():
            return format_duration(delay.value_ns)
        case Exponential(mean_ns=mean):
            return {"exponential": {"mean": format_duration(int(mean))}}
        case Uniform(low_ns=low, high_ns=high):
            return {"uniform": [format_duration(int(low)), format_duration(int(high))]}
        case LogNormal(median_ns=median, p99_ns=p99):
            return {"lognormal": {"median": format_duration(int(median)), "p99": format_duration(int(p99))}}
        case Gamma(mean_ns=mean, cv=cv):
            return {"gamma": {"mean": format_duration(int(mean)), "cv": cv}}
        case Empirical(samples_ns=samples):
            return {"empirical": [format_duration(int(sample)) for sample in samples]}
    raise AssertionError(f"no way to write {delay!r}")


def delay_json_schema() -> JsonSchema:
    """The JSON Schema of a delay: text, or a mapping with one distribution."""
    duration: JsonSchema = {"type": "string", "pattern": DURATION_PATTERN}

    def one(kind: str, of: JsonSchema) -> JsonSchema:
        return {"type": "object", "properties": {kind: of}, "required": [kind], "additionalProperties": False}

    def parameters(**of: JsonSchema) -> JsonSchema:
        return {"type": "object", "properties": of, "required": list(of), "additionalProperties": False}

    positive: JsonSchema = {"type": "number", "exclusiveMinimum": 0, "maximum": _MOST_CV}
    return {
        "anyOf": [
            duration,
            one("exponential", parameters(mean=duration)),
            one("uniform", {"type": "array", "items": duration, "minItems": 2, "maxItems": 2}),
            one("lognormal", parameters(median=duration, p99=duration)),
            one("gamma", parameters(mean=duration, cv=positive)),
            one(
                "empirical",
                {"anyOf": [{"type": "string"}, {"type": "array", "items": duration, "minItems": 1}]},
            ),
        ]
    }


_EXAMPLE = "{exponential: {mean: 5ms}}"
_MOST_CV = 100.0


def _exponential(parameters: Any, directory: Path) -> Delay:
    found = _parameters("exponential", parameters, {"mean": "5ms"}, {"mean": _positive_ns})
    return Exponential(found["mean"])


def _uniform(parameters: Any, directory: Path) -> Delay:
    if not isinstance(parameters, list | tuple) or len(parameters) != 2:
        raise refusal(
            f"must be the two ends of the range, such as [1ms, 2ms], not {described(parameters)}", "uniform"
        )
    low, high = (duration_ns(end, "uniform", position) for position, end in enumerate(parameters))
    if low > high:
        raise refusal("the first end of the range must not be longer than the second", "uniform")
    return Uniform(low, high)


def _lognormal(parameters: Any, directory: Path) -> Delay:
    example = {"median": "2ms", "p99": "20ms"}
    found = _parameters("lognormal", parameters, example, {"median": _positive_ns, "p99": _positive_ns})
    if found["p99"] < found["median"]:
        raise refusal("p99 must not be shorter than the median", "lognormal", "p99")
    return LogNormal(found["median"], found["p99"])


def _gamma(parameters: Any, directory: Path) -> Delay:
    found = _parameters(
        "gamma", parameters, {"mean": "5ms", "cv": "0.5"}, {"mean": _positive_ns, "cv": _variation}
    )
    return Gamma(found["mean"], found["cv"])


def _empirical(parameters: Any, directory: Path) -> Delay:
    if isinstance(parameters, str):
        return Empirical(tuple(sorted(_samples_in(directory / parameters, parameters))))
    if not isinstance(parameters, list | tuple) or not parameters:
        raise refusal(
            f"must name a CSV file, or be a list of durations, not {described(parameters)}", "empirical"
        )
    if len(parameters) > MOST_SAMPLES:
        raise refusal(f"holds more than {MOST_SAMPLES} samples", "empirical")
    return Empirical(tuple(sorted(duration_ns(each, "empirical", i) for i, each in enumerate(parameters))))


_READERS: dict[str, Callable[[Any, Path], Delay]] = {
    "exponential": _exponential,
    "uniform": _uniform,
    "lognormal": _lognormal,
    "gamma": _gamma,
    "empirical": _empirical,
}


DISTRIBUTIONS = tuple(_READERS)
"""The names of the distributions."""


def _parameters(
    kind: str, given: Any, example: dict[str, str], readers: dict[str, Callable[[Any, Location], Any]]
) -> dict[str, Any]:
    """The parameters of a distribution, every problem of theirs reported."""
    shown = ", ".join(f"{name}: {value}" for name, value in example.items())
    if not isinstance(given, dict):
        raise refusal(f"must be a mapping, such as {{{shown}}}, not {described(given)}", kind)
    found: list[tuple[Location, str]] = []
    for name in given:
        if name not in readers:
            near = nearest(str(name), readers)
            hint = f"did you mean {near!r}?" if near else f"known: {', '.join(readers)}"
            found.append(((kind, str(name)), f"unknown key; {hint}"))
    values: dict[str, Any] = {}
    for name, reader in readers.items():
        if name not in given:
            found.append(((kind,), f"lacks {name}: write {{{shown}}}"))
            continue
        try:
            values[name] = reader(given[name], (kind, name))
        except PydanticCustomError as error:
            found.extend(
                (error.context or {})["found"] if error.type == REFUSED else [((kind, name), str(error))]
            )
    if found:
        raise refusals(found)
    return values


def _positive_ns(value: Any, within: Location) -> int:
    found = duration_ns(value, *within)
    if found == 0:
        raise refusal("must be more than 0s: write 0s in place of the distribution for no delay", *within)
    return found


def _variation(value: Any, within: Location) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refusal(f"must be a number (standard deviation / mean), not {described(value)}", *within)
    if not (math.isfinite(value) and 0 < value <= _MOST_CV):
        raise refusal(f"must be above 0 and at most {_MOST_CV:g}, not {value}", *within)
    return float(value)


def _samples_in(path: Path, name: str) -> list[int]:
    """The durations in the first column of a CSV file; a first line without any digit is its heading."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise refusal(f"{name}: is not UTF-8 text", "empirical") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a usable file name"
        raise refusal(f"{name[:200]}: cannot be read: {reason}", "empirical") from None
    samples: list[int] = []
    for number, line in enumerate(text.splitlines(), start=1):
        cell = line.split(",", 1)[0].strip()
        if not cell or cell.startswith("#") or (not samples and not any(c.isdigit() for c in cell)):
            continue
        samples.append(_sample(cell, f"{name}:{number}"))
    if not samples:
        raise refusal(f"{name}: holds no duration", "empirical")
    if len(samples) > MOST_SAMPLES:
        raise refusal(f"{name}: holds more than {MOST_SAMPLES} samples", "empirical")
    return samples


def _sample(cell: str, place: str) -> int:
    try:
        sample = parse_duration(cell[:200])
    except DurationError:
        raise refusal(f"{place}: {described(cell)} is no duration, such as 2.5ms", "empirical") from None
    if not 0 <= sample <= LONGEST_NS:
        raise refusal(f"{place}: must be from 0s to ten years, not {cell[:40]}", "empirical")
    return sample
