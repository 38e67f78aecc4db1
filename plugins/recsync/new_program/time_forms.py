"""Recognise how a column writes a time: as a type of the warehouse, a number or a text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from recsync.new_program.columns import MOST, NUMBERS, Column, mostly
from recsync.warehouse.column_types import Kind
from recsync.warehouse.values import moment

# Times before this one are hardly events of a shop; later ones are not times.
_FIRST, _LAST = datetime(1985, 1, 1, tzinfo=UTC).timestamp(), datetime(2100, 1, 1, tzinfo=UTC).timestamp()
_UNITS = {"epoch_s": 1, "epoch_ms": 1_000, "epoch_us": 1_000_000, "epoch_ns": 1_000_000_000}
_UNIT_WORDS = {
    "epoch_s": "seconds", "epoch_ms": "milliseconds", "epoch_us": "microseconds", "epoch_ns": "nanoseconds",
}  # fmt: skip
_ISO = r"^\s*\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.]\d+)?)?\s*(Z|UTC|[+-]\d{2}(:?\d{2})?)?)?\s*$"
_WRITTEN = re.compile(
    r"\s*(\d{1,4})([./-])(\d{1,2})\2(\d{4}|\d{1,2})(?:([ ,]+)(\d{1,2}):(\d{2})(:\d{2})?( ?[AaPp][Mm])?)?\s*"
)


@dataclass(frozen=True)
class TimeForm:
    """How a column writes a time.

    :param helper: the helper of SQL templates that reads it.
    :param form: of a text that is not ISO 8601.
    :param text: the form in words.
    :param per_second: of a number.
    :param other_form: the same texts read with the month first, when they allow both.
    """

    helper: str
    text: str
    form: str | None = None
    per_second: int = 1
    other_form: str | None = None

    def sql(self, column: str) -> str:
        """Return the template of the column's epoch seconds."""
        quoted = "'" + column.replace("\\", "\\\\").replace("'", "\\'") + "'"
        return f"{{{{ {self.helper}({quoted}{f', {self.form!r}' if self.form else ''}) }}}}"

    def moment_of(self, value: str | None) -> datetime | None:
        """Read one value; None when it is none, or of a form that sorts otherwise than time."""
        try:
            if value is None or self.form not in {None, "YYYYMMDD"}:
                return None
            if self.helper in _UNITS:
                return datetime.fromtimestamp(float(value) / self.per_second, UTC)
            if self.form:
                return datetime.strptime(value[:8], "%Y%m%d").replace(tzinfo=UTC)
            return moment(value.replace("UTC", "Z"))
        except (ValueError, OverflowError):
            return None


def time_form(column: Column) -> TimeForm | None:
    """Return how a column writes a time; None when it holds none."""
    if column.kind is Kind.MOMENT:
        zone = "" if "tz" in column.type.casefold() or "zone" in column.type.casefold() else ", taken as UTC"
        return TimeForm("epoch", f"a {column.type or 'time'}{zone}")
    sample = [value.strip() for value in column.sample if value.strip()]
    if not sample:
        return None
    if column.kind in NUMBERS or mostly(r"^\d{8,19}$", sample):
        return _number_form(sample)
    if column.kind is not Kind.TEXT:
        return None
    if mostly(_ISO, sample):
        zoned = mostly(r":\d{2}.*(Z|UTC|[+-]\d{2}(:?\d{2})?)$", sample)
        zone = "with a time zone" if zoned else "without a time zone, taken as UTC"
        return TimeForm("epoch_text", f"a text in ISO 8601 {zone}")
    return _written_form(sample)


def _number_form(sample: Sequence[str]) -> TimeForm | None:
    numbers = [float(value) for value in sample]
    low, high = min(numbers), max(numbers)
    if all(re.fullmatch(r"(19[89]|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", value) for value in sample):
        return TimeForm("epoch_text", "a date as a number, taken as UTC", "YYYYMMDD")
    for helper, unit in _UNITS.items():
        if _FIRST * unit <= low and high <= _LAST * unit:
            return TimeForm(helper, f"{_UNIT_WORDS[helper]} since 1970", per_second=unit)
    return None


def _written_form(sample: Sequence[str]) -> TimeForm | None:
    found = [match for value in sample if (match := _WRITTEN.fullmatch(value))]
    if len(found) < MOST * len(sample):
        return None
    first = found[0]
    mark, clock = first[2], ""
    if first[6]:
        half = any(match[9] for match in found)
        seconds = ":SS" if all(match[8] for match in found if match[6]) else ""
        clock = f"{first[5]}{'HH12' if half else 'HH24'}:MI{seconds}{' AM' if half else ''}"
    if all(len(match[1]) == 4 for match in found):
        form = f"YYYY{mark}MM{mark}DD{clock}"
        return TimeForm("epoch_text", f"a text of the form {form}, taken as UTC", form)
    lengths = {len(match[4]) for match in found}
    if lengths not in ({4}, {2}) or not all(len(match[1]) <= 2 for match in found):
        return None
    year = "YYYY" if lengths == {4} else "YY"
    day_first, month_first = f"DD{mark}MM{mark}{year}{clock}", f"MM{mark}DD{mark}{year}{clock}"
    if any(int(match[3]) > 12 for match in found):
        return TimeForm("epoch_text", f"a text of the form {month_first}, taken as UTC", month_first)
    surely = mark == "." or any(int(match[1]) > 12 for match in found)
    text = f"a text of the form {day_first}, taken as UTC"
    return TimeForm("epoch_text", text, day_first, other_form=None if surely else month_first)
