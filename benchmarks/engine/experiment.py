"""The experiment on the engine: is it worth its training time?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.contenders import ENGINE_QUALITY, ENGINE_SPEED
from benchmarks.engine.scoring import ALS, COUNTS, FOLDS, OURS, OURS_UNSEEN, POPULAR, interval
from benchmarks.engine.shop import SHOP_ITEMS, shop, shop_users
from benchmarks.places import emptied_folder
from benchmarks.processes import ContenderFailedError, Run
from benchmarks.settings import Settings
from benchmarks.tables import megabytes, number, ratio, table

# The widest grid on ten splits takes most of an hour.
_TIMEOUT_SECONDS = 4 * 3_600
_PAIRS = [(OURS, COUNTS), (OURS, POPULAR), (OURS_UNSEEN, ALS)]


def recommend(settings: Settings) -> Iterator[str]:
    """Yield the tables."""
    yield (
        f"Quality: NDCG@25 by the split of Amazon Personalize, {settings.engine_folds} of {FOLDS} splits whose "
        "held-out users do not overlap. The engine's weights are found on the training rows of each split, the "
        "setting of ALS on a validation cut of those of the first. Intervals are 95 %, bootstrapped over users."
    )
    yield table(
        ["data", "", "users", "NDCG@25", "against", "NDCG@25", "gain", "interval"], list(_quality(settings))
    )
    yield (
        f"Speed: {settings.engine_rows:,} interactions of {shop_users(settings.engine_rows):,} users and {SHOP_ITEMS:,}"
        " items, made up. FULL reads the ids, evaluates on the split and fits on all rows: two models. UPDATE gets half"
        " a percent more rows, by 2 % of the users, and 100 new items. Peak MB is of the whole process with its data."
    )
    yield table(
        ["", "s", "x of bare ALS", "CPU s", "peak MB", "users/s", "users/CPU s"], list(_speed(settings))
    )


def _quality(settings: Settings) -> Iterator[list[str]]:
    for name in settings.engine_data:
        options = {
            "kind": "engine",
            "data": name,
            "folds": settings.engine_folds,
            "wide": settings.engine_wide,
        }
        result = _run(ENGINE_QUALITY, options)
        if result is None or "ndcg" not in result:
            yield [name, "failed" if result is None else "the peers are not installed", *["-"] * 6]
            continue
        print(f"{name}: ALS was tuned to {result['setting']}", flush=True)
        for ours, theirs in _PAIRS:
            # Nobody rates a film twice.
            if theirs != COUNTS or name == "groceries":
                yield _compared(name, ours, theirs, result["ndcg"])


def _compared(data: str, ours: str, theirs: str, ndcg: dict[str, list[float]]) -> list[str]:
    one, other = ndcg[ours], ndcg[theirs]
    gain = np.mean(one) / np.mean(other) - 1
    low, high = interval(one, other)
    means = [f"{np.mean(values):.4f}" for values in (one, other)]
    return [
        data,
        ours,
        f"{len(one):,}",
        means[0],
        theirs,
        means[1],
        f"{gain:+.1%}",
        f"{low:+.1%} to {high:+.1%}",
    ]


def _speed(settings: Settings) -> Iterator[list[str]]:
    shop(settings.engine_rows)
    options = {"kind": "engine", "rows": settings.engine_rows, "state": str(emptied_folder("state/engine"))}
    floor: float | None = None
    for contender in ENGINE_SPEED:
        result = _run(contender, options)
        if result is None:
            yield [contender.name, "failed", *["-"] * 5]
            continue
        seconds = result["wall_seconds"]
        floor = floor or seconds
        users = result.get("users")
        rates = [number(users / result[key]) if users else "-" for key in ("wall_seconds", "cpu_seconds")]
        memory = megabytes(result["peak_rss_bytes"])
        yield [
            contender.name,
            number(seconds),
            ratio(seconds, floor),
            number(result["cpu_seconds"]),
            memory,
            *rates,
        ]


def _run(contender: Any, options: dict[str, Any]) -> dict[str, Any] | None:
    try:
        return Run(contender, options).result(_TIMEOUT_SECONDS)
    except ContenderFailedError as error:
        print(error, flush=True)
        return None
