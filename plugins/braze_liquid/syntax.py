"""Rewrite Braze's Liquid into the Liquid that python-liquid parses, line by line the same.

https://www.braze.com/docs/user_guide/messaging/design_and_edit/personalize/liquid/using_liquid/
https://www.braze.com/docs/user_guide/messaging/design_and_edit/personalize/liquid/supported_personalization_tags/
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# Variable that holds the profile's own fields: ${first_name} becomes standard["first_name"].
STANDARD = "standard"
STANDARD_ATTRIBUTES = frozenset(
    {
        "braze_id", "city", "country", "date_of_birth", "email_address", "first_name", "gender", "language",
        "last_name", "last_used_app_date", "most_recent_app_version", "most_recent_locale",
        "most_recent_location", "phone_number", "random_bucket_number", "set_user_to_opted_in_url",
        "set_user_to_subscribed_url", "set_user_to_unsubscribed_url", "time_zone", "unsubscribe_url",
        "user_id",
    }
)  # fmt: skip
# Their text is read word by word, with Liquid in double braces inside.
_TEXT_TAGS = frozenset(
    {"abort_message", "catalog_items", "catalog_selection_items", "connected_content", "message_extras"}
)
_HTML_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_CONDITIONAL = re.compile(r"<!--\s*(\[if\b|<!\[endif\])", re.IGNORECASE)
_RAW_END = re.compile(r"\{%-?\s*endraw\s*-?%\}")
_MEMBER = re.compile(r"(\.\s*)?\$\{([^{}]*)\}")
_CONTENT_BLOCK = re.compile(r"\{\{-?\s*content_blocks\.\$\{([^{}]*)\}[^}]*\}\}")
_TAG_NAME = re.compile(r"\{%-?\s*(\w+)")


@dataclass(frozen=True)
class LiquidProblem:
    """Something in a template that Braze would refuse, leave empty or show otherwise than meant.

    :param line: in the template, or in the Content Block that ``block`` names.
    """

    line: int
    text: str
    block: str = ""

    def __str__(self) -> str:
        where = f"Content Block {self.block}, line {self.line}" if self.block else f"line {self.line}"
        return f"{where}: {self.text}"


@dataclass
class Translation:
    """A template as python-liquid parses it, and its problems."""

    text: str
    problems: list[LiquidProblem] = field(default_factory=list)


def translate(source: str) -> Translation:
    """Rewrite a template; every line keeps its number."""
    found = Translation("")
    source = _without_comments(source, found.problems)
    parts, at = [], 0
    while (start := _next_liquid(source, at)) >= 0:
        parts.append(source[at:start])
        end = _end_of(source, start)
        if end < 0:
            found.problems.append(
                LiquidProblem(line_at(source, start), f"{source[start : start + 2]} is never closed")
            )
            parts.append(source[start:].replace("{{", "").replace("{%", ""))
            at = len(source)
            break
        expression = source[start:end]
        parts.append(_rewritten(expression, line_at(source, start), found.problems))
        at = end
        name = _TAG_NAME.match(expression)
        if name and name[1] == "raw" and (ending := _RAW_END.search(source, at)):
            parts.append(source[at : ending.end()])
            at = ending.end()
    found.text = "".join([*parts, source[at:]])
    return found


def line_at(text: str, index: int) -> int:
    """Return the number of the line at a position."""
    return text.count("\n", 0, index) + 1


def _without_comments(source: str, problems: list[LiquidProblem]) -> str:
    """Remove HTML comments, as Braze does before it reads Liquid; keep Outlook's, with their Liquid as text."""

    def replaced(match: re.Match[str]) -> str:
        comment = match[0]
        if not _CONDITIONAL.match(comment):
            return "\n" * comment.count("\n")
        if "{{" not in comment and "{%" not in comment:
            return comment
        text = "Liquid inside an HTML comment is not rendered: write it outside of <!-- -->"
        problems.append(LiquidProblem(line_at(source, match.start()), text))
        return f"{{% raw %}}{comment}{{% endraw %}}"

    return _HTML_COMMENT.sub(replaced, source)


def _next_liquid(source: str, at: int) -> int:
    found = [index for index in (source.find("{{", at), source.find("{%", at)) if index >= 0]
    return min(found, default=-1)


def _end_of(source: str, start: int) -> int:
    """Find where an expression ends: braces of ``${…}`` and of expressions inside it belong to it."""
    closing, at, depth = ("}}" if source[start + 1] == "{" else "%}"), start + 2, 0
    while at < len(source):
        if source.startswith("${", at):
            at = source.find("}", at) + 1 or len(source)
        elif source.startswith("{{", at):
            depth, at = depth + 1, at + 2
        elif source.startswith("}}", at) and depth:
            depth, at = depth - 1, at + 2
        elif source.startswith(closing, at):
            return at + 2
        else:
            at += 1
    return -1


def _rewritten(expression: str, line: int, problems: list[LiquidProblem]) -> str:
    if block := _CONTENT_BLOCK.fullmatch(expression):
        return f'{{% content_block "{block[1]}" %}}' + "\n" * expression.count("\n")
    for dot, name in _MEMBER.findall(expression):
        if not dot and name not in STANDARD_ATTRIBUTES:
            text = f"${{{name}}} is no standard attribute: a custom one is custom_attribute.${{{name}}}"
            problems.append(LiquidProblem(line, text))
    named = _MEMBER.sub(_named, expression)
    tag = _TAG_NAME.match(named)
    if tag and tag[1] in _TEXT_TAGS:
        return named
    # Elsewhere double braces around a value inside a tag may be left out.
    opening, closing = named[:2], named[-2:]
    return opening + named[2:-2].replace("{{", "  ").replace("}}", "  ") + closing


def _named(match: re.Match[str]) -> str:
    quote = "'" if '"' in match[2] else '"'
    return f"{'' if match[1] else STANDARD}[{quote}{match[2]}{quote}]"
