"""The section ``experiment`` of the program file: arms with their shares, and how they are compared."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from recsync.program.section import ShortName, Strict, matching, with_underscores

# Also the name of a folder on S3: docs/experiments.md.
_NAME = r"^[a-z0-9][a-z0-9_\-]{0,31}$"
ExperimentName = Annotated[
    str,
    matching(
        _NAME,
        "be at most 32 lower-case letters, digits, - and _, beginning with a letter or digit",
        suggest=lambda text: with_underscores(text.lower())[:32],
    ),
]
# The smallest share that is at least one of the 10,000 buckets of a layer.
SMALLEST_SHARE = 0.0001
# Each arm with another model adds a batch inference job to every run.
_MAX_ARMS = 8
CONVERSION = "conversion"
"""The event of ``outcomes.sql`` that is compared; other events are for guardrails."""


class OtherModel(Strict):
    """A model other than the champion, for one arm.

    :param challenger: name in ``personalize.challengers``; the arm uses its newest trained version.
    :param program: name of another program; the arm uses its champion.
    """

    challenger: str | None = None
    program: str | None = None


class Arm(Strict):
    """One arm of an experiment.

    :param share: share of all people of the layer, inside the experiment or not.
    :param gets: the champion's list, the list of another model, the ``popular`` fallback tier under the program's
        rules, or no list.
    """

    share: float = Field(ge=SMALLEST_SHARE, le=1)
    gets: Literal["champion", "popular", "nothing"] | OtherModel

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        # Not a validator of OtherModel: pydantic would report the error of the literal instead.
        if isinstance(self.gets, OtherModel) and (self.challenger is None) == (self.program is None):
            raise ValueError("gets needs either challenger, a name of personalize.challengers, or program")
        return self

    @property
    def challenger(self) -> str | None:
        """Name of the challenger that the arm uses; None for another model or none."""
        return self.gets.challenger if isinstance(self.gets, OtherModel) else None

    @property
    def program(self) -> str | None:
        """Name of the other program that the arm uses the champion of; None for another model or none."""
        return self.gets.program if isinstance(self.gets, OtherModel) else None

    @property
    def label(self) -> str:
        """Describe what the arm gets, such as ``champion``, ``challenger sims`` or ``program wine``."""
        if isinstance(self.gets, OtherModel):
            return f"challenger {self.challenger}" if self.challenger else f"program {self.program}"
        return self.gets


class Experiment(Strict):
    """An experiment on the people of a program.

    :param name: determines, with the layer, every person's arm.
    :param layer: experiments of one layer share no person, over all programs; None: :attr:`name`.
    :param control: the arm that the others are compared with; None: see :attr:`control_arm`.
    :param stratify_by: column of ``audience.sql``; shares then hold within each of its values.
    :param window_days: an outcome counts within this number of days after a delivery.
    :param pre_days: days of outcomes before the experiment, to reduce variance (CUPED); 0: none.
    :param effect: relative effect for which power is computed.
    :param guardrails: by event of ``outcomes.sql``: the relative rise beside the control that alerts.
    """

    name: ExperimentName
    layer: ExperimentName | None = None
    arms: dict[ShortName, Arm] = Field(max_length=_MAX_ARMS)
    control: str | None = None
    stratify_by: Annotated[str, Field(min_length=1)] | None = None
    window_days: int = Field(default=7, ge=1, le=90)
    pre_days: int = Field(default=28, ge=0, le=365)
    effect: float = Field(default=0.05, gt=0, le=10)
    guardrails: dict[
        Annotated[str, Field(min_length=1)], Annotated[float, Field(gt=0, allow_inf_nan=False)]
    ] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _arms_can_be_compared(self) -> Self:
        if len(self.arms) < 2:
            raise ValueError(
                "arms: an experiment needs at least two arms to compare; people outside get the champion, but are "
                "not compared. Add an arm, e.g. recommended: {share: 0.9, gets: champion}"
            )
        if (total := self.share) > 1:
            raise ValueError(f"arms: the shares are {total:g} together; they must be at most 1")
        if all(arm.gets == "nothing" for arm in self.arms.values()):
            raise ValueError("arms: every arm gets nothing; at least one must get lists")
        if not self.control_arm:
            raise ValueError(
                "control: no arm gets nothing, popular or champion; name the arm that the others are compared with"
            )
        if self.control is not None and self.control not in self.arms:
            raise ValueError(
                f"control: there is no arm {self.control}; there are {', '.join(self.arms)}. Name one of them"
            )
        if CONVERSION in self.guardrails:
            raise ValueError(
                f"guardrails: {CONVERSION} is what the experiment is about; name other events of outcomes.sql"
            )
        return self

    @property
    def layer_name(self) -> str:
        """Return the layer; without one, the experiment has a layer of its name."""
        return self.layer or self.name

    @property
    def share(self) -> float:
        """Return the share of all arms together, rounded against floating-point error."""
        return round(sum(arm.share for arm in self.arms.values()), 9)

    @property
    def shares(self) -> dict[str, float]:
        """Return the share of each arm, in the order of the program file."""
        return {name: arm.share for name, arm in self.arms.items()}

    @property
    def control_arm(self) -> str:
        """Return the arm that the others are compared with.

        Without ``control``: the first arm that gets nothing, else popular, else the champion.
        """
        found = (
            name
            for gets in ("nothing", "popular", "champion")
            for name, arm in self.arms.items()
            if arm.gets == gets
        )
        return self.control or next(found, "")

    @property
    def models(self) -> dict[str, Arm]:
        """Return the arms with another model than the champion; each has a separate batch inference job."""
        return {name: arm for name, arm in self.arms.items() if isinstance(arm.gets, OtherModel)}

    @property
    def held_out(self) -> tuple[str, ...]:
        """Return the arms that get nothing."""
        return tuple(name for name, arm in self.arms.items() if arm.gets == "nothing")
