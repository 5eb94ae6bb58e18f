"""How long a deleted pod still serves, and when its proxy ends.

All instants count from the pod's deletion: the moment its endpoint turns terminating and its containers'
preStop hooks and SIGTERM begin. The application is taken to end at SIGTERM, hence to serve as long as its
preStop hook lasts. Requests are lost when this serving path ends before the last client has dropped the
endpoint.
Source: pkg/envoy/agent.go (terminate), pkg/envoy/admin.go, files/injection-template.yaml.
"""

from __future__ import annotations

from dataclasses import dataclass

from simulator.agent.settings import TerminationSettings
from simulator.engine.clock import S

CHECK_INTERVAL_NS = S
"""``activeConnectionCheckDelay``."""


@dataclass(frozen=True, slots=True)
class Termination:
    """The end of one pod, in ns from its deletion.

    Attributes:
        serves_until_ns: A request that arrives from then on fails.
        proxy_exits_ns: Envoy ends, and its xDS stream with it: until then the dying proxy gets pushes.
        pod_gone_ns: The last container ended.
    """

    serves_until_ns: int
    proxy_exits_ns: int
    pod_gone_ns: int


def termination(
    settings: TerminationSettings,
    *,
    pre_stop_ns: int,
    grace_ns: int,
    last_connection_ns: int | None = None,
    is_gateway: bool = False,
) -> Termination:
    """The end of a pod.

    Args:
        settings: Of its agent.
        pre_stop_ns: Length of the preStop hook: the application's, or a gateway's own.
        grace_ns: ``terminationGracePeriodSeconds``: then everything is killed.
        last_connection_ns: When the proxy's last connection closes (its last client dropped the endpoint);
            None where connections outlast the grace period. Only EXIT_ON_ZERO_ACTIVE_CONNECTIONS looks at it.
        is_gateway: The proxy is the application.
    """
    app_exits_ns = min(pre_stop_ns, grace_ns)
    if is_gateway:
        drained_ns = pre_stop_ns + _drain_ns(settings, last_connection_ns, from_ns=pre_stop_ns)
        exits_ns = min(drained_ns, grace_ns)
        return Termination(exits_ns, exits_ns, exits_ns)
    if settings.native_sidecars:
        # Drained by its own preStop hook from the start, it gets SIGTERM when the application has ended, and
        # then exits at once.
        exits_ns = app_exits_ns
    else:
        exits_ns = min(_drain_ns(settings, last_connection_ns), grace_ns)
    return Termination(min(app_exits_ns, exits_ns), exits_ns, max(app_exits_ns, exits_ns))


def _drain_ns(settings: TerminationSettings, last_connection_ns: int | None, from_ns: int = 0) -> int:
    """How long the agent takes from SIGTERM, which comes at ``from_ns``, until it ends Envoy; longer than any
    grace period where connections never close."""
    if not settings.exit_on_zero_active_connections:
        return settings.termination_drain_ns
    if last_connection_ns is None:
        return _NEVER_NS
    # A ticker starts when the minimum has passed: its first tick comes an interval later.
    first_check_ns = settings.minimum_drain_ns + CHECK_INTERVAL_NS
    late_ns = max(0, last_connection_ns - from_ns - first_check_ns)
    return first_check_ns - (-late_ns // CHECK_INTERVAL_NS) * CHECK_INTERVAL_NS


_NEVER_NS = 2**62
