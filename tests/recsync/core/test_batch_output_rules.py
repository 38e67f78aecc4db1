from __future__ import annotations

from recsync.core.batch_output import UnreadableLine, UserList, read_lines
from recsync.core.rules import mailable


def test_lines_of_every_documented_form_are_read() -> None:
    lines = [
        b'{"input":{"userId":"2"},"output":{"recommendedItems":["a","b"],"scores":[0.1,0.2]},"error":null}',
        b'{"input":{"userId":"1"},"output":{"recommendedItems":["c"]}}',
        b"",
        b'{"input":{"userId":"3"},"output":{"recommendedItems":[]},"error":"User error: nobody"}',
    ]
    assert list(read_lines(lines)) == [
        UserList("2", ("a", "b")),
        UserList("1", ("c",)),
        UserList("3", error="User error: nobody"),
    ]


def test_a_line_that_holds_nobody_is_named_not_raised() -> None:
    assert list(read_lines([b"<html>", b'{"input":{}}', b"[]", b'{"input":{"userId":4}}'])) == [
        UnreadableLine(1, "not a JSON object with input.userId"),
        UnreadableLine(2, "not a JSON object with input.userId"),
        UnreadableLine(3, "not a JSON object with input.userId"),
        UnreadableLine(4, "input.userId is not a string"),
    ]


def test_a_line_without_a_list_is_an_error_of_its_user() -> None:
    (line,) = read_lines([b'{"input":{"userId":"4"},"output":{"recommendedItems":[1]}}'])
    assert isinstance(line, UserList)
    assert line.error


def test_lists_hold_different_items_of_the_catalogue_in_order() -> None:
    assert mailable(["c", "x", "a", "c", "b"], {"a", "b", "c"}, 3) == ("c", "a", "b")
    assert mailable(["c", "x"], {"c"}, 3) == ("c",)
