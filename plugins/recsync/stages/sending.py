"""Send planned writes to Braze: batches over several connections, refused ones split, progress kept.

A batch is settled only by Braze's own word. What is settled is noted in the last-sent state after every few
batches, so a killed task resumes there; the batches in flight at the kill are sent again, whole values both times.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from recsync.clients.braze import BrazeClient, BrazeRefused, TrackError
from recsync.core.delivery import Account, Write
from recsync.core.payloads import batches
from recsync.core.program import Braze

log = logging.getLogger(__name__)

CONNECTIONS = 4
# One flush per this many batches: a kill repeats at most so many, and S3 sees few small objects.
BATCHES_PER_CHECKPOINT = 20

Settled = list[tuple[Write, str | None]]
"""Writes with None when Braze took them, else the reason it gave."""


def send_all(
    client: BrazeClient, braze: Braze, account: Account, checkpoint: Callable[[list[Write]], None]
) -> None:
    """Send every write of the account's plan.

    :param checkpoint: notes accepted writes durably; called after every few batches, also when one of them failed.
    :raises RecsyncError: the first error that is not about single records; what was settled before is noted.
    """
    cut = _cut(braze, account.plan.writes)
    with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="braze") as pool:
        for start in range(0, len(cut), BATCHES_PER_CHECKPOINT):
            group = cut[start : start + BATCHES_PER_CHECKPOINT]
            futures = [pool.submit(send_batch, client, braze, batch) for batch in group]
            wait(futures)
            accepted, failure = _settle(account, futures)
            checkpoint(accepted)
            log.info("Braze: %d of %d batches", start + len(group), len(cut))
            if failure is not None:
                raise failure


def _cut(braze: Braze, writes: Sequence[Write]) -> list[Sequence[Write]]:
    position = 0
    cut = []
    for batch in batches([write.attributes(braze) for write in writes]):
        cut.append(writes[position : position + len(batch)])
        position += len(batch)
    return cut


def _settle(account: Account, futures: list[Future[Settled]]) -> tuple[list[Write], BaseException | None]:
    accepted: list[Write] = []
    failure: BaseException | None = None
    for future in futures:
        error = future.exception()
        if error is not None:
            failure = failure or error
            continue
        for write, reason in future.result():
            account.settle(write, reason)
            if reason is None:
                accepted.append(write)
    return accepted, failure


def send_batch(client: BrazeClient, braze: Braze, writes: Sequence[Write]) -> Settled:
    """Send one batch and say of every write whether Braze took it.

    A refused batch is sent again without the objects that Braze named; when it named none, by halves, until
    the object at fault stands alone.
    """
    try:
        errors = client.track_attributes([write.attributes(braze) for write in writes]).errors
    except BrazeRefused as refused:
        if len(writes) == 1:
            return [(writes[0], refused.errors[0].type if refused.errors else str(refused))]
        return _send_rest(client, braze, writes, refused.errors, taken=False)
    if not errors:
        return [(write, None) for write in writes]
    return _send_rest(client, braze, writes, errors, taken=True)


def _send_rest(
    client: BrazeClient, braze: Braze, writes: Sequence[Write], errors: Sequence[TrackError], *, taken: bool
) -> Settled:
    """Settle the writes whose errors are placed; ``taken`` says whether Braze processed the others."""
    reasons = {e.index: e.type for e in errors if e.index is not None and 0 <= e.index < len(writes)}
    all_placed = len(reasons) == len(errors) and bool(reasons)
    settled: Settled = [(writes[index], reason) for index, reason in reasons.items()]
    rest = [write for index, write in enumerate(writes) if index not in reasons]
    if all_placed and taken:
        return settled + [(write, None) for write in rest]
    if not rest:
        return settled
    if all_placed:
        return settled + send_batch(client, braze, rest)
    # An error that names no object: the batch is halved until it can mean one object only.
    if len(writes) == 1:
        return [(writes[0], errors[0].type)]
    if len(rest) == 1:
        return settled + send_batch(client, braze, rest)
    middle = len(rest) // 2
    return settled + send_batch(client, braze, rest[:middle]) + send_batch(client, braze, rest[middle:])
