"""Braze's filters, with the examples of its documentation."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from braze_liquid.template import Template, TemplateSources

NOW = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)


def render(source: str, **attributes: object) -> str:
    template = Template(source)
    assert template.problems == ()
    rendered = template.render({"custom_attributes": attributes}, TemplateSources(), now=NOW)
    assert rendered.problems == ()
    return rendered.text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        # https://www.braze.com/docs/user_guide/messaging/design_and_edit/personalize/liquid/advanced_filters/
        ("{{'hey' | md5}}", "6057f13c496ecf7fd777ceb9e79ae285"),
        ("{{'hey' | sha1}}", "7f550a9f4c44173a37664d938f1355f0f92a47a7"),
        ("{{'hey' | sha2}}", "fa690b82061edfd2852629aeba8a8977b57e40fcb77d1a7a28b26cba62591204"),
        ("{{'blah' | base64_encode}}", "YmxhaA=="),
        ("{{'hey' | hmac_sha1_hex: 'secret_key'}}", "2a3969bed25bfeefb00aca4063eb9590b4df8f0e"),
        ("{{'hey' | hmac_sha1_base64: 'secret_key'}}", "KjlpvtJb/u+wCspAY+uVkLTfjw4="),
        (
            "{{'hey' | hmac_sha256_hex: 'secret_key'}}",
            "8df897f8da3d7992fe57c8dbc6f27578cfbf2dcc4d0fbb4000b8c924841d508e",
        ),
        ("{{'hey' | hmac_sha256_base64: 'secret_key'}}", "jfiX+No9eZL+V8jbxvJ1eM+/LcxND7tAALjJJIQdUI4="),
        ("{{'hey<>hi' | url_escape}}", "hey%3C%3Ehi"),
        ("{{'hey<&>hi' | url_param_escape}}", "hey%3C%26%3Ehi"),
        ("{{ 'google search' | url_encode }}", "google+search"),
        ("{{ 123456 | number_with_delimiter }}", "123,456"),
        # https://www.braze.com/docs/user_guide/messaging/design_and_edit/personalize/liquid/filters/
        ("{{ 17.8 | money }}", "17.80"),
        ("{{ 145 | money }}", "145.00"),
        ("{{ 145 | divided_by: 100.00 | money }}", "1.45"),
        ("{{ 15 | divided_by: 2 }} {{ 15 | divided_by: 2.0 }}", "7 7.5"),
        ("{{ '2021-06-03 17:13:41 UTC' | date: '%b %d' }}", "Jun 03"),
        ("{{ '2021-06-03 17:13:41 UTC' | date: '%s' }}", "1622740421"),
        ("{{ 'now' | date: '%Y-%m-%d %H' }}", "2026-11-30 23"),
        ("{{ 'now' | time_zone: 'Europe/Berlin' | date: '%Y-%m-%d %H' }}", "2026-12-01 00"),
        ("{{ 2.5 | round }} {{ 1.005 | times: 100 | round }} {{ 1.255 | round: 2 }}", "3 101 1.26"),
        ("{{ 'a\"b\\c' | json_escape }}", 'a\\"b\\\\c'),
    ],
)
def test_a_filter_answers_as_documented(source, text):
    assert render(source) == text


def test_a_property_is_read_by_a_name_that_is_a_value():
    assert render("{{ custom_attribute.${h} | property_accessor: 'a' }}", h={"a": 42}) == "42"


def test_what_is_missing_is_empty_in_every_filter():
    assert render("[{{ custom_attribute.${x} | date: '%Y' }}{{ custom_attribute.${x} | upcase }}]") == "[]"
    assert render("{{ custom_attribute.${x} | plus: 0 | times: 100 | round }}") == "0"


@pytest.mark.parametrize(
    "name", ["lstrip", "find_index", "pluralize", "money_with_currency", "safe", "nonsense"]
)
def test_a_filter_that_braze_does_not_document_is_told_with_its_line(name):
    (problem,) = Template(f"\n{{{{ 'a' | {name} }}}}").problems
    assert (problem.line, problem.text) == (2, f"Braze's documentation has no filter {name}")


def test_an_unknown_time_zone_is_told():
    rendered = Template("{{ 'now' | time_zone: 'Mars/Olympus' }}").render({}, TemplateSources(), now=NOW)
    assert "no time zone Mars/Olympus" in str(rendered.problems[0])
