"""Write the e-mail kit of a program: template, cards, other channels and the dictionary of its attributes.

The Liquid of prices and of the check that a list is fresh uses only filters that Braze documents.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from recsync.email_kit.fields import item_fields
from recsync.program import Program
from recsync.program.braze import Attribute
from recsync.program.problems import read_text_file

FILES = ("email.html", "cards.liquid", "content-card-and-push.md", "attributes.md")
# Liquid has {{ }} and {% %}.
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    block_start_string="[%",
    block_end_string="%]",
    variable_start_string="[[",
    variable_end_string="]]",
    comment_start_string="[#",
    comment_end_string="#]",
    autoescape=False,  # ruff: ignore[jinja2-autoescape-false] - the names in them are checked by the program model
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_ID = "B0017"
# By Source.name: type, example, meaning, data points.
_MEANING = {
    "items": (
        "array of item ids, best first",
        json.dumps([_ID, "B0042", "B0108"]),
        "The recommendations. Each id is an item of the catalog.",
        "1 when the list changed",
    ),
    "scores": (
        "array of numbers",
        "[0.0412, 0.0397, 0.0204]",
        "The score of each item, in the order of the list: the higher, the surer the model is.",
        "1 when a score changed",
    ),
    "tier": (
        "string",
        "personal",
        "Where the list came from: personal, or the fallback that filled it up: similar, popular_in_segment, popular.",
        "1 when it changed",
    ),
    "arm": (
        "string",
        "popular",
        "The arm of the experiment. People outside it, and those who are held out, have no such attribute.",
        "1 when it changed",
    ),
    "generated_at": (
        "time",
        "2026-11-29T05:30:00Z",
        "When the list was made (UTC).",
        "1 whenever it is written; never alone, only along with another change of the person",
    ),
    "version": (
        "string",
        "grocery-full/4f1e2d",
        "Which version of the model made the list.",
        "1 whenever it is written; never alone, only along with another change of the person",
    ),
}


def block_name(program: Program) -> str:
    """Return the name that the Content Block with the cards has in Braze."""
    return f"{program.braze.attribute}_cards"


def kit_folder(program: Program) -> str:
    """Return the folder of the kit below ``include/``."""
    return f"email/{program.name}"


def kit_files(program: Program) -> dict[str, str]:
    """Return the texts of the kit's files, by name.

    :raises FatalError: when no field is the items' name.
    """
    fields, email, braze = item_fields(program), program.email, program.braze
    has_prices = fields.price and (email.currency or fields.text_prices)
    money = None if fields.text_prices or not email.currency else MoneyFormat.of(email.currency, email.locale)
    values: dict[str, Any] = {
        "program": program,
        "fields": fields,
        "has_prices": has_prices,
        "money": money,
        "block": block_name(program),
        "attribute": braze.attribute,
        "catalog": braze.catalog.name if braze.catalog else None,
        "items": min(email.items, program.recommendations.length),
        "min_items": min(email.items, program.recommendations.shortest),
        "utm": {
            "utm_source": email.utm.source,
            "utm_medium": email.utm.medium,
            "utm_campaign": email.utm.campaign or program.name,
        },
        "parts": {
            column: part.replace("_", " ") for part, column in vars(fields).items() if isinstance(column, str)
        },
        "freshness": freshness_check(program).rstrip(),
        "attributes": [_described(attribute, program) for attribute in braze.written],
        "held_out": _held_out(program),
    }
    return {name: _TEMPLATES.get_template(f"{name}.jinja").render(values) for name in FILES}


def _held_out(program: Program) -> str:
    """Return how many percent of the people the program's experiment holds out; empty: none."""
    experiment = program.experiment
    share = sum(experiment.shares[arm] for arm in experiment.held_out) if experiment else 0
    return f"{100 * share:g}" if share else ""


def template_and_blocks(program: Program, include: Path) -> tuple[str, dict[str, str]]:
    """Return the program's template, and its Content Blocks by name.

    Content Blocks are the ``.liquid`` files of the kit's folder and of the template's. A kit that was never written is
    made on the spot.

    :raises FatalError: the template cannot be read, or no field is the items' name.
    """
    folder, own = include / kit_folder(program), program.email.template
    folders = {folder, (include / own).parent} if own else {folder}
    blocks = {
        path.stem: path.read_text("utf-8") for each in folders for path in sorted(each.glob("*.liquid"))
    }
    made = {} if (own and "cards" in blocks) or (folder / FILES[0]).is_file() else kit_files(program)
    blocks[block_name(program)] = blocks.pop("cards", "") or made[FILES[1]]
    if own:
        return read_text_file(include / own, f"include/{own}"), blocks
    return made.get(FILES[0]) or read_text_file(
        folder / FILES[0], f"include/{kit_folder(program)}/{FILES[0]}"
    ), blocks


def _described(attribute: Attribute, program: Program) -> dict[str, str]:
    kind, example, meaning, points = _MEANING[attribute.source.name]
    braze = program.braze
    if attribute.source.name == "items":
        if braze.payload == "objects":
            kind = "array of objects, best first"
            example = json.dumps([{"id": _ID, **dict.fromkeys(braze.item_fields, "…")}], ensure_ascii=False)
            meaning = "The recommendations, each with its fields as they were when the list was made."
            points = f"{len(braze.item_fields) + 1} for each item of the list, when anything in it changed"
        elif not braze.catalog:
            meaning = "The recommendations, as ids of your shop."
    return {"name": attribute.name, "type": kind, "example": example, "meaning": meaning, "points": points}


# A missing date is 0 after "plus", so it is never fresh. Filters work in "assign" only, and numbers compare safely:
# https://www.braze.com/docs/user_guide/personalization_and_dynamic_content/liquid/filters/
_UNTIL = {
    "attribute": "{{% assign recs_until = custom_attribute.${{{name}}} | date: '%s' | plus: {seconds} %}}",
    "catalog": "{{% catalog_items {name} {program} %}}{{% assign recs_until = items[0].fresh_until | plus: 0 %}}",
}
_FRESH = """\
{% assign recs_now = 'now' | date: '%s' | plus: 0 %}
{% assign recs_fresh = false %}
{% if recs_until > recs_now %}{% assign recs_fresh = true %}{% endif %}
"""


@dataclass(frozen=True)
class MoneyFormat:
    """How a currency is written in a locale.

    :param places: decimal places; 0 for currencies without a smaller unit.
    """

    prefix: str
    suffix: str
    decimal: str
    group: str
    places: int

    @classmethod
    def of(cls, currency: str, locale: str) -> MoneyFormat:
        """Read it from the Unicode CLDR."""
        from babel.numbers import (
            format_currency,
            format_decimal,
            get_currency_precision,
            get_decimal_symbol,
            get_group_symbol,
        )

        places = get_currency_precision(currency)
        whole = format_currency(Decimal(1), currency, locale=locale)
        number = format_decimal(Decimal(1), format="0" + "." * bool(places) + "0" * places, locale=locale)
        prefix, _, suffix = whole.partition(number)
        return cls(prefix, suffix, get_decimal_symbol(locale), get_group_symbol(locale), places)

    def liquid(self, value: str, name: str) -> str:
        """Return Liquid that assigns ``<name>_amount``, in the smallest unit, and ``<name>_text``.

        Braze documents no thousands mark for ``money``, and that filter knows one locale.

        :param value: a Liquid expression with a number, or a text that is one.
        """
        unit = 10**self.places
        amount, units, text = f"{name}_amount", f"{name}_units", f"{name}_text"
        times = f" | times: {unit}" if self.places else ""
        lines = [f"{{%- assign {amount} = {value} | plus: 0{times} | round -%}}"]
        grouped = "" if self.group == "," else f" | replace: ',', \"{self.group}\""
        divided = f" | divided_by: {unit}" if self.places else ""
        lines.append(f"{{%- assign {units} = {amount}{divided} | number_with_delimiter{grouped} -%}}")
        written = f"{self.prefix}{{{{ {units} }}}}"
        if self.places:
            cents = f"{name}_cents"
            decimals = f"modulo: {unit} | plus: {unit} | append: '' | slice: 1, {self.places}"
            lines.append(f"{{%- assign {cents} = {amount} | {decimals} -%}}")
            written += f"{self.decimal}{{{{ {cents} }}}}"
        lines.append(f"{{%- capture {text} -%}}{written}{self.suffix}{{%- endcapture -%}}")
        return "\n".join(lines)

    def text(self, value: object) -> str:
        """Return the text that the Liquid writes for a price."""
        amount = int(Decimal(str(value)).scaleb(self.places).quantize(Decimal(1), ROUND_HALF_UP))
        units, cents = divmod(amount, 10**self.places)
        whole = f"{units:,}".replace(",", self.group)
        decimals = f"{self.decimal}{cents:0{self.places}}" if self.places else ""
        return f"{self.prefix}{whole}{decimals}{self.suffix}"


def freshness_check(program: Program) -> str:
    """Return Liquid that assigns ``recs_fresh``: whether the person's list is not older than the program allows.

    With an attribute ``from: generated_at`` it checks the person's list, otherwise the program's newest lists in the
    status catalog. Empty without ``recommendations.max_age_days``, and when the program writes neither: lists that are
    too old are then removed, and not checked.
    """
    max_age, braze = program.recommendations.max_age, program.braze
    if max_age is None:
        return ""
    date = next((each.name for each in braze.written if each.source.ages), None)
    if date:
        until = _UNTIL["attribute"].format(name=date, seconds=int(max_age.total_seconds()))
    elif braze.status_catalog:
        until = _UNTIL["catalog"].format(name=braze.status_catalog, program=program.name)
    else:
        return ""
    return f"{until}\n{_FRESH}"
