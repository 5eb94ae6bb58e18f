"""Wasm modules, which the agent fetches so that Envoy finds them in a file.

An ECDS response is held until every module it refers to is there, or replaced: where all tries fail, a filter
that lets everything pass or denies everything stands in, and the response is forwarded all the same.
Source: pkg/wasm/convert.go, cache.go, httpfetcher.go; cenkalti/backoff (ExponentialBackOff).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from simulator.agent.settings import WasmSettings
from simulator.engine.delays import draw_ns
from simulator.engine.draws import Draws
from simulator.engine.events import Clock
from simulator.xds.resources import Names, Resource, Resources

ModuleOf = Callable[[Resource[object]], str | None]
"""URL and checksum of the module that an extension configuration loads from afar; None for no module."""


class Substitute(Enum):
    """What Envoy gets in place of a module that cannot be fetched."""

    ALLOW_ALL = "an RBAC filter that allows everything"
    DENY_ALL = "an RBAC filter that denies everything"


class WasmModules:
    """The modules of one agent, kept in local files while they are used.

    Args:
        clock: The clock of the run.
        draws: Random numbers of the run.
        proxy: Id of the proxy.
        settings: How modules are fetched.
        module_of: Which module a resource needs.
        on_substituted: Told of a module that could not be fetched, and what stands in for it.
    """

    __slots__ = (
        "_cached",
        "_clock",
        "_draws",
        "_module_of",
        "_on_substituted",
        "_proxy",
        "_settings",
        "_started_ns",
        "_tries",
    )

    def __init__(
        self,
        clock: Clock,
        draws: Draws,
        proxy: int,
        settings: WasmSettings,
        module_of: ModuleOf,
        on_substituted: Callable[[str, Substitute], None] | None = None,
    ) -> None:
        self._clock = clock
        self._draws = draws
        self._proxy = proxy
        self._settings = settings
        self._module_of = module_of
        self._on_substituted = on_substituted
        self._started_ns = clock.now_ns
        self._cached: dict[str, int] = {}
        """When each module was used last; in the future for one under way."""
        self._tries: dict[str, int] = {}

    def modules_of(self, resources: Resources) -> Names:
        """The modules the resources need, remembered with the resources."""
        return resources.collect(self._module_of, self._as_names)

    def _as_names(self, resource: Resource[object]) -> tuple[str, ...]:
        module = self._module_of(resource)
        return () if module is None else (module,)

    def fetch_ns(self, resources: Resources) -> int:
        """From now until all modules of the resources are there or replaced; missing ones are fetched all at
        once. Nothing takes time before the run begins."""
        return max((self._get(module) for module in self.modules_of(resources)), default=0)

    def is_cached(self, module: str, t_ns: int) -> bool:
        """Whether the module lies in a file at ``t_ns``: fetched, and no purge found it expired."""
        used_ns = self._cached.get(module)
        if used_ns is None or used_ns > t_ns:
            return False
        expired_ns = used_ns + self._settings.module_expiry_ns
        interval_ns = self._settings.purge_interval_ns
        # A module is purged once it is older than the expiry, so not by a purge at that very instant.
        purges_before = (expired_ns - self._started_ns) // interval_ns
        return t_ns < self._started_ns + (purges_before + 1) * interval_ns

    def _get(self, module: str) -> int:
        now_ns = self._clock.now_ns
        if self.is_cached(module, now_ns):
            self._cached[module] = now_ns
            return 0
        fetch_ns, is_fetched = (0, True) if now_ns < 0 else self._fetch(module)
        if is_fetched:
            self._cached[module] = now_ns + fetch_ns
        elif self._on_substituted is not None:
            substitute = Substitute.ALLOW_ALL if self._settings.fail_open else Substitute.DENY_ALL
            self._on_substituted(module, substitute)
        return fetch_ns

    def _fetch(self, module: str) -> tuple[int, bool]:
        """How long fetching takes, and whether it succeeds."""
        settings = self._settings
        elapsed_ns, interval_ns = 0, settings.backoff_ns
        for _ in range(settings.max_retries):
            try_ns, is_fetched, spread = self._try(module)
            if elapsed_ns + try_ns > settings.fetch_timeout_ns:
                return max(elapsed_ns, settings.fetch_timeout_ns), False
            elapsed_ns += try_ns
            if is_fetched:
                return elapsed_ns, True
            # The fetcher also sleeps behind its last try.
            elapsed_ns += int(interval_ns * (0.5 + spread))
            interval_ns = min(interval_ns * 3 // 2, settings.max_backoff_ns)
        return elapsed_ns, False

    def _try(self, module: str) -> tuple[int, bool, float]:
        """One download: how long it takes, whether it succeeds, and the draw for the wait behind it."""
        settings, draws, proxy = self._settings, self._draws, self._proxy
        index = self._tries.get(module, 0)
        self._tries[module] = index + 1
        purpose = f"agent.wasm/{module}"
        download_ns = draw_ns(settings.fetch, draws, purpose, proxy, index)
        spread = draws.uniform(purpose + "/backoff", proxy, index)
        if download_ns > settings.request_timeout_ns:
            return settings.request_timeout_ns, False, spread
        fails = draws.uniform(purpose + "/failure", proxy, index) < settings.failure_rate
        return download_ns, not fails, spread
