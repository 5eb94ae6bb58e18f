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
    from simulator.experiment.run import run
    from simulator.report import plots
    from simulator.results.result import Result
    from simulator.scenario.loader import load_scenario
    from simulator.scenario.problems import ScenarioError
    from simulator.scenario.schema import Scenario

    __version__: str

__all__ = ["Result", "Scenario", "ScenarioError", "__version__", "load_scenario", "plots", "run"]

# Public name -> (module it is loaded from, name in that module; None for the module itself).
_HOMES: dict[str, tuple[str, str | None]] = {
    "Result": ("simulator.results.result", "Result"),
    "Scenario": ("simulator.scenario.schema", "Scenario"),
    "ScenarioError": ("simulator.scenario.problems", "ScenarioError"),
    "load_scenario": ("simulator.scenario.loader", "load_scenario"),
    "plots": ("simulator.report.plots", None),
    "run": ("simulator.experiment.run", "run"),
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
