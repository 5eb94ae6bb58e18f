"""Section `workload`: what operators do to the mesh: certificates, hot restarts, feature flags, upgrades."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import model_validator

from simulator.engine.clock import MS, S
from simulator.engine.delays import Constant
from simulator.scenario.delay_values import DelayField
from simulator.scenario.durations import DurationNs
from simulator.scenario.kubernetes_quantities import ProbabilityField
from simulator.scenario.problems import refusal
from simulator.scenario.quantities import Choice, OrNone, Switch, Text, Whole
from simulator.scenario.sections.proxy_choice import ChosenProxies
from simulator.scenario.sections.timing import Lasting, Timed
from simulator.scenario.settings import FORMAT, Settings, setting


class CaOutageEntry(Lasting):
    """The CA is gone, or slow."""

    KIND = "ca_outage"
    GOES_WITH = ("istiod", "components")

    ca_outage: Switch = setting(
        "true: CSRs are refused (Unavailable), unless `delay` says that they take longer",
        stands_for="the CA behind CA_ADDR",
        source=FORMAT,
    )
    delay: Annotated[DelayField | None, OrNone()] = setting(
        "What each CSR waits for besides, in place of failing",
        None,
        stands_for="a CA under load, or an external one",
        source=FORMAT,
    )

    @model_validator(mode="after")
    def _is_one(self) -> CaOutageEntry:
        if not self.ca_outage:
            raise refusal("must be true: leave the entry out otherwise", "ca_outage")
        return self


class RootRotationEntry(Timed):
    """The CA goes over to a new root certificate, with the key it has."""

    KIND = "root_rotation"
    GOES_WITH = ("istiod", "components")

    root_rotation: Switch = setting(
        "true; a workload has the new root with its next certificate",
        stands_for="rotation of the self-signed root",
        source="security/pkg/pki/ca/selfsignedcarootcertrotator.go",
    )

    @model_validator(mode="after")
    def _is_one(self) -> RootRotationEntry:
        if not self.root_rotation:
            raise refusal("must be true: leave the entry out otherwise", "root_rotation")
        return self


class HotRestartEntry(Timed):
    """A new Envoy takes over from the one that runs."""

    KIND = "hot_restart"
    GOES_WITH = ("scripted", "none", "components")

    hot_restart: ChosenProxies = setting(
        "Which: {proxies: 1}", stands_for="--restart-epoch; the hot restarter", source=FORMAT
    )


class RuntimeFlagEntry(Timed):
    """A feature flag gets another value in one layer of the runtime."""

    KIND = "runtime_flag"
    GOES_WITH = ("scripted", "none")

    runtime_flag: Annotated[str, Text(200, r"\S+", "a key of the runtime")] = setting(
        "Key of the flag", stands_for="RuntimeFractionalPercent.runtime_key", source=FORMAT
    )
    value: ProbabilityField = setting(
        "Share of the requests for which it is on: 25% or 0.25",
        1.0,
        stands_for="FractionalPercent",
        source=FORMAT,
    )
    layer: Annotated[str | None, Text(200, r"\S+", "the name of a layer", nothing=True)] = setting(
        "Layer it is written to; absent = the last one that is not static",
        None,
        stands_for="RuntimeLayer.name",
        source=FORMAT,
    )
    admin_call: DelayField = setting(
        "Admin layer: time of one POST /runtime_modify; proxies are told one after the other",
        Constant(50 * MS),
        stands_for="the operator's script",
        assumption="a loop over pods with a port-forward that is open already",
    )


class Migration(Settings):
    """Which control plane proxies move to, and how fast."""

    to: Annotated[str, Text(63, r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", "the name of a revision")] = setting(
        "Revision: installed first if there is none of that name; default = the one there from the start",
        stands_for="istio.io/rev",
        source=FORMAT,
    )
    per: Annotated[Literal["namespace"], Choice(("namespace",))] = setting(
        "What moves at a time", "namespace", stands_for="kubectl label namespace", source=FORMAT
    )
    every: DurationNs = setting(
        "Time between two namespaces",
        60 * S,
        stands_for="the operator's pace",
        assumption="a look at metrics",
    )
    replicas: Annotated[int, Whole(1, 1000)] = setting(
        "Replicas of a control plane that is installed",
        1,
        stands_for="Deployment istiod-<rev> spec.replicas",
        source="istio-discovery chart, values.yaml (replicaCount 1, autoscaleMin 1)",
    )


class MigrateRevisionEntry(Timed):
    """A canary upgrade, or its roll-back: the Deployments of one namespace after another are rolled."""

    KIND = "migrate_revision"
    GOES_WITH = ("istiod",)

    migrate_revision: Migration = setting(
        "{to: canary, per: namespace, every: 1m}", stands_for="an upgrade by revision", source=FORMAT
    )
    pre_stop: DurationNs = setting(
        "Duration of the applications' preStop hooks", 0, stands_for="lifecycle.preStop", source=FORMAT
    )
