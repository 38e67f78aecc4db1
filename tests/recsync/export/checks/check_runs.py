"""Run the checks over small tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recsync.export.checks import QUARANTINE_FILE, CheckContext, ExportReport, RowChecks
from recsync.program import Checks, DatasetType
from recsync.program.avro import AvroSchema
from recsync.program.intervals import Interval
from recsync.storage.csv_text import cut_records

HOUR = Interval(datetime(2026, 11, 22, 5, tzinfo=UTC), datetime(2026, 11, 22, 6, tzinfo=UTC))
AT = int(HOUR.start.timestamp())
NAMES = {DatasetType.INTERACTIONS: "Interactions", DatasetType.USERS: "Users", DatasetType.ITEMS: "Items"}
INTERACTIONS: list[dict[str, Any]] = [
    {"name": "USER_ID", "type": "string"},
    {"name": "ITEM_ID", "type": "string"},
    {"name": "TIMESTAMP", "type": "long"},
    {"name": "EVENT_TYPE", "type": "string"},
    {"name": "EVENT_VALUE", "type": ["null", "float"]},
]
ITEMS: list[dict[str, Any]] = [
    {"name": "ITEM_ID", "type": "string"},
    {"name": "CATEGORY", "type": ["null", "string"], "categorical": True},
    {"name": "DESCRIPTION", "type": ["null", "string"], "textual": True},
    {"name": "BRAND", "type": ["null", "string"]},
    {"name": "CREATION_TIMESTAMP", "type": ["null", "long"]},
    {"name": "STOCK", "type": ["null", "int"]},
    {"name": "PRICE", "type": ["null", "double"]},
]
USERS: list[dict[str, Any]] = [
    {"name": "USER_ID", "type": "string"},
    {"name": "AGE", "type": ["null", "int"]},
]
FIELDS = {DatasetType.INTERACTIONS: INTERACTIONS, DatasetType.USERS: USERS, DatasetType.ITEMS: ITEMS}


@dataclass(frozen=True)
class Run:
    exported: bytes
    report: ExportReport
    quarantine: list[dict[str, Any]]
    checks: RowChecks

    @property
    def rules(self) -> list[tuple[str, str | None]]:
        """The quarantined rows' rules and columns."""
        return [(line["rule"], line["column"]) for line in self.quarantine]

    def finding(self, rule: str) -> Any:
        return next((one for one in self.report.to_json()["findings"] if one["rule"] == rule), None)

    @property
    def rows(self) -> list[list[str]]:
        """What Amazon Personalize reads: quotes, backslash escapes."""
        text = io.StringIO(self.exported.decode(), newline="")
        return list(csv.reader(text, escapechar="\\", doublequote=False))


def schema(kind: DatasetType, fields: list[dict[str, Any]] | None = None) -> AvroSchema:
    document = {
        "type": "record",
        "name": NAMES[kind],
        "namespace": "com.amazonaws.personalize.schema",
        "version": "1.0",
        "fields": fields or FIELDS[kind],
    }
    return AvroSchema.parse(json.dumps(document), kind)


def context(work: Path, kind: DatasetType = DatasetType.INTERACTIONS, **more: Any) -> CheckContext:
    settings = {
        "program": "shop",
        "schema": schema(kind, more.pop("fields", None)),
        "dataset_type": kind,
        "interval": HOUR,
        "full": False,
        "select_by": "event_time",
        # A handful of rows is what these tests have, and their shares are what most of them are about.
        "settings": Checks(**{"tolerated_rows": 0, **more.pop("checks", {})}),
        "sql": f"shop/{kind.folder}.sql",
        "work": work,
    }
    return CheckContext(**{**settings, **more})


def run(
    work: Path,
    text: bytes,
    kind: DatasetType = DatasetType.INTERACTIONS,
    *,
    block_bytes: int = 1 << 20,
    **more: Any,
) -> Run:
    work.mkdir(exist_ok=True)
    checks = RowChecks(context(work, kind, **more))
    exported = b"".join(checks.blocks(cut_records(io.BytesIO(text), block_bytes)))
    report = checks.finish()
    json.dumps(report.to_json())
    file = work / QUARANTINE_FILE
    lines = file.read_text().splitlines() if file.exists() else []
    return Run(exported, report, [json.loads(line) for line in lines], checks)


def quoted(value: str | None) -> str:
    """Write a cell as a warehouse does."""
    if value is None:
        return ""
    if value == "" or any(character in value for character in '",\r\n'):
        return '"' + value.replace('"', '""') + '"'
    return value


def table(rows: Sequence[Sequence[str | None]]) -> bytes:
    return "".join(",".join(map(quoted, row)) + "\n" for row in rows).encode()
