"""Base of the scenario's sections, and the declaration of a key with its default and where that is from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema


class FrozenScenarioError(AttributeError):
    """A scenario, or a section of one, was to be changed in place; the message says how to get another."""


class Settings(BaseModel):
    """A frozen group of keys; keys it does not have are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, validate_default=False
    )

    shorthand: ClassVar[dict[str, Any] | None] = None
    """JSON Schema of what may be written in place of the mapping, if anything."""
    keys_of_files: ClassVar[tuple[str, ...]] = ()
    """Keys that files have and the model has not."""

    if not TYPE_CHECKING:  # mypy knows already that what is frozen has no attributes to set

        def __setattr__(self, name: str, value: Any) -> None:
            if not name.startswith("_"):
                raise self._frozen(name)
            super().__setattr__(name, value)

        def __delattr__(self, name: str) -> None:
            if not name.startswith("_"):
                raise self._frozen(name)
            super().__delattr__(name)

    def _frozen(self, name: str) -> FrozenScenarioError:
        """What to say to somebody who would change an attribute in place."""
        field = type(self).model_fields.get(name)
        key = name if field is None else field.alias or name
        return FrozenScenarioError(f"a scenario is frozen: use {self._changed_copy(key)}")

    def _changed_copy(self, key: str) -> str:
        """The call that gives a scenario with another value at a key of this section."""
        return f"scenario.with_(**{{'PATH.{key}': ...}}), where PATH leads to this {type(self).__name__}"

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        reference = handler(schema)
        if cls.shorthand is not None:
            definition = handler.resolve_ref_schema(reference)
            mapping = dict(definition)
            definition.clear()
            definition.update({"anyOf": [cls.shorthand, mapping]})
        return reference


def setting(
    meaning: str,
    default: Any = ...,
    *,
    stands_for: str,
    source: str | None = None,
    assumption: str | None = None,
    key: str | None = None,
) -> Any:
    """Declares one key of a scenario.

    Args:
        meaning: What the key does, for the JSON Schema.
        default: Value when the key is left out, as the model uses it; a required key has none.
        stands_for: The Istio or Envoy setting or behaviour that the key stands for, or what else it is.
        source: Where the default comes from: file, version or measured rule.
        assumption: In place of a source, why this default was assumed.
        key: The key's name where it differs from the attribute's.
    """
    assert (source is None) != (assumption is None), "a default has a source or is a stated assumption"
    told = {"stands_for": stands_for}
    told.update({"source": source} if source is not None else {"assumption": assumption or ""})
    return Field(default, description=meaning, json_schema_extra=dict(told), alias=key)


FORMAT = "the scenario format itself"
"""Source of defaults that stand for nothing in Istio or Envoy, such as an empty list of pushes."""

SPELLING = "no setting: part of the scenario format"
"""What keys stand for that only describe the run."""
