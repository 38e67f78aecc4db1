"""Get recommendations: batch inference jobs, batch segment jobs, and real-time calls for a few users."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_personalize.hooks.personalize_runtime import PersonalizeRuntimeHook
from airflow_personalize.links.personalize import PersonalizeBatchSegmentJobLink
from airflow_personalize.operators.base import (
    PersonalizeCreateTaggedBaseOperator,
    create_template_fields,
    s3_place,
)
from airflow_personalize.resources import BATCH_SEGMENT_JOB
from airflow_personalize.triggers.personalize import PersonalizeBatchSegmentJobCompletedTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


def batch_template_fields(*own: str) -> tuple[str, ...]:
    """Return the template fields of a batch job's operator: its own, and what all of them have."""
    return create_template_fields(
        "job_name",
        "solution_version_arn",
        "input_path",
        "output_path",
        "role_arn",
        "num_results",
        "filter_arn",
        *own,
        "input_kms_key_arn",
        "output_kms_key_arn",
    )


class PersonalizeCreateBatchJobBaseOperator(PersonalizeCreateTaggedBaseOperator):
    """Answer every line of an input file, from S3 to S3.

    :param job_name: single-use; a retry after a failure appends ``-2``, ``-3``…
    :param solution_version_arn: ARN of the solution version; ``$LATEST`` is not allowed here.
    :param input_path: ``s3://`` address of a JSON Lines object, or of a folder ending in ``/``.
    :param output_path: ``s3://`` address of the output folder, ending in ``/``; one per job.
    :param role_arn: role with which the service reads and writes S3.
    :param num_results: answers per line, an upper bound. Default: the API's, 25.
    :param filter_arn: ARN of a filter. Default: none.
    :param input_kms_key_arn: key with which the input is encrypted. Default: none.
    :param output_kms_key_arn: key with which to encrypt the output. Default: none.
    """

    def __init__(
        self,
        *,
        job_name: str,
        solution_version_arn: str,
        input_path: str,
        output_path: str,
        role_arn: str,
        num_results: int | str | None = None,
        filter_arn: str | None = None,
        input_kms_key_arn: str | None = None,
        output_kms_key_arn: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job_name = job_name
        self.solution_version_arn = solution_version_arn
        self.input_path = input_path
        self.output_path = output_path
        self.role_arn = role_arn
        self.num_results = num_results
        self.filter_arn = filter_arn
        self.input_kms_key_arn = input_kms_key_arn
        self.output_kms_key_arn = output_kms_key_arn

    def request(self) -> dict[str, Any]:
        """Return the members that both Create operations have."""
        return {
            "jobName": self.job_name,
            "solutionVersionArn": self.solution_version_arn,
            "jobInput": {"s3DataSource": s3_place(self.input_path, self.input_kms_key_arn)},
            "jobOutput": {"s3DataDestination": s3_place(self.output_path, self.output_kms_key_arn)},
            "roleArn": self.role_arn,
            # A template renders to text.
            "numResults": None if self.num_results is None else int(self.num_results),
            "filterArn": self.filter_arn,
        }


class PersonalizeCreateBatchSegmentJobOperator(PersonalizeCreateBatchJobBaseOperator):
    """Run a batch segment job: for each item (or item attribute) of an input file, the users most likely to want it.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateBatchSegmentJob.html

    :param job_name: single-use; a retry after a failure appends ``-2``, ``-3``…
    :param solution_version_arn: ARN of a solution version of Item-Affinity or Item-Attribute-Affinity.
    :param input_path: ``s3://`` address of a JSON Lines object, or of a folder ending in ``/``.
    :param output_path: ``s3://`` address of the output folder, ending in ``/``; one per job.
    :param role_arn: role with which the service reads and writes S3.
    :param num_results: users per line, an upper bound. Default: the API's, 25.
    :param filter_arn: ARN of a filter of users. Default: none.
    :param input_kms_key_arn: key with which the input is encrypted. Default: none.
    :param output_kms_key_arn: key with which to encrypt the output. Default: none.
    """

    resource = BATCH_SEGMENT_JOB
    trigger_class = PersonalizeBatchSegmentJobCompletedTrigger
    link_class = PersonalizeBatchSegmentJobLink
    operator_extra_links = (PersonalizeBatchSegmentJobLink(),)
    template_fields = batch_template_fields()


class PersonalizeRuntimeBaseOperator(AwsBaseOperator[PersonalizeRuntimeHook]):
    """Ask once for each user or item, in order; return one answer each.

    Each answer is a mapping of the request (``userId``, ``itemId``), the API's list and ``recommendationId``.

    :param filter_arn: ARN of a filter. Default: none. (templated)
    :param filter_values: values of the filter's parameters, strings in their own double quotes.
        Default: none. (templated)
    """

    aws_hook_class = PersonalizeRuntimeHook

    def __init__(
        self, *, filter_arn: str | None = None, filter_values: Mapping[str, str] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.filter_arn = filter_arn
        self.filter_values = filter_values

    def asked(self) -> Iterator[dict[str, Any]]:
        """Yield, for each call, whom or what it is about."""
        raise NotImplementedError

    def answer(self, **request: Any) -> dict[str, Any]:
        """Ask once."""
        raise NotImplementedError

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Ask for each."""
        filtered = {"filterArn": self.filter_arn, "filterValues": self.filter_values or None}
        answers = [{**asked, **self.answer(**asked, **filtered)} for asked in self.asked()]
        self.log.info("Got %d answers", len(answers))
        return answers


class PersonalizeGetRecommendationsOperator(PersonalizeRuntimeBaseOperator):
    """Return what a campaign or recommender recommends to a few users, or beside a few items, or at all.

    Each answer holds ``itemList``: ``itemId`` and, where the recipe has them, ``score``, best first.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetRecommendations.html

    :param campaign_arn: ARN of the campaign. (templated)
    :param recommender_arn: ARN of the recommender, in place of a campaign. (templated)
    :param user_ids: whom to ask about. (templated)
    :param item_ids: items to ask about; beside ``user_ids`` one for each. Where neither is given one call asks
        without user and item, which Trending-Now answers. (templated)
    :param num_results: items an answer, an upper bound. Default: the API's, 25. (templated)
    :param circumstances: the API's ``context`` (field name -> value); renamed because Airflow uses that word.
        Default: none. (templated)
    """

    template_fields: Sequence[str] = aws_template_fields(
        "campaign_arn",
        "recommender_arn",
        "user_ids",
        "item_ids",
        "num_results",
        "circumstances",
        "filter_arn",
        "filter_values",
    )

    def __init__(
        self,
        *,
        campaign_arn: str | None = None,
        recommender_arn: str | None = None,
        user_ids: Sequence[str] | None = None,
        item_ids: Sequence[str] | None = None,
        num_results: int | str | None = None,
        circumstances: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (campaign_arn is None) == (recommender_arn is None):
            raise ValueError(
                f"Task {self.task_id!r} takes campaign_arn or recommender_arn: give exactly one of them."
            )
        self.campaign_arn = campaign_arn
        self.recommender_arn = recommender_arn
        self.user_ids = user_ids
        self.item_ids = item_ids
        self.num_results = num_results
        self.circumstances = circumstances

    def asked(self) -> Iterator[dict[str, Any]]:
        """Yield users, items, pairs of both, or nothing once."""
        if self.user_ids is None and self.item_ids is None:
            yield {}
        elif self.user_ids and self.item_ids:
            pairs = zip(self.user_ids, self.item_ids, strict=True)
            yield from ({"userId": user_id, "itemId": item_id} for user_id, item_id in pairs)
        else:
            yield from ({"userId": user_id} for user_id in self.user_ids or ())
            yield from ({"itemId": item_id} for item_id in self.item_ids or ())

    def answer(self, **request: Any) -> dict[str, Any]:
        """Call GetRecommendations once."""
        return self.hook.get_recommendations(
            campaignArn=self.campaign_arn,
            recommenderArn=self.recommender_arn,
            # A template renders to text.
            numResults=None if self.num_results is None else int(self.num_results),
            context=self.circumstances or None,
            **request,
        )


class PersonalizeGetPersonalizedRankingOperator(PersonalizeRuntimeBaseOperator):
    """Return the same items in the order that suits each of a few users.

    Each answer holds ``personalizedRanking``: ``itemId`` and ``score``, best first.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetPersonalizedRanking.html

    :param campaign_arn: ARN of a campaign of a ranking recipe. (templated)
    :param user_ids: whom to rank for. (templated)
    :param input_list: ids of the items, 500 at most. (templated)
    """

    template_fields: Sequence[str] = aws_template_fields(
        "campaign_arn", "user_ids", "input_list", "filter_arn", "filter_values"
    )

    def __init__(
        self, *, campaign_arn: str, user_ids: Sequence[str], input_list: Sequence[str], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.campaign_arn = campaign_arn
        self.user_ids = user_ids
        self.input_list = input_list

    def asked(self) -> Iterator[dict[str, Any]]:
        """Yield the users."""
        yield from ({"userId": user_id} for user_id in self.user_ids)

    def answer(self, **request: Any) -> dict[str, Any]:
        """Call GetPersonalizedRanking once."""
        return self.hook.get_personalized_ranking(
            campaignArn=self.campaign_arn, inputList=list(self.input_list), **request
        )


class PersonalizeGetActionRecommendationsOperator(PersonalizeRuntimeBaseOperator):
    """Return the actions that a few users are most likely to take.

    Each answer holds ``actionList``: ``actionId`` and ``score``, best first.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetActionRecommendations.html

    :param campaign_arn: ARN of a campaign of Next-Best-Action. (templated)
    :param user_ids: whom to ask about. (templated)
    :param num_results: actions an answer, an upper bound. Default: the API's, 5. (templated)
    """

    template_fields: Sequence[str] = aws_template_fields(
        "campaign_arn", "user_ids", "num_results", "filter_arn", "filter_values"
    )

    def __init__(
        self,
        *,
        campaign_arn: str,
        user_ids: Sequence[str],
        num_results: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.campaign_arn = campaign_arn
        self.user_ids = user_ids
        self.num_results = num_results

    def asked(self) -> Iterator[dict[str, Any]]:
        """Yield the users."""
        yield from ({"userId": user_id} for user_id in self.user_ids)

    def answer(self, **request: Any) -> dict[str, Any]:
        """Call GetActionRecommendations once."""
        return self.hook.get_action_recommendations(
            campaignArn=self.campaign_arn,
            # A template renders to text.
            numResults=None if self.num_results is None else int(self.num_results),
            **request,
        )
