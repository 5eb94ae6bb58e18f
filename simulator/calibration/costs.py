"""Cost formulas of one Envoy's main thread, read from a calibration file.

A cost is a *law* (a delay, drawn per job) or a set of *coefficients* of a formula over counts. The formulas
are written once, in integer nanoseconds, and take scalars or numpy arrays alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml
from numpy.typing import NDArray

from simulator.engine.clock import parse_duration
from simulator.engine.delays import Constant, Delay, Uniform

Count = TypeVar("Count", int, NDArray[np.int64])
Coefficients = Mapping[str, int]
Law = Delay | Coefficients

ZERO = Constant(0)
SHIPPED = "envoy-1.40"
_SHIPPED_FILE = Path(__file__).with_name(f"{SHIPPED}.yaml")


class CalibrationError(ValueError):
    """A calibration file that cannot be used, with the reason and the file."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the numbers of a calibration file come from; empty where it does not say.

    Attributes:
        envoy: Version of Envoy.
        host: The machine, in words.
        date: When, as YYYY-MM-DD.
        n: How much was measured, in words.
    """

    envoy: str = ""
    host: str = ""
    date: str = ""
    n: str = ""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What one calibration file says.

    Attributes:
        name: Shipped name or file path.
        origin: Where and when it was measured.
        costs: Cost key to its law or its coefficients (ns).
        loopback: One-way latency of the link it was measured on.
        answer: Time a scripted control plane takes to answer a request.
        sizes_bytes: Encoded sizes by resource kind.
    """

    name: str
    origin: Origin
    costs: Mapping[str, Law]
    loopback: Delay
    answer: Delay
    sizes_bytes: Mapping[str, int]


def _delay(value: object, where: str) -> Delay:
    if isinstance(value, str):
        return Constant(parse_duration(value))
    if isinstance(value, Mapping) and list(value) == ["uniform"]:
        low, high = value["uniform"]
        return Uniform(parse_duration(low), parse_duration(high))
    raise CalibrationError(f"{where}: expected a duration or {{uniform: [low, high]}}, found {value!r}")


PROSE = ("source", "assumption")
"""Keys of an entry that say where its numbers come from."""


def law_of(key: str, entry: object, where: str) -> Law:
    """The law of one entry under `costs`: its `value`, else coefficients. `source`, `assumption` are prose.

    Raises:
        CalibrationError: It is neither; the message says where.
    """
    if not isinstance(entry, Mapping):
        raise CalibrationError(f"{where}: costs.{key}: expected a mapping with `value` or coefficients")
    if "value" in entry:
        return _delay(entry["value"], f"{where}: costs.{key}")
    coefficients = {str(name): parse_duration(str(text)) for name, text in entry.items() if name not in PROSE}
    negative = [name for name, value_ns in coefficients.items() if value_ns < 0]
    if negative:
        raise CalibrationError(f"{where}: costs.{key}: negative: {', '.join(negative)}")
    return coefficients


def load_calibration(name: str = SHIPPED) -> Calibration:
    """Reads a shipped calibration by name, or a file by path.

    Raises:
        CalibrationError: The file is missing or does not hold what it should.
    """
    if name == SHIPPED:
        return _shipped()
    calibration = _read(name, Path(name))
    _check_against_shipped(calibration, Path(name).name)
    return calibration


def plain_yaml(path: Path) -> Any:
    """What a YAML file holds, read by libyaml where PyYAML was built with it: ten times faster."""
    return yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def shipped_data() -> dict[str, Any]:
    """The shipped file as it is written, prose and all: what another calibration file is made after."""
    data: dict[str, Any] = plain_yaml(_SHIPPED_FILE)
    return data


@lru_cache(maxsize=1)
def _shipped() -> Calibration:
    return _read(SHIPPED, _SHIPPED_FILE)


def _read(name: str, path: Path) -> Calibration:
    try:
        data = plain_yaml(path)
        costs = {str(k): law_of(str(k), v, path.name) for k, v in data["costs"].items()}
        sizes = {str(k): int(v) for k, v in data["sizes_bytes"].items() if k != "source"}
        loopback = _delay(data["network"]["loopback"]["value"], f"{path.name}: network.loopback")
        origin = Origin(**{key: str(data.get(key, "")) for key in ("envoy", "host", "date", "n")})
        answer = _delay(data["control_plane"]["answer"]["value"], f"{path.name}: control_plane.answer")
    except CalibrationError:
        raise
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise CalibrationError(f"{path}: cannot be read as a calibration file: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise CalibrationError(f"{path.name}: not a calibration file: {error!r}") from error
    if any(size < 0 for size in sizes.values()):
        raise CalibrationError(f"{path.name}: sizes_bytes: must not be negative")
    return Calibration(name, origin, costs, loopback, answer, sizes)


def _check_against_shipped(given: Calibration, where: str) -> None:
    """A file has the keys of the shipped one, no more and no less; a law cannot become a formula."""
    shipped = _shipped()
    missing = [f"sizes_bytes.{k}" for k in shipped.sizes_bytes if k not in given.sizes_bytes]
    unknown = [f"sizes_bytes.{k}" for k in given.sizes_bytes if k not in shipped.sizes_bytes]
    check_costs(given.costs, shipped.costs, where, missing, unknown)


def check_costs(
    given: Mapping[str, Law],
    shipped: Mapping[str, Law],
    where: str,
    missing: Sequence[str] = (),
    unknown: Sequence[str] = (),
) -> None:
    """Costs have the keys of the shipped ones, no more and no less; a law cannot become a formula.

    Args:
        given: What a file says.
        shipped: What it is held against.
        where: Name of the file.
        missing: Other keys it lacks.
        unknown: Other keys it should not have.

    Raises:
        CalibrationError: With every missing and unknown key.
    """
    missing = [f"costs.{k}" for k in shipped if k not in given] + list(missing)
    unknown = [f"costs.{k}" for k in given if k not in shipped] + list(unknown)
    for key, law in shipped.items():
        coefficients = given.get(key)
        if not isinstance(coefficients, Mapping):
            continue
        known = law if isinstance(law, Mapping) else {}
        missing += [f"costs.{key}.{c}" for c in known if c not in coefficients]
        unknown += [f"costs.{key}.{c}" for c in coefficients if c not in known]
        if not known and not coefficients:
            missing.append(f"costs.{key}.value")
    if missing or unknown:
        said = [f"missing {', '.join(missing)}"] if missing else []
        said += [f"unknown {', '.join(unknown)}"] if unknown else []
        raise CalibrationError(f"{where}: {'; '.join(said)}")


def zero_costs(costs: Mapping[str, Law]) -> dict[str, Law]:
    """Every cost switched off, so that a protocol timing can be seen bare."""
    return dict.fromkeys(costs, ZERO)


def with_overrides(costs: Mapping[str, Law], overrides: Mapping[str, Law]) -> dict[str, Law]:
    """Costs with some replaced; new coefficients are put over the old ones of the same key."""
    result = dict(costs)
    for key, law in overrides.items():
        old = result[key]
        result[key] = {**old, **law} if isinstance(law, Mapping) and isinstance(old, Mapping) else law
    return result


def cds_cost_ns(
    c: Coefficients,
    *,
    is_delta: bool,
    present: Count,
    added: Mapping[str, Count],
    changed: Mapping[str, Count],
    removed: Count,
    is_quiet: bool,
    starts_eds: bool,
    is_first_static: bool,
) -> Count:
    """Main-thread cost of one CDS update.

    Args:
        c: Coefficients of ``cds``.
        is_delta: Delta protocol; otherwise the whole state was sent and every cluster is hashed.
        present: Clusters in the response.
        added: New clusters by type (static, strict_dns, eds).
        changed: Changed clusters by type.
        removed: Clusters removed.
        is_quiet: Nothing added, changed or removed.
        starts_eds: EDS subscriptions start within this update.
        is_first_static: The first update of start-up, and all its clusters are STATIC: it initializes
            them as well.
    """
    form = "delta" if is_delta else "sotw"
    total = present * c[f"{form}_per_present"] + removed * c["per_removed"]
    for kind, count in added.items():
        total = total + count * c[f"per_added_{kind}"]
    for kind, count in changed.items():
        total = total + count * c[f"{form}_per_changed_{kind}"]
    if starts_eds:
        total = total + c["eds_subscription"]
    if is_first_static:
        total = total + c["first_static"]
    return total + (c["unchanged_fixed"] if is_quiet else c[f"{form}_fixed"])


def eds_cost_ns(
    c: Coefficients, *, is_delta: bool, present: Count, first: Count, endpoints: Count, has_first: bool
) -> Count:
    """Main-thread cost of one EDS update of ``present`` assignments, ``first`` of them a cluster's first one,
    with ``endpoints`` in the assignments that differ."""
    form = "delta" if is_delta else "sotw"
    per_count = present * c[f"{form}_per_present"] + first * c[f"{form}_per_first"]
    return per_count + endpoints * c[f"{form}_per_endpoint"] + c["first_fixed" if has_first else "fixed"]


def lds_cost_ns(
    c: Coefficients,
    *,
    is_delta: bool,
    present: Count,
    built: Count,
    removed: Count,
    has_built: bool,
    has_removed: bool,
    starts_rds: bool,
) -> Count:
    """Main-thread cost of one LDS update of ``present`` listeners, ``built`` of them new or changed."""
    form = "delta" if is_delta else "sotw"
    fixed = c[f"{form}_fixed"] if has_built else c["removed_fixed"] if has_removed else c["unchanged_fixed"]
    if starts_rds:
        fixed += c["rds_subscription"]
    return present * c[f"{form}_per_present"] + built * c["per_built"] + removed * 0 + fixed


def rds_cost_ns(c: Coefficients, *, virtual_hosts: Count, is_first: bool, is_initializing: bool) -> Count:
    """Main-thread cost of one RDS update whose changed tables hold ``virtual_hosts`` virtual hosts."""
    fixed = (
        "first_fixed_initializing" if is_first and is_initializing else "first_fixed" if is_first else "fixed"
    )
    return virtual_hosts * c["per_virtual_host"] + c[fixed]
