"""Create the missing Airflow pools of ``recsync.stages.POOLS``.

Run it after ``airflow db migrate``. An existing pool keeps its slots, so that changes in Airflow's UI (Admin, Pools)
stay. A new pool gets a share of ``[core] parallelism``, the tasks that all workers run at once.

Set ``[recsync] pools`` only where this has run: a task in a missing pool never starts.
"""

from __future__ import annotations

import sys

from airflow.configuration import conf
from airflow.models.pool import Pool
from airflow.utils.session import create_session

from recsync.stages import POOLS


def main() -> int:
    """Create missing pools and print the slots of all."""
    parallelism = conf.getint("core", "parallelism")
    with create_session() as session:
        there = {pool.pool: pool for pool in Pool.get_pools(session=session)}
        for name, pool in POOLS.items():
            if name not in there:
                there[name] = Pool.create_or_update_pool(
                    name,
                    slots=pool.slots(parallelism),
                    description=pool.description,
                    include_deferred=False,
                    session=session,
                )
        sys.stdout.writelines(f"Pool {name}: {there[name].slots} slots\n" for name in POOLS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
