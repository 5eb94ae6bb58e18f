"""From rows of measured times to the costs of a calibration file.

Every row is a sum of costs (`simulator/calibration/costs.py` has the formulas); the loopback round trip is in
those that are measured by ACK. A difference that noise makes negative is zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from simulator.calibration.costs import load_calibration
from simulator.lab.fits import Fit, fit

FORMS: Final = ("sotw", "delta")
_LEAST_LOOPBACK_US: Final = 20.0
_SIZES: Final = load_calibration().sizes_bytes

Law = float | tuple[float, float] | Mapping[str, float]
"""A value, the ends of a uniform law, or coefficients, in microseconds."""


@dataclass(frozen=True, slots=True)
class Solved:
    """One cost, and the rows it comes from."""

    law: Law
    rows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Solution:
    """What the rows say.

    Attributes:
        loopback_us: One way.
        answer_us: From reading a request to writing its answer.
        costs: By key of the calibration file; what was not measured is not in it.
        fits: Every row's line.
    """

    loopback_us: float
    answer_us: float
    costs: Mapping[str, Solved]
    fits: Mapping[str, Fit]


def solve(rows: Mapping[str, list[tuple[int, float]]]) -> Solution:
    """Costs of measured rows; raises KeyError where a row is missing."""
    return _Solver(rows).solution()


class _Solver:
    """One set of rows."""

    def __init__(self, rows: Mapping[str, list[tuple[int, float]]]) -> None:
        self._rows = rows
        self._fits = {name: fit(points) for name, points in rows.items()}
        smallest = [us for form in FORMS for size, us in rows[f"rds.{form}.one_changed"] if size == 1]
        # A push that waits for nobody, less one in the middle of a burst: both hops of the loopback.
        self._burst = self._at("rds.burst")
        self._hops = max(2 * _LEAST_LOOPBACK_US, fit([(1, us) for us in smallest]).intercept_us - self._burst)

    def solution(self) -> Solution:
        costs: dict[str, Solved] = {}
        for key, solved in {**self._start(), **self._types(), **self._paths()}.items():
            costs[key] = solved
        return Solution(self._hops / 2, self._at("server.answer"), costs, self._fits)

    # --- reading rows

    def _at(self, row: str, size: int = 0) -> float:
        """A time without what varies: the intercept, or the line at a size."""
        found = self._fits[row]
        return found.intercept_us + found.slope_us * size

    def _slope(self, row: str) -> float:
        return self._fits[row].slope_us

    def _mean_slope(self, kind: str, row: str, less: Mapping[str, float]) -> float:
        """The mean over both forms, of what each resource adds beyond being in the response."""
        return sum(_more(self._slope(f"{kind}.{form}.{row}"), less[form]) for form in FORMS) / len(FORMS)

    # --- the types

    def _types(self) -> dict[str, Solved]:
        cds, eds, lds = self._cds(), self._eds(), self._lds()
        rds = {
            "fixed": self._burst,
            "per_virtual_host": sum(self._slope(f"rds.{form}.one_changed") for form in FORMS) / len(FORMS),
            "first_fixed": _more(self._over_forms("rds", "first"), self._hops),
            "first_fixed_initializing": _more(self._at("start.rds"), self._hops / 2),
        }
        rds["fixed"] = _more(rds["fixed"], rds["per_virtual_host"])
        found: dict[str, Law] = {"cds": cds, "eds": eds, "lds": lds, "rds": rds}
        solved = {key: Solved(law, self._named(f"{key}.")) for key, law in found.items()}
        solved["decode_failed"] = Solved(_more(self._at("rds.refused"), self._hops), ("rds.refused",))
        solved["stats_flush_per_cluster"] = Solved(self._flush(), ("flush",))
        return solved

    def _over_forms(self, kind: str, row: str) -> float:
        return sum(self._at(f"{kind}.{form}.{row}") for form in FORMS) / len(FORMS)

    def _cds(self) -> dict[str, float]:
        present = {
            "sotw": self._slope("cds.sotw.one_changed"),
            # A delta response holds what changed: what a resource in it costs shows when nothing did.
            "delta": self._slope("cds.delta.unchanged"),
        }
        added_static = self._mean_slope("cds", "added_static", present)
        added_eds = self._mean_slope("cds", "added_eds", present)
        found = {f"{form}_per_present": present[form] for form in FORMS}
        found |= {"per_added_static": added_static, "per_added_strict_dns": added_static}
        found |= {"per_added_eds": added_eds, "per_removed": self._removed()}
        for form in FORMS:
            changed = _more(self._slope(f"cds.{form}.changed_static"), present[form])
            found[f"{form}_per_changed_static"] = found[f"{form}_per_changed_strict_dns"] = changed
            # Delta's row holds the assignments besides: they are pushed right behind.
            besides = self._slope("eds.delta.first") if form == "delta" else 0.0
            found[f"{form}_per_changed_eds"] = _more(
                self._slope(f"cds.{form}.changed_eds"), present[form] + besides
            )
            one = self._at(f"cds.{form}.one_changed")
            besides = present["delta"] if form == "delta" else 0.0
            found[f"{form}_fixed"] = _more(one, self._hops + changed + besides)
        found["unchanged_fixed"] = _more(self._over_forms("cds", "unchanged"), self._hops)
        fixed = (found["sotw_fixed"] + found["delta_fixed"]) / 2
        found["eds_subscription"] = _more(self._over_forms("cds", "added_eds"), self._hops + fixed)
        first = self._hops + found["sotw_fixed"] + present["sotw"] + added_static
        found["first_static"] = _more(self._at("start.cds_static", 1), first)
        return found

    def _removed(self) -> float:
        """What removing a cluster adds is often hidden: it counts where a line explains it."""
        lines = [self._fits[f"cds.{form}.removed"] for form in FORMS]
        return sum(line.slope_us if line.r2 > 0.9 else 0.0 for line in lines) / len(lines)

    def _eds(self) -> dict[str, float]:
        present = self._slope("eds.sotw.one_changed")
        found = {"sotw_per_present": present, "delta_per_present": 0.0}
        for form in FORMS:
            found[f"{form}_per_endpoint"] = self._slope(f"eds.{form}.endpoints")
            besides = found[f"{form}_per_endpoint"] + (present if form == "sotw" else 0.0)
            found[f"{form}_per_first"] = _more(self._slope(f"eds.{form}.first"), besides)
        found["fixed"] = _more(self._over_forms("eds", "one_changed"), self._hops)
        found["first_fixed"] = _more(self._over_forms("eds", "first"), self._hops)
        return found

    def _lds(self) -> dict[str, float]:
        present = {"sotw": self._slope("lds.sotw.one_changed"), "delta": 0.0}
        built = self._mean_slope("lds", "added", present)
        found = {"sotw_per_present": present["sotw"], "delta_per_present": 0.0, "per_built": built}
        for form in FORMS:
            found[f"{form}_fixed"] = _more(self._at(f"lds.{form}.one_changed"), self._hops + built)
        found["removed_fixed"] = _more(self._over_forms("lds", "one_removed"), self._hops)
        found["unchanged_fixed"] = _more(self._over_forms("lds", "unchanged"), self._hops)
        fixed = (found["sotw_fixed"] + found["delta_fixed"]) / 2
        found["rds_subscription"] = _more(self._over_forms("lds", "starts_rds"), self._hops + fixed + built)
        return found

    def _flush(self) -> tuple[float, float]:
        """The middle half of what a flush takes for each cluster."""
        each = sorted(us / size for size, us in self._rows["flush"])
        return each[len(each) // 4], each[-1 - len(each) // 4]

    # --- start-up, REST, files

    def _start(self) -> dict[str, Solved]:
        static, subscribed = self._at("start.static"), self._at("start.subscribed")
        return {
            "server_construction": Solved(static, ("start.static",)),
            "xds_construction": Solved(_more(subscribed, static), ("start.subscribed", "start.static")),
            "stream_open": Solved(_more(self._at("start.stream"), self._hops / 2), ("start.stream",)),
        }

    def _paths(self) -> dict[str, Solved]:
        """What an update costs more where it comes by another way than a stream."""
        over_streams = {
            "rest.cds": self._at("start.cds_eds", 1),
            "rest.eds": self._at("start.eds", 1),
            "rest.lds": self._at("start.lds"),
        }
        begun, byte = self._subscriptions()
        # What was said, and what it began, costs by itself.
        others = {
            "rest.cds": begun["rest"] + byte * _SIZES["cluster_eds"],
            "rest.eds": byte * (_SIZES["assignment"] + _SIZES["endpoint"]),
            "rest.lds": begun["rest"] + byte * _SIZES["listener"],
        }
        more = [_more(self._at(row, 1), over_streams[row] + others[row]) for row in over_streams]
        file = _more(self._at("file.path", 1), self._burst)
        directory = _more(self._at("file.directory", 1), self._burst)
        return {
            "rest_update": Solved(sorted(more)[1], tuple(over_streams)),
            "rest_byte": Solved(byte, ("rest.endpoints",)),
            "rest_subscription": Solved(begun["rest"], ("rest.clusters",)),
            "grpc_subscription": Solved(begun["separate"], ("separate.clusters",)),
            "file_update": Solved(file, ("file.path",)),
            "directory_update": Solved(directory, ("file.directory",)),
        }

    def _subscriptions(self) -> tuple[dict[str, float], float]:
        """What each subscription costs by way, and what a byte does by REST."""
        cds, eds = self._cds(), self._eds()
        each = cds["sotw_per_present"] + cds["per_added_eds"]
        byte = _more(self._slope("rest.endpoints"), eds["sotw_per_endpoint"]) / _SIZES["endpoint"]
        polled = each + byte * _SIZES["cluster_eds"]
        return {
            "rest": _more(self._slope("rest.clusters"), polled),
            "separate": _more(self._slope("separate.clusters"), each),
        }, byte

    def _named(self, start: str) -> tuple[str, ...]:
        return tuple(name for name in self._fits if name.startswith(start))


def _more(whole: float, part: float) -> float:
    return max(0.0, whole - part)
