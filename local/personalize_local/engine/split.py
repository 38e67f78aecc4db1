"""Split interactions the way Amazon Personalize does for its offline metrics.

90 % of users train with all their rows. Of each held-out user the oldest 90 % of rows are given to the model
as history and the newest 10 % are what it has to find.
https://docs.aws.amazon.com/personalize/latest/dg/working-with-training-metrics.html
The choice of users and the rounding are not published; they are ours.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from personalize_local.engine.interactions import BoolArray, IntArray, Interactions

HELD_OUT_SHARE = 0.1
LABEL_SHARE = 0.1
# Below this a user cannot have both a history and a label.
MIN_ROWS = 2
SALT = "held-out"


@dataclass(frozen=True)
class Split:
    """Hold the three parts; all keep the codes of the whole."""

    train: Interactions
    history: Interactions
    labels: Interactions


def split_users(interactions: Interactions, share: float = HELD_OUT_SHARE, salt: str = SALT) -> Split:
    """Hold out a share of the users; those with fewer than two rows are skipped.

    The same ids give the same held-out users, whatever the recipe. At least one user is held out, and at
    least one is left to train on.
    """
    count = min(max(1, round(share * interactions.num_users)), interactions.num_users - 1)
    return split_off(interactions, choose_users(interactions, count, salt))


def split_off(interactions: Interactions, held_out: BoolArray) -> Split:
    """Split off the given users, shape (num_users,)."""
    is_held_out = held_out[interactions.user]
    is_label = newest_rows(interactions)
    usable = (interactions.rows_per_user() >= MIN_ROWS)[interactions.user]
    return Split(
        train=interactions.where(~is_held_out),
        history=interactions.where(is_held_out & usable & ~is_label),
        labels=interactions.where(is_held_out & usable & is_label),
    )


def newest_rows(interactions: Interactions) -> BoolArray:
    """Mark each user's newest 10 % of rows, rounded up, at least one; shape (rows,)."""
    rows = interactions.rows_per_user()
    labels = np.maximum(1, np.ceil(np.round(LABEL_SHARE * rows, 9))).astype(np.int64)
    return np.asarray(interactions.rank_in_user() >= (rows - labels)[interactions.user])


def choose_users(interactions: Interactions, count: int, salt: str) -> BoolArray:
    """Choose the users with the smallest hashes, shape (num_users,)."""
    hashes = hash_ids(interactions.user_ids.to_pylist(), salt)
    chosen = np.zeros(interactions.num_users, dtype=np.bool_)
    chosen[np.argsort(hashes, kind="stable")[:count]] = True
    return chosen


def hash_ids(ids: list[str], salt: str) -> IntArray:
    """Hash ids to 63 bits, alike in every process (Python's own hash() is salted)."""
    key = salt.encode()
    digests = b"".join(hashlib.blake2b(i.encode(), digest_size=8, key=key).digest() for i in ids)
    return (np.frombuffer(digests, dtype="<u8") >> np.uint64(1)).astype(np.int64)
