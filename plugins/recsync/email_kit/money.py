"""Write prices in Liquid as a locale writes them, with the filters that Braze documents."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal


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
