"""Create, update, start, stop and delete recommenders, which serve the use cases of domain dataset groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_personalize.links.personalize import PersonalizeRecommenderLink
from airflow_personalize.operators.base import (
    PersonalizeBaseOperator,
    PersonalizeCreateTaggedBaseOperator,
    create_template_fields,
)
from airflow_personalize.operators.delete import PersonalizeDeleteBaseOperator
from airflow_personalize.operators.update import PersonalizeUpdateBaseOperator
from airflow_personalize.resources import RECOMMENDER
from airflow_personalize.triggers.personalize import (
    PersonalizeRecommenderActiveTrigger,
    PersonalizeRecommenderDeletedTrigger,
    PersonalizeRecommenderStartedTrigger,
    PersonalizeRecommenderStoppedTrigger,
    PersonalizeRecommenderUpdatedTrigger,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

_LEAST = "minRecommendationRequestsPerSecond"


def _config(config: dict[str, Any] | None) -> dict[str, Any] | None:
    # A template renders to text.
    return {**config, _LEAST: int(config[_LEAST])} if config and _LEAST in config else config


class PersonalizeCreateRecommenderOperator(PersonalizeCreateTaggedBaseOperator):
    """Create a recommender and train its models. It is billed by the hour until it is stopped or deleted.

    An existing recommender that is stopped is adopted and stays stopped; the start operator starts it.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateRecommender.html

    :param recommender_name: 1 to 63 letters, digits, ``-`` and ``_``.
    :param dataset_group_arn: ARN of a domain dataset group.
    :param recipe_arn: ARN of a use case of its domain, e.g.
        ``arn:aws:personalize:::recipe/aws-ecomm-recommended-for-you``.
    :param recommender_config: as the API's RecommenderConfig, e.g. minRecommendationRequestsPerSecond (default 1).
        Default: none.
    """

    resource = RECOMMENDER
    trigger_class = PersonalizeRecommenderActiveTrigger
    link_class = PersonalizeRecommenderLink
    operator_extra_links = (PersonalizeRecommenderLink(),)
    template_fields = create_template_fields(
        "recommender_name", "dataset_group_arn", "recipe_arn", "recommender_config"
    )

    def __init__(
        self,
        *,
        recommender_name: str,
        dataset_group_arn: str,
        recipe_arn: str,
        recommender_config: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.recommender_name = recommender_name
        self.dataset_group_arn = dataset_group_arn
        self.recipe_arn = recipe_arn
        self.recommender_config = recommender_config

    def request(self) -> dict[str, Any]:
        """Return the members of CreateRecommender."""
        return {
            "name": self.recommender_name,
            "datasetGroupArn": self.dataset_group_arn,
            "recipeArn": self.recipe_arn,
            "recommenderConfig": _config(self.recommender_config),
        }


class _OfRecommender(PersonalizeBaseOperator):
    """Base class of the operators of an existing recommender."""

    resource = RECOMMENDER
    link_class = PersonalizeRecommenderLink
    operator_extra_links = (PersonalizeRecommenderLink(),)
    template_fields: Sequence[str] = aws_template_fields("recommender_arn")

    def __init__(self, *, recommender_arn: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.recommender_arn = recommender_arn

    def finish(self, context: Context, *, goes_on: bool) -> str:
        """Store the link; wait if the status still changes; return the ARN."""
        self.persist_link(context, self.recommender_arn)
        if goes_on:
            self.await_end(self.recommender_arn)
        return self.recommender_arn


class PersonalizeUpdateRecommenderOperator(_OfRecommender, PersonalizeUpdateBaseOperator):
    """Change the capacity, exploration or training columns of a recommender.

    Other training columns make the service train it again. It serves requests during the update.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_UpdateRecommender.html

    :param recommender_arn: ARN of the recommender.
    :param recommender_config: as the API's RecommenderConfig; omitted members keep their values.
    """

    trigger_class = PersonalizeRecommenderUpdatedTrigger
    template_fields: Sequence[str] = aws_template_fields("recommender_arn", "recommender_config")

    def __init__(self, *, recommender_config: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.recommender_config = recommender_config

    def request(self) -> dict[str, Any]:
        """Return the members of UpdateRecommender."""
        config = _config(self.recommender_config)
        return {"recommenderArn": self.recommender_arn, "recommenderConfig": config}


class PersonalizeStartRecommenderOperator(_OfRecommender):
    """Start a recommender that is stopped; wait until it is active. Billing and automatic training go on.

    A recommender that is active is no error.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_StartRecommender.html

    :param recommender_arn: ARN of the recommender.
    """

    trigger_class = PersonalizeRecommenderStartedTrigger

    def execute(self, context: Context) -> str:
        """Start the recommender and wait."""
        return self.finish(context, goes_on=self.hook.start_recommender(self.recommender_arn))


class PersonalizeStopRecommenderOperator(_OfRecommender):
    """Stop a recommender; wait until it is inactive. It serves no requests, and is not billed, until it is started.

    A recommender that is inactive is no error.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_StopRecommender.html

    :param recommender_arn: ARN of the recommender.
    """

    trigger_class = PersonalizeRecommenderStoppedTrigger

    def execute(self, context: Context) -> str:
        """Stop the recommender and wait."""
        return self.finish(context, goes_on=self.hook.stop_recommender(self.recommender_arn))


class PersonalizeDeleteRecommenderOperator(_OfRecommender, PersonalizeDeleteBaseOperator):
    """Delete a recommender, active or stopped; it is billed until then.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_DeleteRecommender.html

    :param recommender_arn: ARN of the recommender.
    """

    trigger_class = PersonalizeRecommenderDeletedTrigger
