"""Section `agent.certificates`: who signs the workloads' certificates, and when they are renewed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import model_serializer, model_validator

from simulator.engine.clock import MS, S
from simulator.engine.delays import Constant, Gamma
from simulator.scenario.delay_values import DelayField
from simulator.scenario.durations import DurationNs, PositiveDurationNs
from simulator.scenario.kubernetes_quantities import Auto, Probability, ProbabilityField
from simulator.scenario.problems import refusals
from simulator.scenario.quantities import Choice, Whole
from simulator.scenario.settings import FORMAT, Settings, setting

_OPTIONS = "pilot/cmd/pilot-agent/options"
_RETRY = "pkg/security/retry.go"
_NODE_AGENT = "security/cmd/node_agent_k8s/main.go at 1.4.10"

PROVIDERS = ("auto", "none", "istiod", "citadel", "node-agent")
Provider = Annotated[Literal["auto", "none", "istiod", "citadel", "node-agent"], Choice(PROVIDERS)]
_OF_FILES = ("citadel",)
_OWNERS = {
    "secret_resync_period": _OF_FILES,
    "sync_frequency": _OF_FILES,
    "file_min_delay": _OF_FILES,
    "secret_job_run_interval": ("node-agent",),
    "pods_per_node": ("node-agent",),
}
"""Keys that one provider alone has a meaning for."""


class Certificates(Settings):
    """The certificates of the workloads, which Envoy waits for without a time limit."""

    provider: Provider = setting(
        "Where they come from. istiod: the agent in each pod asks it; citadel: Secrets mounted as files; "
        "node-agent: one agent for all pods of a node asks Citadel; none: they are there at once; auto: "
        "istiod, or citadel with components, where the workload has ca_outage or root_rotation, else none",
        "auto",
        stands_for="CA_PROVIDER; global.sds.enabled before Istio 1.5",
        source=FORMAT,
    )
    ttl: PositiveDurationNs = setting(
        "Life of a certificate; 24h, with citadel 2160h (90 days)",
        24 * 3600 * S,
        stands_for="SECRET_TTL; --workload-cert-ttl of Citadel",
        source=f"{_OPTIONS} (24h); security/pkg/cmd/constants.go at 1.4.10 (90 days)",
    )
    grace_period_ratio: ProbabilityField = setting(
        "Share of its life that is left when it is renewed",
        0.5,
        stands_for="SECRET_GRACE_PERIOD_RATIO",
        source=f"{_OPTIONS} (0.5)",
    )
    grace_period_ratio_jitter: Annotated[float | Literal["auto"], Auto(Probability())] = setting(
        "How much that share varies, both ways; auto: 0.01 from Istio 1.24 on, nothing before",
        "auto",
        stands_for="SECRET_GRACE_PERIOD_RATIO_JITTER",
        source=f"{_OPTIONS} (0.01, since commit e023232ad20 of 2024-07)",
    )
    key_generation: DelayField = setting(
        "Time the agent takes for a key and a CSR",
        Gamma(150.0 * MS, 0.6),
        stands_for="WORKLOAD_RSA_KEY_SIZE 2048",
        assumption="Go's crypto/rsa takes a tenth to some tenths of a second, by luck of the primes",
    )
    signing: DelayField = setting(
        "Processor time the CA takes for one CSR",
        Constant(2 * MS),
        stands_for="security/pkg/server/ca/server.go:CreateCertificate",
        assumption="an RSA-2048 signature and the parsing around it",
    )
    retries: Annotated[int, Whole(0, 1000)] = setting(
        "Further tries of one call that fails", 5, stands_for="retry.WithMax", source=f"{_RETRY} (5)"
    )
    retry_backoff: PositiveDurationNs = setting(
        "First wait between them, 10 % more or less; it doubles; 100ms, of a node agent 2s",
        100 * MS,
        stands_for="retry.BackoffExponentialWithJitter; INITIAL_BACKOFF_MSEC of a node agent",
        source=f"{_RETRY} (100ms); {_NODE_AGENT} (2000)",
    )
    secret_resync_period: PositiveDurationNs = setting(
        "With citadel: how often it looks at all Secrets",
        60 * S,
        stands_for="secretResyncPeriod",
        source="security/pkg/k8s/controller/workloadsecret.go (1m)",
    )
    sync_frequency: PositiveDurationNs = setting(
        "With citadel: the kubelet writes a changed Secret into a pod every so often, up to half more",
        60 * S,
        stands_for="KubeletConfiguration.syncFrequency",
        source="kubernetes pkg/kubelet (1m, workerResyncIntervalJitterFactor 0.5)",
    )
    file_min_delay: DurationNs = setting(
        "With citadel: the agent gathers changes of files for so long before it hot restarts Envoy",
        10 * S,
        stands_for="defaultMinDelay",
        source="pkg/envoy/watcher.go at 1.4.10 (10s)",
    )
    secret_job_run_interval: PositiveDurationNs = setting(
        "With node-agent: how often it looks for certificates that are due",
        600 * S,
        stands_for="SECRET_JOB_RUN_INTERVAL",
        source=f"{_NODE_AGENT} (10m)",
    )
    pods_per_node: Annotated[int, Whole(1, 1000)] = setting(
        "With node-agent: proxies that one node has on average; each is on a node that is drawn",
        30,
        stands_for="the scheduler",
        assumption="the usual density of a cluster; the kubelet takes 110",
    )

    @model_validator(mode="after")
    def _of_their_provider(self) -> Certificates:
        found = [
            ((key,), f"goes with provider: {' or '.join(owners)}, and provider is {self.provider}")
            for key, owners in _OWNERS.items()
            if key in self.model_fields_set and self.provider not in owners
        ]
        if found:
            raise refusals(found)
        return self

    @model_serializer(mode="wrap")
    def _written(self, dump: Any) -> Any:
        foreign = [key for key, owners in _OWNERS.items() if self.provider not in owners]
        return {key: value for key, value in dump(self).items() if key not in foreign}
