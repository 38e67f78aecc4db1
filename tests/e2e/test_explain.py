"""Explanations of people against the published lists, the accounts of their delivery and the Braze sandbox."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
import pytest
from dag_runs import states
from shop import CUSTOMERS, LENIENT, Shop

PROGRAM = f"""
datasets:
  interactions: {{}}
  items: {{}}
{LENIENT}
recommendations:
  length: 5
  min_length: 4
  rules: {{not_bought_in_days: 20, max_per: {{group: 1}}}}
  fallback: [similar]
  keep_days: 0
personalize: {{num_results: 20}}
braze:
  attribute: ATTRIBUTE
  attributes: [{{name: ATTRIBUTE_scores, from: scores}}, {{name: ATTRIBUTE_at, from: generated_at}}]
  catalog: {{name: ATTRIBUTE, fields: {{title: string, price: number}}}}
  delivery: {{max_users_per_run: 50, canary_share: 0}}
"""
SQL = {
    "catalogue": "SELECT product AS item_id, 'Product ' || product AS title, price, 'g' || price::int % 6 AS group "
    "FROM shop.products",
    # Two people have bought nothing, and no line is about them.
    "audience": "SELECT DISTINCT customer AS user_id, 'why-' || customer AS external_id FROM shop.orders "
    "UNION ALL SELECT 'c 90', 'why-c 90' UNION ALL SELECT 'c 91', 'why-c 91'",
}
PEOPLE = [*(f"c {c}" for c in range(CUSTOMERS)), "c 90", "c 91"]


def lines() -> list[dict[str, Any]]:
    """Some people with bought and unknown items, with few items, with an error, and without a line."""
    found = []
    for c in range(CUSTOMERS - 4):
        items = [f"p-{(c + 7 * k) % 44}" for k in range(9 if c % 6 else 2)]
        scores = [round(0.5 / (k + 1), 4) for k in range(len(items))]
        found.append({"input": {"userId": f"c {c}"}, "output": {"recommendedItems": items, "scores": scores}})
    found.append({"input": {"userId": "c 57"}, "output": {"recommendedItems": []}, "error": "no"})
    return found


@pytest.mark.timeout(300)
def test_explanations_agree_with_lists_accounts_and_the_sandbox(
    run: Callable[..., Any], shop: Shop, tmp_path: Path
) -> None:
    from recsync.context import StageContext
    from recsync.explain.explain import explain
    from recsync.explain.explanation import as_text
    from recsync.explain.without_list import csv_lines
    from recsync.push.store import Deliveries
    from recsync.recommend.recommend import publish_output
    from recsync.suppression.store import SuppressionStore

    attribute = f"recs_{shop.name}".replace("-", "_")
    shop.write_files(PROGRAM.replace("ATTRIBUTE", attribute), SQL)
    (before,) = explain(shop.name, ["c 1"])
    assert before.summary == "The program has published no recommendations yet."
    output = tmp_path / "users.json.out"
    output.write_text("".join(f"{json.dumps(line)}\n" for line in lines()))
    manifest = publish_output(shop.name, str(output))
    (before,) = explain(shop.name, ["c 1"])
    assert before.summary == "The list is published and was not pushed yet."
    done = run(f"{shop.name}_push")
    assert done.state == "success", states(done)

    context = StageContext.of(shop.name)
    published, profiles = shop.published(), shop.services.profiles()
    (name,) = context.store(Deliveries).names()
    with TemporaryDirectory() as folder:
        context.store(Deliveries).download_accounts(name, Path(folder) / "accounts.parquet")
        rows = pq.read_table(Path(folder) / "accounts.parquet").to_pylist()
    accounts = {row["external_id"]: row for row in rows}
    assert {row["outcome"] for row in rows} == {"sent", "deferred", "suppressed"}
    names = {row["item_id"]: json.loads(row["fields"])["title"] for row in published.catalog}
    bought = {
        (who, item)
        for who, item in shop.services.query(
            "SELECT DISTINCT 'why-' || customer, product FROM shop.orders WHERE at >= now() - interval '20 days'"
        )
    }
    chosen = explain(shop.name, [*random.Random(1).sample(PEOPLE, 20), "c 90"])
    for found in chosen:
        row, account = published.lists[found.person], accounts[found.person]
        assert (found.user_id, found.person) == (found.asked, f"why-{found.asked}")
        assert [item.item_id for item in found.items] == row["item_ids"]
        assert [item.name for item in found.items] == [names[item] for item in row["item_ids"]]
        assert [item.score for item in found.items] == (row["scores"] or [])
        assert [item.put_by for item in found.items] == row["put_by"]
        assert (found.tier, found.reason, found.unanswered) == (row["tier"], row["reason"], row["unanswered"])
        assert found.delivered is not None
        assert (found.delivered.outcome, found.delivered.reason) == (account["outcome"], account["reason"])
        shown = profiles.get(found.person, {})
        assert (found.braze or {}) == {
            key: value for key, value in shown.items() if key.startswith(attribute)
        }
        if account["outcome"] == "sent":
            assert found.as_sent is True
            assert found.sent is not None
            assert found.sent.delivery == name
        else:
            assert found.sent is None
        left = {(found.person, item.item_id) for item in (found.left_out or {}).get("bought", ())}
        assert left <= bought
        assert not {(found.person, item.item_id) for item in found.items} & bought
    rules = {rule for found in chosen for rule in found.left_out or ()}
    assert {"bought", "max_per.group", "not in the catalogue"} <= rules <= manifest.dropped.keys()

    by_outcome = {found.delivered.outcome: found for found in chosen if found.delivered}
    assert by_outcome["sent"].summary.startswith("The list was sent. The list in Braze was sent at")
    assert by_outcome["deferred"].summary == (
        "The list waits for the next push: over the cap of the program file. Braze has no list of this program."
    )
    assert by_outcome["suppressed"].summary.startswith(f"No list in run {manifest.run}: ")
    (by_person, stranger) = explain(shop.name, [chosen[0].person, "nobody"])
    assert by_person == replace(chosen[0], asked=chosen[0].person)
    assert "audience.sql did not return this person" in stranger.summary
    assert all(as_text(found).startswith(found.summary) for found in chosen)

    table = list(csv.DictReader(io.StringIO(b"".join(csv_lines(shop.name)).decode())))
    without = {who for who, row in accounts.items() if row["outcome"] != "sent"}
    assert {row["external_id"] for row in table} == without
    for row in table:
        reason = published.lists[row["external_id"]]["reason"]
        assert row["why"] == (reason or "deferred: over the cap of the program file")
        assert row["external_id"] == f"why-{row['user_id']}"
    by_user = {found.user_id: found for found in chosen}
    assert all(
        r["rules"] == ", ".join(by_user[r["user_id"]].all_rules) for r in table if r["user_id"] in by_user
    )

    context.store(SuppressionStore).add(["c 5"], ["why-c 5"])
    (erased,) = explain(shop.name, ["c 5"], ask_braze=False)
    assert erased.summary.startswith("This person was erased")
