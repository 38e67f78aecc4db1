"""The program file: the solution and how it is asked."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from recsync.program.recipes import Recipe
from recsync.program.section import Strict, matching, with_underscores
from recsync.program.training import Solution, Tuning

# Beside the program's own, baseline, segment and tuning solution, and those of former settings that a rollback needs:
# 10 solutions per dataset group, https://docs.aws.amazon.com/personalize/latest/dg/limits.html
_MAX_CHALLENGERS = 4
# Part of task ids and of the names of jobs.
ChallengerName = Annotated[
    str,
    matching(
        r"^[a-z0-9][a-z0-9_]{0,15}$",
        "be a name of at most 16 lower-case letters, digits and _, no _ first",
        suggest=lambda text: with_underscores(text.lower()).replace("-", "_")[:16],
    ),
]


class Exploration(Strict):
    """``itemExplorationConfig`` of a batch inference job.

    :param weight: 0 explores nothing, 1 the most; the service's default is 0.3.
    :param item_age_cut_off_days: oldest item that may be explored; the service's default is 30 days.
    """

    weight: float = Field(default=0.3, ge=0, le=1)
    item_age_cut_off_days: float = Field(default=30.0, ge=1)


class RankingInfluence(Strict):
    """``rankingInfluence`` of a batch inference job: how much popular and fresh items are preferred, 0 to 1."""

    popularity: float = Field(default=0, ge=0, le=1)
    freshness: float = Field(default=0, ge=0, le=1)


class Campaign(Strict):
    """How a campaign is asked, for recipes without batch; it exists only while a run asks it, as it is billed so long.

    :param min_provisioned_tps: ``minProvisionedTPS``: requests per second that are paid for whether used or not.
    :param requests_per_second: at most so many are made; the service adds capacity by itself, within minutes.
    :param connections: requests under way at a time.
    """

    # 500 per campaign: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
    min_provisioned_tps: int = Field(default=1, ge=1, le=500)
    requests_per_second: float = Field(default=100, gt=0, le=500)
    connections: int = Field(default=16, ge=1, le=128)


class Challenger(Solution):
    """A further solution, trained by ``train_full`` on the same data and compared; see :class:`Solution`.

    What it does not say is as the recipe has it, not as the program's own solution does.
    """

    # Without it a challenger would not say what it is.
    recipe: str


class Personalize(Solution):
    """The solution and how it is used.

    :param baseline_recipe: a second solution trained by ``train_full`` on the same data, to compare with;
        None trains none. It is billed like any training.
    :param tuning: None: hyperparameters are those of the file, else the recipe's defaults.
    :param challengers: further solutions that answer the same question, by name; each is billed like any training.
    :param promote_best: let the best of them, the program's own among them, that passes the gate become champion;
        otherwise they are only compared.
    :param num_results: items asked for per user; more than are mailed, so that post-rules may drop some. Actions for
        next-best-action, users per item or expression for segment recipes. None: the recipe's default.
    """

    baseline_recipe: Literal["aws-popularity-count"] | None = None
    tuning: Tuning | None = None
    challengers: dict[ChallengerName, Challenger] = Field(default_factory=dict, max_length=_MAX_CHALLENGERS)
    promote_best: bool = False
    num_results: int | None = Field(default=None, ge=1)
    exploration: Exploration = Exploration()
    ranking_influence: RankingInfluence | None = None
    campaign: Campaign = Campaign()

    @property
    def solutions(self) -> dict[tuple[str, ...], Solution]:
        """The program's own solution and its challengers, by where they stand in the program file."""
        solutions: dict[tuple[str, ...], Solution] = {("personalize",): self}
        for name, challenger in self.challengers.items():
            solutions["personalize", "challengers", name] = challenger
        return solutions

    @property
    def can_update(self) -> bool:
        """Whether the recipe allows ``trainingMode=UPDATE``."""
        return self.traits.update

    @property
    def results(self) -> int:
        """How many results a question asks for."""
        return self.num_results or self.traits.default_results

    @property
    def job_config(self) -> dict[str, Any] | None:
        """``batchInferenceJobConfig`` of jobs that ask the program's own recipe."""
        return self.job_config_of(self.traits)

    def job_config_of(self, recipe: Recipe) -> dict[str, Any] | None:
        """Make ``batchInferenceJobConfig`` for the recipe of the champion, which may be a challenger's."""
        if recipe.exploration:
            explore = self.exploration
            return {
                "itemExplorationConfig": {
                    "explorationWeight": f"{explore.weight:g}",
                    "explorationItemAgeCutOff": f"{explore.item_age_cut_off_days:g}",
                }
            }
        if self.ranking_influence and recipe.ranking_influence:
            influence = self.ranking_influence
            return {
                "rankingInfluence": {"POPULARITY": influence.popularity, "FRESHNESS": influence.freshness}
            }
        return None
