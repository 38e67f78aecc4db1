"""Write the Liquid that tells in an e-mail whether a list may still be mailed."""

from __future__ import annotations

from recsync.program import Program

# A missing date is 0 after "plus", so it is never fresh. Filters work in "assign" only, and numbers compare safely:
# https://www.braze.com/docs/user_guide/personalization_and_dynamic_content/liquid/filters/
_UNTIL = {
    "attribute": "{{% assign recs_until = custom_attribute.${{{name}}} | date: '%s' | plus: {seconds} %}}",
    "catalog": "{{% catalog_items {name} {program} %}}{{% assign recs_until = items[0].fresh_until | plus: 0 %}}",
}
_FRESH = """\
{% assign recs_now = 'now' | date: '%s' | plus: 0 %}
{% assign recs_fresh = false %}
{% if recs_until > recs_now %}{% assign recs_fresh = true %}{% endif %}
"""


def freshness_check(program: Program) -> str:
    """Return Liquid that assigns ``recs_fresh``: whether the person's list is not older than the program allows.

    With an attribute ``from: generated_at`` it looks at the person's list, else at the newest lists of the program in
    the status catalog. Empty without ``recommendations.max_age_days``, and where Braze has neither of them: lists that
    are too old are then removed, and not checked.
    """
    max_age, braze = program.recommendations.max_age, program.braze
    if max_age is None:
        return ""
    date = next((each.name for each in braze.written if each.source.ages), None)
    if date:
        until = _UNTIL["attribute"].format(name=date, seconds=int(max_age.total_seconds()))
    elif braze.status_catalog:
        until = _UNTIL["catalog"].format(name=braze.status_catalog, program=program.name)
    else:
        return ""
    return f"{until}\n{_FRESH}"
