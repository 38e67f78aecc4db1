"""A client of an application without a server, which checks every answer against the OpenAPI document."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest
from published_shop import Shop

from recommendations.app import create

REGISTRY_BASE = {"$schema": "https://json-schema.org/draft/2020-12/schema"}


class Client:
    """Ask an application without a server, and check every answer against its OpenAPI document."""

    def __init__(self, shop: Shop) -> None:
        self.app = create(shop.restarted)
        self.api = self.app.__closure__[0].cell_contents  # type: ignore[attr-defined]
        self.headers = {"Authorization": f"Bearer {shop.key}"}

    def again(self, shop: Shop) -> Client:
        """Return a client of a restarted service, whose updater has looked once."""
        self.api.close()
        shop.updater().poll()
        return Client(shop)

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                return await client.request(method, path, headers={**self.headers, **headers}, **options)

        headers = options.pop("headers", {})
        self.api.refresh()
        answer = asyncio.run(asked())
        self.check(method, answer)
        return answer

    def get(self, path: str = "", **options: Any) -> httpx.Response:
        return self.ask("GET", f"/recommendations{path}", **options)

    def post(self, body: Any, **options: Any) -> httpx.Response:
        return self.ask("POST", "/recommendations", json=body, **options)

    def check(self, method: str, answer: httpx.Response) -> None:
        document = self.api.openapi
        found = document["paths"].get(answer.request.url.path, {}).get(method.lower())
        if found is None:
            schema: Any = {"$ref": "#/components/schemas/Problem"}
        else:
            response = found["responses"][str(answer.status_code)]
            if "$ref" in response:
                response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
            if "content" not in response:
                return
            kind = answer.headers["content-type"].partition(";")[0]
            schema = response["content"][kind]["schema"]
        whole = {**REGISTRY_BASE, **schema, "components": document["components"]}
        jsonschema.Draft202012Validator(whole).validate(answer.json())


@pytest.fixture
def client(shop: Shop) -> Iterator[Client]:
    shop.publish(users={"ann": "u-ann", "bob": "u-bob", "cid": "u-cid"})
    shop.updater().poll()
    made = Client(shop)
    yield made
    made.api.close()


def ids(answer: httpx.Response) -> list[str]:
    return [item["id"] for item in answer.json()]


def code(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]
