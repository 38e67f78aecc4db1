"""Check tags by the service's rules.

API: https://docs.aws.amazon.com/personalize/latest/dg/tagging-resources.html
"""

from __future__ import annotations

from personalize_local.errors import invalid_input, too_many_tags

TAGS_PER_RESOURCE = 50


def checked_tags(tags: list[dict[str, str]]) -> dict[str, str]:
    """Return request tags as a mapping; refuse duplicates, reserved keys and too many."""
    keys = [tag["tagKey"] for tag in tags]
    if len(set(keys)) != len(keys):
        raise invalid_input("Tag keys must be unique.")
    if any(key.lower().startswith("aws:") for key in keys):
        raise invalid_input("Tag keys must not begin with aws:.")
    return within_limit({tag["tagKey"]: tag["tagValue"] for tag in tags})


def within_limit(tags: dict[str, str]) -> dict[str, str]:
    """Return the tags; raise TooManyTagsException above the limit of one resource."""
    if len(tags) > TAGS_PER_RESOURCE:
        raise too_many_tags(f"A resource can have at most {TAGS_PER_RESOURCE} tags.")
    return tags
