"""Which permissions a key lacks is read from the status of harmless calls."""

from __future__ import annotations

from pathlib import Path

import pytest
from braze_calls import Braze
from scripted_http import Reply

from braze_client.errors import BrazeDenied

EMPTY = Reply(400, {"message": "attributes are empty"})
FORBIDDEN = Reply(403, {"message": "no permission"})


@pytest.mark.parametrize(
    ("reply", "found"),
    [(EMPTY, ([], [])), (FORBIDDEN, (["users.delete"], [])), (Reply(500), ([], ["users.delete"]))],
)
def test_a_call_that_changes_nothing_tells_whether_the_key_may(
    tmp_path: Path, reply: Reply, found: tuple[list[str], list[str]]
) -> None:
    braze = Braze(tmp_path, reply)
    assert braze.run(lambda client: client.missing_permissions(["users.delete"])) == found
    assert {(method, path, str(body)) for method, path, body, _ in braze.script.requests} == {
        ("POST", "/users/delete", "{'external_ids': []}")
    }


def test_a_missing_catalog_is_no_missing_permission_and_an_unknown_key_is_an_error(tmp_path: Path) -> None:
    missing = Reply(404, {"message": "Could not find catalog"})
    call = ["catalogs.get_items"]
    assert Braze(tmp_path, missing).run(lambda client: client.missing_permissions(call, catalog="shop")) == (
        [],
        [],
    )
    with pytest.raises(BrazeDenied):
        Braze(tmp_path, Reply(401, {"message": "Invalid API key"})).run(
            lambda client: client.missing_permissions(call)
        )
