"""Write docs/operators.md: `python tests/airflow_personalize/operators/operators_page.py [FILE]`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

REPO = Path(__file__).resolve().parents[3]
PAGE = REPO / "docs" / "operators.md"
sys.path.insert(0, str(REPO / "plugins"))

HEAD = """# Operators for Amazon Personalize

Airflow's Amazon provider has nothing for Amazon Personalize; these follow its grammar. They live in
`airflow_personalize.operators`, `airflow_personalize.sensors.personalize`,
`airflow_personalize.triggers.personalize` and `airflow_personalize.links.personalize`; the waiters are models in
`airflow_personalize/waiters/personalize.json`.
This page is written by `tests/airflow_personalize/operators/operators_page.py`; a test fails when it is out of date.

What all of them promise:

* **Create or adopt.** A repeated task (a retry, a cleared task, a second run with the same name) adopts what the
  first made. A job whose name was used up by a failure takes the next suffix: `name-2`, `name-3`.
* **Drift is named field by field**: the member's path, what is asked for, what is found. It fails the task without
  a retry.
* **Update or adopt, delete or find gone**: an update that is in force or under way is not asked for again, and what
  does not exist is not deleted again.
* **Waits are deferred** (setting `[airflow_personalize] deferrable`), polled every `waiter_delay`
  seconds, and survive a kill of
  worker, triggerer and service. `wait_for_completion=False` leaves the waiting to a sensor.
* **Refusals decide the retry** (the operators' default `retry_policy`): wrong input, missing rights and a quota of what
  stays, such as dataset groups, fail the task for good; busy resources and lost connections raise for a retry.
* **A full quota of running jobs is waited for**, without a worker slot and without a retry, for `quota_timeout` (24
  hours; in recsync's own DAGs the stage's `deadline_hours`).
* **Every parameter of a call is templated**, and `tags` can be given wherever the service takes tags.

"""
GRAMMAR = """| resource | operators | sensor | triggers | waiters | link |
|---|---|---|---|---|---|
"""
OTHER = """
## Without a resource to wait for

| operator | does |
|---|---|
"""


def classes(module: ModuleType) -> list[type[Any]]:
    """Return a module's own public classes, in the order in which they are written; a package's, by name."""
    found = [
        each
        for name, each in inspect.getmembers(module, inspect.isclass)
        if each.__module__.startswith(module.__name__) and not name.startswith("_")
    ]
    return (
        found
        if hasattr(module, "__path__")
        else sorted(found, key=lambda each: inspect.getsourcelines(each)[1])
    )


def page() -> str:
    """Return the page's text."""
    from airflow_personalize import operators
    from airflow_personalize.resources import RESOURCES

    rows = "".join(map(_row, RESOURCES))
    others = [each for each in classes(operators) if not hasattr(each, "resource")]
    lines = "".join(f"| `{each.__name__}` | {_first_line(each)} |\n" for each in others)
    return HEAD + GRAMMAR + rows + OTHER + lines


def _row(resource: Any) -> str:
    from airflow_personalize import operators
    from airflow_personalize.links import personalize as links
    from airflow_personalize.sensors import personalize as sensors
    from airflow_personalize.triggers import personalize as triggers

    acting = [each for each in classes(operators) if getattr(each, "resource", None) is resource]
    sensing = [each for each in classes(sensors) if _awaits(getattr(each, "trigger_class", None), resource)]
    awaiting = [each for each in classes(triggers) if _awaits(each, resource)]
    key = f"personalize_{resource.operation}"
    linking = [each for each in classes(links) if getattr(each, "key", None) == key]
    waiters = sorted({each.wait.waiter for each in awaiting})
    cells = [_names(acting), _names(sensing), _names(awaiting), _listed(waiters), _names(linking)]
    return f"| {resource.noun} | {' | '.join(cells)} |\n"


def _awaits(trigger: Any, resource: Any) -> bool:
    wait = getattr(trigger, "wait", None)
    return wait is not None and wait.resource is resource


def _names(found: list[type[Any]]) -> str:
    return _listed([each.__name__ for each in found])


def _listed(names: list[str]) -> str:
    return "<br>".join(f"`{name}`" for name in names) or "-"


def _first_line(operator: type[Any]) -> str:
    return (inspect.getdoc(operator) or "").splitlines()[0]


def main(arguments: list[str]) -> Iterator[str]:
    """Write the page; yield what was done."""
    place = Path(arguments[0]) if arguments else PAGE
    place.write_text(page())
    yield f"Wrote {place}."


if __name__ == "__main__":
    for told in main(sys.argv[1:]):
        print(told)
