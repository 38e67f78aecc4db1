"""Compose product names for the sample data, which have a type and a size but no names.

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
    acc=accessories chix=chicken sal=salad brkfst=breakfast bkfst=breakfast mozz=mozzarella liq=liquid conc=concentrate
""")
_BRACKETS = re.compile(r"\([^)]*(\)|$)")  # they contain codes and are often truncated
_SMALL = {"and", "with", "in", "of", "the", "or", "to", "for", "on", "non", "by"}
_UNITS = _table("""
    oz=oz lb=lb lbs=lb ct=ct ml=ml l=l gal=gal ga=gal pt=pt qt=qt in=in ft=ft pk=pack dz=dozen doz=dozen
    sq=sq
""")


# Words of a till that say nothing to a customer.
_NOISE = {
    *(
        "all",
        "bulk",
        "misc",
        "other",
        "assorted",
        "bagged",
        "rw",
        "exact",
        "wt",
        "value",
        "fs",
        "ss",
        "economy",
    ),
    *("dairy", "case", "refrigerated", "prepack", "packaged", "prefrd", "preportnd", "iqf"),
}
_COUNTS = re.compile(r"(?:(\d+)/)?(\.?\d+(?:\.\d+)?) (oz|lb|ct|ml|l|gal|pt|qt|pack|dozen|sq ft|ft)")
_SMALL_UNITS = {"oz", "pt", "ml"}
_MOST_POUNDS = 5


def product_line(product_type: str, category: str) -> str:
    """Return the tidied type without the words of the till, else the category; empty when both are.

    The kind goes last: "BREAD:ITALIAN/FRENCH" is "Italian & French Bread", "APPLES FUJI" of the category APPLES is
    "Fuji Apples".
    """
    for printed in (product_type, category):
        raw = " ".join(_BRACKETS.sub(" ", printed).split())
        kind, colon, rest = raw.partition(":")
        if not colon and category and raw.startswith(f"{category} "):
            kind, rest = category, raw[len(category) :]
        text = tidy(f"{rest} {kind}" if rest.strip() else kind).replace(" / ", " & ")
        words = [word for word in text.split() if word.lower() not in _NOISE]
        # A truncated text ends in the beginning of a word; a lone letter is the part that can be told.
        while words and (len(words[-1]) == 1 or words[-1].lower() in _SMALL):
            words.pop()
        while words and words[0] in {"-", "&"}:
            words.pop(0)
        if words:
            return " ".join(words)
    return ""


def shown_size(raw: str, *, loose: bool = False) -> str:
    """Return a size as a shop shows it: "1.50 OZ" is "1.5 oz", "6/3.9 OZ" is "6 x 3.9 oz"; empty for anything else.

    :param loose: goods with a size that is often the store's case; only small packs are shown.
    """
    found = _COUNTS.fullmatch(tidy_size(raw))
    if found is None:
        return ""
    count, number, unit = found.group(1), float(found.group(2)), found.group(3)
    if loose and unit not in _SMALL_UNITS and not (unit == "lb" and number <= _MOST_POUNDS):
        return ""
    text = f"{number:g} {unit.upper() if unit == 'l' else unit}"
    return f"{count} x {text}" if count else text


def tidy(raw: str) -> str:
    """Make a receipt text readable: full words, title case, no truncated brackets."""
    text = _BRACKETS.sub(" ", raw.lower())
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
