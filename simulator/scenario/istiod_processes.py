"""The processes of istiod as they come and go, and what is said of them when the run is over."""

from __future__ import annotations

from collections.abc import Callable

from simulator.control_plane.istiod.deployment import Deployment
from simulator.control_plane.istiod.replica import Replica
from simulator.engine.delays import Delay, draw_ns
from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock
from simulator.scenario.mesh_sources import Sources
from simulator.scenario.utilisation import of_replicas
from simulator.scenario.world import OVERLOADED


class IstiodProcesses:
    """Starts and stops replicas, as their pods do (workload/contract.py: IstiodActions).

    Args:
        clock: Time.
        draws: Random numbers.
        cache_sync: From the start of a process until its informers have synced.
        deployment: The replicas.
        sources: The strategy's end at each replica.
        end_ns: End of the run.
    """

    def __init__(
        self,
        clock: Clock,
        draws: Draws,
        cache_sync: Delay,
        deployment: Deployment,
        sources: Sources,
        end_ns: int,
    ) -> None:
        self._clock = clock
        self._draws = draws
        self._cache_sync = cache_sync
        self._deployment = deployment
        self._sources = sources
        self._end_ns = end_ns
        self._starts: dict[int, int] = {}
        """Starts and stops of each replica: a start that was stopped meanwhile comes to nothing."""

    def begin_running(self, number: int) -> None:
        """A replica runs since long ago."""
        self.begin(number)

    def begin(self, number: int) -> None:
        """A replica has synced."""
        self._sources.begin_replica(self._deployment.start(number))

    def start_istiod(self, number: int, on_synced: Callable[[], None]) -> None:
        """A process starts; it has the state of the cluster when its caches are synced."""
        starts = self._starts[number] = self._starts.get(number, 0) + 1
        delay_ns = draw_ns(self._cache_sync, self._draws, "istiod.cache_sync", number, starts)

        def synced() -> None:
            if self._starts.get(number) == starts:
                self.begin(number)
                on_synced()

        self._clock.after(delay_ns, synced, band=Band.TIMER, entity=number)

    def stop_istiod(self, number: int) -> None:
        """SIGTERM."""
        self._starts[number] = self._starts.get(number, 0) + 1
        if number in self._deployment.replicas:
            self._deployment.stop(number)
            self._sources.end_replica(number)

    def istiod_in_service(self, number: int, is_in: bool) -> None:
        """Kube-proxies learned of it."""
        self._deployment.set_in_service(number, is_in=is_in)

    def assign_revision(self, number: int, revision: str) -> None:
        """A new replica is the revision's."""
        self._deployment.revisions[number] = revision

    def finish(self) -> None:
        """Overload is said aloud: stations that were busy throughout and still have a queue. What they did
        is added up."""
        deployment, recorder = self._deployment, self._deployment.recorder
        for number, replica in sorted(deployment.replicas.items()):
            for text in self._overloads(number, replica):
                recorder.warn(text)
        for text in self._sources.warnings():
            recorder.warn(text)
        recorder.control_plane_busy_ns = deployment.busy_ns + self._sources.busy_ns()
        settings = deployment.settings
        recorder.utilisation |= of_replicas(
            deployment.replicas, recorder, self._end_ns, settings.procs, settings.push_throttle
        )

    def _overloads(self, number: int, replica: Replica) -> list[str]:
        procs, long_ns = self._deployment.settings.procs, OVERLOADED * self._end_ns
        found = []
        if replica.registry.queue_length and replica.registry.busy_ns > long_ns:
            found.append(
                f"istiod-{number}: events arrive faster than the registry's one worker handles them; "
                f"{replica.registry.queue_length} wait at the end"
            )
        if replica.cpu.queue_length and replica.cpu.busy_ns > long_ns * procs:
            found.append(
                f"istiod-{number}: {procs} CPU cores are not enough; {replica.cpu.queue_length} jobs and "
                f"{replica.sender.depth} pushes wait at the end"
            )
        return found


class FollowedProcesses(IstiodProcesses):
    """Says when replicas end and start.

    Args:
        before_end: Told the number of one that ends now.
        changed: Told after one has ended or synced.
    """

    def __init__(
        self,
        clock: Clock,
        draws: Draws,
        cache_sync: Delay,
        deployment: Deployment,
        sources: Sources,
        end_ns: int,
        *,
        before_end: Callable[[int], None],
        changed: Callable[[], None],
    ) -> None:
        super().__init__(clock, draws, cache_sync, deployment, sources, end_ns)
        self._before_end, self._changed = before_end, changed

    def begin(self, number: int) -> None:
        """A replica has synced."""
        super().begin(number)
        self._changed()

    def stop_istiod(self, number: int) -> None:
        """SIGTERM."""
        self._before_end(number)
        super().stop_istiod(number)
        self._changed()
