"""The pods of a service: how each is created, turns Ready, is deleted and ends.

A pod with a sidecar starts and ends with its proxy, which is others' affair; one without a sidecar is ready
when its application is, and ends when that has run its preStop hook.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from simulator.engine.delays import draw_ns
from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock
from simulator.mesh.endpoints import Endpoint
from simulator.mesh.kubernetes import Kubernetes
from simulator.mesh.services import Service, pod_id
from simulator.workload.contract import Pod, PodActions, PodEnd
from simulator.workload.entries import PodSettings


class ServicePods:
    """Makes and ends the pods of one service (a `PodDriver`).

    Args:
        clock: Whose time passes.
        draws: Random numbers, keyed by pod.
        kubernetes: Told of every pod.
        actions: Start and stop proxies.
        service: Whose pods.
        first: The pods there are at the start; later ones take after them.

    ``settings`` and ``cause`` hold for what is created and deleted from now on.
    """

    def __init__(
        self,
        clock: Clock,
        draws: Draws,
        kubernetes: Kubernetes,
        actions: PodActions,
        service: Service,
        first: Sequence[Pod],
    ) -> None:
        self._clock = clock
        self._draws = draws
        self._kubernetes = kubernetes
        self._actions = actions
        self._service = service
        self._first = first
        self._account = first[0].service_account if first else "default"
        self.settings = PodSettings()
        self.cause = "rollout"

    def use_new_service_account(self, generation: int) -> None:
        """Pods created from now on have an identity that the service had not before."""
        self._account = f"{self._service.name}-{generation}"

    def create(self, generation: int, number: int) -> Pod:
        """A pod that takes the place of the one of the same number at the start, with a sidecar if that has
        one; pods beyond those have sidecars."""
        first, service = self._first, self._service
        name = name_of(service, generation, number)
        return Pod(
            pod_id(name),
            name,
            service,
            has_proxy=first[number].has_proxy if number < len(first) else True,
            zone=first[number % len(first)].zone if first else 0,
            service_account=self._account,
            cause=self.cause,
        )

    def start(self, pod: Pod, on_ready: Callable[[], None]) -> None:
        """Creates it in the API server and starts what is in it."""
        endpoint = Endpoint(pod.id, service_account=pod.service_account, zone=pod.zone)
        self._kubernetes.pod_created(pod.service, endpoint)
        ready_after_ns = draw_ns(self.settings.ready_after, self._draws, "workload.ready_after", pod.id)

        def probed() -> None:
            self._kubernetes.write_status(pod.id, on_ready)

        if pod.has_proxy:
            self._actions.start_pod(pod, ready_after_ns, probed)
        else:
            self._clock.after(ready_after_ns, probed, band=Band.WORKLOAD, entity=pod.id)

    def ready(self, pod: Pod) -> None:
        """The kubelet reports it Ready: a change of the service's endpoints."""
        change = self._actions.endpoints_changed(pod.service)
        self._kubernetes.pod_ready(pod.service, pod.id, change)

    def delete(self, pod: Pod) -> None:
        """Its deletionTimestamp is set; it serves, runs and exists for as long as its end takes."""
        end = self._end_of(pod)
        change = self._actions.endpoints_changed(pod.service)
        self._kubernetes.pod_deleted(pod.service, pod.id, change)
        self._after(end.serves_until_ns, pod, lambda: self._kubernetes.pod_stopped_serving(pod.id))
        if pod.has_proxy:
            self._actions.pod_deleted(pod)
            self._after(end.proxy_exits_ns, pod, lambda: self._actions.stop_pod(pod))
        self._after(end.pod_gone_ns, pod, lambda: self._kubernetes.pod_gone(pod.service, pod.id))

    def _end_of(self, pod: Pod) -> PodEnd:
        if pod.has_proxy:
            return self._actions.pod_end(pod, self.settings)
        ends_ns = min(self.settings.pre_stop_ns, self.settings.termination_grace_ns)
        return PodEnd(ends_ns, ends_ns, ends_ns)

    def _after(self, delay_ns: int, pod: Pod, call: Callable[[], None]) -> None:
        self._clock.after(delay_ns, call, band=Band.WORKLOAD, entity=pod.id)


def name_of(service: Service, generation: int, number: int) -> str:
    """The name of a pod that a template of the service makes."""
    return f"{service.name}-{generation}-{number}.{service.namespace}"
