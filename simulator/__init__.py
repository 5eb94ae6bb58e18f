"""xdsim: how configuration travels from a control plane into Envoy, simulated event by event.

The whole public API stands here, and importing it is cheap: a name is loaded when it is first used, so
``import simulator`` costs neither pandas nor matplotlib.

An example::

    import simulator as xs

    scenario = xs.load_scenario("scenarios/first-start.yaml")
    result = xs.run(scenario, seed=7)
    result.startups, result.summary()
    xs.plots.startup(result)
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.experiment.compare import compare
    from simulator.experiment.errors import ExperimentError, ExperimentStopped
    from simulator.experiment.explain import explain
    from simulator.experiment.run import run
    from simulator.experiment.search import search
    from simulator.experiment.sweep import sweep
    from simulator.report import plots
    from simulator.results.comparison import Comparison
    from simulator.results.explanation import Explanation
    from simulator.results.load import load_experiment
    from simulator.results.replications import Replications
    from simulator.results.result import Result
    from simulator.results.storage import ResultsError
    from simulator.results.sweep import Sweep
    from simulator.scenario.loader import load_scenario
    from simulator.scenario.problems import ScenarioError
    from simulator.scenario.schema import Scenario

    __version__: str

__all__ = [
    "Comparison",
    "ExperimentError",
    "ExperimentStopped",
    "Explanation",
    "Replications",
    "Result",
    "ResultsError",
    "Scenario",
    "ScenarioError",
    "Sweep",
    "__version__",
    "compare",
    "explain",
    "load_experiment",
    "load_scenario",
    "plots",
    "run",
    "search",
    "sweep",
]

# Public name -> (module it is loaded from, name in that module; None for the module itself).
_HOMES: dict[str, tuple[str, str | None]] = {
    "Comparison": ("simulator.results.comparison", "Comparison"),
    "ExperimentError": ("simulator.experiment.errors", "ExperimentError"),
    "ExperimentStopped": ("simulator.experiment.errors", "ExperimentStopped"),
    "Explanation": ("simulator.results.explanation", "Explanation"),
    "Replications": ("simulator.results.replications", "Replications"),
    "Result": ("simulator.results.result", "Result"),
    "ResultsError": ("simulator.results.storage", "ResultsError"),
    "Scenario": ("simulator.scenario.schema", "Scenario"),
    "ScenarioError": ("simulator.scenario.problems", "ScenarioError"),
    "Sweep": ("simulator.results.sweep", "Sweep"),
    "compare": ("simulator.experiment.compare", "compare"),
    "explain": ("simulator.experiment.explain", "explain"),
    "load_experiment": ("simulator.results.load", "load_experiment"),
    "load_scenario": ("simulator.scenario.loader", "load_scenario"),
    "plots": ("simulator.report.plots", None),
    "run": ("simulator.experiment.run", "run"),
    "search": ("simulator.experiment.search", "search"),
    "sweep": ("simulator.experiment.sweep", "sweep"),
}


def __getattr__(name: str) -> object:
    """Load a public name at its first use and keep it, so that the second use is an ordinary look-up."""
    if name == "__version__":
        value: object = _installed_version()
    elif name in _HOMES:
        module, attribute = _HOMES[name]
        loaded = import_module(module)
        value = loaded if attribute is None else getattr(loaded, attribute)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _installed_version() -> str:
    """The version of the installed distribution; "0+unknown" when run from a tree that is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("xdsim")
    except PackageNotFoundError:
        return "0+unknown"
