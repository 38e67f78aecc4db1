"""Build the lists of an experiment: each person's by what their arm gets, under the program's rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsync.program import Recommendations
from recsync.recommend.lists.catalog import ItemCatalog
from recsync.recommend.lists.history import History
from recsync.recommend.lists.left_out import LeftOut
from recsync.recommend.lists.list_partition import (
    BuiltPartition,
    ListsReport,
    build_partition,
    publishable,
)
from recsync.recommend.lists.output_staging import STAGED

CHAMPION: Final = ""
"""The name of the champion's job, for its arms and for people outside the experiment."""
_POPULAR: Final = "popular"


@dataclass(frozen=True)
class Arms:
    """What the arms of an experiment get; arms that are not named here get the champion.

    :param experiment: its name.
    :param popular: arms with lists of popular items alone.
    :param nothing: arms of held-out people.
    :param models: arms with another model; each has a separate job.
    """

    experiment: str
    popular: frozenset[str] = frozenset()
    nothing: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()

    @property
    def held_out(self) -> str:
        """The reason why held-out people have no list."""
        return f"held out by experiment {self.experiment}"

    def job_of(self, arm: str) -> str | None:
        """Return the name of the job for the people of an arm; None without a job."""
        if arm in self.popular | self.nothing:
            return None
        return arm if arm in self.models else CHAMPION

    def needed(self, policy: Recommendations) -> Recommendations:
        """Return a policy with the popular tier added, so that the history for popular arms is read."""
        if not self.popular or _POPULAR in policy.fallback:
            return policy
        return policy.model_copy(update={"fallback": (*policy.fallback, _POPULAR)})

    def build_partition(
        self,
        people: pa.Table,
        answers: Mapping[str, tuple[pa.Table, pa.Table | None]],
        purchases: pa.Table | None,
        catalog: ItemCatalog,
        policy: Recommendations,
        history: History | None,
        past_lists: Mapping[str, pa.Table],
        *,
        explained: bool = False,
    ) -> BuiltPartition:
        """Build the rows of some people, as :func:`list_partition.build_partition` does without an experiment.

        :param answers: by job, its output lines and the users in its input; None: all users of its arms.
        """
        popular = policy.model_copy(update={"fallback": (_POPULAR,)})

        def of_job(job: str) -> Callable[[pa.Table, pa.Table], BuiltPartition]:
            def build(rows: pa.Table, others: pa.Table) -> BuiltPartition:
                lines, asked = answers[job]
                made = build_partition(
                    rows, lines, purchases, catalog, policy, history, asked, past_lists, explained=explained
                )
                # A segment, or a list for everybody, also names people of other arms: they are not unknown users.
                known = pc.is_in(lines["user_id"], value_set=pc.unique(others["user_id"]))
                made.report.unknown_users -= pc.sum(known).as_py() or 0
                return made

            return build

        def of_popular(rows: pa.Table, _others: pa.Table) -> BuiltPartition:
            nothing = STAGED.empty_table()
            return build_partition(
                rows, nothing, purchases, catalog, popular, history, None, past_lists,
                is_asked=False, explained=explained,
            )  # fmt: skip

        def of_held_out(rows: pa.Table, _others: pa.Table) -> BuiltPartition:
            return self._held_out(rows, catalog, explained=explained)

        names = people["arm"].combine_chunks().fill_null("")
        apart = {arm: self._group(arm) for arm in pc.unique(names).to_pylist()} or {"": CHAMPION}
        builders = {job: of_job(job) for job in answers}
        builders |= {_POPULAR_PEOPLE: of_popular, _HELD_OUT_PEOPLE: of_held_out}
        made, places = [], []
        for group in dict.fromkeys(apart.values()):
            arms = pa.array([arm for arm, found in apart.items() if found == group], pa.string())
            inside = pc.is_in(names, value_set=arms)
            rows, others = people.filter(inside), people.filter(pc.invert(inside))
            made.append(builders[group](rows, others))
            places.append(pc.indices_nonzero(inside).to_numpy())
        return _joined(made, places, catalog)

    def _group(self, arm: str) -> str:
        job = self.job_of(arm)
        if job is not None:
            return job
        return _POPULAR_PEOPLE if arm in self.popular else _HELD_OUT_PEOPLE

    def _held_out(self, people: pa.Table, catalog: ItemCatalog, *, explained: bool) -> BuiltPartition:
        rows = len(people)
        nothing, no = np.full((rows, 0), -1, np.int32), np.zeros(rows, np.bool_)
        put_by = np.zeros((rows, 0), np.int8)
        table, used, report = publishable(
            people, nothing, put_by, None, np.zeros(rows, np.int8), no, np.ones(rows, np.int64), ("",),
            ("", self.held_out), catalog,
        )  # fmt: skip
        ids = table["external_id"].combine_chunks()
        why_not = LeftOut.of(rows, with_entries=True).table(ids) if explained else None
        return BuiltPartition(table, used, report, why_not)


# Names of groups without a job; names of jobs are empty or an arm's.
_POPULAR_PEOPLE, _HELD_OUT_PEOPLE = "(popular)", "(held out)"


def _joined(
    made: list[BuiltPartition], places: list[NDArray[np.int64]], catalog: ItemCatalog
) -> BuiltPartition:
    """Join the rows of several groups in the order of the people.

    :param places: by group, the places of its people.
    """
    report, used = ListsReport(), np.zeros(len(catalog), np.bool_)
    for each in made:
        report += each.report
        used |= each.used
    if len(made) == 1:
        return BuiltPartition(made[0].lists, used, report, made[0].left_out)
    order = pa.array(np.argsort(np.concatenate(places)))
    lists = pa.concat_tables([each.lists for each in made]).unify_dictionaries().take(order)
    why_not = [each.left_out for each in made if each.left_out is not None]
    return BuiltPartition(lists, used, report, pa.concat_tables(why_not).take(order) if why_not else None)
