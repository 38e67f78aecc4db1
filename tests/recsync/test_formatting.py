from __future__ import annotations

from recsync.formatting import closest, did_you_mean, percent, shape


def test_shares_are_never_rounded_to_none_or_all() -> None:
    found = [percent(share) for share in (0, 0.0234, 0.5, 0.00001, 0.99999, 1)]
    assert found == ["0%", "2.34%", "50%", "<0.01%", ">99.99%", "100%"]


def test_the_closest_choice_is_suggested_whatever_its_case() -> None:
    assert closest("PRISE", ["Price", "brand"]) == "Price"
    assert closest("color", ["category"]) is None
    assert did_you_mean("prise", ["price"]) == "; did you mean price?"
    assert did_you_mean("color", ["category"]) == ""


def test_the_shape_of_an_id_holds_none_of_it() -> None:
    assert [shape(text) for text in ("braze-c 127", "17001.0", "é9")] == ["a-a 9", "9.9", "a9"]
