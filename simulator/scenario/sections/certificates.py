"""Section `agent.certificates`: who signs the workloads' certificates, and when they are renewed."""

from __future__ import annotations

from typing import Annotated, Literal

from simulator.engine.clock import MS, S
from simulator.engine.delays import Constant, Gamma
from simulator.scenario.delay_values import DelayField
from simulator.scenario.durations import PositiveDurationNs
from simulator.scenario.kubernetes_quantities import Auto, Probability, ProbabilityField
from simulator.scenario.quantities import Choice, Whole
from simulator.scenario.settings import FORMAT, Settings, setting

_OPTIONS = "pilot/cmd/pilot-agent/options"
_RETRY = "pkg/security/retry.go"


class Certificates(Settings):
    """The certificates of the workloads, which Envoy waits for without a time limit."""

    provider: Annotated[Literal["auto", "none", "istiod"], Choice(("auto", "none", "istiod"))] = setting(
        "Who signs: istiod, asked by the agent in each pod; none: certificates are there at once; auto: "
        "istiod where the workload has ca_outage or root_rotation, else none",
        "auto",
        stands_for="CA_PROVIDER",
        source=FORMAT,
    )
    ttl: PositiveDurationNs = setting(
        "Life of a certificate", 24 * 3600 * S, stands_for="SECRET_TTL", source=f"{_OPTIONS} (24h)"
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
        "First wait between them, 10 % more or less; it doubles, to 1.6s",
        100 * MS,
        stands_for="retry.BackoffExponentialWithJitter",
        source=f"{_RETRY} (100ms)",
    )
