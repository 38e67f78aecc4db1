"""Import jobs: what the service accepts, the texts it fails with, and what INCREMENTAL does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pyarrow.parquet as pq
import pytest

ITEM_FIELDS = [
    {"name": "ITEM_ID", "type": "string"},
    {"name": "CATEGORY", "type": ["null", "string"], "categorical": True},
    {"name": "NOTE", "type": ["null", "string"]},
    {"name": "TEXT", "type": ["null", "string"], "textual": True},
    {"name": "PRICE", "type": ["null", "float"]},
    {"name": "CREATION_TIMESTAMP", "type": ["null", "long"]},
]
ITEMS = {
    "type": "record",
    "name": "Items",
    "namespace": "com.amazonaws.personalize.schema",
    "version": "1.0",
    "fields": ITEM_FIELDS,
}
HEADER = "ITEM_ID,CATEGORY,NOTE,TEXT,PRICE,CREATION_TIMESTAMP\n"


@pytest.fixture(scope="module")
def items(world: Any) -> str:
    """Return the ARN of an Items dataset that the tests of this module import into."""
    return str(world.dataset(world.group(), ITEMS))


@pytest.fixture
def rows(fast_server: Any) -> Callable[[str], list[dict[str, Any]]]:
    """Return a function that reads the rows a dataset has now, from the server's own files."""

    def read(dataset: str) -> list[dict[str, Any]]:
        stored = fast_server.service._store.get(dataset)
        found = [row for part in stored.internal["parts"] for row in pq.read_table(part).to_pylist()]
        return sorted(found, key=lambda row: str(row.get("ITEM_ID")))

    return read


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "ITEM_ID,CATEGORY,NOTE,TEXT\ni1,a,b,c\n",
            "Input CSV is missing the following columns:[PRICE, CREATION_TIMESTAMP].",
        ),
        (HEADER + "i" * 257 + ",a,,,1,1\n", "Length cannot be more than 256 characters for ITEM_ID."),
        (
            HEADER + "i1," + "c" * 1001 + ",,,1,1\n",
            "Length cannot be more than 1000 characters for CATEGORY.",
        ),
        (HEADER + "i1,a," + "n" * 1001 + ",,1,1\n", "Length cannot be more than 1000 characters for NOTE."),
        (HEADER + "i1,a,,,1,yesterday\n", "CREATION_TIMESTAMP"),
        (HEADER + "i1,a,,,cheap,1\n", "PRICE"),
        (HEADER + "i1,a,,,,1\ni2,a,,,NaN,1\n", "PRICE has values that are not of type float"),
        (HEADER + "i1,a,,,-inf,1\n", "PRICE has values that are not of type float"),
        (HEADER + ",a,,,1,1\n", "ITEM_ID"),
        (HEADER + "i1,a\n", "could not be parsed"),
        (HEADER + 'i1,a,"two\nlines",,1,1\n', "line break"),
        ("ITEM_ID,ITEM_ID\n1,2\n", "repeated columns:[ITEM_ID]"),
        ("", "no header"),
        (HEADER.encode() + b"i1,\xff\xfe,,,1,1\n", "could not be parsed"),
        (b"PAR1\xff\xfe\x00", "header"),
    ],
)
def test_bad_csv_fails_the_job_with_a_reason(world: Any, items: str, text: str | bytes, reason: str) -> None:
    failed = world.import_csv(items, text)
    assert failed["status"] == "CREATE FAILED"
    assert reason in failed["failureReason"]


def test_good_csv_is_read_as_the_guide_says(world: Any, items: str, rows: Callable[..., Any]) -> None:
    text = (
        "\ufeffCATEGORY,ITEM_ID,EXTRA,NOTE,TEXT,PRICE,CREATION_TIMESTAMP\r\n"
        'a|b,i1,x,"say \\"hi\\", \\\\ and \\d",,1.5,1700000000\r\n'
        f"{'|'.join(['c' * 900] * 3)},i2,x,back\\slash,{'t' * 30000},,\r\n"
        ",i3,x,,,2,1700000000000\r\n"
        ",i3,x,,,2,1700000000000\r\n"
    )
    assert world.import_csv(items, text)["status"] == "ACTIVE"
    first, second, third = rows(items)
    assert first["NOTE"] == 'say "hi", \\ and \\d'
    assert (first["CATEGORY"], first["PRICE"], first["CREATION_TIMESTAMP"]) == ("a|b", 1.5, 1700000000)
    assert second["NOTE"] == "back\\slash"
    assert len(second["TEXT"]) == 20000
    assert second["PRICE"] is None
    assert (third["CATEGORY"], third["CREATION_TIMESTAMP"]) == (None, 1700000000000)


def test_full_replaces_and_incremental_replaces_by_id(
    world: Any, items: str, rows: Callable[..., Any]
) -> None:
    world.import_csv(items, HEADER + "i1,a,,,1,1\ni2,b,,,2,2\n")
    job = world.import_csv(items, HEADER + "i2,B,,,20,2\ni3,c,,,3,3\n", "INCREMENTAL")
    assert (job["importMode"], job["status"]) == ("INCREMENTAL", "ACTIVE")
    assert [(row["ITEM_ID"], row["PRICE"]) for row in rows(items)] == [("i1", 1.0), ("i2", 20.0), ("i3", 3.0)]
    world.import_csv(items, HEADER + "i9,z,,,9,9\n")
    assert [row["ITEM_ID"] for row in rows(items)] == ["i9"]


def test_incremental_needs_a_former_bulk_import(world: Any, refused: Callable[..., Any]) -> None:
    dataset = world.dataset(world.group(), ITEMS)
    location = world.put("incremental.csv", HEADER)
    error = refused(
        world.personalize.create_dataset_import_job,
        jobName="early",
        datasetArn=dataset,
        dataSource={"dataLocation": location},
        importMode="INCREMENTAL",
    )
    assert error.code == "InvalidInputException"


def test_incremental_adds_interactions_and_repeats_collapse(world: Any, rows: Callable[..., Any]) -> None:
    dataset = world.dataset(world.group())
    header = "USER_ID,ITEM_ID,EVENT_TYPE,EVENT_VALUE,TIMESTAMP\n"
    world.import_csv(dataset, header + "u1,i1,buy,1,5\nu1,i1,buy,1,5\nu1,i2,buy,,6\n")
    assert len(rows(dataset)) == 2
    world.import_csv(dataset, header + "u1,i3,buy,1,7\n", "INCREMENTAL")
    assert [row["ITEM_ID"] for row in rows(dataset)] == ["i1", "i2", "i3"]


@pytest.mark.parametrize("mode", ["FULL", "INCREMENTAL"])
def test_an_import_of_fewer_than_1000_interactions_fails(
    start_server: Callable[..., Any], make_world: Callable[..., Any], checkerboard_csv: str, mode: str
) -> None:
    world = make_world(start_server().url)
    dataset = world.dataset(world.group())
    assert world.import_csv(dataset, checkerboard_csv)["status"] == "ACTIVE"
    header, *rows = checkerboard_csv.splitlines()
    failed = world.import_csv(dataset, "\n".join([header, *rows[:999]]), mode)
    assert failed["status"] == "CREATE FAILED"
    assert (
        "The minimum number of item interactions records per dataset import job is 1000"
        in (failed["failureReason"])
    )
    assert world.import_csv(dataset, "\n".join([header, *rows[:1000]]), mode)["status"] == "ACTIVE"
    items = world.dataset(world.describe("Dataset", dataset)["datasetGroupArn"], ITEMS)
    assert world.import_csv(items, HEADER + "i1,a,,,1,1\n")["status"] == "ACTIVE"


def test_a_folder_gives_its_first_level_objects(world: Any, items: str, rows: Callable[..., Any]) -> None:
    world.put("folder/a.csv", HEADER + "i1,a,,,1,1\n")
    world.put("folder/b.csv", HEADER + "i2,b,,,2,2\n")
    world.put("folder/deeper/c.csv", HEADER + "i3,c,,,3,3\n")
    folder = f"s3://{world.bucket}/folder/"
    assert world.wait("DatasetImportJob", world.start_import(items, folder))["status"] == "ACTIVE"
    assert [row["ITEM_ID"] for row in rows(items)] == ["i1", "i2"]
    world.put("folder/d.csv", "CATEGORY,ITEM_ID,NOTE,TEXT,PRICE,CREATION_TIMESTAMP\na,i4,,,1,1\n")
    failed = world.wait("DatasetImportJob", world.start_import(items, folder))
    assert "same header" in failed["failureReason"]


@pytest.mark.parametrize("key", ["missing.csv", "missing-folder/"])
def test_a_location_without_data_is_invalid(world: Any, items: str, key: str) -> None:
    failed = world.wait("DatasetImportJob", world.start_import(items, f"s3://{world.bucket}/{key}"))
    assert (failed["status"], failed["failureReason"]) == ("CREATE FAILED", "Invalid Data location.")


@pytest.mark.parametrize(
    "source", [{}, {"dataLocation": "https://example.com/x.csv"}, {"dataLocation": "s3://x"}]
)
def test_what_is_not_a_location_is_refused_at_once(
    world: Any, items: str, refused: Callable[..., Any], source: dict[str, str]
) -> None:
    error = refused(
        world.personalize.create_dataset_import_job, jobName="no", datasetArn=items, dataSource=source
    )
    assert error.code == "InvalidInputException"


def test_a_job_name_is_used_up_for_ever(world: Any, items: str, refused: Callable[..., Any]) -> None:
    failed = world.import_csv(items, "")
    error = refused(
        world.personalize.create_dataset_import_job,
        jobName=failed["jobName"],
        datasetArn=items,
        dataSource=failed["dataSource"],
    )
    assert error.message == f"Another resource with Arn {failed['datasetImportJobArn']} already exists."


class _Forbidding(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_an_s3_that_denies_fails_the_job(
    start_server: Callable[..., Any], make_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    denying = HTTPServer(("127.0.0.1", 0), _Forbidding)
    threading.Thread(target=denying.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{denying.server_port}")
    world = make_world(start_server().url)
    job = world.start_import(world.dataset(world.group()), "s3://somebody-elses/data.csv")
    failed = world.wait("DatasetImportJob", job)
    denying.shutdown()
    assert failed["failureReason"] == (
        "Failed to create a data import job for INTERACTIONS dataset."
        " Insufficient privileges for accessing data in Amazon S3."
    )


def test_at_most_five_imports_at_a_time(
    start_server: Callable[..., Any], make_world: Callable[..., Any], refused: Callable[..., Any]
) -> None:
    world = make_world(start_server(time_scale=0.5).url)
    dataset = world.dataset(world.group(), ITEMS)
    location = world.put("five.csv", HEADER)
    for _ in range(5):
        world.start_import(dataset, location)
    error = refused(
        world.personalize.create_dataset_import_job,
        jobName="sixth",
        datasetArn=dataset,
        dataSource={"dataLocation": location},
    )
    assert error.code == "LimitExceededException"
    assert error.message == "More than 5 resources with PENDING or IN_PROGRESS status."
    assert refused(world.personalize.delete_dataset, datasetArn=dataset).code == "ResourceInUseException"
