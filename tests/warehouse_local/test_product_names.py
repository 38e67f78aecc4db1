from __future__ import annotations

import pytest

from warehouse_local.product_names import product_line, shown_size, tidy, tidy_size


@pytest.mark.parametrize(
    ("raw", "tidied"),
    [
        ("APPLE SAUCE", "Apple Sauce"),
        ("FRZN BAGGED VEGETABLES- VALUE", "Frozen Bagged Vegetables - Value"),
        ("CRANAPPLE CRAN GRAPE JUICE (5", "Cranapple Cran Grape Juice"),
        ("ORANGE JUICE  (OVER 50% JUICE)", "Orange Juice"),
        ("BREAD:ITALIAN/FRENCH", "Bread - Italian / French"),
        ("COOKING BAGS WITH SPICES/SEASO", "Cooking Bags with Spices / Seaso"),
        ("POULTRY - STEW W/DUMPLINGS/ A", "Poultry - Stew with Dumplings / A"),
        ("HANDBAGS LEATHER&SUEDE", "Handbags Leather & Suede"),
        ("", ""),
    ],
)
def test_a_tills_words_become_readable(raw: str, tidied: str) -> None:
    assert tidy(raw) == tidied


@pytest.mark.parametrize(
    ("raw", "tidied"), [("16 OZ", "16 oz"), ("4.75  OZ", "4.75 oz"), ("6PK", "6 pack"), ("CTN", ""), ("", "")]
)
def test_sizes(raw: str, tidied: str) -> None:
    assert tidy_size(raw) == tidied


@pytest.mark.parametrize(
    ("kind", "category", "line"),
    [
        ("APPLE SAUCE", "FRUIT - SHELF STABLE", "Apple Sauce"),
        ("BREAD:ITALIAN/FRENCH", "BREAD", "Italian & French Bread"),
        ("APPLES GOLD DELICIOUS (BULK&BA", "APPLES", "Gold Delicious Apples"),
        ("ONIONS RED (BULK&BAG)", "ONIONS", "Red Onions"),
        ("PREMIUM COOKIES (EX: PEPPERIDG", "COOKIES/CONES", "Premium Cookies"),
        ("DAIRY CASE TEA WITH", "", "Tea"),
        ("ALL", "FRUIT", "Fruit"),
        ("", "FRUIT", "Fruit"),
        ("", "", ""),
    ],
)
def test_lines_are_composed_from_what_is_known(kind: str, category: str, line: str) -> None:
    assert product_line(kind, category) == line


@pytest.mark.parametrize(
    ("raw", "loose", "shown"),
    [
        ("16 OZ", False, "16 oz"),
        (".5 L", False, "0.5 L"),
        ("2.0 OZ", False, "2 oz"),
        ("6/3.9 OZ", False, "6 x 3.9 oz"),
        ("1 GA", False, "1 gal"),
        ("(600) 4 LB", False, ""),
        ("L    16 OZ", False, ""),
        ("40 LB", True, ""),
        ("24 CT", True, ""),
        ("3 LB", True, "3 lb"),
    ],
)
def test_only_sizes_that_say_something_are_shown(raw: str, loose: bool, shown: str) -> None:
    assert shown_size(raw, loose=loose) == shown
