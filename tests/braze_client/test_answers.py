"""What an answer of Braze says of each object and of the call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from braze_calls import KEY, Braze, refusals, track
from scripted_http import Reply

from braze_client.answers import read_track
from braze_client.errors import BrazeDenied, BrazeRefused, TrackError
from recsync.errors import REJECTED

SUCCESS: dict[str, Any] = {"message": "success"}


OTHERS = frozenset({1, 2, 3})


@pytest.mark.parametrize(
    ("document", "rejected", "named", "unnamed"),
    [
        # Each named once, each counted once.
        ({**SUCCESS, "attributes_processed": 3, "errors": refusals(0)}, {0}, {}, {}),
        # One object named twice, once per attribute, is one rejection.
        ({**SUCCESS, "attributes_processed": 3, "errors": refusals(0, 0)}, {0}, {}, {}),
        ({**SUCCESS, "attributes_processed": 2, "errors": refusals(0, 3, 0, 3, 3)}, {0, 3}, {}, {}),
        # Named and counted as processed.
        ({**SUCCESS, "attributes_processed": 4, "errors": refusals(0)}, {}, {0}, {}),
        ({**SUCCESS, "attributes_processed": 3, "errors": refusals(0, 1)}, {}, {0, 1}, {}),
        # Named, and not counted at all.
        ({**SUCCESS, "errors": refusals(0)}, {}, {0}, {}),
        # Fewer processed than the errors say.
        ({**SUCCESS, "attributes_processed": 3}, {}, {}, {0, 1, 2, 3}),
        ({**SUCCESS, "attributes_processed": 2, "errors": refusals(0)}, {0}, {}, OTHERS),
        ({**SUCCESS, "attributes_processed": 9}, {}, {}, {0, 1, 2, 3}),
        # Errors without a place, or with one that is none.
        ({**SUCCESS, "attributes_processed": 3, "errors": refusals(4)}, {}, {}, {0, 1, 2, 3}),
        ({**SUCCESS, "attributes_processed": 3, "errors": refusals(-1)}, {}, {}, {0, 1, 2, 3}),
        ({**SUCCESS, "attributes_processed": 3, "errors": ["just a text"]}, {}, {}, {0, 1, 2, 3}),
        ({**SUCCESS, "attributes_processed": 3, "errors": "just a text"}, {}, {}, {0, 1, 2, 3}),
        ({**SUCCESS, "attributes_processed": 3, "errors": {"type": "x"}}, {}, {}, {0, 1, 2, 3}),
        ({**SUCCESS, "attributes_processed": 2, "errors": [*refusals(0), None]}, {0}, {}, OTHERS),
        ({**SUCCESS, "attributes_processed": 4, "errors": [{"type": "x"}]}, {}, {}, {0, 1, 2, 3}),
        # Unknown shapes.
        ({"message": "something else"}, {}, {}, {0, 1, 2, 3}),
        ({"message": "something else", "attributes_processed": 4}, {}, {}, {0, 1, 2, 3}),
        ({"status": "ok"}, {}, {}, {0, 1, 2, 3}),
        # Nothing left open.
        ({**SUCCESS, "attributes_processed": 4}, {}, {}, {}),
        ({"attributes_processed": 4}, {}, {}, {}),
        (SUCCESS, {}, {}, {}),
        ({**SUCCESS, "attributes_processed": "4", "errors": []}, {}, {}, {}),
        ({**SUCCESS, "errors": None}, {}, {}, {}),
        ({"message": "queued"}, {}, {}, {}),
    ],
)
def test_a_2xx_says_of_each_object_that_it_was_taken_refused_or_must_be_read_back(
    document: dict[str, Any], rejected: set[int], named: set[int], unnamed: set[int]
) -> None:
    result = read_track(document, 4)
    assert (set(result.rejected), set(result.named), set(result.unnamed)) == (
        set(rejected),
        set(named),
        set(unnamed),
    )
    assert result.is_clear == (not named and not unnamed)
    assert bool(result.why) == bool(unnamed)


@pytest.mark.parametrize("error", [*refusals(7), {"type": "bad"}, {"type": "bad", "index": "0"}])
def test_an_error_to_a_call_with_one_object_is_about_this_one(error: dict[str, Any]) -> None:
    refused = read_track({**SUCCESS, "attributes_processed": 0, "errors": [error]}, 1)
    assert (refused.rejected, refused.is_clear) == ({0: "bad"}, True)
    assert read_track({**SUCCESS, "attributes_processed": 1, "errors": [error]}, 1).named == {0: "bad"}


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<html>Please log in</html>"),
        Reply(201, b'{"message": "succ'),
        Reply(201, b""),
        Reply(204, b""),
        Reply(201, b"[]"),
        Reply(201, b'"ok"'),
        Reply(201, {"status": "ok"}),
        Reply(299, {"message": "success", "attributes_processed": 1}),
    ],
)
def test_a_2xx_is_an_answer_whatever_is_in_it_and_is_not_asked_for_again(
    tmp_path: Path, reply: Reply
) -> None:
    braze = Braze(tmp_path, reply)
    result = braze.run(track)
    assert result.unnamed == {0, 1}
    assert len(braze.bodies) == 1


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "API key"), (403, "permission"), (404, "endpoint"), (415, "report")]
)
def test_what_no_retry_can_mend_fails_at_once(tmp_path: Path, status: int, hint: str) -> None:
    braze = Braze(tmp_path, Reply(status, {"message": f"Invalid API key: {KEY}"}))
    with pytest.raises(BrazeDenied, match=hint) as caught:
        braze.run(track)
    assert len(braze.script.requests) == 1
    assert KEY not in str(caught.value)
    assert KEY not in repr(caught.value.__context__)


@pytest.mark.parametrize("status", [400, 413])
def test_a_refused_call_carries_what_braze_named(tmp_path: Path, status: int) -> None:
    body = {"message": "Valid data must be provided", "errors": refusals(0)}
    braze = Braze(tmp_path, Reply(status, body))
    with pytest.raises(BrazeRefused, match="Valid data") as caught:
        braze.run(track)
    assert isinstance(caught.value, REJECTED)
    assert (caught.value.status, caught.value.errors) == (status, (TrackError(0, "bad"),))
