"""Every key of a scenario says what it stands for and where its default comes from, or that it is assumed."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.scenario.json_schema import settings_classes
from simulator.scenario.presets import PRESETS
from simulator.scenario.schema import Scenario

FIELDS = [(settings, name) for settings in settings_classes() for name in settings.model_fields]


@pytest.mark.parametrize(("settings", "name"), FIELDS, ids=lambda part: getattr(part, "__name__", part))
def test_every_key_is_sourced(settings: type[Scenario], name: str) -> None:
    field = settings.model_fields[name]
    told = field.json_schema_extra
    assert isinstance(told, dict), "declare keys with setting(...)"
    assert field.description
    assert told.get("stands_for")
    assert bool(told.get("source")) != bool(told.get("assumption")), "either a source or a stated assumption"


PRESET_DEFAULTS = [(preset, key) for preset, defaults in PRESETS.items() for key in defaults]


@pytest.mark.parametrize(("preset", "key"), PRESET_DEFAULTS)
def test_every_preset_default_is_sourced(preset: str, key: str) -> None:
    default = PRESETS[preset][key]
    assert bool(default.source) != bool(default.assumption), "either a source or a stated assumption"


def test_presets_set_the_same_keys() -> None:
    assert list(PRESETS["istio"]) == list(PRESETS["envoy"])


def test_what_a_preset_sets_is_what_the_schema_shows_as_default() -> None:
    written = Scenario().resolved()["envoy"]
    for key, default in PRESETS["istio"].items():
        expected: Any = default.value if not hasattr(default.value, "keys") else default.value["cds"]
        assert written[key] == expected, key
