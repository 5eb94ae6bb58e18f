"""The workload of a scenario in the terms of `simulator.workload`: names become services and proxies."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from simulator.mesh.services import Service
from simulator.scenario.quantities import Rate
from simulator.scenario.schema import Scenario
from simulator.scenario.sections import workload as section
from simulator.scenario.sections.timing import Bursts as BurstsSection
from simulator.scenario.sections.timing import Lasting, Timed
from simulator.scenario.sections.workload import ANY, ProxyChoice
from simulator.workload import entries


def happenings(
    scenario: Scenario, services: Mapping[str, Service], proxies: Callable[[str], int]
) -> list[entries.Entry]:
    """Every entry but traffic.

    Args:
        scenario: Its workload.
        services: By ``namespace/name``.
        proxies: The id of a name.
    """
    return [
        _Translation(scenario, services, proxies).entry(entry)
        for entry in scenario.workload
        if not isinstance(entry, section.TrafficEntry)
    ]


class _Translation:
    """One scenario's names."""

    def __init__(
        self, scenario: Scenario, services: Mapping[str, Service], proxies: Callable[[str], int]
    ) -> None:
        self._scenario = scenario
        self._services = services
        self._proxies = proxies

    def entry(self, entry: section.TimedEntry) -> entries.Entry:
        """One entry."""
        arrivals = _arrivals(entry)
        match entry:
            case section.EditEntry():
                return entries.EditEntry(
                    entry.edit,
                    arrivals,
                    entry.name,
                    entry.namespace,
                    self._service(entry.service, entry.namespace),
                    entry.rejected_by_envoy,
                )
            case section.EndpointsEntry():
                service = self._service(entry.endpoints, entry.namespace)
                return entries.EndpointsEntry(arrivals, service, entry.namespace)
            case section.RolloutEntry():
                return self._rollout(entry, arrivals)
            case section.ScaleUpEntry():
                ready_after = (
                    self._scenario.agent.app_start if entry.ready_after is None else entry.ready_after
                )
                service = self._service(entry.service, entry.namespace)
                return entries.ScaleUpEntry(
                    arrivals, entry.scale_up.pods, service, ready_after, entry.namespace
                )
            case section.RestartEntry():
                return entries.RestartEntry(arrivals, self._selection(entry.restart.proxies))
            case section.RestartIstiodEntry():
                return entries.RestartIstiodEntry(arrivals, entry.restart_istiod, entry.down_for)
            case section.RestartComponentEntry():
                return entries.RestartComponentEntry(
                    arrivals, entry.restart_component, entry.down_for, entry.node
                )
            case section.AddIstiodEntry():
                return entries.AddIstiodEntry(arrivals, entry.add_istiod)
            case section.RolloutIstiodEntry():
                rollout = entry.rollout_istiod
                return entries.RolloutIstiodEntry(arrivals, rollout.max_surge, rollout.max_unavailable)
            case section.PartitionEntry():
                return entries.PartitionEntry(
                    arrivals, self._selection(entry.partition.proxies), entry.lasts_ns
                )
            case section.SlowReaderEntry():
                return entries.SlowReaderEntry(
                    arrivals, self._selection(entry.slow_reader.proxies), entry.lasts_ns
                )
            case _:
                return self._operation(entry, arrivals)

    def _operation(
        self,
        entry: section.UnhealthyEntry
        | section.CaOutageEntry
        | section.RootRotationEntry
        | section.HotRestartEntry
        | section.RuntimeFlagEntry
        | section.MigrateRevisionEntry,
        arrivals: entries.Arrivals,
    ) -> entries.Entry:
        """What operators do, and virtual machines."""
        match entry:
            case section.UnhealthyEntry():
                chosen = self._selection(entry.unhealthy.proxies)
                return entries.UnhealthyEntry(arrivals, chosen, entry.lasts_ns)
            case section.CaOutageEntry():
                return entries.CaOutageEntry(arrivals, entry.delay, entry.lasts_ns)
            case section.RootRotationEntry():
                return entries.RootRotationEntry(arrivals)
            case section.HotRestartEntry():
                return entries.HotRestartEntry(arrivals, self._selection(entry.hot_restart.proxies))
            case section.MigrateRevisionEntry():
                migration = entry.migrate_revision
                pods = entries.PodSettings(
                    ready_after=self._scenario.agent.app_start, pre_stop_ns=entry.pre_stop
                )
                return entries.MigrateRevisionEntry(
                    arrivals, migration.to, migration.every, migration.replicas, pods
                )
            case section.RuntimeFlagEntry():
                return entries.RuntimeFlagEntry(
                    arrivals, entry.runtime_flag, entry.value, entry.layer, entry.admin_call
                )

    def _rollout(self, entry: section.RolloutEntry, arrivals: entries.Arrivals) -> entries.RolloutEntry:
        ready_after = self._scenario.agent.app_start if entry.ready_after is None else entry.ready_after
        return entries.RolloutEntry(
            arrivals,
            self._service(entry.rollout, entry.namespace),
            entry.max_surge,
            entry.max_unavailable,
            entries.PodSettings(
                ready_after=ready_after,
                min_ready_ns=entry.min_ready_seconds,
                pre_stop_ns=entry.pre_stop,
                termination_grace_ns=entry.termination_grace,
                native_sidecar=entry.native_sidecar,
                termination_drain_ns=entry.termination_drain,
                exit_on_zero=entry.exit_on_zero,
            ),
            entry.new_service_account,
            entry.namespace,
        )

    def _service(self, text: str | None, namespace: str | None) -> Service | None:
        if text is None or text == ANY:
            return None
        named = self._scenario.mesh.service(text, namespace)
        assert named is not None, "references are checked when the scenario is read"
        return self._services[f"{named.namespace}/{named.name}"]

    def _selection(self, choice: ProxyChoice) -> entries.Selection:
        if choice.names:
            return entries.Selection(proxies=tuple(self._proxies(name) for name in choice.names))
        assert choice.portion is not None
        return entries.Selection(choice.portion.count, choice.portion.share)


def _arrivals(entry: Timed) -> entries.Arrivals:
    trace = entry.rows if isinstance(entry, section.EditEntry) else ()
    return entries.Arrivals(
        at=entry.at,
        every_ns=entry.every,
        poisson_per_second=_per_second(entry.poisson),
        bursts=None if entry.bursts is None else _bursts(entry.bursts),
        trace=trace,
        from_ns=entry.begin,
        until_ns=None if isinstance(entry, Lasting) and len(entry.at) == 1 else entry.until,
    )


def _bursts(bursts: BurstsSection) -> entries.Bursts:
    return entries.Bursts(bursts.size, bursts.spacing, bursts.at, bursts.every, _per_second(bursts.poisson))


def _per_second(rate: Rate | None) -> float | None:
    return None if rate is None else rate.per_second
