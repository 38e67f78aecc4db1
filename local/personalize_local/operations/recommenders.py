"""Answer for recommenders, which only domain dataset groups have: there are none.

API: https://docs.aws.amazon.com/personalize/latest/dg/API_ListRecommenders.html
"""

from __future__ import annotations

from typing import Any

from personalize_local.context import Context, Params
from personalize_local.errors import not_found
from personalize_local.operations.common import list_all
from personalize_local.resources import RECOMMENDER


def refuse(_context: Context, params: Params) -> dict[str, Any]:
    """Refuse the ARN: nothing has it."""
    raise not_found(params["recommenderArn"])


OPERATIONS = {"ListRecommenders": list_all(RECOMMENDER)}
# Answered, and not counted as built: no call of them can succeed.
NEVER_FOUND = {f"{verb}Recommender": refuse for verb in ("Delete", "Describe", "Start", "Stop", "Update")}
