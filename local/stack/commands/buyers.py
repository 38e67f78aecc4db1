"""Simulate what the people of an experiment buy in the days after its start, and let its lift be measured."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stack import s3_state
from stack.commands.run import chain
from stack.connections import WAREHOUSE
from stack.console import make_plan, say
from stack.environment import connection_variables
from stack.errors import StackError
from stack.parts import Plan
from warehouse_local.buyers import Buyers, simulate
from warehouse_local.dsn import connect, to_dsn

HELP = "simulate what the people of a program's experiment buy, with a planted effect, and measure its lift"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the program, the days and the effects."""
    parser.add_argument("program", help="name of a file in include/programs, without .yaml")
    parser.add_argument(
        "--days", type=int, default=30, help="days since the start of the experiment (default 30)"
    )
    parser.add_argument(
        "--effect", action="append", default=[], type=_pair, metavar="ARM=0.2", help="planted effect"
    )
    parser.add_argument(
        "--event", action="append", default=[], type=_pair, metavar="unsubscribe=0.01", help="share of people"
    )


def _pair(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    return name, float(number)


def run(arguments: argparse.Namespace) -> int:
    """Simulate and measure."""
    buyers = Buyers(effects=dict(arguments.effect), events=dict(arguments.event))
    rows, _ = simulate_buyers(make_plan(), arguments.program, buyers, arguments.days)
    say(f"{rows:,} outcomes of {arguments.days} days; the page Experiments shows a report of each day")
    return 0


def simulate_buyers(plan: Plan, program: str, buyers: Buyers, days: int) -> tuple[int, Mapping[str, Any]]:
    """Fill ``journey.outcomes`` for a program's experiment, and let its stage ``lift`` make a report of each day.

    The days are in the future when the experiment has just begun.

    :returns: the rows, and the newest report.
    :raises StackError: when the experiment has no people yet.
    """
    s3, bucket = s3_state.client(plan.url("s3")), plan.settings.bucket
    people = experiment_of(s3, bucket, program)
    variables = connection_variables(plan.ports, plan.secrets, plan.environ)
    with connect(to_dsn(variables[WAREHOUSE])) as connection:
        rows = simulate(connection, people.table, buyers, days=days, items=people.items, lists=people.lists)
    until = datetime.fromtimestamp(pc.min(people.table["since"]).as_py(), UTC) + timedelta(days=days)
    followed = chain(plan, program)
    followed.unpause("lift")
    followed.run("lift", {"until": until.isoformat(), "days_before": days - 1})
    keys = sorted(key for key in _keys(s3, bucket, f"{program}/lift/") if key.endswith("/report.json"))
    return rows, json.loads(_body(s3, bucket, keys[-1]))


@dataclass(frozen=True)
class People:
    """The people of an experiment, and what they could buy.

    :param table: ``user_id``, ``arm`` and ``since``.
    :param items: of the newest published catalog; ``lists``: the newest published lists, by user.
    """

    table: pa.Table
    items: list[str]
    lists: dict[str, list[str]]


def experiment_of(s3: Any, bucket: str, program: str) -> People:
    """Read who is in which arm of a program's experiment now, and the newest lists, from the local S3.

    :raises StackError: when the experiment has no people yet.
    """
    for key in _keys(s3, bucket, "_experiments/"):
        if not key.endswith("/layer.json"):
            continue
        for name, entry in json.loads(_body(s3, bucket, key))["experiments"].items():
            if entry["program"] == program and not entry["until"]:
                document = json.loads(
                    _body(s3, bucket, f"{key.removesuffix('layer.json')}{name}/enrolled.json")
                )
                table = pq.read_table(io.BytesIO(_body(s3, bucket, document["table"])))
                inside = pc.and_(pc.is_null(table["until"]), pc.not_equal(table["arm"], ""))
                return _with_lists(s3, bucket, program, table.filter(inside))
    raise StackError(f"nobody is in an arm of an experiment of {program}; run its stage recommend first")


def _with_lists(s3: Any, bucket: str, program: str, table: pa.Table) -> People:
    found = [
        key for key in _keys(s3, bucket, f"{program}/recommendations/") if key.endswith("/catalogue.parquet")
    ]
    if not found:
        return People(table, [], {})
    newest = max(found)
    # Many people have several files.
    files = _keys(s3, bucket, newest.replace("catalogue.parquet", "lists"))
    lists = pa.concat_tables(
        pq.read_table(io.BytesIO(_body(s3, bucket, key)), columns=["external_id", "items"]) for key in files
    )
    catalog = pq.read_table(io.BytesIO(_body(s3, bucket, newest)))
    items = catalog["item_id"].to_pylist()
    users = dict(zip(table["external_id"].to_pylist(), table["user_id"].to_pylist(), strict=True))
    by_user = {
        users[person]: [items[position] for position in positions]
        for person, positions in zip(
            lists["external_id"].to_pylist(), lists["items"].to_pylist(), strict=True
        )
        if person in users
    }
    return People(table, items, by_user)


def _keys(s3: Any, bucket: str, prefix: str) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


def _body(s3: Any, bucket: str, key: str) -> bytes:
    return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
