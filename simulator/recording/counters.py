"""Envoy's own statistics: counters, gauges and histograms under Envoy's dotted names, and their Prometheus
text.

With `per_proxy` each proxy has its own; without, all proxies are added up, which keeps ten thousand Envoys
cheap. Counting one statistic for many names at once (`add_each`) costs one entry per set of names, not one
per name, as long as the same unchanging object is passed each time.
"""

from __future__ import annotations

import re
from collections.abc import Collection, ItemsView, Iterable, KeysView, Mapping, Sequence, ValuesView
from typing import Final, TypeGuard, TypeVar

BUCKETS_MS: Final[tuple[float, ...]] = (
    0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000,
    10000, 30000, 60000, 300000, 600000, 1800000, 3600000,
)  # fmt: skip
"""Envoy's default histogram buckets (source/common/stats/histogram_impl.cc)."""

_FEW_NAMES: Final = 16  # Up to this many names are counted one by one: short lists are rarely shared.
_ALL: Final = -1  # stands for every proxy together

# A subscription outside ADS has the statistics of its stream below its own.
_LAST: Final = r"(?:control_plane\.)?\w+$"
_TAGS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    # The default tags of source/common/config/well_known_names.cc, most specific first. A name may hold dots,
    # as Istio's do; Envoy takes a cluster's up to the first dot unless told otherwise, and Istio's bootstrap
    # tells it.
    (re.compile(r"^http\.[^.]+\.scoped_rds\.((.+?)\.)" + _LAST), "envoy_scoped_rds_config"),
    (re.compile(r"^http\.[^.]+\.rds\.((.+?)\.)" + _LAST), "envoy_rds_route_config"),
    (re.compile(r"^cluster\.((.+?)\.)" + _LAST), "envoy_cluster_name"),
    (re.compile(r"^sds\.(([^.]+)\.)."), "envoy_xds_resource_name"),
    (re.compile(r"^http\.(([^.]+)\.)"), "envoy_http_conn_manager_prefix"),
    (re.compile(r"^listener\.(([_.\d]+|[_\[\]a-fA-F\d]+)\.)"), "envoy_listener_address"),
    (re.compile(r"^listener_manager\.((worker_\d+)\.)"), "envoy_worker_id"),
)
_NOT_IN_A_NAME: Final = re.compile(r"[^a-zA-Z0-9_]")

_CHANGING: Final = (list, dict, set, frozenset, KeysView, ValuesView, ItemsView)


def is_unchanging(names: Iterable[str]) -> TypeGuard[Collection[str]]:
    """Whether the names may be kept by reference: a tuple, or a collection of the model's own, never a plain
    container that can change or, like a frozenset, has no order of its own.
    """
    return isinstance(names, tuple) or (isinstance(names, Collection) and not isinstance(names, _CHANGING))


class Histogram:
    """Samples in milliseconds, counted in Envoy's default buckets."""

    __slots__ = ("count", "in_bucket", "total_ms")

    def __init__(self) -> None:
        self.in_bucket = [0] * (len(BUCKETS_MS) + 1)
        self.count = 0
        self.total_ms = 0.0

    def observe(self, value_ms: float) -> None:
        """Add one sample."""
        self.count += 1
        self.total_ms += value_ms
        for index, bound in enumerate(BUCKETS_MS):
            if value_ms <= bound:
                self.in_bucket[index] += 1
                return
        self.in_bucket[-1] += 1

    def cumulative(self) -> list[int]:
        """How many samples are at most each bound of `BUCKETS_MS`, and last how many there are."""
        sums: list[int] = []
        below = 0
        for count in self.in_bucket:
            below += count
            sums.append(below)
        return sums


class _Many:
    """One statistic counted `times` for each of `names`; holding the names keeps their identity unique."""

    __slots__ = ("names", "pattern", "times")

    def __init__(self, pattern: str, names: Iterable[str]) -> None:
        self.pattern = pattern
        self.names = names
        self.times: float = 0


class Counters:
    """Statistics under Envoy's dotted names, such as ``cluster_manager.cds.update_success``."""

    __slots__ = ("_counted", "_gauges", "_histograms", "_many", "per_proxy")

    def __init__(self, per_proxy: bool) -> None:
        self.per_proxy = per_proxy
        self._counted: dict[tuple[int, str], float] = {}
        self._many: dict[tuple[int, str, int], _Many] = {}
        self._gauges: dict[tuple[int, str], float] = {}
        self._histograms: dict[tuple[int, str], Histogram] = {}

    def add(self, proxy: int, stat: str, n: float = 1) -> None:
        """Count `n` more of a counter."""
        key = (proxy if self.per_proxy else _ALL, stat)
        counted = self._counted
        counted[key] = counted.get(key, 0) + n

    def add_each(self, proxy: int, stat_pattern: str, names: Iterable[str], n: float = 1) -> None:
        """Count `n` more for each name, put in place of the ``{}`` of the pattern
        (``cluster.{}.update_success``).
        """
        if not is_unchanging(names) or len(names) <= _FEW_NAMES:
            for name in names:
                self.add(proxy, stat_pattern.replace("{}", name), n)
            return
        key = (proxy if self.per_proxy else _ALL, stat_pattern, id(names))
        many = self._many.get(key)
        if many is None:
            many = self._many[key] = _Many(stat_pattern, names)
        many.times += n

    def set(self, proxy: int, stat: str, value: float) -> None:
        """Set a gauge of one proxy; over several proxies gauges add up."""
        self._gauges[proxy, stat] = value

    def observe(self, proxy: int, stat: str, value_ms: float) -> None:
        """Add one sample, in milliseconds, to a histogram."""
        key = (proxy if self.per_proxy else _ALL, stat)
        histogram = self._histograms.get(key)
        if histogram is None:
            histogram = self._histograms[key] = Histogram()
        histogram.observe(value_ms)

    def counted(self) -> dict[tuple[int, str], float]:
        """(proxy, stat) -> count; the proxy is -1 when all are added up."""
        total = dict(self._counted)
        for (proxy, _, _), many in self._many.items():
            for name in many.names:
                key = (proxy, many.pattern.replace("{}", name))
                total[key] = total.get(key, 0) + many.times
        return total

    def gauges(self) -> dict[tuple[int, str], float]:
        """(proxy, stat) -> value; the proxy is -1 when all are added up."""
        if self.per_proxy:
            return dict(self._gauges)
        total: dict[tuple[int, str], float] = {}
        for (_, stat), value in self._gauges.items():
            total[_ALL, stat] = total.get((_ALL, stat), 0) + value
        return total

    def histograms(self) -> dict[tuple[int, str], Histogram]:
        """(proxy, stat) -> histogram; the proxy is -1 when all are added up."""
        return self._histograms


def prometheus(counters: Counters, proxy_names: Mapping[int, str] | Sequence[str]) -> str:
    """The Prometheus text of all statistics, named and labelled as Envoy's ``/stats/prometheus`` does.

    Where proxies are kept apart, each line also carries the label ``proxy``.
    """

    def labels_of(proxy: int, tags: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        return tags if proxy == _ALL else (*tags, ("proxy", proxy_names[proxy]))

    lines: list[str] = []
    for kind, values in (("counter", counters.counted()), ("gauge", counters.gauges())):
        for name, rows in _grouped(values):
            lines.append(f"# TYPE {name} {kind}")
            lines += [f"{name}{braces(labels_of(*where))} {number_text(value)}" for where, value in rows]
    for name, histograms in _grouped(counters.histograms()):
        lines.append(f"# TYPE {name} histogram")
        for where, histogram in histograms:
            lines += _histogram_lines(name, labels_of(*where), histogram)
    return "".join(line + "\n" for line in lines)


def metric_name(stat: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Envoy's Prometheus name and labels for one of its dotted statistics.

    >>> metric_name("cluster.c0.update_success")
    ('envoy_cluster_update_success', (('envoy_cluster_name', 'c0'),))
    """
    tags: list[tuple[str, str]] = []
    rest = stat
    for pattern, label in _TAGS:
        found = pattern.match(rest)
        if found is not None:
            tags.append((label, found.group(2)))
            rest = rest[: found.start(1)] + rest[found.end(1) :]
    return "envoy_" + _NOT_IN_A_NAME.sub("_", rest), tuple(tags)


_V = TypeVar("_V")
_Where = tuple[int, tuple[tuple[str, str], ...]]


def _grouped(values: dict[tuple[int, str], _V]) -> list[tuple[str, list[tuple[_Where, _V]]]]:
    """Statistics by their Prometheus name, everything in a fixed order."""
    groups: dict[str, list[tuple[_Where, _V]]] = {}
    named: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {}
    for (proxy, stat), value in values.items():
        if stat not in named:
            named[stat] = metric_name(stat)
        name, tags = named[stat]
        groups.setdefault(name, []).append(((proxy, tags), value))
    return [(name, sorted(rows, key=_place)) for name, rows in sorted(groups.items())]


def _place(row: tuple[_Where, _V]) -> tuple[tuple[tuple[str, str], ...], int]:
    (proxy, tags), _ = row
    return tags, proxy


def _histogram_lines(name: str, labels: tuple[tuple[str, str], ...], histogram: Histogram) -> list[str]:
    *sums, count = histogram.cumulative()
    lines = [
        f"{name}_bucket{braces((*labels, ('le', number_text(bound))))} {below}"
        for bound, below in zip(BUCKETS_MS, sums, strict=True)
    ]
    lines.append(f"{name}_bucket{braces((*labels, ('le', '+Inf')))} {count}")
    lines.append(f"{name}_sum{braces(labels)} {number_text(histogram.total_ms)}")
    lines.append(f"{name}_count{braces(labels)} {count}")
    return lines


def braces(labels: Sequence[tuple[str, str]]) -> str:
    """Labels as Prometheus writes them, ``{type="cds"}``; nothing where there are none."""
    if not labels:
        return ""
    return "{" + ",".join(f'{label}="{_escaped(value)}"' for label, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def number_text(value: float) -> str:
    """A value as Prometheus reads it; whole numbers without a fraction."""
    return str(int(value)) if value == int(value) else repr(value)
