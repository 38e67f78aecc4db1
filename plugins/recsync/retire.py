"""Remove a whole program from Braze, Amazon Personalize and S3, except what other programs use too.

Braze is first, as only the last-sent state knows which users have the attributes. The objects on S3 are last, because
every other step reads some of them. Every step may be repeated.
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
from airflow_personalize.hooks.personalize_client import deletion_steps
from airflow_personalize.resource import Resource
from airflow_personalize.resources import CAMPAIGN, FILTER, SCHEMA, SOLUTION
from recsync import settings
from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.experiments.store import OwnExperiment, own_experiments, remove_experiment
from recsync.maintain.objects import Inventory
from recsync.maintain.resources import PersonalizeAccount, needed_solutions
from recsync.maintain.retention import ListedObject, owns_filter, owns_schema
from recsync.program import Program, names
from recsync.program.files import read_programs, sharers
from recsync.program.names import RETIRE_PREFIX
from recsync.push.catalog import known_items
from recsync.push.plan import plan
from recsync.push.store import LastSent
from recsync.recommend.lists.catalog import CATALOG, positions_in
from recsync.recommend.lists.list_partition import LISTS
from recsync.recommend.store import RecommendationsManifest, RecommendationsStore
from recsync.storage.duck import work_folder
from recsync.storage.keys import ALL_EXPERIMENTS

log = logging.getLogger(__name__)

# Kept after the program: the suppression list, the certificates of erasures, and the cost ledger.
_KEPT = ("state/suppression.json", "erasure/certificates/", "state/money/")
_LAST_SENT = "state/last_sent.json"


@dataclass(frozen=True)
class Shared:
    """The Braze attributes and catalogs of other programs."""

    attributes: frozenset[str]
    catalogs: frozenset[str]

    @classmethod
    def of(cls, program: Program) -> Shared:
        """Read the other program files.

        :raises FatalError: when one of them is broken, so that it is unknown what it shares.
        """
        sound, broken = read_programs(settings.include_folder())
        if others := sorted(name for name in broken if name != program.name):
            raise FatalError(
                f"The program file of {', '.join(others)} is broken, so what it shares with {program.name} is not "
                "known. Correct it first (make check); nothing was touched."
            )
        brazes = [other.braze for name, other in sound.items() if name != program.name]
        named = (name for braze in brazes for name in braze.attribute_names)
        return cls(frozenset(named), frozenset(braze.catalog.name for braze in brazes if braze.catalog))


@dataclass(frozen=True)
class Retirement:
    """What belongs to one program only."""

    context: StageContext

    @cached_property
    def shared(self) -> Shared:
        """What other programs use too."""
        return Shared.of(self.context.program)

    @cached_property
    def account(self) -> PersonalizeAccount:
        """The account of Amazon Personalize."""
        program = self.context.program
        return PersonalizeAccount(program, PersonalizeHook(aws_conn_id=program.aws))

    @property
    def schemas(self) -> list[tuple[str, str]]:
        """The program's schemas that no other dataset group uses: name and ARN."""
        own_use = f"of {names.dataset_group_name(self.context.program)} uses it"
        used = {arn for arn, use in self.account.used_schemas.items() if not use.endswith(own_use)}
        own = (each for each in self.account.schemas if owns_schema(self.context.program, each.name))
        return [(each.name, each.arn) for each in own if each.arn not in used]

    @property
    def group(self) -> str | None:
        """ARN of the dataset group that goes with the program; None when there is none, or another one owns it."""
        return None if self.context.program.data else self.account.group

    @property
    def parts_of_group(self) -> list[tuple[Resource, str, str]]:
        """What only this program has in the dataset group of another: resource, name and ARN, in order of removal."""
        program = self.context.program
        if program.data is None or self.account.group is None:
            return []
        found = [
            (CAMPAIGN, each["name"], each["campaignArn"])
            for each in self.account.campaigns
            if each["name"] == names.campaign_name(program)
        ]
        found += [
            (FILTER, each["name"], each["filterArn"])
            for each in self.account.filters
            if owns_filter(program, each["name"])
        ]
        if program.personalize.model is not None:
            return found
        solutions = self.account.solutions
        others = [each for each in self.context.over_data if each.program.name != program.name]
        used = {arn for each in others for arn in needed_solutions(each, solutions)}
        mine = needed_solutions(self.context, solutions).keys() - used
        return found + [(SOLUTION, each.name, each.arn) for each in solutions if each.arn in mine]

    def check_not_shared(self) -> None:
        """Check that no other program uses the data.

        :raises FatalError: with the names of those that do.
        """
        name = self.context.program.name
        if found := sharers(name, settings.include_folder()):
            raise FatalError(
                f"{name} cannot be retired while {', '.join(found)} use{'s' if len(found) == 1 else ''} its data. "
                f"Retire {'it' if len(found) == 1 else 'them'} first; nothing was touched."
            )

    @property
    def shares_catalog(self) -> bool:
        """Whether another program names the Braze catalog too."""
        catalog = self.context.program.braze.catalog
        return catalog is not None and catalog.name in self.shared.catalogs

    def catalog_items(self) -> int:
        """Count the program's items in its own catalog."""
        return (
            0 if self.shares_catalog else len(known_items(self.context, self.context.program.braze.catalog))
        )

    def attributes(self) -> Counter[str]:
        """Count the users with each of the program's attributes, by the last-sent state."""
        state, _ = self.context.store(LastSent).read()
        with work_folder() as folder:
            table = self.context.store(LastSent).download(state, folder / "state.parquet")
            if table is None:
                return Counter()
            counted = pc.value_counts(pq.read_table(table, columns=["attribute"])["attribute"])
        found = {entry["values"]: entry["counts"] for entry in counted.to_pylist()}
        return Counter({name: people for name, people in found.items() if name not in self.shared.attributes})

    def experiments(self) -> list[OwnExperiment]:
        """List the experiments that no other program took over."""
        return own_experiments(self.context)

    def objects(self) -> list[ListedObject]:
        """List the objects on S3 to remove, in their order."""
        keys = self.context.keys
        kept = tuple(f"{keys.program}/{name}" for name in _KEPT)
        found = Inventory(self.context.bucket, keys).objects()
        going = [listed for listed in found if not listed.key.startswith(kept)]
        # First the document that refers to the tables: without it, a second run reads no table.
        return sorted(going, key=lambda listed: not listed.key.endswith(_LAST_SENT))


def survey(program_name: str) -> dict[str, Any]:
    """Report what a retirement would remove, and what stays because others use it.

    :returns: counts and names; ``dataset_group_arn`` is None when the program owns no dataset group.
    :raises FatalError: when other programs use its data.
    """
    found = Retirement(StageContext.of(program_name))
    found.check_not_shared()
    context, group = found.context, found.group
    resources, catalog = [], context.program.braze.catalog
    if group:
        steps = deletion_steps(found.account.hook, group)
        resources = [f"{each.resource.noun} {each.arn.split(':', 5)[-1]}" for step in steps for each in step]
        resources.append(f"dataset group {names.dataset_group_name(context.program)}")
    resources += [f"{resource.noun} {name}" for resource, name, _ in found.parts_of_group]
    attributes, objects = found.attributes(), found.objects()
    shared_attributes = found.shared.attributes.intersection(context.program.braze.attribute_names)
    shared = [f"attribute {name}" for name in sorted(shared_attributes)]
    if catalog and found.shares_catalog:
        shared.append(f"catalog {catalog.name}")
    result = {
        "dataset_group_arn": group,
        "personalize": resources,
        "schemas": [name for name, _ in found.schemas],
        "attributes": dict(attributes),
        "data_points": attributes.total(),
        "catalog": catalog.name if catalog and not found.shares_catalog else None,
        "catalog_items": found.catalog_items(),
        "objects": dict(Counter(listed.key.split("/")[1] for listed in objects)),
        "bytes": sum(listed.size_bytes for listed in objects),
        "experiments": [own.label for own in found.experiments()],
        "shared": shared,
    }
    log.info("%s", _as_text(program_name, result))
    return result


def _as_text(program_name: str, found: Mapping[str, Any]) -> str:
    catalog = f"Braze: {found['catalog_items']:,} items of catalog {found['catalog']}"
    lines = [
        *(f"Amazon Personalize: {what}" for what in found["personalize"]),
        *(f"Amazon Personalize: schema {name}" for name in found["schemas"]),
        *(f"Braze: attribute {name} of {people:,} people" for name, people in found["attributes"].items()),
        f"Braze: {found['data_points']:,} data points for the removals",
        *([catalog] if found["catalog"] else []),
        *(f"S3: {count:,} objects in {program_name}/{area}/" for area, count in found["objects"].items()),
        f"S3: {found['bytes']:,} bytes",
        *(f"S3: {ALL_EXPERIMENTS}{name}/, the people of an experiment" for name in found["experiments"]),
        *(f"stays, another program names it: {what}" for what in found["shared"]),
        f"stays: {', '.join(f'{program_name}/{name}' for name in _KEPT)}",
    ]
    return "\n  ".join([f"What a retirement of {program_name} removes:", *lines])


def plan_removal(program_name: str, *, dag_run: str, run: str, created_at: datetime) -> dict[str, Any]:
    """Plan the delivery that removes the program's attributes from all users, and its items from the catalog.

    It delivers an empty set of recommendations, so it has the ledger, limits and accounts of any delivery.

    :param run: key of the run.
    :returns: ``delivery`` and the number of users in it.
    """
    found = Retirement(StageContext.of(program_name))
    found.check_not_shared()
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
        # A delivery would create the catalog if the program has no items in it.
        leave_catalog=not found.catalog_items(),
    )
    with work_folder() as folder:
        lists = folder / "lists.parquet"
        nothing = CATALOG.empty_table()
        pq.write_table(LISTS.with_metadata(positions_in(nothing)).empty_table(), lists)
        context.store(RecommendationsStore).publish(manifest, lists, nothing)
    planned = plan(program_name, run, dag_run=dag_run, allow_removals=True)
    return {"delivery": planned.delivery, "people": planned.figures.left_audience}


def check_removed(program_name: str) -> None:
    """Check that no user has an attribute of the program any more, before the last-sent state is deleted.

    :raises FatalError: with the number of users who have one.
    """
    if left := Retirement(StageContext.of(program_name)).attributes():
        people = ", ".join(f"{name}: {count:,}" for name, count in left.items())
        raise FatalError(
            f"Braze still shows attributes of {program_name} for some people ({people}): over a cap of "
            "braze.delivery, or refused by Braze, as the delivery's report says. Start the retirement again; with a "
            "daily cap, tomorrow. Nothing else was removed."
        )


def remove_schemas(program_name: str) -> list[str]:
    """Delete the program's schemas that no dataset uses any more, and return their names.

    Of a program over another one's data, delete what only it has in the dataset group.
    """
    found = Retirement(StageContext.of(program_name))
    gone = [*found.parts_of_group, *((SCHEMA, name, arn) for name, arn in found.schemas)]
    for resource, _, arn in gone:
        found.account.hook.delete(resource, arn)
    return [name for _, name, _ in gone]


def remove_objects(program_name: str) -> int:
    """Delete the program's objects on S3.

    :returns: their number.
    :raises FatalError: when something was written meanwhile; a further run removes it.
    """
    found = Retirement(StageContext.of(program_name))
    for own in found.experiments():
        remove_experiment(found.context, own)
    objects, inventory = found.objects(), Inventory(found.context.bucket, found.context.keys)
    head = [listed for listed in objects if listed.key.endswith(_LAST_SENT)]
    kept = [*inventory.remove(head), *inventory.remove([listed for listed in objects if listed not in head])]
    if kept or found.objects():
        raise FatalError(
            f"Objects of {program_name} were written while it was retired. Pause its DAGs, and start it again."
        )
    return len(objects)
