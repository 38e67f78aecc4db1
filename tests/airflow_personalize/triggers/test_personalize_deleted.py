"""The triggers that wait for a deletion."""

from __future__ import annotations

import pytest
from trigger_cases import ARN, DELETED, event


@pytest.mark.parametrize("trigger_class", DELETED)
def test_yields_the_arn_when_the_resource_is_gone(personalize, trigger_class):
    operation, member = DELETED[trigger_class]
    gone = personalize.refusal("ResourceNotFoundException")
    personalize.on(operation, {member: {"status": "DELETE PENDING"}}, gone)
    assert event(trigger_class(arn=ARN, waiter_delay=0)) == {"status": "success", "arn": ARN}
    assert personalize.calls == [(operation, {f"{member}Arn": ARN})] * 2
