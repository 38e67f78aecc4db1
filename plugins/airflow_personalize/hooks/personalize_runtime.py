"""Ask campaigns and recommenders of Amazon Personalize in real time."""

from __future__ import annotations

from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.utils.helpers import prune_dict

from airflow_personalize.refusals import personalize_errors


class PersonalizeRuntimeHook(AwsBaseHook):
    """Get recommendations, rankings and actions, one user a call.

    Wraps :external+boto3:py:class:`boto3.client("personalize-runtime") <PersonalizeRuntime.Client>`. All
    requests have the API's members; those that are None are left out.

    Additional arguments (such as ``aws_conn_id``) go to
    :class:`~airflow.providers.amazon.aws.hooks.base_aws.AwsBaseHook`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["client_type"] = "personalize-runtime"
        super().__init__(*args, **kwargs)

    def get_recommendations(self, **request: Any) -> dict[str, Any]:
        """Return ``itemList``, best first, and ``recommendationId``.

        .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetRecommendations.html

        :raises PersonalizeFatalError: the request is wrong, or the campaign does not exist.
        """
        return self._answer("get_recommendations", request)

    def get_personalized_ranking(self, **request: Any) -> dict[str, Any]:
        """Return ``personalizedRanking``: the items of ``inputList``, best first; and ``recommendationId``.

        .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetPersonalizedRanking.html

        :raises PersonalizeFatalError: the request is wrong, or the campaign does not exist.
        """
        return self._answer("get_personalized_ranking", request)

    def get_action_recommendations(self, **request: Any) -> dict[str, Any]:
        """Return ``actionList``, best first, and ``recommendationId``.

        .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetActionRecommendations.html

        :raises PersonalizeFatalError: the request is wrong, or the campaign does not exist.
        """
        return self._answer("get_action_recommendations", request)

    def _answer(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        place = request.get("campaignArn") or request.get("recommenderArn")
        with personalize_errors(f"{operation.replace('_', ' ')} of {place}", None, conn_id=self.aws_conn_id):
            reply = getattr(self.conn, operation)(**prune_dict(request))
        return {member: value for member, value in reply.items() if member != "ResponseMetadata"}
