"""The program file: what is checked before an export is published."""

from __future__ import annotations

from recsync.core.program.section import Strict


class Checks(Strict):
    """Checks of the exported rows.

    :param enabled: False exports whatever the queries return.
    """

    enabled: bool = True
