"""Write the Liquid of a price, and of the check that a list is fresh, with the filters that Braze documents."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from recsync.program import Program

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
