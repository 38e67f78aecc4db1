"""The script that most people write: json, a dict of all users, a hash per user, bodies of 75 objects."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

from benchmarks.job import OBJECTS_PER_CALL, PlanJob


def prepare(job: PlanJob) -> None:
    """Remember a hash of what each user of the first output got."""
    state = {user: _hash(attributes) for user, attributes in _read(job.first, job.attribute)}
    (job.state / "sent.pickle").write_bytes(pickle.dumps(state))


def plan(job: PlanJob) -> None:
    """Write the bodies of changed and new users, and of those who left with the attribute set to null."""
    changed = new = unchanged = 0
    with job.clock():
        state: dict[str, str] = pickle.loads((job.state / "sent.pickle").read_bytes())
        seen: set[str] = set()
        objects: list[dict[str, Any]] = []
        with (job.out / "bodies.jsonl").open("w") as out:
            for user, attributes in _read(job.output, job.attribute):
                seen.add(user)
                known = state.get(user)
                if known == _hash(attributes):
                    unchanged += 1
                    continue
                changed += known is not None
                new += known is None
                _add(objects, {"external_id": user, **attributes}, out)
            gone = [user for user in state if user not in seen]
            for user in gone:
                _add(objects, {"external_id": user, job.attribute: None}, out)
            _flush(objects, out)
    job.found(changed=changed, new=new, gone=len(gone), unchanged=unchanged)


def _read(path: Path, attribute: str) -> Any:
    with path.open() as file:
        for line in file:
            document = json.loads(line)
            yield document["input"]["userId"], {attribute: document["output"]["recommendedItems"]}


def _hash(attributes: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(attributes, sort_keys=True).encode()).hexdigest()


def _add(objects: list[dict[str, Any]], entry: dict[str, Any], out: Any) -> None:
    objects.append(entry)
    if len(objects) == OBJECTS_PER_CALL:
        _flush(objects, out)


def _flush(objects: list[dict[str, Any]], out: Any) -> None:
    if objects:
        out.write(json.dumps({"attributes": objects}) + "\n")
        objects.clear()
