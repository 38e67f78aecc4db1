"""How people are counted at the end of a delivery."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How one person of the audience is counted; exactly one each.

    ``SENT``: Braze took a changed attribute. ``UNCHANGED``: Braze was told the same before. ``REMOVED``: there is
    nothing fit to mail any more, and Braze took the removal. ``REJECTED``: Braze refused the person, with a reason.
    ``DEAD_LETTERED``: no clear answer for this person alone, after every try; replayable. ``SUPPRESSED``: nothing fit
    to mail, and nothing in Braze. ``DEFERRED``: over a cap; the next delivery takes them. ``KEPT``: the batch output
    has no answer for the person, who keeps the list that Braze has.
    """

    SENT = "sent"
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    REJECTED = "rejected"
    DEAD_LETTERED = "dead_lettered"
    SUPPRESSED = "suppressed"
    DEFERRED = "deferred"
    KEPT = "kept"


# Braze's words for a person it does not have (``_update_existing_only``), and ours where Braze is silent about them.
_NOBODY = "not an existing user"
UNKNOWN_TO_BRAZE = f"unknown to Braze: {_NOBODY}, and update_existing_only creates none"


def is_unknown(reason: str) -> bool:
    """Tell whether a refusal only says that Braze does not have the person."""
    return _NOBODY in reason
