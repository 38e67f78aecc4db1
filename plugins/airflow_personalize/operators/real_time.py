"""Ask a campaign about a few users or items: spot checks, not a way to mail everybody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_personalize.hooks.personalize_runtime import PersonalizeRuntimeHook

if TYPE_CHECKING:
    from airflow.sdk import Context


class PersonalizeRuntimeBaseOperator(AwsBaseOperator[PersonalizeRuntimeHook]):
    """Ask once for each user or item, in order; return one answer each.

    An answer is a mapping: what was asked (``userId``, ``itemId``), the API's list, and ``recommendationId``.

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
        about nobody and nothing, which Trending-Now answers. (templated)
    :param num_results: items an answer, an upper bound. Default: the API's, 25. (templated)
    :param circumstances: the API's ``context``, by name of the field; Airflow has a context of its own.
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
