"""Know the hyperparameters of every recipe: defaults, ranges, and which of them can be tuned.

Tables: https://docs.aws.amazon.com/personalize/latest/dg/working-with-predefined-recipes.html (a page per recipe)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from personalize_local.errors import invalid_input

Type = Literal["int", "float", "bool", "choice"]


@dataclass(frozen=True)
class Parameter:
    """Bound one hyperparameter: numbers lie in [low, high], words are among `choices`."""

    name: str
    type: Type
    default: str
    low: float = 0.0
    high: float = 1.0
    choices: tuple[str, ...] = ()
    tunable: bool = False

    def check(self, value: str) -> None:
        """Raise InvalidInputException for a value that the recipe does not take."""
        if self.type in ("int", "float"):
            number = number_in(value)
            whole = number is not None and (self.type == "float" or number.is_integer())
            if number is None or not whole or not self.low <= number <= self.high:
                bounds = f"[{self.low:g}, {self.high:g}]"
                raise invalid_input(
                    f"Hyperparameter {self.name} must be {self.type} in {bounds}, not {value}."
                )
        elif value.lower() not in {choice.lower() for choice in self.choices}:
            raise invalid_input(
                f"Hyperparameter {self.name} must be {' or '.join(self.choices)}, not {value}."
            )


def number_in(text: str) -> float | None:
    """Return the finite number that a text holds, if it does."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _bool(name: str, default: str, *, tunable: bool = False) -> Parameter:
    return Parameter(name, "bool", default, choices=("True", "False"), tunable=tunable)


def _share(name: str, default: str, *, tunable: bool = False) -> Parameter:
    return Parameter(name, "float", default, tunable=tunable)


def _history_length(low: str, high: str) -> tuple[Parameter, ...]:
    return (
        _share("min_user_history_length_percentile", low),
        _share("max_user_history_length_percentile", high),
    )


_SEQUENCE = (
    Parameter("hidden_dimension", "int", "149", 32, 256, tunable=True),
    Parameter("bptt", "int", "32", 2, 32, tunable=True),
    _bool("recency_mask", "True", tunable=True),
)
_TRANSFORMER = (_bool("apply_recency_bias", "true"),)
_AFFINITY = (Parameter("hidden_dimension", "int", "149", 32, 256),)
_FREQUENCIES = ("30 minutes", "1 hour", "2 hours", "3 hours", "1 day")

# `algorithmHyperParameters` by recipe.
ALGORITHM_PARAMETERS: dict[str, tuple[Parameter, ...]] = {
    "aws-user-personalization-v2": _TRANSFORMER,
    "aws-user-personalization": _SEQUENCE,
    "aws-personalized-ranking-v2": _TRANSFORMER,
    "aws-personalized-ranking": _SEQUENCE,
    "aws-similar-items": (
        _share("popularity_discount_factor", "0.0"),
        Parameter("item_id_hidden_dim", "int", "100", 30, 200, tunable=True),
        Parameter("item_metadata_hidden_dim", "int", "100", 30, 200, tunable=True),
    ),
    "aws-sims": (
        _share("popularity_discount_factor", "0.5", tunable=True),
        Parameter("min_cointeraction_count", "int", "3", 0, 10, tunable=True),
    ),
    "aws-next-best-action": (Parameter("action_optimization_period", "int", "14", 7, 28),),
    "aws-item-affinity": _AFFINITY,
    "aws-item-attribute-affinity": _AFFINITY,
}
# `featureTransformationParameters` by recipe.
FEATURE_PARAMETERS: dict[str, tuple[Parameter, ...]] = {
    "aws-user-personalization": _history_length("0.0", "0.99"),
    "aws-personalized-ranking": _history_length("0.0", "0.99"),
    "aws-sims": (
        *_history_length("0.005", "0.995"),
        _share("min_item_interaction_count_percentile", "0.01"),
        _share("max_item_interaction_count_percentile", "0.9"),
    ),
    # An older page of the guide gives 3 hours as the default.
    "aws-trending-now": (Parameter("trend_discovery_frequency", "choice", "2 hours", choices=_FREQUENCIES),),
}
