"""The JSON Schema of scenario files, for editors: every key with its default and where that comes from."""

from __future__ import annotations

import types
import typing
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue

from simulator.scenario.delay_values import delay_json_schema
from simulator.scenario.json_schema_costs import describe_costs
from simulator.scenario.schema import Scenario
from simulator.scenario.settings import Settings

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_EXTENDS: JsonSchemaValue = {
    "type": "string",
    "minLength": 1,
    "description": "Another scenario file, seen from this one, whose keys hold where this one says nothing",
    "stands_for": "no setting: part of the scenario format",
    "source": "the scenario format itself",
}


def json_schema() -> JsonSchemaValue:
    """The JSON Schema (draft 2020-12) of a scenario file."""
    schema = Scenario.model_json_schema(by_alias=True, mode="validation", schema_generator=_Generator)
    schema["properties"] = {"extends": _EXTENDS, **schema["properties"]}
    _name_delays(schema, delay_json_schema())
    describe_costs(schema["$defs"])
    return {"$schema": DIALECT, **schema, "title": "xdsim scenario"}


def settings_classes() -> tuple[type[Settings], ...]:
    """The classes of all sections, each before those nested in it."""
    found: dict[type[Settings], None] = {}

    def collect(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, Settings):
            if annotation not in found:
                found[annotation] = None
                for field in annotation.model_fields.values():
                    collect(field.annotation)
        elif isinstance(annotation, types.GenericAlias | types.UnionType) or typing.get_origin(annotation):
            for argument in typing.get_args(annotation):
                collect(argument)

    collect(Scenario)
    return tuple(found)


def _name_delays(schema: JsonSchemaValue, delay: JsonSchemaValue) -> None:
    """Puts the schema of a delay in one place and a reference wherever it stands."""

    def visit(part: Any) -> None:
        if isinstance(part, dict):
            if part.get("anyOf") == delay["anyOf"]:
                del part["anyOf"]
                part["$ref"] = "#/$defs/Delay"
            part = part.values()
        elif not isinstance(part, list):
            return
        for child in part:
            visit(child)

    visit(schema)
    schema["$defs"]["Delay"] = {"description": "A duration, or one distribution", **delay}


class _Generator(GenerateJsonSchema):
    """Writes defaults as a file would hold them; pydantic cannot for values of our own classes."""

    def generate(self, schema: Any, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        """The schema, with the defaults of every section filled in."""
        result = super().generate(schema, mode)
        definitions = result.get("$defs", {})
        for settings in settings_classes():
            definition = result if settings is Scenario else definitions.get(settings.__name__)
            if definition is not None:
                _fill_in_defaults(definition, settings)
        return result

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        """The schema of the value alone: defaults are filled in at the end."""
        return self.generate_inner(schema["schema"])


def _fill_in_defaults(definition: JsonSchemaValue, settings: type[Settings]) -> None:
    mapping = next((one for one in definition.get("anyOf", []) if "properties" in one), definition)
    for name, field in settings.model_fields.items():
        described = mapping["properties"][field.alias or name]
        described.pop("title", None)
        if not field.is_required():
            adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
            described["default"] = adapter.dump_python(field.get_default(), mode="json", by_alias=True)
