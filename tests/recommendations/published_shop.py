"""A program with lists on S3, and the settings of a service over it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recommendations.keys import new_key
from recommendations.publication import Folder, Publication
from recommendations.settings import Config, Settings
from recommendations.updates import Updater
from recsync.recommend.lists.audience import AUDIENCE
from recsync.recommend.lists.catalog import CATALOG, positions_in
from recsync.recommend.lists.list_partition import LISTS
from recsync.recommend.store import RecommendationsManifest, RecommendationsStore
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys
from recsync.suppression.store import SuppressionStore

ITEMS = {
    f"i{n}": {"name": f"Name {n}", "price": n + 0.5, "url": f"https://shop.example/{n}"} for n in range(4)
}
LISTS_OF = {"ann": ["i2", "i0"], "bob": ["i1", "i0"], "cid": []}


@dataclass(frozen=True)
class Shop:
    """The program ``shop``, what it published, and a service's settings."""

    settings: Settings
    bucket: Bucket
    key: str

    @property
    def include(self) -> Path:
        return self.settings.include

    @property
    def restarted(self) -> Settings:
        """The settings as another process reads them: program files are read once."""
        return Settings.model_validate_json(self.settings.model_dump_json())

    def write_program(self, name: str = "shop", **fields: Any) -> None:
        (self.include / "programs").mkdir(parents=True, exist_ok=True)
        for folder in ("sql", "schemas"):
            (self.include / folder / name).mkdir(parents=True, exist_ok=True)
        fields_of = [{"name": column, "type": "string"} for column in ("USER_ID", "ITEM_ID")]
        schema = {
            "type": "record", "name": "Interactions", "namespace": "com.amazonaws.personalize.schema",
            "version": "1.0", "fields": [*fields_of, {"name": "TIMESTAMP", "type": "long"}],
        }  # fmt: skip
        (self.include / "schemas" / name / "interactions.json").write_text(json.dumps(schema))
        for query in ("interactions", "audience", "catalogue"):
            (self.include / "sql" / name / f"{query}.sql").write_text("SELECT 1")
        program = {
            "recommendations": {"length": 2, "min_length": 1, "fallback": ["popular"]},
            "braze": {"attribute": f"recs_{name}"},
            **fields,
        }
        (self.include / "programs" / f"{name}.yaml").write_text(json.dumps(program))  # JSON is YAML

    def with_config(self, **config: Any) -> Shop:
        settings = self.settings.model_copy(update={"config": Config.model_validate(config)})
        return replace(self, settings=settings)

    def publish(
        self,
        run: str = "20261130T050000-aa",
        lists: Mapping[str, Sequence[str]] = LISTS_OF,
        *,
        program: str = "shop",
        items: Mapping[str, Mapping[str, Any]] = ITEMS,
        users: Mapping[str, str] | None = None,
        identifier: str = "external_id",
        columns: Mapping[str, Sequence[str]] | None = None,
        **manifest_fields: Any,
    ) -> None:
        """Publish lists as the stage ``recommend`` does.

        :param users: ``user_id`` by person; None: the run kept no audience.
        :param columns: further columns of the lists, or other values.
        """
        folder = self.include / "work"
        folder.mkdir(exist_ok=True)
        catalog = pa.table(
            {"item_id": list(items), "fields": [json.dumps(item) for item in items.values()]}, schema=CATALOG
        )
        places = {item: place for place, item in enumerate(items)}
        rows = [
            {
                "external_id": person,
                "items": [places[item] for item in chosen],
                "tier": "personal" if chosen else "",
            }
            for person, chosen in lists.items()
        ]
        table = pa.Table.from_pylist(rows, schema=LISTS.with_metadata(positions_in(catalog)))
        for name, values in (columns or {}).items():
            held = name in table.column_names
            table = table.set_column(
                table.column_names.index(name), name, [values]
            ) if held else table.append_column(name, [values])  # fmt: skip
        pq.write_table(table, folder / "lists.parquet")
        keys = Keys(program)
        if users is not None:
            people = [{"user_id": users[person], "external_id": person} for person in lists]
            self.bucket.put_table(keys.audience(run), pa.Table.from_pylist(people, schema=AUDIENCE))
        manifest = RecommendationsManifest(
            run, "2026-11-30T05:00:00+00:00", "", "", len(lists), len(lists), {}, len(items)
        )
        manifest = replace(manifest, identifier=identifier, **manifest_fields)
        RecommendationsStore(self.bucket, keys).publish(manifest, folder / "lists.parquet", catalog)

    def suppress(
        self, user_ids: Sequence[str] = (), people: Sequence[str] = (), program: str = "shop"
    ) -> None:
        SuppressionStore(self.bucket, Keys(program)).add(user_ids, people)

    def updater(self) -> Updater:
        """Return an updater as of a restart; a store may be open in this process once only."""
        return Updater(self.restarted, self.bucket.client)

    def start(self, program: str = "shop") -> tuple[Updater, Publication]:
        """Return an updater that has looked once, and what a worker serves then."""
        updater = self.updater()
        updater.poll()
        return updater, Publication(program, Folder(self.settings.data / program))

    def bytes_on_disk(self) -> bytes:
        return b"".join(path.read_bytes() for path in self.settings.data.rglob("*") if path.is_file())


@pytest.fixture
def shop(s3_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Shop:
    client = boto3.client(
        "s3", endpoint_url=s3_url, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    bucket = f"serve-{abs(hash(request.node.nodeid)):x}"
    client.create_bucket(Bucket=bucket)
    (tmp_path / "data").mkdir()
    settings = Settings(
        data=tmp_path / "data", keys=tmp_path / "keys.json", include=tmp_path / "include", bucket=bucket
    )
    made = Shop(settings, Bucket(client, bucket), new_key(settings.keys))
    made.write_program()
    return made
