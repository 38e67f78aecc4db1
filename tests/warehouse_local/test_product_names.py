from __future__ import annotations

import pytest

from warehouse_local.product_names import product_name, tidy, tidy_size


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


def test_names_are_composed_from_what_is_known() -> None:
    assert product_name("1", "APPLE SAUCE", None, "Private", "50 OZ") == "Store Brand Apple Sauce, 50 oz"
    assert product_name("1", "APPLE SAUCE", None, "National", None) == "Apple Sauce"
    assert product_name("1", None, "FRUIT", None, None) == "Fruit"
    assert product_name("1", None, None, "Private", "5 OZ") == "Product 1"
