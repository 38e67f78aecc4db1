"""No key, id or value in errors and logs."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from braze_calls import KEY, Braze
from scripted_http import Reply

from braze_client.errors import BrazeError, BrazeRefused, BrazeUnclear
from braze_client.rate_plan import RatePlan


def test_neither_key_nor_people_reach_the_log_at_any_level(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("asyncio", "aiohttp", "aiohttp.client", "recsync", "tenacity"):
        caplog.set_level(logging.DEBUG, logger=name)
    person = b'{"external_id":"jane-doe-77","recs":["very-private"]}'
    echo = {"message": f"Invalid API key: {KEY}, for jane-doe-77 very-private"}
    replies = [Reply(404, echo), Reply(500, echo), Reply(429, echo), Reply(drop=True), Reply(503, echo)]
    plan = RatePlan(bulk=True, max_objects=1, max_tries=4)
    with pytest.raises(BrazeUnclear, match=r"for \[withheld\] \[withheld\]") as caught:
        Braze(tmp_path, *replies, plan=plan).run(lambda client: client.track_attributes([person]))
    assert "jane-doe-77" not in str(caught.value)
    logged = "\n".join(record.getMessage() + repr(record.args) for record in caplog.records)
    assert "/users/track/bulk" in logged  # the log was listened to
    assert KEY not in logged
    assert "jane-doe-77" not in logged
    assert "very-private" not in logged


ECHO = "value 'very private' of jane-doe-77 is not a number"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(400, {"message": ECHO, "errors": [{"type": ECHO, "input_array": "attributes", "index": 0}]}),
        Reply(413, ECHO.encode()),
        Reply(201, {"message": "success", "attributes_processed": 0, "errors": [ECHO]}),
        Reply(201, {"message": "success", "errors": {"index": 0, "type": ECHO, "input_array": "attributes"}}),
    ],
)
def test_braze_is_quoted_without_what_the_call_held(tmp_path: Path, reply: Reply) -> None:
    person = b'{"external_id":"jane-doe-77","note":"very private","count":12}'
    try:
        told = str(Braze(tmp_path, reply).run(lambda client: client.track_attributes([person])))
    except BrazeRefused as refused:
        told = f"{refused} {refused.errors}"
    assert "is not a number" in told
    assert "jane-doe-77" not in told
    assert "very private" not in told


def test_the_id_of_an_item_is_in_no_error(tmp_path: Path) -> None:
    missing = {
        "errors": [{"id": "catalog-not-found", "message": "no catalog for item a/b c"}],
        "message": "No",
    }
    for reply in (Reply(404, missing), Reply(drop=True)):
        with pytest.raises(BrazeError, match=r"GET /catalogs/shop/items/\[withheld\]") as caught:
            Braze(tmp_path, reply).run(lambda client: client.catalog_item("shop", "a/b c"))
        assert "a/b" not in str(caught.value)
        assert "a%2Fb" not in str(caught.value)
