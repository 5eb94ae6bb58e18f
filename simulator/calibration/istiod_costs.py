"""Cost formulas of one istiod, read from a calibration file.

As for Envoy, a cost is a *law* (a delay, drawn per job) or a set of *coefficients* of a formula over counts;
the formulas are in integer nanoseconds and take scalars or numpy arrays alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from simulator.calibration.costs import (
    CalibrationError,
    Coefficients,
    Count,
    Law,
    check_costs,
    law_of,
    plain_yaml,
)

ISTIOD_SHIPPED = "istiod-1.32"
_SHIPPED_FILE = Path(__file__).with_name(f"{ISTIOD_SHIPPED}.yaml")

_PARTS = {"eds": "eds_per_endpoint", "rds": "rds_per_virtual_host", "nds": "nds_per_service"}
"""What a resource of a type is made of, where that costs more than the resource itself."""


@dataclass(frozen=True, slots=True)
class IstiodCalibration:
    """What one calibration file says.

    Attributes:
        name: Shipped name or file path.
        costs: Cost key to its law or its coefficients (ns).
    """

    name: str
    costs: Mapping[str, Law]


def load_istiod_calibration(name: str = ISTIOD_SHIPPED) -> IstiodCalibration:
    """Reads the shipped calibration by name, or a file by path.

    Raises:
        CalibrationError: The file is missing or does not hold what it should.
    """
    if name == ISTIOD_SHIPPED:
        return _shipped()
    calibration = _read(name, Path(name))
    check_costs(calibration.costs, _shipped().costs, Path(name).name)
    return calibration


def shipped_istiod_data() -> dict[str, Any]:
    """The shipped file as it is written, prose and all."""
    data: dict[str, Any] = plain_yaml(_SHIPPED_FILE)
    return data


@lru_cache(maxsize=1)
def _shipped() -> IstiodCalibration:
    return _read(ISTIOD_SHIPPED, _SHIPPED_FILE)


def _read(name: str, path: Path) -> IstiodCalibration:
    try:
        data = plain_yaml(path)
        costs = {str(k): law_of(str(k), v, path.name) for k, v in data["costs"].items()}
    except CalibrationError:
        raise
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise CalibrationError(f"{path}: cannot be read as a calibration file: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise CalibrationError(f"{path.name}: not a calibration file: {error!r}") from error
    return IstiodCalibration(name, costs)


def registry_task_cost_ns(c: Coefficients, *, endpoints: Count) -> Count:
    """One task of the registry's queue about a service of ``endpoints`` endpoints."""
    return endpoints * c["per_endpoint"] + c["fixed"]


def push_context_cost_ns(c: Coefficients, *, services: Count, configs: Count, scope_services: Count) -> Count:
    """One PushContext: copied from the last one but for what is indexed anew.

    Args:
        c: Coefficients of ``push_context``.
        services: Services indexed anew; 0 where no service changed.
        configs: Other objects of the kinds indexed anew.
        scope_services: Visible services summed over the sidecar scopes computed here; 0 where they are lazy.
    """
    indexed = services * c["per_service"] + configs * c["per_config"]
    return indexed + scope_services * c["per_scope_service"] + c["fixed"]


def fan_out_cost_ns(c: Coefficients, *, connections: Count) -> Count:
    """Enqueuing one push for ``connections`` connections."""
    return connections * c["per_connection"]


def push_cost_ns(c: Coefficients, *, recomputes: bool) -> int:
    """One push to one proxy before anything is generated.

    Args:
        c: Coefficients of ``push``.
        recomputes: The proxy's state is computed anew: the push is not about endpoints alone.
    """
    return c["fixed"] + (c["proxy_state"] if recomputes else 0)


def sidecar_scope_cost_ns(c: Coefficients, *, services: Count) -> Count:
    """One sidecar scope of ``services`` visible services, computed when a proxy first needs it."""
    return services * c["per_service"] + c["fixed"]


def generate_cost_ns(c: Coefficients, type_name: str, *, misses: Count, hits: Count, parts: Count) -> Count:
    """Generating one response, encoding of its resources included.

    Args:
        c: Coefficients of ``generate``.
        type_name: Short name of the resource type.
        misses: Resources that are generated.
        hits: Resources found in the cache.
        parts: What the generated ones are made of: endpoints (eds), virtual hosts (rds), services (nds); 0
            for other types.
    """
    per_resource = misses * c.get(f"{type_name}_per_miss", 0) + hits * c.get(f"{type_name}_per_hit", 0)
    return per_resource + parts * c.get(_PARTS.get(type_name, ""), 0) + c[f"{type_name}_fixed"]


def marshal_cost_ns(c: Coefficients, *, size_bytes: Count) -> Count:
    """Framing and encrypting one response of ``size_bytes``."""
    return size_bytes * c["per_kib"] // 1024 + c["fixed"]
