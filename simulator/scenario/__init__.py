"""Scenarios: what a user writes, checked and made ready for the model.

``schema`` holds the frozen model of a scenario, ``sections`` its parts, ``loader`` reads files and
reports every problem with file and line, ``presets`` holds the two sets of Envoy defaults,
``json_schema`` describes the format to editors.
"""
