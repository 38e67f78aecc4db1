"""The program file: what an erasure does beyond our own data."""

from __future__ import annotations

from typing import Literal

from recsync.program.section import Strict


class Erasure(Strict):
    """What becomes of somebody who is to be forgotten.

    :param braze: ``profile`` deletes the whole profile, ``attributes`` only the attributes that recsync wrote,
        ``nothing`` leaves Braze to somebody else.
    """

    braze: Literal["profile", "attributes", "nothing"] = "profile"
