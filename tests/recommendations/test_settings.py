from __future__ import annotations

from pathlib import Path

import pytest
from published_shop import Shop

from recommendations.settings import Live, read_config
from recsync.errors import FatalError, ProgramError


def test_every_problem_of_the_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "service.yaml"
    file.write_text("rate_limit: lots\nprograms: {shop: {live: {arn: x}, field: [id]}}\n")
    with pytest.raises(FatalError) as caught:
        read_config(file)
    text = str(caught.value)
    for place in ("rate_limit", "programs.shop.live.arn", "programs.shop.field"):
        assert f"service.yaml: {place}: " in text
    file.write_text("programs: [")
    with pytest.raises(FatalError, match="is not valid YAML"):
        read_config(file)
    with pytest.raises(FatalError, match="Cannot read"):
        read_config(tmp_path / "none.yaml")


def test_fields_are_a_list_or_a_table(tmp_path: Path) -> None:
    file = tmp_path / "service.yaml"
    file.write_text("programs: {a: {fields: [id, name]}, b: {fields: {title: name}}, c: }\n")
    programs = read_config(file).programs
    assert programs is not None
    assert [each.fields if each else None for each in programs.values()] == [
        {"id": "id", "name": "name"}, {"title": "name"}, None,
    ]  # fmt: skip
    assert read_config(None).programs is None


def test_a_broken_program_is_left_out_unless_it_is_named(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.write_program("broken", brazes={})
    assert list(shop.restarted.programs) == ["shop"]
    assert "broken is not served, because its file is wrong" in caplog.text
    assert shop.restarted.names == ["broken", "shop"], "its data stay"
    with pytest.raises(ProgramError):
        _ = shop.with_config(programs={"broken": None}).restarted.programs
    with pytest.raises(FatalError, match=r"programs\.shops: .* did you mean shop"):
        _ = shop.with_config(programs={"shops": None}).restarted.programs


def test_a_recommender_and_a_campaign_are_taken() -> None:
    for kind in ("campaign", "recommender"):
        Live(arn=f"arn:aws:personalize:eu-west-1:123456789012:{kind}/mail")
