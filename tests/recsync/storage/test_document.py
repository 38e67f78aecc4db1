from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from recsync.errors import FatalError, RetriableError
from recsync.storage import document as module
from recsync.storage.bucket import Bucket
from recsync.storage.document import Document, append_once, history


def numbers(bucket: Bucket, **options: Any) -> Document[list[int]]:
    return Document(
        bucket,
        "numbers.json",
        read=lambda document: document["numbers"] if document else [],
        write=lambda value: {"numbers": value},
        **options,
    )


def test_a_missing_document_has_the_value_that_read_gives_it(bucket: Bucket) -> None:
    document = numbers(bucket)
    assert document.get() == []
    assert document.get_with_etag() == ([], None)
    assert document.update(lambda value: [*value, 1]) == [1]
    assert document.get() == [1]


def test_an_equal_value_is_not_written(bucket: Bucket) -> None:
    document = numbers(bucket)
    assert document.update(lambda value: list(value)) == []
    assert bucket.get("numbers.json") is None


def test_replace_writes_only_over_what_was_read(bucket: Bucket) -> None:
    document = numbers(bucket)
    etag = document.replace([1], None)
    assert etag
    assert document.replace([2], None) is None
    assert document.replace([2], etag)
    assert document.get() == [2]


def test_an_update_that_lost_a_race_keeps_the_other_change(bucket: Bucket) -> None:
    document, seen = numbers(bucket), []

    def change(value: list[int]) -> list[int]:
        if not seen:
            document.update(lambda other: [*other, 1])
        seen.append(value)
        return [*value, 2]

    assert document.update(change) == [1, 2]
    assert seen == [[], [1]]


def test_an_update_that_loses_every_race_ends(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.0)
    document = numbers(bucket)

    def change(value: list[int]) -> list[int]:
        document.replace([*value, 1], document.get_with_etag()[1])
        return [*value, 2]

    with pytest.raises(RetriableError, match=r"numbers\.json in each of 20 attempts"):
        document.update(change)


@pytest.mark.parametrize("body", [b"{", b"[1]", b'{"other": 1}', b"\xff"])
def test_a_damaged_document_names_the_object_and_the_remedy(bucket: Bucket, body: bytes) -> None:
    bucket.put("numbers.json", body)
    with pytest.raises(FatalError, match=r"numbers\.json is damaged \(.+\); restore it by hand\.$"):
        numbers(bucket, remedy="restore it by hand").get()


@pytest.mark.parametrize(
    "body", [b"user-77 is no JSON", b'"user-77 \xff"', b'{"numbers": {"user-77": 1}}', b'["user-77"]']
)
def test_a_damaged_document_is_named_with_the_remedy_and_never_quoted(bucket: Bucket, body: bytes) -> None:
    def read(found: Any) -> list[int]:
        return [int(number) for number in found["numbers"]]

    bucket.put("numbers.json", body)
    document = Document(bucket, "numbers.json", read, lambda value: value, remedy="restore it")
    with pytest.raises(FatalError, match=r"numbers\.json is damaged \(.+\); restore it\.$") as told:
        document.get()
    assert "user-77" not in str(told.value)


@dataclass(frozen=True)
class Entry:
    run: str
    figure: int


def test_a_history_keeps_the_first_entry_of_one_identity(bucket: Bucket) -> None:
    document = history(bucket, "entries.json", lambda entry: Entry(**entry), remedy="restore it")
    assert document.get() == []
    for entry in (Entry("a", 1), Entry("b", 2), Entry("a", 3)):
        append_once(document, entry, lambda each: each.run)
    assert document.get() == [Entry("a", 1), Entry("b", 2)]
    bucket.put("entries.json", b'{"history": [{"run": "a"}]}')
    with pytest.raises(FatalError, match=r"entries\.json is damaged \(TypeError\); restore it"):
        document.get()
