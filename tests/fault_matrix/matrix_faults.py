"""What Braze, or the network before it, can do to a call."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from matrix_rows import Scenario, Stage
from matrix_truth import World

SHARE = 0.02
Fault = dict[str, Any]

# Of the whole call, reads included.
CALLS: dict[str, Fault] = {
    "429, seconds to wait (mau)": {"kind": "rate_limit", "hint": "mau", "seconds": 1},
    "429, time of the reset (classic)": {"kind": "rate_limit", "hint": "classic", "seconds": 1},
    "429 without a hint": {"kind": "rate_limit", "hint": "none"},
    "500": {"kind": "status", "status": 500},
    "500, applied": {"kind": "status", "status": 500, "apply": True},
    "502 with an HTML page": {"kind": "html502"},
    "503": {"kind": "status", "status": 503},
    "504": {"kind": "status", "status": 504},
    "no answer, not applied": {"kind": "timeout", "seconds": 1},
    "no answer, applied": {"kind": "timeout", "seconds": 1, "apply": True},
    "reset, not applied": {"kind": "reset"},
    "reset, applied": {"kind": "reset", "apply": True},
    "body cut off, not applied": {"kind": "truncate", "apply": False},
    "body cut off, applied": {"kind": "truncate", "apply": True},
    "half a JSON, applied": {"kind": "broken_json"},
    "empty 200": {"kind": "empty"},
    "empty 201, applied": {"kind": "empty", "status": 201, "apply": True},
    "login page with 200": {"kind": "login_page"},
    "202 queued, applied late": {"kind": "queued", "delay_seconds": 2},
    "202 queued, never applied": {"kind": "queued", "apply": False},
}
# Of single objects of /users/track: a 201 that lies.
LIES: dict[str, Fault] = {
    "201, error without index": {"kind": "error_without_index"},
    "201, index out of range": {"kind": "error_out_of_range"},
    "201, fewer processed than sent": {"kind": "fewer_processed"},
    "201, named and counted, applied": {"kind": "minor_error"},
}
# What Braze takes and never applies, or so late that it looks like that, is found by reading people back.
MENDED = {"202 queued, applied late", "202 queued, never applied"}
REORDER = {"reorder_probability": SHARE, "reorder_seconds": 2}


def scenarios(share: float = SHARE) -> list[Scenario]:
    """List every fault at its share, then all of them at once.

    :param share: of the calls, of those faults that strike some calls.
    """
    text = f"{share:.0%} of calls".replace("%", " %")
    return [
        *(
            Scenario(name, text, faults=_Each(fault, share), mends=name in MENDED)
            for name, fault in (CALLS | LIES).items()
        ),
        Scenario("201, but not applied", "2 % of people", faults=lambda world: [dropped()], mends=True),
        Scenario("201, but a removal not applied", "4 people", faults=dropped_removals, mends=True),
        Scenario("201 that rejects some", "2 % of people", faults=lambda world: [rejected(world)]),
        Scenario(
            "201 that names some twice",
            "2 % of people",
            faults=lambda world: [rejected(world) | {"entries": 2}],
        ),
        Scenario(
            "201, named and counted, not applied",
            "2 % of people",
            faults=lambda world: [rejected(world) | {"kind": "minor_error", "apply": False}],
        ),
        Scenario(
            "201, another message, applied",
            "2 % of calls",
            faults=_Each({"kind": "status", "status": 201, "body": {"status": "ok"}, "apply": True}, share),
        ),
        Scenario(
            "silent about unknown people",
            "2 % of people",
            deliver=to_unknown_people,
            braze={"update_existing_only": True},
            settings={"missing_users": "ignore"},
        ),
        Scenario("400 for one record, naming nobody", "1 person", faults=lambda world: [poison(world)]),
        Scenario("500 for two records, one applied", "2 people", faults=lambda world: deadly(world)),
        Scenario("calls applied out of order", "2 % of calls", settings=REORDER, mends=True),
        *catalogue(),
        # A third of the calls fail, so each is tried as often as the connection's default says.
        Scenario(
            "all at once",
            "2 % each",
            faults=everything,
            settings=REORDER,
            catalog=True,
            mends=True,
            max_tries=6,
        ),
    ]


def catalogue() -> list[Scenario]:
    """List faults of the calls that keep the catalogue; few calls, so the first ones are hit."""
    calls = {"path": "/catalogs/*"}
    return [
        Scenario(
            "catalogue: 202, never applied",
            "first 2 calls",
            faults=lambda world: [{**calls, "method": "PUT", "kind": "queued", "apply": False, "times": 2}],
            catalog=True,
        ),
        Scenario(
            "catalogue: 202, items missing",
            "5 % of items",
            faults=lambda world: [
                {**calls, "kind": "drop", "object_probability": 0.05, "times": 6, "seed": 5}
            ],
            catalog=True,
        ),
        Scenario(
            "catalogue: 500, 503, no answer, HTML",
            "20 % of calls",
            faults=lambda world: [
                {**calls, **fault, "times": None, "probability": 0.05, "seed": seed}
                for seed, fault in enumerate(
                    CALLS[name] for name in ("500", "503", "no answer, applied", "login page with 200")
                )
            ],
            catalog=True,
        ),
    ]


def everything(world: World) -> Sequence[Fault]:
    """Give all faults together."""
    return [
        *(_share(fault, seed) for seed, fault in enumerate((CALLS | LIES).values())),
        dropped(),
        rejected(world),
        poison(world),
        *({**_share(fault, seed), "path": "/catalogs/*"} for seed, fault in enumerate(CALLS.values(), 100)),
    ]


def to_unknown_people(stage: Stage) -> str:
    """Deliver where the new people have no profile, and Braze does not say so."""
    stage.hits += len(stage.world.second.keys() - stage.world.first.keys())
    return stage.push(2)


def dropped() -> Fault:
    """Let Braze take some people's objects and never apply them."""
    return {"path": "/users/track", "kind": "drop", "times": None, "object_probability": SHARE, "seed": 2}


def dropped_removals(world: World) -> list[Fault]:
    """Let Braze take the removal of four people's lists once without applying it; two of them have left."""
    gone = [who for who in world.first if not world.second.get(who)]
    left = [who for who in gone if who not in world.second]
    people = left[:2] + [who for who in gone if who in world.second][:2]
    return [{"path": "/users/track", "kind": "drop", "external_ids": [who]} for who in people]


def rejected(world: World) -> Fault:
    """Let Braze name some people in a 201."""
    chosen = random.Random(3).sample(world.changed, int(len(world.changed) * SHARE))
    return {
        "path": "/users/track",
        "kind": "reject",
        "times": None,
        "external_ids": chosen,
        "error_type": "attribute value not allowed",
    }


def poison(world: World) -> Fault:
    """Let one person's object spoil every call it is in."""
    who = world.changed[len(world.changed) // 3]
    return {"path": "/users/track", "kind": "status", "status": 400, "times": None, "external_ids": [who]}


def deadly(world: World) -> list[Fault]:
    """Let two people's objects break Braze; one of them is applied all the same."""
    who = world.changed[5], world.changed[-5]
    fault = {"path": "/users/track", "kind": "status", "status": 500, "times": None}
    return [{**fault, "external_ids": [who[0]]}, {**fault, "external_ids": [who[1]], "apply": True}]


class _Each:
    def __init__(self, fault: Fault, share: float) -> None:
        self._fault, self._share = fault, share

    def __call__(self, world: World) -> list[Fault]:
        return [_share(self._fault, 11, self._share)]


def _share(fault: Fault, seed: int, share: float = SHARE) -> Fault:
    # The lies are about objects that are sent; everything else can happen to any call about people.
    path = "/users/track" if fault in LIES.values() else "/users/*"
    return {"path": path, **fault, "times": None, "probability": share, "seed": seed}
