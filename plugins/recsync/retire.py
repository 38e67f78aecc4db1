"""Take a whole program out of Braze, Amazon Personalize and S3; other programs keep what they have.

Braze goes first: only the last-sent state knows who has the attributes. The objects on S3 go last, because every other
step reads some of them. Each step may be repeated, and a step whose work is done finds nothing left to do.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.hooks.personalize_contents import steps
from airflow_personalize.resources import SCHEMA
from recsync import settings
from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.maintain.account import Account
from recsync.maintain.inventory import Inventory
from recsync.maintain.resource_retention import owns_schema
from recsync.maintain.units import Stored
from recsync.program import Program, names
from recsync.program.files import read_programs
from recsync.push.catalog import known_items
from recsync.push.last_sent import LastSent
from recsync.push.plan import plan
from recsync.recommend.lists.catalogue import CATALOGUE
from recsync.recommend.lists.list_partition import LISTS
from recsync.recommend.store import RETIRE_PREFIX, RecommendationsManifest, RecommendationsStore
from recsync.storage.work_folder import work_folder

log = logging.getLogger(__name__)

# What outlives the program: who must never come back, the proofs of erasures, and what was paid.
_KEPT = ("state/suppression.json", "erasure/certificates/", "state/money/")
_LAST_SENT = "state/last_sent.json"


@dataclass(frozen=True)
class Shared:
    """What other programs name too, so that it stays.

    :param attributes: Braze attributes.
    :param catalogs: Braze catalogs.
    """

    attributes: frozenset[str]
    catalogs: frozenset[str]

    @classmethod
    def of(cls, program: Program) -> Shared:
        """Read the other program files.

        :raises FatalError: when one of them is broken, so that nobody knows what it shares.
        """
        sound, broken = read_programs(settings.include_folder())
        if others := sorted(name for name in broken if name != program.name):
            raise FatalError(
                f"The program file of {', '.join(others)} is broken, so what it shares with {program.name} is not "
                "known. Correct it first (make check); nothing was touched."
            )
        brazes = [other.braze for name, other in sound.items() if name != program.name]
        named = (name for braze in brazes for name in (braze.attribute, braze.tier_attribute) if name)
        return cls(frozenset(named), frozenset(braze.catalog.name for braze in brazes if braze.catalog))


@dataclass(frozen=True)
class Retirement:
    """What a program has, as far as it is its own."""

    context: StageContext

    @cached_property
    def shared(self) -> Shared:
        """What other programs name too."""
        return Shared.of(self.context.program)

    @cached_property
    def account(self) -> Account:
        """The account of Amazon Personalize."""
        program = self.context.program
        return Account(program, PersonalizeHook(aws_conn_id=program.aws))

    @property
    def schemas(self) -> list[tuple[str, str]]:
        """The program's schemas that no other dataset group uses: name and ARN."""
        used = {
            arn
            for arn, by in self.account.used_schemas.items()
            if not by.endswith(f"of {self._group_name} uses it")
        }
        own = (each for each in self.account.schemas if owns_schema(self.context.program, each.name))
        return [(each.name, each.arn) for each in own if each.arn not in used]

    @property
    def _group_name(self) -> str:
        return names.dataset_group_name(self.context.program)

    @property
    def shares_catalog(self) -> bool:
        """Whether another program names the Braze catalog too."""
        catalog = self.context.program.braze.catalog
        return catalog is not None and catalog.name in self.shared.catalogs

    def catalog_items(self) -> int:
        """Count the items that the program put into a catalog of its own."""
        return 0 if self.shares_catalog else len(known_items(self.context))

    def attributes(self) -> Counter[str]:
        """Count the people whom Braze shows each attribute of the program's, by the last-sent state."""
        state, _ = self.context.store(LastSent).read()
        with work_folder() as folder:
            table = self.context.store(LastSent).download(state, folder / "state.parquet")
            if table is None:
                return Counter()
            counted = pc.value_counts(pq.read_table(table, columns=["attribute"])["attribute"])
        found = {entry["values"]: entry["counts"] for entry in counted.to_pylist()}
        return Counter({name: people for name, people in found.items() if name not in self.shared.attributes})

    def objects(self) -> list[Stored]:
        """List the objects on S3 that go, what holds on to others first."""
        keys = self.context.keys
        kept = tuple(f"{keys.program}/{name}" for name in _KEPT)
        found = Inventory(self.context.bucket, keys).everything()
        going = [stored for stored in found if not stored.key.startswith(kept)]
        # Once this document is gone, a further run finds nobody left in Braze, and asks for no table of it.
        return sorted(going, key=lambda stored: not stored.key.endswith(_LAST_SENT))


def survey(program_name: str) -> dict[str, Any]:
    """Say what a retirement would remove, and what stays because others use it.

    :returns: counts and names; ``dataset_group_arn`` is None when there is no dataset group.
    """
    found = Retirement(StageContext.of(program_name))
    context, group = found.context, found.account.group
    contents = steps(found.account.hook, group) if group else []
    attributes, objects = found.attributes(), found.objects()
    areas = Counter(stored.key.split("/")[1] for stored in objects)
    catalog = context.program.braze.catalog
    own = {name for name in (context.program.braze.attribute, context.program.braze.tier_attribute) if name}
    shared = sorted(own & found.shared.attributes)
    told = {
        "dataset_group_arn": group,
        "personalize": [
            f"{each.resource.noun} {each.arn.split(':', 5)[-1]}" for step in contents for each in step
        ]
        + ([f"dataset group {names.dataset_group_name(context.program)}"] if group else []),
        "schemas": [name for name, _ in found.schemas],
        "attributes": dict(attributes),
        "data_points": attributes.total(),
        "catalog": catalog.name if catalog and not found.shares_catalog else None,
        "catalog_items": found.catalog_items(),
        "objects": dict(areas),
        "bytes": sum(stored.size_bytes for stored in objects),
        "shared": [f"attribute {name}" for name in shared]
        + ([f"catalog {catalog.name}"] if catalog and found.shares_catalog else []),
    }
    log.info("%s", as_text(program_name, told))
    return told


def as_text(program_name: str, found: Mapping[str, Any]) -> str:
    """Write a survey for people."""
    lines = [
        *(f"Amazon Personalize: {what}" for what in found["personalize"]),
        *(f"Amazon Personalize: schema {name}" for name in found["schemas"]),
        *(f"Braze: attribute {name} of {people:,} people" for name, people in found["attributes"].items()),
        f"Braze: {found['data_points']:,} data points for the removals",
        *(
            [f"Braze: {found['catalog_items']:,} items of catalog {found['catalog']}"]
            if found["catalog"]
            else []
        ),
        *(f"S3: {count:,} objects in {program_name}/{area}/" for area, count in found["objects"].items()),
        f"S3: {found['bytes']:,} bytes",
        *(f"stays, another program names it: {what}" for what in found["shared"]),
        f"stays: {', '.join(f'{program_name}/{name}' for name in _KEPT)}",
    ]
    return "\n  ".join([f"What a retirement of {program_name} removes:", *lines])


def plan_removal(program_name: str, *, dag_run: str, run: str, created_at: datetime) -> dict[str, Any]:
    """Plan the delivery that takes the program's attributes off everybody, and its items out of the catalog.

    It is the delivery of recommendations for nobody, so it has the ledger, the limits and the account of any other.

    :param run: key of the run.
    :returns: ``delivery`` and how many people are in it.
    """
    found = Retirement(StageContext.of(program_name))
    context, run = found.context, f"{RETIRE_PREFIX}{run}"
    manifest = RecommendationsManifest(
        run,
        created_at.isoformat(),
        "",
        "",
        users=0,
        lists=0,
        suppressed={},
        items=0,
        source="retire",
        keep_attributes=tuple(sorted(found.shared.attributes)),
        # Without items of its own there the delivery would make the catalog.
        leave_catalog=not found.catalog_items(),
    )
    with work_folder() as folder:
        lists = folder / "lists.parquet"
        pq.write_table(LISTS.empty_table(), lists)
        context.store(RecommendationsStore).publish(manifest, lists, CATALOGUE.empty_table())
    planned = plan(program_name, run, dag_run=dag_run, allow_removals=True)
    return {"delivery": planned.delivery, "people": planned.figures.left_audience}


def check_removed(program_name: str) -> None:
    """Make sure that nobody has an attribute of the program any more, before what knows of it is deleted.

    :raises FatalError: saying how many people have one.
    """
    found = Retirement(StageContext.of(program_name))
    if left := found.attributes():
        people = ", ".join(f"{name}: {count:,}" for name, count in left.items())
        raise FatalError(
            f"Braze still shows attributes of {program_name} for some people ({people}): over a cap of "
            "braze.delivery, or refused by Braze, as the delivery's report says. Start the retirement again; a cap of "
            "a day allows more tomorrow. Nothing else was removed."
        )


def remove_schemas(program_name: str) -> list[str]:
    """Delete the program's schemas that no dataset uses any more.

    :returns: their names.
    """
    found = Retirement(StageContext.of(program_name))
    gone = found.schemas
    for _, arn in gone:
        found.account.hook.delete(SCHEMA, arn)
    return [name for name, _ in gone]


def remove_objects(program_name: str) -> int:
    """Delete the program's objects on S3.

    :returns: how many were there.
    :raises FatalError: when something was written meanwhile; a further run removes it.
    """
    found = Retirement(StageContext.of(program_name))
    objects, inventory = found.objects(), Inventory(found.context.bucket, found.context.keys)
    head = [stored for stored in objects if stored.key.endswith(_LAST_SENT)]
    stay = [*inventory.remove(head), *inventory.remove([stored for stored in objects if stored not in head])]
    if stay or found.objects():
        raise FatalError(
            f"Objects of {program_name} were written while it was retired. Pause its DAGs, and start it again."
        )
    log.info(
        "%s is retired: %d objects removed. Delete its program file and its SQL now.",
        program_name,
        len(objects),
    )
    return len(objects)
