"""The snippets of docs/recommendations.md, rendered with the service behind them."""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64encode
from pathlib import Path

import httpx
import pytest
import yaml
from published_shop import Shop

from braze_liquid.tags import ConnectedAnswer, ConnectedRequest
from braze_liquid.template import Template, TemplateSources
from recommendations.__main__ import _parser
from recommendations.app import create
from recommendations.settings import Config

REPO = Path(__file__).resolve().parents[2]

PAGE = (REPO / "docs/recommendations.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


class Braze(TemplateSources):
    """Connected Content that reaches the service, with the credentials stored in Braze."""

    def __init__(self, shop: Shop) -> None:
        super().__init__()
        self.app, self.stored = create(shop.restarted), f"braze:{shop.key}"

    def fetch(self, request: ConnectedRequest) -> ConnectedAnswer:
        async def asked() -> httpx.Response:
            password = b64encode(self.stored.encode()).decode() if request.credentials == "recsync" else ""
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app)) as client:
                return await client.request(
                    request.method,
                    request.url,
                    headers={**request.headers, "Authorization": f"Basic {password}"},
                )

        answer = asyncio.run(asked())
        return ConnectedAnswer(answer.status_code, answer.content)


@pytest.mark.parametrize("snippet", blocks("liquid"), ids=["e-mail", "card"])
def test_a_snippet_shows_the_list_and_aborts_without_one(snippet: str, shop: Shop) -> None:
    shop.write_program("grocery")
    shop.publish(program="grocery", lists={"ann+1&x": ["i2", "i0"], "cid": []})
    shop.updater().poll()
    template, braze = Template(snippet), Braze(shop)
    assert template.problems == ()
    shown = template.render({"external_id": "ann+1&x"}, braze)
    assert braze.problems == []
    assert "Name 2" in shown.text
    if "<table" in snippet:
        assert shown.text.index("Name 2") < shown.text.index("Name 0")
        assert 'href="https://shop.example/2"' in shown.text
        assert "<img" not in shown.text, "the shop has no pictures"
    assert template.render({"external_id": "cid"}, braze).aborted == "no recommendations"
    braze.stored = "braze:no key"
    assert template.render({"external_id": "ann+1&x"}, braze).aborted == "no recommendations"
    assert "HTTP 401" in braze.problems[-1].text


def test_the_options_and_the_configuration_are_those_of_the_service() -> None:
    (config,) = blocks("yaml")
    assert (
        Config.model_validate(yaml.safe_load(config)).max_unchecked_seconds == Config().max_unchecked_seconds
    )
    named = set(re.findall(r"^\| `(--[\w-]+)` \|", PAGE, re.MULTILINE))
    known = {word for action in _parser()._actions for word in action.option_strings if word.startswith("--")}
    assert named == known - {"--help", "--host", "--port"}


def test_the_figures_and_the_sample_answer_exist() -> None:
    from recommendations import metrics

    there = {each._name for each in vars(metrics).values() if hasattr(each, "_name")}
    named = {name.removesuffix("_total") for name in re.findall(r"`(recommendations_\w+)`", PAGE)}
    assert named == there
    (sample,) = blocks("json")
    assert [list(item) for item in json.loads(sample)] == [["id", "url", "name", "price", "image"]]
