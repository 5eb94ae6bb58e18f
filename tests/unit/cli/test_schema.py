import json

from simulator.cli.main import main


def test_the_schema_is_json_of_draft_2020_12(capsys):
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "duration" in schema["properties"]
