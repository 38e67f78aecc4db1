"""Compose product names for the sample data, which have a type, a brand and a size but no names.

The types are receipt texts: upper case, abbreviated, at most 30 characters. The names serve e-mail previews.
"""

from __future__ import annotations

import re


def _table(pairs: str) -> dict[str, str]:
    """Parse `short=long` pairs; an underscore represents a space."""
    return {short: long.replace("_", " ") for short, long in (pair.split("=") for pair in pairs.split())}


# Abbreviations that occur in many product types.
_WORDS = _table("""
    frzn=frozen coff=coffee mustar=mustard
    frz=frozen sft=soft drnk=drink drnks=drinks drnking=drinking btl=bottle choc=chocolate
    misc=assorted carb=carbonated crbntd=carbonated veg=vegetable sw=sweet gds=goods shlfsh=shellfish
    fre=fresh dan=danish lnchmt=lunch_meat grnd=ground stk=steak chp=chop chps=chops bnls=boneless
    brst=breast chkn=chicken pkg=packaged ppk=packaged prslc=sliced slc=sliced ref=refrigerated
    refrgrtd=refrigerated rfgtd=refrigerated org=organic nat=natural prep=prepared fd=food seafd=seafood
    brd=breaded cnd=canned shldr=shoulder accessiores=accessories protien=protein soulable=soluble
    acc=accessories brkfst=breakfast bkfst=breakfast mozz=mozzarella liq=liquid conc=concentrate
""")
_SMALL = {"and", "with", "in", "of", "the", "or", "to", "for", "on", "non", "by"}
_UNITS = _table("""
    oz=oz lb=lb lbs=lb ct=ct ml=ml l=l gal=gal ga=gal pt=pt qt=qt in=in ft=ft pk=pack dz=dozen doz=dozen
    sq=sq
""")


def product_name(
    product_id: str,
    product_type: str | None,
    category: str | None,
    brand: str | None,
    package_size: str | None,
) -> str:
    """Compose "Store Brand Apple Sauce, 50 oz"; without type and category, "Product <id>"."""
    what = tidy(product_type or "") or tidy(category or "")
    if not what:
        return f"Product {product_id}"
    prefix = "Store Brand " if brand == "Private" and not what.startswith("Store ") else ""
    size = tidy_size(package_size or "")
    return f"{prefix}{what}, {size}" if size else f"{prefix}{what}"


def tidy(raw: str) -> str:
    """Make a receipt text readable: full words, title case, no truncated brackets."""
    text = re.sub(r"\([^)]*(\)|$)", " ", raw.lower())  # brackets contain codes and are often truncated
    text = re.sub(r"\bw/\s*", "with ", text)
    text = re.sub(r"\s*[:]\s*|\s+-\s*|-\s+|\s{2,}", " - ", text).strip(" -/&,.*")
    text = re.sub(r"\s*/\s*", " / ", text)
    words = text.replace(r"&", " & ").split()
    full = " ".join(_WORDS.get(word.strip("."), word) for word in words).split()
    return " ".join(_title(word, position) for position, word in enumerate(full))


def _title(word: str, position: int) -> str:
    if position and word in _SMALL:
        return word
    return "-".join(part[:1].upper() + part[1:] for part in word.split("-"))


def tidy_size(raw: str) -> str:
    """Convert "16 OZ" to "16 oz", and a size without a number to an empty string."""
    if not re.search(r"\d", raw):
        return ""
    words = re.sub(r"(\d)\s*([a-z])", r"\1 \2", raw.lower()).split()
    return " ".join(_UNITS.get(word.strip("."), word) for word in words)
