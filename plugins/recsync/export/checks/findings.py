"""From figures to findings, and to the report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from recsync.export.checks.context import CheckContext
from recsync.export.checks.dataset_rules import Broken, dataset_rules
from recsync.export.checks.drift import drift_findings
from recsync.export.checks.figures import Figures
from recsync.export.checks.profile import Tally
from recsync.export.checks.quarantine import Quarantine
from recsync.export.checks.report import Finding, Report
from recsync.export.checks.texts import row_text, rows_and_share
from recsync.program.checks import RULES
from recsync.program.columns import Column, columns_of

_LEVELS = ("stop", "warn", "note")
_RULES = list(RULES)


def report_of(
    context: CheckContext, tally: Tally, quarantine: Quarantine, *, rows: int, size_bytes: int
) -> Report:
    """Judge an export whose rows have all been seen.

    :param rows: how many rows the query returned.
    :param size_bytes: size of the exported rows.
    """
    figures = Figures.of(tally)
    columns = {column.name: column for column in columns_of(context.schema)}
    found = [
        *_quarantined(context, quarantine, columns, rows),
        *_judged(context, dataset_rules(context, figures, rows, size_bytes), rows),
    ]
    return Report(
        head=_head(context),
        rows=rows,
        exported=figures.rows,
        quarantined=quarantine.rows,
        findings=tuple(sorted(found, key=lambda finding: _place(finding, list(columns)))),
        drift=tuple(drift_findings(context, figures)),
        figures=figures.to_json(),
    )


def _place(finding: Finding, columns: list[str]) -> tuple[int, int, int]:
    """Order findings by level, rule and column, and not by the row that broke a rule first."""
    rule = _RULES.index(finding.rule) if finding.rule in _RULES else len(_RULES)
    return _LEVELS.index(finding.level), rule, columns.index(finding.column) if finding.column else 0


def _head(context: CheckContext) -> dict[str, Any]:
    return {
        "program": context.program,
        "dataset": context.dataset_type.value,
        "sql": context.sql,
        "start": context.interval.start.isoformat(),
        "end": context.interval.end.isoformat(),
        "full": context.full,
    }


def _quarantined(
    context: CheckContext, quarantine: Quarantine, columns: dict[str, Column], rows: int
) -> Iterator[Finding]:
    interval = f"[{context.interval.start.isoformat()}, {context.interval.end.isoformat()})"
    for (rule, column), offence in quarantine.offences.items():
        limits = context.settings.limits(rule)
        if limits is None:
            continue
        share = offence.rows / rows
        text = row_text(
            rule,
            sql=context.sql,
            what=rows_and_share(offence.rows, share),
            column=column or "",
            kind=columns[column].type if column else "",
            example=offence.example or "",
            interval=interval,
        )
        level = limits.level(share, few=offence.rows <= context.settings.tolerated_rows)
        yield Finding(rule, level, column, offence.rows, share, offence.example, text)
    share = quarantine.rows / rows if rows else 0.0
    settings = context.settings
    if share > settings.max_quarantined_share and quarantine.rows > settings.tolerated_rows:
        text = (
            f"{context.sql} returns {rows_and_share(quarantine.rows, share)} that break a rule, more than "
            f"checks.max_quarantined_share ({settings.max_quarantined_share}) lets pass. Mend the query, or "
            "raise it in the program file."
        )
        yield Finding("max_quarantined_share", "stop", None, quarantine.rows, share, None, text)


def _judged(context: CheckContext, broken: Iterator[Broken], rows: int) -> Iterator[Finding]:
    for one in broken:
        limits = context.settings.limits(one.rule)
        if limits is None:
            continue
        share = 1.0 if one.rows is None else one.rows / max(rows, 1)
        level = limits.level(share, few=one.rows is not None and one.rows <= context.settings.tolerated_rows)
        if level == "note" and one.quiet and limits.warn is not None:
            continue
        yield Finding(
            rule=one.rule,
            level=level,
            column=one.column,
            rows=one.rows or 0,
            share=0.0 if one.rows is None else share,
            example=None,
            text=f"{context.sql} {one.text}",
        )
