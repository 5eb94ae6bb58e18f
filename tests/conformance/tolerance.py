"""How near to a measured Envoy the model must come: the tolerances of every conformance test, stated once.

The order of events must be equal. A measured step of 20 ms or more must be met within 20 ms or 5 %,
whichever is more; a shorter one within 2 ms or 30 %, yet never at less than half of what was measured,
so that a model without costs fails. A measured range must hold the value, at the digits the range is
stated with. A law is judged by the Kolmogorov-Smirnov test at 1 %. All times are in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import kolmogorov

MS = 1e-3
LONG_STEP = 20 * MS
LEVEL = 0.01


def allowed(measured: float) -> tuple[float, float]:
    """The band around a measured step."""
    if measured >= LONG_STEP:
        slack = max(20 * MS, 0.05 * measured)
        return measured - slack, measured + slack
    slack = max(2 * MS, 0.30 * measured)
    return max(measured - slack, measured / 2), measured + slack


def is_close(actual: float | None, measured: float) -> bool:
    """Whether a step is near enough to the measured one."""
    low, high = allowed(measured)
    return actual is not None and low <= actual <= high


def assert_close(actual: float | None, measured: float, what: str = "step") -> None:
    """The step is near enough to the measured one."""
    assert is_close(actual, measured), f"{what}: {_shown(actual)}, measured {_shown(measured)}"


def is_inside(actual: float | None, low: float, high: float, *, unit: float = MS) -> bool:
    """Whether a value lies in a measured range, read at the digits of its bounds in the given unit."""
    if actual is None:
        return False
    digits = max(_digits(low / unit), _digits(high / unit))
    return round(low / unit, digits) <= round(actual / unit, digits) <= round(high / unit, digits)


def assert_inside(
    actual: float | None, low: float, high: float, what: str = "value", *, unit: float = MS
) -> None:
    """The value lies in the measured range."""
    assert is_inside(actual, low, high, unit=unit), (
        f"{what}: {_shown(actual)}, measured {_shown(low)} to {_shown(high)}"
    )


def ks_p_value(samples: Sequence[float], cdf: Callable[[float], float]) -> float:
    """How probable a Kolmogorov-Smirnov distance this large is under the law."""
    at = np.array([cdf(x) for x in sorted(samples)])
    n = len(at)
    steps = np.arange(n + 1) / n
    distance = max(float((steps[1:] - at).max()), float((at - steps[:-1]).max()))
    # Stephens' correction makes the asymptotic law good for small samples.
    return float(kolmogorov(distance * (math.sqrt(n) + 0.12 + 0.11 / math.sqrt(n))))


def assert_law(samples: Sequence[float], cdf: Callable[[float], float], what: str = "law") -> None:
    """The samples follow the law, as far as a test at 1 % can tell."""
    p = ks_p_value(samples, cdf)
    assert p > LEVEL, f"{what}: {len(samples)} samples have p = {p:.2g}"


def uniform_cdf(low: float, high: float) -> Callable[[float], float]:
    """The uniform law on [low, high)."""
    return lambda x: min(1.0, max(0.0, (x - low) / (high - low)))


def _digits(number: float) -> int:
    text = f"{number:.6f}".rstrip("0")
    return len(text.split(".")[1])


def _shown(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds * 1e3:.4g} ms"
