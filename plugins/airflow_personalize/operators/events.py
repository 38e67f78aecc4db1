"""Create event trackers, and stream events, items, users and actions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_personalize.errors import PersonalizeFatalError
from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.hooks.personalize_runtime import (
    PUT_ACTION_INTERACTIONS,
    PUT_ACTIONS,
    PUT_EVENTS,
    PUT_ITEMS,
    PUT_USERS,
    PersonalizeEventsHook,
    Put,
)
from airflow_personalize.links.personalize import PersonalizeEventTrackerLink
from airflow_personalize.operators.base import PersonalizeCreateTaggedBaseOperator, create_template_fields
from airflow_personalize.resources import DATASET, EVENT_TRACKER
from airflow_personalize.triggers.personalize import PersonalizeEventTrackerActiveTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


def json_lines(
    location: str, aws_conn_id: str | None, region_name: str | None, verify: bool | str | None
) -> Iterator[dict[str, Any]]:
    """Yield the records of an object, or of all objects of a folder in the order of their keys.

    :param location: ``s3://`` address; a folder ends in ``/``.
    :raises PersonalizeFatalError: there is no such object, or a line is no JSON object; the message names object
        and line, not what it says.
    """
    s3 = S3Hook(aws_conn_id=aws_conn_id, region_name=region_name, verify=verify)
    bucket, key = S3Hook.parse_s3_url(location)
    # Consoles make empty objects that end in a slash to show folders.
    keys = sorted(each for each in s3.list_keys(bucket, prefix=key) if not each.endswith("/"))
    if not location.endswith("/"):
        keys = [each for each in keys if each == key]
    if not keys:
        raise PersonalizeFatalError(
            f"There is no object at {location}. Correct data_location, or write it first."
        )
    for each in keys:
        body = s3.get_key(each, bucket).get()["Body"]
        for number, line in enumerate(body.iter_lines(), start=1):
            if line.strip():
                yield _record(line, f"s3://{bucket}/{each}, line {number}")


def _record(line: bytes, place: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise PersonalizeFatalError(f"{place} is not JSON. Write one JSON object a line.") from error
    if not isinstance(record, dict):
        raise PersonalizeFatalError(f"{place} holds no JSON object. Write one JSON object a line.")
    return record


TRACKING_ID_KEY = "tracking_id"


class PersonalizeCreateEventTrackerOperator(PersonalizeCreateTaggedBaseOperator):
    """Create or adopt the event tracker of a dataset group, which has one at most.

    Its tracking id is pushed as XCom ``tracking_id``.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateEventTracker.html

    :param event_tracker_name: 1 to 63 letters, digits, ``-`` and ``_``.
    :param dataset_group_arn: ARN of the dataset group; its Interactions dataset receives the events.
    """

    resource = EVENT_TRACKER
    trigger_class = PersonalizeEventTrackerActiveTrigger
    link_class = PersonalizeEventTrackerLink
    operator_extra_links = (PersonalizeEventTrackerLink(),)
    template_fields = create_template_fields("event_tracker_name", "dataset_group_arn")

    def __init__(self, *, event_tracker_name: str, dataset_group_arn: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.event_tracker_name = event_tracker_name
        self.dataset_group_arn = dataset_group_arn

    def request(self) -> dict[str, Any]:
        """Return the members of CreateEventTracker."""
        return {"name": self.event_tracker_name, "datasetGroupArn": self.dataset_group_arn}

    def result(self, context: Context, arn: str) -> str:
        """Push the tracking id, return the ARN."""
        tracking_id = self.hook.describe(EVENT_TRACKER, arn)["trackingId"]
        context["ti"].xcom_push(key=TRACKING_ID_KEY, value=tracking_id)
        return arn


class PersonalizePutBaseOperator(AwsBaseOperator[PersonalizeEventsHook]):
    """Put records, ten a call, no faster than the service takes them; return how many, in how many calls.

    Trying again puts all records again, which is safe (see
    :class:`~airflow_personalize.hooks.personalize_runtime.PersonalizeEventsHook`). A refused call fails the task
    and names its records by position. Records come from exactly one of the first two parameters.

    :param records: mappings with the API's members; ``properties`` may be a mapping too. (templated)
    :param data_location: ``s3://`` address of a JSON Lines object, or of a folder of such, ending in ``/``.
        (templated)
    :param requests_per_second: default: the service's quota, 1000 for events and interactions, else 10.
    """

    aws_hook_class = PersonalizeEventsHook
    put: ClassVar[Put]

    def __init__(
        self,
        *,
        records: Iterable[Mapping[str, Any]] | None = None,
        data_location: str | None = None,
        requests_per_second: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (records is None) == (data_location is None):
            raise ValueError(
                f"Task {self.task_id!r} takes records or data_location: give exactly one of them."
            )
        self.records = records
        self.data_location = data_location
        self.requests_per_second = requests_per_second

    def destination(self) -> str:
        """Return where the records go: a dataset's ARN, or a tracking id."""
        raise NotImplementedError

    def execute(self, context: Context) -> dict[str, int]:
        """Put all records; return ``records`` and ``requests``."""
        sent = self.hook.put(
            self.put, self.destination(), self._records(), requests_per_second=self.requests_per_second
        )
        self.log.info("Put %d records (%s) in %d calls", sent.records, self.put.records, sent.requests)
        return {"records": sent.records, "requests": sent.requests}

    def control_plane(self) -> PersonalizeHook:
        """Return a hook for what the events service does not know."""
        return PersonalizeHook(
            aws_conn_id=self.aws_conn_id,
            region_name=self.region_name,
            verify=self.verify,
            config=self.botocore_config,
        )

    def _records(self) -> Iterable[Mapping[str, Any]]:
        if self.data_location is None:
            return self.records or ()
        return json_lines(self.data_location, self.aws_conn_id, self.region_name, self.verify)


class _PutIntoDatasetOperator(PersonalizePutBaseOperator):
    """Put records into a dataset.

    :param dataset_arn: ARN of the dataset. (templated)
    """

    template_fields: Sequence[str] = aws_template_fields("dataset_arn", "records", "data_location")

    def __init__(self, *, dataset_arn: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dataset_arn = dataset_arn

    def destination(self) -> str:
        """Return the dataset's ARN."""
        return self.dataset_arn


class PersonalizePutItemsOperator(_PutIntoDatasetOperator):
    """Add or replace items: records of ``itemId`` and ``properties`` (keys in camelCase).

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_UBS_PutItems.html

    :param dataset_arn: ARN of the Items dataset. (templated)
    """

    put = PUT_ITEMS


class PersonalizePutUsersOperator(_PutIntoDatasetOperator):
    """Add or replace users: records of ``userId`` and ``properties`` (keys in camelCase).

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_UBS_PutUsers.html

    :param dataset_arn: ARN of the Users dataset. (templated)
    """

    put = PUT_USERS


class PersonalizePutActionsOperator(_PutIntoDatasetOperator):
    """Add or replace actions: records of ``actionId`` and ``properties`` (keys in camelCase).

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_UBS_PutActions.html

    :param dataset_arn: ARN of the Actions dataset. (templated)
    """

    put = PUT_ACTIONS


class PersonalizePutEventsOperator(PersonalizePutBaseOperator):
    """Record events of users: records of ``userId``, ``sessionId`` and the members of the API's Event.

    A record without ``sessionId`` gets its user's id; one without ``eventId`` an id derived from all it says, so
    that the same event, put twice, counts once.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_UBS_PutEvents.html

    :param event_tracker_arn: ARN of the event tracker. (templated)
    :param tracking_id: its tracking id, in place of the ARN. (templated)
    """

    put = PUT_EVENTS
    template_fields: Sequence[str] = aws_template_fields(
        "event_tracker_arn", "tracking_id", "records", "data_location"
    )

    def __init__(
        self, *, event_tracker_arn: str | None = None, tracking_id: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if (event_tracker_arn is None) == (tracking_id is None):
            raise ValueError(
                f"Task {self.task_id!r} takes event_tracker_arn or tracking_id: give exactly one of them."
            )
        self.event_tracker_arn = event_tracker_arn
        self.tracking_id = tracking_id

    def destination(self) -> str:
        """Return the tracking id."""
        if self.event_tracker_arn is None:
            return str(self.tracking_id)
        return str(self.control_plane().describe(EVENT_TRACKER, self.event_tracker_arn)["trackingId"])


class PersonalizePutActionInteractionsOperator(PersonalizePutBaseOperator):
    """Record what users did with actions: records with the members of the API's ActionInteraction.

    A record without ``sessionId`` gets its user's id; one without ``eventId`` an id derived from all it says.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_UBS_PutActionInteractions.html

    :param dataset_arn: ARN of the Action_Interactions dataset, which brings its own tracking id. (templated)
    :param tracking_id: that tracking id, in place of the ARN. (templated)
    """

    put = PUT_ACTION_INTERACTIONS
    template_fields: Sequence[str] = aws_template_fields(
        "dataset_arn", "tracking_id", "records", "data_location"
    )

    def __init__(
        self, *, dataset_arn: str | None = None, tracking_id: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if (dataset_arn is None) == (tracking_id is None):
            raise ValueError(
                f"Task {self.task_id!r} takes dataset_arn or tracking_id: give exactly one of them."
            )
        self.dataset_arn = dataset_arn
        self.tracking_id = tracking_id

    def destination(self) -> str:
        """Return the tracking id."""
        if self.dataset_arn is None:
            return str(self.tracking_id)
        return str(self.control_plane().describe(DATASET, self.dataset_arn)["trackingId"])
