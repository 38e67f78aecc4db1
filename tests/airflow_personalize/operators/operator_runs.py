"""Run an operator as worker and triggerer do, the triggerer's part through serialisation."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from airflow.sdk.exceptions import TaskDeferred
from airflow.sdk.module_loading import import_string


async def first_event(trigger: Any) -> dict[str, Any]:
    """Return what a trigger yields, which has to be one event."""
    (event,) = [event async for event in trigger.run()]
    return event.payload


def rebuilt(trigger: Any) -> Any:
    """Take a trigger through the database, as a deferral does."""
    path, parameters = trigger.serialize()
    return import_string(path)(**parameters)


class PushedNowhere:
    """A task instance whose XComs nobody reads."""

    def xcom_push(self, key: str, value: Any) -> None:
        """Forget."""


def run(operator_class: type[Any], context: dict[str, Any] | None = None, **parameters: Any) -> Any:
    """Return what a task returns; each leg of it runs in an operator of its own, as in Airflow."""
    context = context or {"ti": PushedNowhere()}
    # Nobody waits for the local server; sensors have no such parameter.
    delay = {"waiter_delay": 0} if "waiter_delay" in _parameters(operator_class) else {}
    parameters = {"task_id": "task", **delay, **parameters}
    leg, event = "execute", None
    while True:
        operator = operator_class(**parameters)
        try:
            return getattr(operator, leg)(context, **({} if event is None else {"event": event}))
        except TaskDeferred as deferred:
            event, leg = asyncio.run(first_event(rebuilt(deferred.trigger))), deferred.method_name


def _parameters(operator_class: type[Any]) -> set[str]:
    signatures = (inspect.signature(each.__init__) for each in operator_class.__mro__)
    return {name for signature in signatures for name in signature.parameters}


def call(operator_class: type[Any], **parameters: Any) -> Any:
    """Run an operator that waits for nothing."""
    return operator_class(task_id="task", **parameters).execute({"ti": PushedNowhere()})
