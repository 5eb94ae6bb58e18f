"""Section `recording`: which tables are kept."""

from __future__ import annotations

from typing import Annotated, Literal

from simulator.scenario.quantities import Flag
from simulator.scenario.settings import FORMAT, SPELLING, Settings, setting

MOST_RECORDED_PROXIES = 1000
"""`auto` keeps the long tables up to this many proxies."""

MOST_RECORDED_PAIRS = 200_000
"""`auto` keeps the states of every resource up to this many pairs of proxy and resource: about a million
rows."""

DeliveriesKept = Annotated[bool | Literal["auto", "table", "histogram"], Flag(("auto", "table", "histogram"))]
AutoSwitch = Annotated[bool | Literal["auto"], Flag(("auto",))]


class Recording(Settings):
    """What is kept of a run; the digest is the same whatever is kept."""

    deliveries: DeliveriesKept = setting(
        "Keep the deliveries: as a table (true means that), or as histograms of each change and stage with a "
        "sample of rows; auto: a table up to 500,000 rows; false: neither",
        "auto",
        stands_for=SPELLING,
        source=FORMAT,
    )
    messages: AutoSwitch = setting(
        "Keep the messages table; auto: up to 1000 proxies", "auto", stands_for=SPELLING, source=FORMAT
    )
    states: AutoSwitch = setting(
        "Keep the states table; auto: up to 1000 proxies and 200,000 pairs of proxy and resource",
        "auto",
        stands_for=SPELLING,
        source=FORMAT,
    )

    queues: AutoSwitch = setting(
        "Keep the depths of istiod's queues, and who is connected to which replica; auto: up to 1000 proxies",
        "auto",
        stands_for=SPELLING,
        source=FORMAT,
    )
    proxy_pushes: AutoSwitch = setting(
        "Keep one row for each push to each proxy; auto: up to 1000 proxies",
        "auto",
        stands_for=SPELLING,
        source=FORMAT,
    )

    @property
    def keeps_deliveries(self) -> bool:
        """Whether anything is kept of them beside summary, verdicts and digest."""
        return self.deliveries is not False

    @property
    def folds_deliveries(self) -> bool | None:
        """Whether they become histograms; None: where the rows are too many."""
        if self.deliveries in ("auto", False):
            return None
        return self.deliveries == "histogram"

    def keeps_messages(self, proxies: int) -> bool:
        """Whether the messages table is kept for so many proxies."""
        return proxies <= MOST_RECORDED_PROXIES if self.messages == "auto" else self.messages

    def keeps_states(self, proxies: int, resources: int = 0) -> bool:
        """Whether the states table is kept for so many proxies, of so many clusters and listeners each."""
        if self.states != "auto":
            return self.states
        return proxies <= MOST_RECORDED_PROXIES and proxies * resources <= MOST_RECORDED_PAIRS

    def keeps_queues(self, proxies: int) -> bool:
        """Whether the queues table is kept for so many proxies."""
        return proxies <= MOST_RECORDED_PROXIES if self.queues == "auto" else self.queues

    def keeps_proxy_pushes(self, proxies: int) -> bool:
        """Whether the table of pushes to single proxies is kept for so many of them."""
        return proxies <= MOST_RECORDED_PROXIES if self.proxy_pushes == "auto" else self.proxy_pushes
