import json

from simulator.cli.main import main


def test_the_columns_of_the_result_tables_are_printed_on_demand(capsys):
    assert main(["schema", "--tables"]) == 0
    tables = json.loads(capsys.readouterr().out)
    assert tables["deliveries"]["columns"]["t_active_ns"]["kind"] == "int64?"
    assert "decides traffic" in tables["deliveries"]["columns"]["t_active_ns"]["meaning"]


def test_the_schema_is_json_of_draft_2020_12(capsys):
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "duration" in schema["properties"]
