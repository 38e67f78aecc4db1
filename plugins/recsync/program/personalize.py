"""The section ``personalize`` of the program file: solutions, hyperparameter optimisation, and how a solution is used.

https://docs.aws.amazon.com/personalize/latest/dg/customizing-solution-config-hpo.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from recsync.program.attribution import Attribution
from recsync.program.data import MAX_TYPES_AND_METADATA, EventType
from recsync.program.recipes import RECIPES, Parameter, Recipe, solution_parameters
from recsync.program.section import ShortName, Strict, matching, one_of

# https://docs.aws.amazon.com/personalize/latest/dg/API_TrainingDataConfig.html
_MAX_DATASETS, _MAX_COLUMNS = 3, 50
ColumnName = Annotated[
    str,
    matching(
        r"^[A-Za-z_][A-Za-z\d_]{0,149}$",
        "be the name of a column of the schema: at most 150 letters, digits and _, no digit first",
    ),
]
Columns = Annotated[
    dict[
        Literal["interactions", "users", "items"],
        Annotated[tuple[ColumnName, ...], Field(max_length=_MAX_COLUMNS)],
    ],
    Field(max_length=_MAX_DATASETS),
]


class Objective(Strict):
    """``optimizationObjective``: a numeric column of the items, never null, to maximise beside relevance."""

    item_attribute: str = Field(min_length=1, max_length=150)
    sensitivity: Literal["OFF", "LOW", "MEDIUM", "HIGH"] = "MEDIUM"


def _text(value: object) -> object:
    return str(value) if isinstance(value, bool | int | float) else value


class Solution(Strict):
    """The settings of a solution; None leaves a setting to the service.

    https://docs.aws.amazon.com/personalize/latest/dg/API_SolutionConfig.html

    :param event_weights: ``eventsConfig``: event types to train on, each with its weight from 0 to 1.
    :param excluded_columns: ``trainingDataConfig``, by dataset.
    """

    recipe: str = "aws-user-personalization"
    event_type: str | None = Field(default=None, max_length=256)
    event_weights: dict[EventType, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict, max_length=MAX_TYPES_AND_METADATA
    )
    hyperparameters: dict[str, Annotated[str, BeforeValidator(_text)]] = Field(default_factory=dict)
    excluded_columns: Columns = Field(default_factory=dict)
    included_columns: Columns = Field(default_factory=dict)
    optimization_objective: Objective | None = None

    @field_validator("recipe")
    @classmethod
    def _known(cls, value: str) -> str:
        return one_of(value, tuple(sorted(RECIPES)), "recipe")

    @property
    def recipe_spec(self) -> Recipe:
        """Return the entry of the recipe table."""
        return RECIPES[self.recipe]

    @property
    def solution_config(self) -> dict[str, Any]:
        """Make ``solutionConfig`` of the file alone."""
        return self.config({})

    def config(self, pinned: Mapping[str, str]) -> dict[str, Any]:
        """Make ``solutionConfig``.

        :param pinned: hyperparameters that a tuning found; those of the file go before.
        """
        config: dict[str, Any] = {**solution_parameters(self.recipe_spec, {**pinned, **self.hyperparameters})}
        if self.event_weights:
            weights = [{"eventType": name, "weight": weight} for name, weight in self.event_weights.items()]
            config["eventsConfig"] = {"eventParametersList": weights}
        named = {
            "excludedDatasetColumns": self.excluded_columns,
            "includedDatasetColumns": self.included_columns,
        }
        if any(named.values()):
            config["trainingDataConfig"] = {
                member: {dataset.upper(): list(columns) for dataset, columns in datasets.items()}
                for member, datasets in named.items()
                if datasets
            }
        if objective := self.optimization_objective:
            config["optimizationObjective"] = {
                "itemAttribute": objective.item_attribute,
                "objectiveSensitivity": objective.sensitivity,
            }
        return config


# https://docs.aws.amazon.com/personalize/latest/dg/API_HPOResourceConfig.html
_MOST_JOBS, _MOST_AT_ONCE = 40, 10


class Tuning(Strict):
    """Hyperparameter optimisation (``performHPO``). FULL trainings use its result until the next tuning.

    :param max_training_jobs: sets of hyperparameters to try; each is billed as a training.
    :param ranges: tunable hyperparameters to search: lowest and highest number, or the words to try. Empty: all that
        ``hyperparameters`` does not fix, over their whole range.
    :param min_ratio_to_champion: lowest ratio to the champion's metric at which the result is used.
    """

    max_training_jobs: int = Field(default=10, ge=1, le=_MOST_JOBS)
    max_parallel_training_jobs: int = Field(default=5, ge=1, le=_MOST_AT_ONCE)
    ranges: dict[str, tuple[bool | int | float | str, ...]] = Field(default_factory=dict)
    min_ratio_to_champion: float = Field(default=1.0, ge=0)


# Beside the program's own, baseline, segment and tuning solution, and those of former settings that a rollback needs:
# 10 solutions per dataset group, https://docs.aws.amazon.com/personalize/latest/dg/limits.html
_MAX_CHALLENGERS = 4
# Part of task ids and of the names of jobs.


class Exploration(Strict):
    """``itemExplorationConfig`` of a batch inference job; the defaults are the service's."""

    weight: float = Field(default=0.3, ge=0, le=1)
    item_age_cut_off_days: float = Field(default=30.0, ge=1)


class RankingInfluence(Strict):
    """``rankingInfluence`` of a batch inference job: preference for popular and fresh items, 0 to 1."""

    popularity: float = Field(default=0, ge=0, le=1)
    freshness: float = Field(default=0, ge=0, le=1)


class CampaignCapacity(Strict):
    """Capacity of the campaign of recipes without batch inference; a run creates and deletes it, as it is billed."""

    # 500 per campaign: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
    min_provisioned_tps: int = Field(default=1, ge=1, le=500)
    requests_per_second: float = Field(default=100, gt=0, le=500)
    connections: int = Field(default=16, ge=1, le=128)


class Streaming(Strict):
    """How ``update_by: events`` streams new rows.

    :param wait_minutes: minutes between the last row and the next ``recommend``. Batch jobs consider events that were
        streamed at least 15 minutes before:
        https://docs.aws.amazon.com/personalize/latest/dg/how-new-data-influences-batch-recommendations.html
    :param event_calls_per_second: of PutEvents, each with at most 10 events of one user; the service's quota, which
        AWS raises on request, is 1,000.
    :param record_calls_per_second: of PutItems and of PutUsers, each with at most 10 records; the quota is 10.
    :param connections: calls at the same time.
    """

    wait_minutes: float = Field(default=15.0, ge=0, le=1440)
    event_calls_per_second: float = Field(default=800, gt=0, le=100_000)
    record_calls_per_second: float = Field(default=8, gt=0, le=10)
    connections: int = Field(default=16, ge=1, le=64)


class Challenger(Solution):
    """A further solution, trained by ``train_full`` on the same data and compared.

    Settings that it does not name are the recipe's defaults, not those of the program's own solution.
    """

    recipe: str


class Personalize(Solution):
    """The program's own solution, further solutions to train, and batch inference.

    :param model: the program with the champion to use; None when this one has its own.
    :param promote_best: promote the best solution that passes the gate, challengers included; otherwise only compare.
    :param update_by: how new rows reach the lists between FULL trainings: ``training`` imports them and trains with
        ``trainingMode=UPDATE``, ``events`` streams them, which trains nothing.
    :param num_results: results per question: items, actions for next-best-action, users for segments. More than are
        mailed, so that rules may drop some. None: the recipe's default.
    """

    model: str | None = None
    baseline_recipe: Literal["aws-popularity-count"] | None = None
    tuning: Tuning | None = None
    challengers: dict[ShortName, Challenger] = Field(default_factory=dict, max_length=_MAX_CHALLENGERS)
    promote_best: bool = False
    update_by: Literal["training", "events"] = "training"
    streaming: Streaming = Streaming()
    num_results: int | None = Field(default=None, ge=1)
    exploration: Exploration = Exploration()
    ranking_influence: RankingInfluence | None = None
    campaign: CampaignCapacity = CampaignCapacity()
    attribution: Attribution = Attribution()

    @property
    def solutions(self) -> dict[tuple[str, ...], Solution]:
        """Return the program's own solution and its challengers by field of the program file."""
        solutions: dict[tuple[str, ...], Solution] = {("personalize",): self}
        for name, challenger in self.challengers.items():
            solutions["personalize", "challengers", name] = challenger
        return solutions

    @property
    def can_update(self) -> bool:
        """Whether the recipe allows ``trainingMode=UPDATE``."""
        return self.recipe_spec.update

    @property
    def results(self) -> int:
        """Return the number of results per question."""
        return self.num_results or self.recipe_spec.default_results

    @property
    def job_config(self) -> dict[str, Any] | None:
        """Make ``batchInferenceJobConfig`` for the program's own recipe."""
        return self.job_config_of(self.recipe_spec)

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


_INTEGERS, _NUMBERS, _WORDS = (
    f"{kind}HyperParameterRanges" for kind in ("integer", "continuous", "categorical")
)


def hpo_config(solution: Solution, tuning: Tuning) -> dict[str, Any]:
    """Make ``hpoConfig`` with an explicit range for each hyperparameter that is searched."""
    ranges: dict[str, list[dict[str, Any]]] = {_INTEGERS: [], _NUMBERS: [], _WORDS: []}
    for name in searched(solution, tuning):
        parameter = solution.recipe_spec.tunable[name]
        member, entry = _range(parameter, tuning.ranges.get(name, ()))
        ranges[member].append({"name": name, **entry})
    return {
        "algorithmHyperParameterRanges": ranges,
        "hpoResourceConfig": {
            "maxNumberOfTrainingJobs": str(tuning.max_training_jobs),
            "maxParallelTrainingJobs": str(min(tuning.max_parallel_training_jobs, tuning.max_training_jobs)),
        },
    }


def searched(solution: Solution, tuning: Tuning) -> list[str]:
    """Return the names of the hyperparameters to search."""
    if tuning.ranges:
        return sorted(tuning.ranges)
    return sorted(solution.recipe_spec.tunable.keys() - solution.hyperparameters.keys())


def found_by(recipe: Recipe, tuned: Mapping[str, str]) -> dict[str, str]:
    """Return the values of ``tunedHPOParams.algorithmHyperParameters`` that a later solution takes.

    The service may prefix a name with its part of the pipeline: ``training.bptt``.
    """
    bare = {name.removeprefix("training.").removeprefix("data."): str(value) for name, value in tuned.items()}
    return {
        name: recipe.tunable[name].spelled(value) for name, value in bare.items() if name in recipe.tunable
    }


def range_problems(solution: Solution, tuning: Tuning) -> Iterator[str]:
    """Yield the mistakes in a search."""
    recipe = solution.recipe_spec
    for name, given in tuning.ranges.items():
        if name not in recipe.tunable:
            yield f"{recipe.name} cannot search {name}; it can search {', '.join(sorted(recipe.tunable))}"
        elif name in solution.hyperparameters:
            yield f"{name} is fixed in hyperparameters; remove it there or here"
        else:
            yield from _range_problem(name, recipe.tunable[name], given)
    if not searched(solution, tuning):
        yield "hyperparameters fixes all that could be searched"


def _range(parameter: Parameter, given: tuple[Any, ...]) -> tuple[str, dict[str, Any]]:
    if parameter.words:
        return _WORDS, {"values": [parameter.spelled(str(each)) for each in given] or list(parameter.words)}
    low, high = given or (parameter.low, parameter.high)
    if parameter.kind == "int":
        return _INTEGERS, {"minValue": int(low), "maxValue": int(high)}
    return _NUMBERS, {"minValue": float(low), "maxValue": float(high)}


def _range_problem(name: str, parameter: Parameter, given: tuple[Any, ...]) -> Iterator[str]:
    wrong = [each for each in given if not parameter.allows(str(each))]
    if wrong:
        yield f"{name} is {wrong[0]!r}, must be {parameter.allowed}"
    elif parameter.words and not given:
        yield f"{name} needs the words to try: {parameter.allowed}"
    elif not parameter.words and (len(given) != 2 or given[0] > given[1]):
        yield f"{name} needs its lowest and its highest value, e.g. [{parameter.low:g}, {parameter.high:g}]"
