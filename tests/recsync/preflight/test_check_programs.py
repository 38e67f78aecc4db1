"""What a person who writes a program file gets wrong, and what the checks without a connection say of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from recsync.preflight.check_programs import check, column_problems, program_queries
from recsync.program import Program
from recsync.program.braze import RESERVED_ATTRIBUTES
from recsync.program.files import program_yaml, read_program, read_schemas

REPO = Path(__file__).resolve().parents[3]
INCLUDE = REPO / "include"
GROCERY = INCLUDE / "programs" / "grocery.yaml"
PROGRAM = """\
datasets:
  interactions: {}
  items: {}
recommendations:
  fallback: [popular]
braze:
  attribute: recs_vod
  catalog:
    name: films
    fields:
      title: string
"""
_AVRO = {"type": "record", "namespace": "com.amazonaws.personalize.schema", "version": "1.0"}
SCHEMAS = {
    "interactions": {"USER_ID": "string", "ITEM_ID": "string", "TIMESTAMP": "long", "EVENT_TYPE": "string"},
    "items": {"ITEM_ID": "string", "PRICE": "float"},
}
SQL = {
    "interactions": "SELECT user_id, item_id, {{ epoch('at') }} AS timestamp, event_type\nFROM plays\n"
    "WHERE at >= '{{ data_interval_start }}' AND at < '{{ data_interval_end }}'\n",
    "items": "SELECT item_id, price\nFROM films\n{% if not full %}WHERE changed >= '{{ data_interval_start }}'{% endif %}\n",
    "audience": "SELECT user_id, external_id FROM people\n",
    "catalogue": "SELECT\n    item_id,\n    title\nFROM films\n",
    # Read with an experiment only.
    "outcomes": "SELECT user_id, {{ epoch('at') }} AS timestamp, price AS value, item_id AS itemid FROM rents\n",
}


def write(include: Path, name: str = "vod", program: str = PROGRAM, **sql: str | bytes) -> None:
    """Write a program with its files."""
    for folder in ("programs", f"sql/{name}", f"schemas/{name}"):
        (include / folder).mkdir(parents=True, exist_ok=True)
    (include / "programs" / f"{name}.yaml").write_text(program)
    for query, text in {**SQL, **sql}.items():
        body = text if isinstance(text, bytes) else text.encode()
        (include / "sql" / name / f"{query}.sql").write_bytes(body)
    for dataset, fields in SCHEMAS.items():
        listed = [{"name": field, "type": kind} for field, kind in fields.items()]
        schema = {**_AVRO, "name": dataset.capitalize(), "fields": listed}
        (include / "schemas" / name / f"{dataset}.json").write_text(json.dumps(schema, indent=1))


def test_columns_that_exports_fill_need_the_schema_and_not_the_query(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = f"{PROGRAM}personalize: {{attribution: {{impressions: 5}}}}\n"
    write(tmp_path, program=asking)
    (problem,) = check(tmp_path)
    assert "personalize.attribution.impressions: needs the field" in problem
    monkeypatch.setitem(SCHEMAS, "interactions", {**SCHEMAS["interactions"], "IMPRESSION": "string"})
    write(tmp_path, program=asking)
    path = tmp_path / "schemas/vod/interactions.json"
    path.write_text(
        path.read_text().replace(
            '"IMPRESSION",\n   "type": "string"', '"IMPRESSION", "type": ["null", "string"]'
        )
    )
    assert check(tmp_path) == []
    write(tmp_path)
    path.write_text(
        path.read_text().replace(
            '"IMPRESSION",\n   "type": "string"', '"IMPRESSION", "type": ["null", "string"]'
        )
    )
    assert "returns no column IMPRESSION" in check(tmp_path)[0]


def test_a_sound_program_has_no_problem(tmp_path: Path) -> None:
    write(tmp_path)
    assert check(tmp_path) == []


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        # Names of fields.
        ("recommendations:", "recomendations:", "vod.yaml:4: recomendations: unknown field; did you mean recommendations?"),
        ("  fallback: [popular]", "  attribute: x", "vod.yaml:5: recommendations.attribute: unknown field; did you mean braze.attribute?"),
        ("    name: films", "    nam: films", "vod.yaml:9: braze.catalog.nam: unknown field; did you mean name?"),
        ("  items: {}", "  films: {}", "vod.yaml:3: datasets.films: unknown field; did you mean items?"),
        ("    name: films\n", "", "vod.yaml:8: braze.catalog.name: is missing"),
        ("  attribute: recs_vod", "  attribute: recs_vod\n  attribute: recs", "vod.yaml:7: braze.attribute: is there again on line 8; keep one"),
        # Words to choose from.
        ("[popular]", "[populer]", "vod.yaml:5: recommendations.fallback.0: must be similar, popular_in_segment or popular; did you mean popular? (it is 'populer')"),
        ("title: string", "title: text", "vod.yaml:11: braze.catalog.fields.title: must be string, number, boolean, time, array or object (it is 'text')"),
        ("recommendations:", "checks: {rules: {missing: off}}\nrecommendations:", "vod.yaml:4: checks.rules.missing: must be off, note, warn or stop; write \"off\" in quotes, YAML reads it as false without"),
        ("recommendations:", "checks: {rules: {missing: stopp}}\nrecommendations:", "did you mean stop? (it is 'stopp')"),
        ("recommendations:", "checks: {rules: {missing: {warm: 1}}}\nrecommendations:", "vod.yaml:4: checks.rules.missing.warm: unknown field; did you mean warn?"),
        ("recommendations:", "checks: {rules: {mising: stop}}\nrecommendations:", "did you mean missing?"),
        ("recommendations:", "personalize: {recipe: aws-user-personalisation}\nrecommendations:", "vod.yaml:4: personalize.recipe: did you mean aws-user-personalization?"),
        ("recommendations:", "gate: {metrics: {precision_at_24: {minimum: 0.1}}}\nrecommendations:", "did you mean precision_at_25?"),
        # Values.
        ("  fallback: [popular]", "  length: 200", "vod.yaml:5: recommendations.length: must be at most 100 (it is 200)"),
        ("  fallback: [popular]", "  length: twelve", "vod.yaml:5: recommendations.length: must be a whole number (it is 'twelve')"),
        ("  fallback: [popular]", "  length:", "vod.yaml:5: recommendations.length: is empty, but must be a whole number"),
        ("  fallback: [popular]", "  fallback: popular", "vod.yaml:5: recommendations.fallback: must be a list, such as [a, b] (it is 'popular')"),
        ("datasets:\n  interactions: {}\n  items: {}", "datasets: all", "vod.yaml:1: datasets: must be a section: lines of the form `name: value`"),
        ("recommendations:", "description: 2026\nrecommendations:", "vod.yaml:4: description: must be a text; put it in quotes (it is 2026)"),
        ("recommendations:", "checks: {enabled: sometimes}\nrecommendations:", "must be true or false (it is 'sometimes')"),
        ("recommendations:", "bucket: s3://our-data/\nrecommendations:", "must be the name of an S3 bucket alone: 3 to 63 lower-case letters, digits, . and -; write our-data"),
        ("recommendations:", "role_arn: personalize\nrecommendations:", "such as arn:aws:iam::123456789012:role/personalize (it is 'personalize')"),
        ("attribute: recs_vod", "attribute: recs vod", "vod.yaml:7: braze.attribute: must be at most 255 letters, digits, _ and -, beginning with a letter or _; write recs_vod (it is 'recs vod')"),
        ("name: films", "name: our films!", "vod.yaml:9: braze.catalog.name: must be at most 250 letters, digits, _ and -; write our_films"),
        ("title: string", "full title: string", "write full_title"),
        ("recommendations:", "schedules: {export: hourly}\nrecommendations:", "vod.yaml:4: schedules.export: must be a cron expression: minute, hour, day of the month, month and day of the week; write '0 * * * *' (it is 'hourly')"),
        ("recommendations:", "schedules: {export: 5 minutes}\nrecommendations:", "such as '0 * * * *' for every full hour"),
        ("recommendations:", "schedules: {export: 0 0 30 2 *}\nrecommendations:", "vod.yaml:4: schedules.export: names a day that no month has (it is '0 0 30 2 *')"),
        ("recommendations:", "schedules: {timezone: Europe/Belin}\nrecommendations:", "vod.yaml:4: schedules.timezone: must be a time zone of the IANA database; did you mean Europe/Berlin? (it is 'Europe/Belin')"),
        ("recommendations:", "schedules: {export: {after: [orders]}}\nrecommendations:", "vod.yaml:4: schedules.export.after.0: must be the URI of an Airflow asset, such as s3://bucket/key"),
        ("recommendations:", "schedules: {export: {after: ['s3:///key']}}\nrecommendations:", "must name a bucket after s3:// (it is 's3:///key')"),
        ("recommendations:", "schedules: {export: {after: ['airflow://x']}}\nrecommendations:", "must not begin with airflow:"),
        ("recommendations:", "schedules: {export: {after: []}}\nrecommendations:", "vod.yaml:4: schedules.export.after: must have at least 1 entry or entries"),
        ("recommendations:", "schedules: {export: {cron: '0 6 * * *'}}\nrecommendations:", "vod.yaml:4: schedules.export.after: is missing"),
        ("recommendations:", "schedules: {recommend: {after: ['s3://b/k'], cron: daily}}\nrecommendations:", "vod.yaml:4: schedules.recommend.cron: must be a cron expression"),
        ("recommendations:", "schedules: {recommend: {after: ['s3://b/k'], intervals: '0 0 * * *'}}\nrecommendations:", "vod.yaml:4: schedules.recommend.intervals: unknown field"),
        ("recommendations:", "schedules: {export: 5}\nrecommendations:", "vod.yaml:4: schedules.export: must be a text; put it in quotes (it is 5)"),
        ("recommendations:", "schedules: {timezone: CEST}\nrecommendations:", "must be a time zone of the IANA database"),
        ("recommendations:", "schedules: {timezone: ../etc/passwd}\nrecommendations:", "must be a time zone of the IANA database"),
        # YAML itself.
        ("  fallback: [popular]", "\tfallback: [popular]", "vod.yaml:5: not valid YAML: found character '\\t' that cannot start any token; indent with spaces"),
        ("recommendations:", "description: soon: more\nrecommendations:", "put a text that holds a colon in quotes"),
        # Columns of schemas.
        ("recommendations:", "filters: {recommend: {expression: EXCLUDE ItemID WHERE Items.PRISE > 3}}\nrecommendations:", "vod.yaml:4: filters.recommend.expression: Items.PRISE is not in the schema, which has ITEM_ID, PRICE; did you mean PRICE?"),
        ("recommendations:", "filters: {recommend: {expression: EXCLUDE ItemID WHERE CurrentUser.AGE > 3}}\nrecommendations:", "CurrentUser.AGE needs the dataset; add datasets.users: {}"),
        ("recommendations:", "personalize: {excluded_columns: {items: [PRISE]}}\nrecommendations:", "vod.yaml:4: personalize.excluded_columns.items: names PRISE; the schema has ITEM_ID, PRICE; did you mean PRICE?"),
        # Columns of queries.
        ("[popular]", "[popular_in_segment]", "vod.yaml:5: recommendations.fallback.0: include/sql/vod/audience.sql returns no column segment; it returns user_id, external_id."),
        ("recommendations:", "recommendations:\n  rules: {max_per: {brand: 2}}", "vod.yaml:5: recommendations.rules.max_per.brand: include/sql/vod/catalogue.sql returns no column brand"),
        ("recommendations:", "recommendations:\n  rules: {distinct: [item_id, titel]}", "vod.yaml:5: recommendations.rules.distinct.1: include/sql/vod/catalogue.sql returns no column titel; it returns item_id, title; did you mean title?"),
        ("recommendations:", "recommendations:\n  rules: {promoted: {column: offer, share: 0.2}}", "vod.yaml:5: recommendations.rules.promoted.column: include/sql/vod/catalogue.sql returns no column offer"),
        ("recommendations:", "recommendations:\n  rules: {promoted: {sql: vod/offers.sql, share: 0.2}}", "vod.yaml:5: recommendations.rules.promoted.sql: include/sql/vod/offers.sql does not exist; write it"),
        ("recommendations:", "recommendations:\n  rules: {boost: {sql: vod/items.sql, column: title, factor: 2}}", "vod.yaml:5: recommendations.rules.boost: needs either column, a boolean column of catalogue.sql, or sql"),
        ("recommendations:", "recommendations:\n  rules: {promoted: {sql: vod/audience.sql, share: 0.2}}", "include/sql/vod/audience.sql:1: returns no column item_id, which is needed; it returns user_id, external_id."),
        ("recommendations:", "recommendations:\n  rules: {boost: {column: offer, factor: 0}}", "vod.yaml:5: recommendations.rules.boost.factor: must be more than 0 (it is 0)"),
        ("recommendations:", "recommendations:\n  rules: {promoted: {column: title, share: 20}}", "vod.yaml:5: recommendations.rules.promoted.share: must be at most 1 (it is 20)"),
        ("recommendations:", "recommendations:\n  rules: {promoted: {column: title, share: 0.2, positions: [1, 13]}}", "rules.promoted.positions names 13, above length (12)"),
        ("recommendations:", "recommendations:\n  rules: {promoted: {column: title, share: 0.2, positions: [2, 2]}}", "vod.yaml:5: recommendations.rules.promoted.positions: must not name a position twice"),
        ("recommendations:", "recommendations:\n  rules: {new_items_share: {days: 9, column: created, share: 0.2}}", "vod.yaml:5: recommendations.rules.new_items_share.column: include/sql/vod/catalogue.sql returns no column created"),
        ("recommendations:", "recommendations:\n  rules: {diversity: {by: genre, strength: 0.5}}", "vod.yaml:5: recommendations.rules.diversity.by: include/sql/vod/catalogue.sql returns no column genre"),
        ("recommendations:", "recommendations:\n  rules: {diversity: {by: title, strength: 2}}", "vod.yaml:5: recommendations.rules.diversity.strength: must be at most 1 (it is 2)"),
        ("recommendations:", "recommendations:\n  rules: {not_mailed_in_days: 0}", "vod.yaml:5: recommendations.rules.not_mailed_in_days: must be at least 1"),
        ("recommendations:", "recommendations:\n  rules: {not_mailed_in_days: {programs: [vod]}}", "vod.yaml:5: recommendations.rules.not_mailed_in_days.days: is missing"),
        ("recommendations:", "recommendations:\n  rules: {not_in: [vodd]}", "vod.yaml:5: recommendations.rules.not_in.0: there is no include/programs/vodd.yaml; did you mean vod?"),
        ("recommendations:", "recommendations:\n  rules: {max_per_category: 2, category: aisle}", "vod.yaml:5: recommendations.rules.category: include/sql/vod/catalogue.sql returns no column aisle"),
        ("recommendations:", "recommendations:\n  rules: {in_stock: in_stock}", "vod.yaml:5: recommendations.rules.in_stock: include/sql/vod/catalogue.sql returns no column in_stock"),
        ("braze:", "experiment: {name: a, stratify_by: city, arms: {x: {share: 0.5, gets: champion}, y: {share: 0.5, gets: nothing}}}\nbraze:", "vod.yaml:6: experiment.stratify_by: include/sql/vod/audience.sql returns no column city"),
        ("braze:", "experiment: {name: a, arms: {x: {share: 0.5, gets: champion}, y: {share: 0.5, gets: nothing}}}\nbraze:", "include/sql/vod/outcomes.sql:1: returns a column itemid, which nothing reads; did you mean item_id?"),
        ("braze:", "experiment: {name: a, arms: {x: {share: 0.5, gets: {program: vodd}}, y: {share: 0.5, gets: nothing}}}\nbraze:", "vod.yaml:6: experiment.arms.x.gets.program: there is no include/programs/vodd.yaml; did you mean vod?"),
        ("title: string", "titel: string", "vod.yaml:11: braze.catalog.fields.titel: include/sql/vod/catalogue.sql returns no column titel; it returns item_id, title; did you mean title?"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_program_file_is_named(tmp_path: Path, right: str, wrong: str, told: str) -> None:
    assert right in PROGRAM
    write(tmp_path, program=PROGRAM.replace(right, wrong, 1))
    found = check(tmp_path)
    assert any(told in problem for problem in found), found
    assert "[A-Za-z" not in "\n".join(found), "no regular expression is shown to people"


@pytest.mark.parametrize(
    ("query", "text", "told"),
    [
        ("items", SQL["items"].encode("utf-16"), "include/sql/vod/items.sql:1: UTF-16"),
        ("items", "-- Übersicht\n".encode("latin-1") + SQL["items"].encode(), "include/sql/vod/items.sql:1: byte 0xdc is not UTF-8"),
        ("items", "SELECT 1\nWHERE x > '{{ data_interval_begin }}'", "include/sql/vod/items.sql:2: unknown variable data_interval_begin; did you mean data_interval_end?"),
        ("items", "SELECT 1\n\nWHERE x > '{{ ds }}'", "include/sql/vod/items.sql:3: unknown variable ds; did you mean data_interval_start?"),
        ("items", "SELECT 1\n{% if full %}\n{{ nothing }}{% endif %}", "include/sql/vod/items.sql:3: unknown variable nothing"),
        ("items", "SELECT 1\n{% if full %}", "include/sql/vod/items.sql:2: not a valid template: Unexpected end of template"),
        ("items", "SELECT\n{{ epoch() }}", "include/sql/vod/items.sql:2: not a valid template:"),
        ("items", "SELECT\n{{ full | upcase }}", "include/sql/vod/items.sql:2: not a valid template: No filter named 'upcase'"),
        ("items", "SELECT item_id, price\nFROM films\nWHER price > 3", "include/sql/vod/items.sql:3: is not valid SQL"),
        ("items", "SELECT item_id, price FROM (SELECT 1", "include/sql/vod/items.sql:1: is not valid SQL"),
        ("items", "DELETE FROM films", "include/sql/vod/items.sql:1: holds a DELETE statement; write one SELECT"),
        ("items", "-- nothing yet\n", "holds no query"),
        ("items", "SELECT item_id, prise FROM films", "include/schemas/vod/items.json:12: field PRICE: include/sql/vod/items.sql returns no column PRICE; it returns item_id, prise; did you mean prise?"),
        ("audience", "SELECT id FROM people", "include/sql/vod/audience.sql:1: returns no column user_id, which is needed; it returns id"),
        ("audience", "SELECT user_id, externalid FROM people", "include/sql/vod/audience.sql:1: returns a column externalid, which nothing reads; did you mean external_id?"),
        ("catalogue", "SELECT item_id, title, name AS title FROM films", "include/sql/vod/catalogue.sql:1: returns the column title 2 times"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_sql_file_is_named(tmp_path: Path, query: str, text: str | bytes, told: str) -> None:
    write(tmp_path, **{query: text})
    found = check(tmp_path)
    assert any(told in problem for problem in found), found


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM films",
        "WITH f AS (SELECT item_id, price FROM films) SELECT item_id, price FROM f",
        "SELECT item_id, price FROM films UNION ALL SELECT item_id, price FROM shows;\n-- the end\n",
        "SELECT [item_id], [price] FROM [dbo].[films]",
        "SELECT `item_id`, `price` FROM `project.data.films`",
        "SELECT item_id, price::numeric(8, 2) AS price FROM films QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY at) = 1",
        "SELECT DISTINCT ON (item_id) item_id, (data ->> 'price')::float AS price FROM films",
    ],
)  # fmt: skip
def test_sql_of_the_warehouses_is_taken(tmp_path: Path, text: str) -> None:
    write(tmp_path, items=text)
    assert check(tmp_path) == []


@pytest.mark.parametrize("field", ["attribute", "tier_attribute"])
@pytest.mark.parametrize("name", sorted(RESERVED_ATTRIBUTES))
def test_a_profile_field_of_braze_is_no_attribute(tmp_path: Path, field: str, name: str) -> None:
    more = f"  attribute: {name}" if field == "attribute" else f"  attribute: recs\n  tier_attribute: {name}"
    write(tmp_path, program=PROGRAM.replace("  attribute: recs_vod", more))
    (problem,) = check(tmp_path)
    line = 7 if field == "attribute" else 8
    assert problem.startswith(f"vod.yaml:{line}: braze.{field}: {name} is a profile field of Braze")


def test_two_programs_that_write_to_the_same_are_both_named(tmp_path: Path) -> None:
    write(tmp_path)
    write(
        tmp_path,
        "shows",
        PROGRAM.replace("attribute: recs_vod", "attribute: other\n  tier_attribute: recs_vod"),
    )
    found = check(tmp_path)
    assert len(found) == 4
    for start in (
        "vod.yaml:7: braze.attribute: shows.yaml writes to the same Braze attribute",
        "vod.yaml:9: braze.catalog.name: shows.yaml writes to the same Braze catalog",
        "shows.yaml:8: braze.tier_attribute: vod.yaml writes to the same Braze attribute",
        "shows.yaml:10: braze.catalog.name: vod.yaml writes to the same Braze catalog",
    ):
        assert any(line.startswith(start) for line in found), found
    other = PROGRAM.replace("braze:", "braze:\n  connection: braze_other")
    write(tmp_path, "shows", other)
    assert check(tmp_path) == [], "another workspace has attributes and catalogs of its own"


def test_a_program_file_that_nothing_reads_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "programs" / "shows.yml").write_text(PROGRAM)
    assert check(tmp_path) == ["shows.yml: nothing reads a file of this name; rename it to shows.yaml"]


def test_all_problems_of_all_programs_are_told_at_once(tmp_path: Path) -> None:
    write(tmp_path, items="SELECT {{ a }}", audience="SELECT {{ b }}")
    write(tmp_path, "shows", PROGRAM.replace("length", "lenght").replace("recs_vod", "email"))
    found = "\n".join(check(tmp_path))
    assert all(part in found for part in ("items.sql:1", "audience.sql:1", "shows.yaml:7"))


def test_no_field_shows_a_regular_expression() -> None:
    assert '"pattern"' not in json.dumps(Program.model_json_schema()), (
        "use section.matching(), which has words"
    )


def test_the_command_loads_no_airflow() -> None:
    code = (
        "import sys; from pathlib import Path; from recsync.preflight.check_programs import main\n"
        "status = main(Path('include'))\n"
        "sys.exit(status or any(name.split('.')[0] == 'airflow' for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPO, env={"PYTHONPATH": "plugins"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1 program file(s), 0 problem(s)\n"


def test_each_query_must_return_the_columns_that_its_schema_and_the_program_need() -> None:
    program = read_program(GROCERY, INCLUDE)
    queries = {query.kind: query for query in program_queries(program, read_schemas(program, INCLUDE))}
    assert list(queries) == ["interactions", "users", "items", "audience", "catalogue", "outcomes"]
    with_intervals = ["interactions", "users", "items", "outcomes"]
    assert [kind for kind, query in queries.items() if query.intervals] == with_intervals
    items, file = queries["items"], program_yaml(GROCERY)
    columns = [wanted.column for wanted in items.wanted]
    assert columns[0] == "ITEM_ID"
    assert list(column_problems(file, items, [column.lower() for column in columns], INCLUDE)) == []
    (missing,) = column_problems(file, items, columns[1:], INCLUDE)
    assert "grocery/items.json:" in missing
    assert "returns no column ITEM_ID" in missing
    (twice,) = column_problems(file, items, [*columns, "item_id"], INCLUDE)
    assert "returns the column ITEM_ID 2 times" in twice
    (mistyped,) = column_problems(file, queries["audience"], ["user_id", "segment", "external_ids"], INCLUDE)
    assert "did you mean external_id?" in mistyped


@pytest.mark.parametrize("identifier", ["braze_id", "user_alias", "email", "phone"])
def test_the_audience_must_return_the_identifier(tmp_path: Path, identifier: str) -> None:
    label = "\n  alias_label: shop" if identifier == "user_alias" else ""
    path = tmp_path / "programs" / "grocery.yaml"
    path.parent.mkdir()
    text = GROCERY.read_text()
    path.write_text(text.replace("\nbraze:\n", f"\nbraze:\n  identifier: {identifier}{label}\n"))
    program = read_program(path, INCLUDE)
    queries = {query.kind: query for query in program_queries(program, read_schemas(program, INCLUDE))}
    (problem,) = column_problems(program_yaml(path), queries["audience"], ["user_id", "segment"], INCLUDE)
    assert f"returns no column {identifier}" in problem
    assert "grocery.yaml" in problem
    there = ["user_id", "segment", identifier]
    assert list(column_problems(program_yaml(path), queries["audience"], there, INCLUDE)) == []
