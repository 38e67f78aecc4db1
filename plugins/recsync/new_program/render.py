"""Write the files of a new program: the program file, the SQL and the Avro schemas of a proposal."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Sequence

from braze_client.payloads import CATALOG_ID
from recsync.new_program.proposal import Proposal
from recsync.new_program.queries import Queries, QueryField
from recsync.program.avro import NAMESPACE, VERSION
from recsync.program.braze import CATALOG_NAME_PATTERN
from recsync.program.section import with_underscores
from recsync.warehouse.dialects import Dialect

_LENGTH = 12


def files(
    name: str, proposal: Proposal, dialect: Dialect, *, age_days: float | None = None
) -> dict[str, str]:
    """Return the texts of all files of a program, by path below ``include``.

    :param age_days: how long ago the newest interaction was.
    """
    queries = Queries(proposal, dialect)
    datasets = queries.datasets()
    found = {f"programs/{name}.yaml": _program(name, proposal, datasets, age_days)}
    for folder, (sql, fields) in datasets.items():
        found[f"sql/{name}/{folder}.sql"] = sql
        found[f"schemas/{name}/{folder}.json"] = _schema(folder.capitalize(), fields)
    found[f"sql/{name}/audience.sql"] = queries.audience()
    found[f"sql/{name}/catalogue.sql"] = queries.catalog()
    return found


def _program(name: str, p: Proposal, datasets: Collection[str], age_days: float | None) -> str:
    given = p.answers
    attribute = given.get("attribute") or f"recs_{with_underscores(name).replace('-', '_')}"
    catalog = given.get("catalog") or f"{name}_items"
    what = p.items.name if p.items else p.item.column
    description = (
        given.get("description") or f"Recommendations of {what} from what people did in {p.lines.name}."
    )
    item_key = p.column(p.item_key)
    length, ids = max(1, min(_LENGTH, item_key.distinct // 2)), item_key.sample
    # The fallback looks back to a month before the newest interaction.
    fallback_days = min(3650, 30 + (365 if age_days is None else max(0, math.ceil(age_days))))
    lines = [
        f"# Written by make new PROGRAM={name}. Every field that is left out has the default that",
        "# docs/program-file.md names. make programs and make preflight check what you change.",
        f"description: {json.dumps(description, ensure_ascii=False)}",
        "",
        "# Each has a query in include/sql and a schema in include/schemas, in a folder named after the program.",
        "datasets:",
        *(f"  {folder}: {{}}" for folder in ("interactions", "users", "items") if folder in datasets),
        "",
        "personalize:",
        "  recipe: aws-user-personalization",
        "  # Trained on the same data, to compare with; billed like any training.",
        "  baseline_recipe: aws-popularity-count",
        "",
        "gate:",
        "  # The first version is used even if it does worse than the baseline, so that you see lists.",
        "  # Write 1.0 once the figures are better: from then on a worse version is refused.",
        "  min_ratio_to_baseline: 0",
        "",
        "recommendations:",
        f"  length: {length}",
        "  # Shorter lists are filled up from the fallback, and with fewer items than this, no list is sent.",
        f"  min_length: {min(3, length)}",
        "  # Who has too few gets what similar people, then what most people, did in so many days.",
        "  fallback: [similar, popular]",
        f"  fallback_days: {fallback_days}",
        "",
        "braze:",
        "  # The custom attribute that holds the list.",
        f"  attribute: {attribute}",
        "  # true: never create a person in Braze. Write that for your own workspace; the local one begins empty.",
        "  update_existing_only: false",
    ]
    if not p.fields:
        lines += ["  # No table has names or prices of the items, so the list holds ids alone."]
    elif sum(map(bool, map(CATALOG_ID.fullmatch, ids))) >= 0.99 * len(ids):
        types = [f"      {field}: {'number' if field == 'price' else 'string'}" for field in p.fields]
        lines += [
            "  # The list holds item ids; the e-mail reads the fields from this catalog, which each run updates.",
            "  catalog:",
            f"    name: {catalog if re.fullmatch(CATALOG_NAME_PATTERN, catalog) else with_underscores(catalog)}",
            "    fields:",
            *types,
        ]
    else:
        lines += [
            "  # Item ids with other characters than letters, digits, _ and - cannot stand in a Braze catalog,",
            "  # so the list holds the fields itself: one data point for each field and item.",
            "  payload: objects",
            f"  item_fields: [{', '.join(p.fields)}]",
        ]
    if "price" in p.fields:
        lines += [
            "",
            f"# The e-mail shows prices once it knows their currency. make kit PROGRAM={name} writes it for Braze.",
            "# email:",
            "#   currency: EUR",
            "#   locale: en_US",
        ]
    return "\n".join(lines) + "\n"


def _schema(record: str, fields: Sequence[QueryField]) -> str:
    lines = ",\n".join(f"    {json.dumps(each.avro)}" for each in fields)
    head = {"type": "record", "name": record, "namespace": NAMESPACE, "version": VERSION}
    top = "\n".join(f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items())
    return f'{{\n{top}\n  "fields": [\n{lines}\n  ]\n}}\n'
