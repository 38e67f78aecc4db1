"""Braze's tags."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from braze_liquid.tags import ConnectedAnswer, ConnectedRequest
from braze_liquid.template import Template, TemplateSources

GAMES = {
    "1234": {"id": "1234", "title": "Tales", "price": 7.49, "text": "Hi {{ ${first_name} }}"},
    "1235": {"id": "1235", "title": "Teslagrad", "price": 4.99},
}
PROFILE = {
    "external_id": "u 1",
    "first_name": "Ada",
    "custom_attributes": {"wishlist": ["1235", "gone", "1234"]},
}


@dataclass
class Web(TemplateSources):
    """Sources whose Connected Content answers from a table of addresses."""

    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    asked: list[ConnectedRequest] = field(default_factory=list)

    def fetch(self, request: ConnectedRequest) -> ConnectedAnswer:
        """Answer from the table; nothing otherwise."""
        self.asked.append(request)
        status, body = self.answers.get(request.url, (0, ""))
        return ConnectedAnswer(status, body.encode())


def sources(**answers: tuple[int, str]) -> Web:
    return Web(
        {"Games": GAMES},
        {("Games", "new"): [GAMES["1235"]]},
        answers={f"https://x.example/{k}": v for k, v in answers.items()},
    )


def render(source: str, given: Web | None = None) -> str:
    template = Template(source)
    assert template.problems == ()
    return template.render(PROFILE, given or sources()).text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        # https://www.braze.com/docs/user_guide/data/activation/catalogs/use/
        (
            "{% catalog_items Games 1234 %}Get {{ items[0].title }} for just {{ items[0].price }}!",
            "Get Tales for just 7.49!",
        ),
        ("{% catalog_items Games 1234 1235 %}{{ items[0].title }}, {{ items[1].title }}", "Tales, Teslagrad"),
        (
            "{% assign w = {{custom_attribute.${wishlist}}}%}{% catalog_items Games {{ w[0] }} %}{{ items[0].title }}",
            "Teslagrad",
        ),
        ("{% assign c = 'Games' %}{% catalog_items {{c}} 1234 %}{{ items[0].title }}", "Tales"),
        ("{% catalog_items Games nothing %}[{{ items.size }}{{ items[0].title }}]", "[0]"),
        ("{% catalog_items Games 1234 :rerender %}{{ items[0].text }}", "Hi Ada"),
        ("{% catalog_items Games 1234 %}{{ items[0].text }}", "Hi {{ ${first_name} }}"),
        (
            "{% for id in custom_attribute.${wishlist} %}{% catalog_items Games {{ id }} %}"
            "<{{ items[0].title }}>{% endfor %}",
            "<Teslagrad><><Tales>",
        ),
        ("{% catalog_selection_items Games new %}{{ items[0].title }}", "Teslagrad"),
        ("{% message_extras :key batch :value {{ ${first_name} }} %}sent", "sent"),
    ],
)
def test_catalogs_as_documented(source, text):
    assert render(source) == text


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{% abort_message('not enough points') %}", "not enough points"),
        ("{% abort_message(no venue_name) %}", "no venue_name"),
        ("{% abort_message () %}", ""),
        ("a{% if ${first_name} == 'Ada' %}{% abort_message(\"{{ ${first_name} }}\") %}{% endif %}b", "Ada"),
    ],
)
def test_an_aborted_message_is_empty_and_says_why(source, reason):
    rendered = Template(source).render(PROFILE, sources())
    assert (rendered.text, rendered.aborted) == ("", reason)


def test_json_is_saved_and_text_is_inserted():
    given = sources(list=(200, '[{"name": "A"}]'), one=(200, '{"a": 1}'), text=(200, "plain"))
    assert render("{% connected_content https://x.example/list :save r %}{{ r[0].name }}", given) == "A"
    source = (
        "{% connected_content https://x.example/one %}{{ connected.a }} {{ connected.__http_status_code__ }}"
    )
    assert render(source, given) == "1 200"
    assert render("[{% connected_content https://x.example/text %}]", given) == "[plain]"


def test_a_request_has_what_the_tag_says():
    given = sources()
    render(
        "{% connected_content https://x.example/r?u={{ ${user_id} | url_param_escape }} :method post "
        ':headers { "X-A": "{{ ${first_name} }}" } :body a=b&c={{ ${first_name} }} :content_type application/json '
        ":basic_auth shop :cache_max_age 600 :retry :save r %}",
        given,
    )
    (request,) = given.asked
    assert request.url == "https://x.example/r?u=u%201"
    assert (request.method, request.body, request.credentials) == ("POST", "a=b&c=Ada", "shop")
    assert request.headers == {"X-A": "Ada", "Content-Type": "application/json"}
    assert request.timeout_seconds == 2


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((404, "no"), "HTTP 404"),
        ((503, ""), "HTTP 503"),
        ((0, ""), "no answer within 2 s"),
        ((200, "x" * 1_000_001), "more than 1 MB"),
    ],
)
def test_an_answer_that_braze_does_not_take_inserts_nothing_and_is_told(answer, why):
    given = sources(a=answer)
    source = "\n{% connected_content https://x.example/a :save r %}[{{ r }}]"
    assert render(source, given).strip() == "[]"
    (problem,) = given.problems
    assert problem.line == 2
    assert why in problem.text


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("{% connected_content https://x.example/a :sav r %}", "has no option :sav"),
        ("{% catalog_items Games recs[0] %}", "needs double braces"),
        ("{% abort_message %}", "needs parentheses"),
        ("{% message_extras batch 1 %}", "needs :key"),
        ("{% include 'a' %}", "unexpected tag 'include'"),
        ("{% shopping_trolley %}", "unexpected tag 'shopping_trolley'"),
        ("{{content_blocks.${nothing}}}", "no Content Block nothing"),
        ("{% if a | size > 3 %}{% endif %}", ""),
    ],
)
def test_a_wrong_tag_is_told_with_its_line(source, found):
    problems = Template(f"a\n{source}").problems
    assert problems
    assert problems[0].line == 2
    assert found in problems[0].text


def test_what_cannot_be_read_is_told():
    given = sources()
    render("{% catalog_items Toys 1 %}\n{% catalog_selection_items Games old %}", given)
    assert [(p.line, p.text.split()[0:2]) for p in given.problems] == [
        (1, ["there", "is"]),
        (2, ["selection", "Games"]),
    ]
    assert json.dumps(given.catalogs) == json.dumps({"Games": GAMES})
