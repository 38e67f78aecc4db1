"""The section ``alerts`` of the program file."""

from __future__ import annotations

import typing
from typing import Any

import pytest
from pydantic import ValidationError

from recsync.program import Alert, Event
from recsync.program.operations import EventName

TOPIC = "arn:aws:sns:eu-central-1:123456789012:crm"


def test_the_events_of_the_file_are_all_events() -> None:
    assert list(typing.get_args(EventName)) == [event.value for event in Event]


@pytest.mark.parametrize(
    "sound",
    [
        {"via": "slack", "connection": "team"},
        {"via": "webhook", "connection": "team", "events": ["late"]},
        {"via": "sns", "connection": "aws_default", "to": [TOPIC]},
        {"via": "ses", "connection": "aws_default", "to": ["a@b.c"], "sender": "d@b.c"},
        {"via": "smtp", "connection": "smtp_default", "to": ["a@b.c", "e@b.c"]},
    ],
)
def test_every_way_is_taken(sound: dict[str, Any]) -> None:
    assert Alert.model_validate(sound).via == sound["via"]


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({"via": "slack", "connection": "https://hooks.slack.com/services/T/B/x"}, "stand in the connection"),
        ({"via": "slack", "connection": "team", "to": ["#crm"]}, "the connection holds the address"),
        ({"via": "webhook", "connection": "team", "sender": "a@b.c"}, "the connection holds the address"),
        ({"via": "sns", "connection": "aws_default"}, "needs to"),
        ({"via": "sns", "connection": "aws_default", "to": ["crm"]}, "ARN of a topic"),
        ({"via": "sns", "connection": "aws_default", "to": [TOPIC, TOPIC]}, "exactly one"),
        ({"via": "ses", "connection": "aws_default", "to": ["a@b.c"]}, "needs sender"),
        ({"via": "smtp", "connection": "smtp_default"}, "needs to"),
        ({"via": "fax", "connection": "team"}, "'slack', 'webhook'"),
        ({"via": "slack", "connection": "team", "events": ["lateness"]}, "'failure', 'late'"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(broken: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Alert.model_validate(broken)
