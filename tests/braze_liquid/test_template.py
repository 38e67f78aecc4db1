"""A template, rendered for profiles."""

from __future__ import annotations

import pytest

from braze_liquid.template import MAX_BLOCK_BYTES, Template, TemplateSources


def render(
    source: str, profile: dict | None = None, blocks: dict[str, str] | None = None, **given: object
) -> str:
    template = Template(source, blocks)
    assert template.problems == ()
    return template.render(profile or {}, TemplateSources(), **given).text


def test_fields_of_an_exported_profile_have_liquids_names():
    profile = {"external_id": "u", "email": "a@b.example", "home_city": "Bonn", "first_name": "Ada"}
    profile |= {"dob": "1815-12-10", "random_bucket": 7}
    assert (
        render("{{${user_id}}} {{${email_address}}} {{${city}}} {{${first_name}}}", profile)
        == "u a@b.example Bonn Ada"
    )
    assert render("{{${date_of_birth}}} {{${random_bucket_number}}}", profile) == "1815-12-10 7"


@pytest.mark.parametrize("value", [None, "", "  ", [], {}, False])
def test_what_is_missing_or_empty_is_blank(value):
    profile = {"custom_attributes": {"a": value}}
    assert render("{% if custom_attribute.${a} == blank %}yes{% endif %}", profile) == "yes"
    assert render("{% if custom_attribute.${b} != blank %}no{% endif %}", profile) == ""
    assert render("{% if blank == custom_attribute.${b} %}yes{% endif %}", profile) == "yes"


@pytest.mark.parametrize("value", ["0", 0, 0.0, ["a"], "a"])
def test_what_is_there_is_not_blank(value):
    assert (
        render("{% if custom_attribute.${a} == blank %}no{% endif %}", {"custom_attributes": {"a": value}})
        == ""
    )


def test_a_content_block_shares_its_variables_with_the_message():
    blocks = {"greeting": "{% assign who = ${first_name} %}Hi {{ x }}"}
    assert (
        render("{% assign x = 1 %}{{content_blocks.${greeting}}} {{ who }}", {"first_name": "Ada"}, blocks)
        == "Hi 1 Ada"
    )


def test_problems_of_all_parts_are_told_at_once():
    template = Template(
        "{{ 'a' | no_filter }}\n{% nothing %}", {"b": "\n{% nothing %}", "long": "x" * (MAX_BLOCK_BYTES + 1)}
    )
    told = [str(problem) for problem in template.problems]
    assert told == [
        "Content Block b, line 2: unexpected tag 'nothing'",
        "Content Block long, line 1: a Content Block holds at most 50 KB",
        "line 2: unexpected tag 'nothing'",
        "line 1: Braze's documentation has no filter no_filter",
    ]


def test_one_template_serves_many_people_without_mixing_them():
    template = Template(
        "{% assign n = custom_attribute.${n} %}{% if n > 1 %}{% abort_message('many') %}{% endif %}"
        "{{ n }}{{ left }}{% assign left = n %}"
    )
    results = [template.render({"custom_attributes": {"n": n}}, TemplateSources()) for n in (1, 2, 1)]
    assert [(r.text, r.aborted) for r in results] == [("1", None), ("", "many"), ("1", None)]


def test_other_variables_can_be_given():
    assert render("{{event_properties.${price}}}", variables={"event_properties": {"price": 3}}) == "3"


# https://www.braze.com/docs/user_guide/messaging/design_and_edit/personalize/liquid/using_liquid/
@pytest.mark.parametrize(
    "source",
    [
        "{% for x in a | reverse %}{% endfor %}",
        "{% if a | size > 3 %}{% endif %}",
        "{% unless a | size %}{% endunless %}",
        "{% case a | size %}{% when 1 %}{% endcase %}",
        "{% assign is_vip = total > 100 %}",
        "{{ a[b | minus: 1] }}",
        "{% if (a and b) or c %}{% endif %}",
        "{{ a | date: “%Y” }}",
        "{% if a %}",
    ],
)
def test_operators_and_filters_stand_only_where_braze_takes_them(source):
    (problem,) = Template(f"\n{source}").problems
    assert problem.line == 2
