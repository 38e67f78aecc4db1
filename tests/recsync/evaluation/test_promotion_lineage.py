from __future__ import annotations

from recsync.evaluation.promotion import full_version_of
from recsync.evaluation.store import Champion


def champions(*versions: tuple[str, str]) -> list[Champion]:
    return [Champion(arn, mode, "2026", "run", {}) for arn, mode in versions]


def test_a_version_descends_from_the_full_version_before_its_first_promotion() -> None:
    history = champions(
        ("s/full-1", "FULL"), ("s/up-1", "UPDATE"), ("s/full-2", "FULL"), ("s/up-1", "UPDATE")
    )
    assert full_version_of("s/up-1", history) == history[0]
    assert full_version_of("s/full-2", history) == history[2]
    assert full_version_of("other/up", champions(("s/full-1", "FULL"), ("other/up", "UPDATE"))) is None
    assert full_version_of("unknown", history) is None
