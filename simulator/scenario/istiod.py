"""Istiod and the istio-agent as a scenario describes them, in the terms of their own settings."""

from __future__ import annotations

from simulator.agent.settings import (
    AgentSettings,
    ProbeSettings,
    TerminationSettings,
    WasmSettings,
    native_sidecars_by_default,
)
from simulator.calibration.costs import Law, with_overrides, zero_costs
from simulator.control_plane.istiod.debounce import DebounceSettings
from simulator.control_plane.istiod.registry import RegistrySettings
from simulator.control_plane.istiod.settings import IstiodSettings
from simulator.control_plane.istiod.versions import Behaviour, behaviour
from simulator.control_plane.istiod.xds_cache import CacheSettings
from simulator.engine.delays import Constant
from simulator.scenario.costs import read_istiod_calibration
from simulator.scenario.schema import Scenario
from simulator.scenario.sections.agent import AgentProbe


def istiod_settings(scenario: Scenario) -> IstiodSettings:
    """The settings of every replica, with what ``auto`` means for the version filled in."""
    plane = scenario.control_plane
    is_polled = plane.kind == "rest-v1"
    # What a version before 1.0 does that matters here is in control_plane/rest_v1.
    dated = behaviour("1.0" if is_polled else plane.version)
    throttle, limit = plane.push_throttle, plane.max_requests_per_second
    return IstiodSettings(
        version=plane.version,
        procs=plane.procs,
        debounce=DebounceSettings(plane.debounce.after, plane.debounce.max, plane.debounce.endpoints),
        registry=RegistrySettings(plane.registry.retry, plane.registry.failure_rate),
        cache=_cache(scenario, dated),
        push_throttle=dated.push_throttle(plane.procs) if throttle == "auto" else throttle,
        requests_per_second=dated.connect_limit(plane.procs) if limit == "auto" else limit,
        max_connection_age_ns=None if dated.ignores_connection_age else plane.max_connection_age,
        max_connection_age_grace_ns=plane.max_connection_age_grace,
        is_lazy=_is_lazy(scenario, dated),
        endpoints_build_context=dated.endpoints_only_builds_context,
        sends_unhealthy=_resolved(plane.send_unhealthy_endpoints, dated.sends_unhealthy_endpoints),
        flow_control_timeout_ns=plane.flow_control_timeout if plane.flow_control else 0,
        send_timeout_ns=dated.send_timeout_ns if plane.send_timeout == "auto" else plane.send_timeout,
        has_free_gate=dated.has_free_gate,
        pushes_in_full=dated.pushes_in_full and not is_polled,
        client_qps=plane.kubernetes_client.qps,
        client_burst=plane.kubernetes_client.burst,
    )


def _is_lazy(scenario: Scenario, dated: Behaviour) -> bool:
    """Without Sidecar resources there are only the default scopes of namespaces, which were lazy before."""
    has_sidecar_resources = scenario.mesh.scope.kind != "all"
    if not has_sidecar_resources and dated.lazy_scopes_without_sidecar:
        return True
    return _resolved(scenario.control_plane.lazy_sidecar_scopes, dated.lazy_sidecar_scopes)


def _resolved(given: bool | str, dated: bool) -> bool:
    return dated if given == "auto" else bool(given)


def _cache(scenario: Scenario, dated: Behaviour) -> CacheSettings:
    cache = scenario.control_plane.cache
    return CacheSettings(
        size=dated.cache_size if cache.size == "auto" else cache.size,
        cds=_resolved(cache.cds, dated.caches["cds"]),
        eds=cache.eds and dated.caches["eds"],
        rds=cache.rds and dated.caches["rds"],
        sds=cache.sds and dated.caches["sds"],
    )


def istiod_laws(scenario: Scenario) -> dict[str, Law]:
    """What istiod's work and the delays around it cost."""
    plane = scenario.control_plane
    laws: dict[str, Law] = dict(read_istiod_calibration(plane.calibration, scenario.directory).costs)
    if plane.costs.zero:
        laws = zero_costs(laws)
    return with_overrides(laws, plane.costs.given)


def agent_settings(scenario: Scenario) -> AgentSettings:
    """The settings of every agent. The hop is part of the links, so that it costs no event."""
    agent, wasm = scenario.agent, scenario.agent.wasm
    return AgentSettings(
        hop=Constant(0),
        init=agent.init,
        bootstrap=agent.bootstrap,
        app_start=agent.app_start,
        dns_capture=agent.dns_capture,
        proxy_config_xds_agent=agent.proxy_config_xds_agent,
        hold_application_until_proxy_starts=agent.hold_application_until_proxy_starts,
        wait_period_ns=agent.wait_period,
        wait_timeout_ns=agent.wait_timeout,
        startup_probe=_probe(agent.startup_probe),
        readiness_probe=_probe(agent.readiness_probe),
        wasm=WasmSettings(
            fetch=wasm.fetch,
            failure_rate=wasm.failure_rate,
            request_timeout_ns=wasm.request_timeout,
            max_retries=wasm.max_retries,
            fetch_timeout_ns=wasm.fetch_timeout,
            backoff_ns=wasm.backoff,
            max_backoff_ns=wasm.max_backoff,
            module_expiry_ns=wasm.module_expiry,
            purge_interval_ns=wasm.purge_interval,
            fail_open=wasm.fail_open,
        ),
        termination=TerminationSettings(
            native_sidecars=_resolved(
                agent.native_sidecars, native_sidecars_by_default(scenario.control_plane.version)
            ),
            termination_drain_ns=agent.termination_drain,
            exit_on_zero_active_connections=agent.exit_on_zero_active_connections,
            minimum_drain_ns=agent.minimum_drain,
        ),
        buffered_responses=agent.buffered_responses,
        window_bytes=agent.window_bytes,
    )


def _probe(probe: AgentProbe) -> ProbeSettings:
    return ProbeSettings(probe.period, probe.failure_threshold, probe.initial_delay, probe.enabled)
