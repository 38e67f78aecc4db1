from __future__ import annotations

import pytest
from small_shop import SmallShop

from recsync.errors import RecsyncError
from recsync.recommend.job_outputs import output_keys
from recsync.recommend.job_parts import JobPart


def test_the_outputs_of_all_jobs_are_read_as_one(small_shop: SmallShop) -> None:
    context = small_shop.context
    bucket, keys = context.bucket, context.keys
    parts = [JobPart(f"job-{n}", "", bucket.uri(keys.batch_output("r", f"{n}-of-2/"))) for n in (1, 2)]
    plan = {"run": "r", **JobPart.plan(parts)}
    wanted = [f"{keys.batch_output('r', f'{n}-of-2/')}users.json.out" for n in (1, 2)]
    wanted += [f"{keys.second_output('r', f'{n}-of-3/')}users.json.out" for n in (1, 2, 3)]
    # What a cleared run with more people left is not read.
    for key in [*wanted, f"{keys.batch_output('r', '1-of-3/')}users.json.out"]:
        bucket.put(key, b"{}\n")
    assert output_keys(context, plan) == wanted[:2]
    assert output_keys(context, plan, second_jobs=3) == wanted
    with pytest.raises(RecsyncError, match=r"holds no \.out object"):
        output_keys(context, plan, second_jobs=1)
