"""Nothing of a person and no key in any log, at any level, of any library."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from kit import CATALOG, Kit

SECRET_ITEM = "p-secret-item"


class _Everything(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name}: {record.getMessage()} {record.exc_text or ''}")


@pytest.fixture
def everything(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Collect what every logger says, whatever its own level."""
    from recsync.push import read_back

    monkeypatch.setattr(read_back, "WAITS_SECONDS", (0.5, 1, 1))
    # Airflow sets up logging anew at its first connection, and takes other handlers away.
    kit.push(kit.publish("0", {f"{kit.name}-first": ["p-2"]}), dag_run="0")
    handler, root = _Everything(), logging.getLogger()
    loggers = [root, *(logging.getLogger(name) for name in list(logging.root.manager.loggerDict))]
    levels = [(logger, logger.level) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    root.addHandler(handler)
    yield handler.lines
    root.removeHandler(handler)
    for logger, level in levels:
        logger.setLevel(level)


def test_no_log_holds_a_key_an_id_or_an_item(kit: Kit, everything: list[str]) -> None:
    from recsync.push.deliver import deliver
    from recsync.push.replay import replay
    from recsync.push.verify import verify

    kit.write_program(catalog=CATALOG | {"name": kit.name}, delivery={"canary_share": 0.1})
    refused, gone, mailbox = "x" * 990, "person-who-left", "somebody@example.com"
    items = {SECRET_ITEM: {"title": "secret title", "price": 1}, "p-2": {"title": "other", "price": 2}}
    people = {f"person-{n:04d}": [SECRET_ITEM, "p-2"] for n in range(100)}
    kit.push(kit.publish("1", {**people, refused: ["p-2"], gone: ["p-2"], mailbox: ["p-2"]}, items=items))
    for fault in (
        {"path": "/users/track", "status": 500, "times": 1},
        {"path": "/users/track", "kind": "broken_json", "times": 1},
        {"path": "/users/track", "kind": "drop", "external_ids": ["person-0003"], "times": 1},
        {"path": "/users/track", "kind": "reject", "external_ids": ["person-0004"], "times": 1},
    ):
        kit.servers.control("POST", "faults", json=fault)
    turned = {who: items[::-1] for who, items in people.items()}
    report = kit.push(
        kit.publish("2", {**turned, mailbox: ["p-2"], refused: ["p-2"]}, items=items), dag_run="2"
    )
    verify(kit.name, report.delivery, dag_run="2")
    deliver(kit.name, replay(kit.name, report.delivery, dag_run="3").delivery)

    said = "\n".join(line for line in everything if not line.startswith("werkzeug"))
    assert "Braze" in said
    assert "botocore" in said
    hidden = [kit.servers.key, SECRET_ITEM, "secret title", "person-0", gone, mailbox, refused]
    found = {secret[:20]: [line[:200] for line in everything if secret in line][:2] for secret in hidden}
    assert not {secret: lines for secret, lines in found.items() if lines}, json.dumps(found, indent=1)
