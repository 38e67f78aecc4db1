"""Braze's syntax, rewritten."""

from __future__ import annotations

import pytest

from braze_liquid.syntax import translate


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{${first_name}}}", '{{standard["first_name"]}}'),
        ("{{ ${first_name} | default: 'you' }}", "{{ standard[\"first_name\"] | default: 'you' }}"),
        ("{{custom_attribute.${zip code}}}", '{{custom_attribute["zip code"]}}'),
        ("{{custom_attribute.${cart}.products[0]}}", '{{custom_attribute["cart"].products[0]}}'),
        (
            "{% assign a = {{custom_attribute.${b} | plus: 1}} %}",
            '{% assign a =   custom_attribute["b"] | plus: 1   %}',
        ),
        ("{{ a | plus: {{b}} }}", "{{ a | plus:   b   }}"),
        (
            "{% catalog_items x {{ custom_attribute.${r}[0] }} %}",
            '{% catalog_items x {{ custom_attribute["r"][0] }} %}',
        ),
        ("{{content_blocks.${cards}}}", '{% content_block "cards" %}'),
        ("{{content_blocks.${cards} | id: 'cb1'}}", '{% content_block "cards" %}'),
        ("{% raw %}{{ ${first_name} }}{% endraw %}", "{% raw %}{{ ${first_name} }}{% endraw %}"),
        ("{{ a }} costs ${5}", "{{ a }} costs ${5}"),
        ("{% abort_message(don't) %}{{ b }}", "{% abort_message(don't) %}{{ b }}"),
        ("a<!-- {{ b }}\n -->c", "a\nc"),
        ("<!--[if mso]><td><![endif]-->", "<!--[if mso]><td><![endif]-->"),
    ],
)
def test_a_template_is_rewritten(source, text):
    assert translate(source).text == text
    assert translate(source).problems == []


@pytest.mark.parametrize(
    ("source", "line", "found"),
    [
        ("\n{{ ${first_nam} }}", 2, "${first_nam} is no standard attribute"),
        ("a\nb {{ c ", 2, "{{ is never closed"),
        ("\n\n<!--[if mso]>{{ a }}<![endif]-->", 3, "Liquid inside an HTML comment is not rendered"),
    ],
)
def test_what_braze_would_not_render_is_told_with_its_line(source, line, found):
    (problem,) = translate(source).problems
    assert problem.line == line
    assert found in str(problem)
