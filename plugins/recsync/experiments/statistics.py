"""The statistics of an experiment, from counts, means and variances alone: no memory per user.

* Means: Welch's interval and test. Shares: statsmodels' two independent proportions. Ratios: the delta method.
* CUPED: Deng, Xu, Kohavi, Walker, Improving the Sensitivity of Online Controlled Experiments by Utilizing
  Pre-Experiment Data, WSDM 2013.
* Always-valid intervals: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, Time-uniform central limit theory and asymptotic
  confidence sequences, arXiv:2103.06476, theorem 2.2 and proposition B.1. Their time is the number of observations;
  ours is the information about the difference, 1 / variance: the same people are measured again each day, and some
  always buy more than others. The daily estimates then have the joint distribution of a Brownian motion observed at
  its information: Scharfstein, Tsiatis, Robins, Semiparametric efficiency and its implication on the design and
  analysis of group-sequential studies, JASA 1997.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scipy import special, stats

ALPHA = 0.05
POWER = 0.8
MISMATCH_BELOW = 0.001
# With fewer users with an event, a mean of skewed values is not close to normal.
MIN_EVENTS = 30
# The time, in units of the mixture's variance, at which the interval is narrowest: Howard, Ramdas, McAuliffe, Sekhon,
# Time-uniform, nonparametric, nonasymptotic confidence sequences, Annals of Statistics 2021, proposition 3.
_BEST_TIME = -float(special.lambertw(-(ALPHA**2) / math.e, k=-1).real) - 1
# Events that the smaller side of a guardrail must be expected to have.
_MIN_EXPECTED = 10
_MAX_DAYS = 3650


@dataclass(frozen=True)
class Moments:
    """One arm's distribution of a metric, one value per user.

    :param positive: users with a value other than 0.
    :param variance: of the sample, as the other variances.
    :param before: mean of the same metric in the pre-period; ``covariance``: of both.
    """

    users: int
    positive: int
    mean: float
    variance: float
    before: float = 0.0
    before_variance: float = 0.0
    covariance: float = 0.0


Bounds = tuple[float, float]


@dataclass(frozen=True)
class Effect:
    """A difference between two arms.

    Intervals are None with too few events; relative figures are None when the control's mean is 0.

    :param once: 95 % interval of the difference, for one look; ``always``: for all looks together.
    :param relative_once: 95 % interval of ``relative``, for one look; ``relative_always``: for all looks together.
    :param variance_reduction: share of the variance that the pre-period explains.
    :param information: about the relative difference: 1 / variance.
    """

    difference: float
    relative: float | None
    once: Bounds | None = None
    p_value: float | None = None
    always: Bounds | None = None
    relative_once: Bounds | None = None
    relative_always: Bounds | None = None
    variance_reduction: float = 0.0
    information: float | None = None


@dataclass(frozen=True)
class Rise:
    """A relative rise of a rate with the bounds of two always-valid one-sided intervals."""

    relative: float | None
    low: float | None
    high: float | None


def cuped_theta(arms: Sequence[Moments]) -> float:
    """Return the coefficient of the pre-period, pooled over the arms; 0 without a pre-period.

    It is common to all arms: one per arm would bias the difference.
    """
    covariance = sum((arm.users - 1) * arm.covariance for arm in arms if arm.users > 1)
    variance = sum((arm.users - 1) * arm.before_variance for arm in arms if arm.users > 1)
    return covariance / variance if variance > 0 else 0.0


def compare_means(
    arm: Moments,
    control: Moments,
    *,
    theta: float,
    before: float,
    effect: float,
    control_has_none: bool = False,
) -> Effect:
    """Compare the means of two arms after the adjustment by the pre-period.

    :param theta: of :func:`cuped_theta`.
    :param before: mean of the pre-period over all arms.
    :param effect: the planned relative effect, for which the always-valid interval is narrowest.
    :param control_has_none: the control has no such events by design, so only the arm needs enough of them.
    """
    (mean, spread), (floor, base) = (_adjusted(side, theta, before) for side in (arm, control))
    plain = _adjusted(arm, 0, 0)[1] + _adjusted(control, 0, 0)[1]
    found = Effect(
        mean - floor,
        (mean - floor) / floor if floor > 0 else None,
        variance_reduction=max(1 - (spread + base) / plain, 0.0) if plain > 0 else 0.0,
    )
    events = arm.positive if control_has_none else min(arm.positive, control.positive)
    if events < MIN_EVENTS or spread + base == 0:
        return found
    # Welch's, of means and squared errors; scipy has no interval for those.
    freedom = (spread + base) ** 2 / (spread**2 / (arm.users - 1) + base**2 / (control.users - 1))
    low, high = stats.t.interval(1 - ALPHA, freedom, loc=found.difference, scale=math.sqrt(spread + base))
    deviations = (math.sqrt(spread * arm.users), math.sqrt(base * control.users))
    p_value = stats.ttest_ind_from_stats(
        mean, deviations[0], arm.users, floor, deviations[1], control.users, equal_var=False
    ).pvalue
    found = replace(found, once=(float(low), float(high)), p_value=float(p_value))
    return _with_always_valid(found, floor, spread, base, effect)


def compare_shares(arm: Moments, control: Moments, *, effect: float) -> Effect:
    """Compare the shares of users with an event; arguments as of :func:`compare_means`."""
    from statsmodels.stats.proportion import confint_proportions_2indep, test_proportions_2indep

    share, base = (side.positive / side.users if side.users else 0.0 for side in (arm, control))
    found = Effect(share - base, (share - base) / base if base > 0 else None)
    if min(arm.positive, control.positive) < MIN_EVENTS:
        return found
    counts = (arm.positive, arm.users, control.positive, control.users)
    low, high = confint_proportions_2indep(*counts, method="newcomb", compare="diff", alpha=ALPHA)
    p_value = test_proportions_2indep(*counts, compare="diff", method="score").pvalue
    found = replace(found, once=(float(low), float(high)), p_value=float(p_value))
    errors = share * (1 - share) / arm.users, base * (1 - base) / control.users
    return _with_always_valid(found, base, *errors, effect)


def _with_always_valid(found: Effect, floor: float, spread: float, base: float, effect: float) -> Effect:
    """Add the always-valid and the relative intervals.

    :param floor: mean of the control.
    :param spread: squared standard error of the arm's mean; ``base``: of the control's.
    """
    error = math.sqrt(spread + base)
    # The plan is relative to the control's mean. Without a mean, treat this look as the planned one.
    information = (floor / error) ** 2 if floor > 0 else None
    reach = always_valid(information / planned_information(effect) if information else 1.0)
    found = replace(found, always=_around(found.difference, reach * error), information=information)
    if found.relative is None:
        return found
    ratio_error = math.sqrt(spread + (1 + found.relative) ** 2 * base) / floor
    return replace(
        found,
        relative_once=_around(found.relative, float(stats.norm.isf(ALPHA / 2)) * ratio_error),
        relative_always=_around(found.relative, reach * ratio_error),
    )


def _around(middle: float, reach: float) -> Bounds:
    return middle - reach, middle + reach


def planned_information(effect: float) -> float:
    """Return the information that one look needs to detect a relative effect with ``POWER``."""
    return float((stats.norm.isf(ALPHA / 2) + stats.norm.ppf(POWER)) / effect) ** 2


def always_valid(share: float, *, one_sided: bool = False) -> float:
    """Return how many standard errors an always-valid interval reaches from the estimate.

    :param share: information at this look / planned information, at which the interval is narrowest.
    :param one_sided: for one bound at ``ALPHA`` instead of two.
    """
    time = max(_BEST_TIME * share, 1e-9)
    wide = math.sqrt(1 + time)
    odds = 1 + wide / (2 * ALPHA) if one_sided else wide / ALPHA
    return math.sqrt(2 * (1 + 1 / time) * math.log(odds))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values for their number by Holm's method; those that are None stay."""
    # Not statsmodels' multipletests: each call collects garbage, which takes 0.3 s in a process of this size.
    known = sorted(p for p in p_values if p is not None)
    adjusted, largest = dict[float, float](), 0.0
    for place, p_value in enumerate(known):
        largest = max(largest, min((len(known) - place) * p_value, 1.0))
        adjusted.setdefault(p_value, largest)
    return [None if p is None else adjusted[p] for p in p_values]


def sample_ratio(observed: Mapping[str, int], expected: Mapping[str, float]) -> tuple[float, bool]:
    """Test whether people are spread over the arms as expected.

    :param expected: people by arm, or any numbers in their proportion.
    :returns: the p-value of a chi-square test, and whether it is below ``MISMATCH_BELOW``.
    """
    arms = [arm for arm, people in expected.items() if people > 0]
    people = sum(observed.values())
    if len(arms) < 2 or not people:
        return 1.0, False
    if any(count for arm, count in observed.items() if arm not in arms):
        return 0.0, True
    scale = people / sum(expected.values())
    p_value = float(
        stats.chisquare([observed.get(a, 0) for a in arms], [expected[a] * scale for a in arms]).pvalue
    )
    return p_value, p_value < MISMATCH_BELOW


def rise(events: int, users: int, control_events: int, control_users: int, *, limit: float) -> Rise:
    """Compare the rate of an unwanted event with the control's.

    The standard error is pooled (equal rates): a control with almost no events would otherwise have none.

    :param limit: the relative rise that matters, for which the bounds are narrowest.
    """
    if not users or not control_users:
        return Rise(None, None, None)
    base, pooled = control_events / control_users, (events + control_events) / (users + control_users)
    difference = events / users - base
    relative = difference / base if control_events else None
    if pooled * min(users, control_users) < _MIN_EXPECTED:
        return Rise(relative, None, None)
    error = math.sqrt(pooled * (1 - pooled) * (1 / users + 1 / control_users))
    if not error:  # everybody has the event
        return Rise(relative, None, None)
    reach = always_valid((pooled / error) ** 2 / planned_information(limit), one_sided=True) * error
    floor = base or 0.5 / control_users
    return Rise(relative, (difference - reach) / floor, (difference + reach) / floor)


@dataclass(frozen=True)
class VarianceComponents:
    """The variance of users' daily values, between users and within them.

    :param mean: per user and day.
    :param between: variance between the users' daily means; more days do not reduce it.
    :param within: variance of a user's days around the user's mean.
    """

    mean: float
    between: float
    within: float

    @classmethod
    def of(
        cls, days: int, mean: float, daily_variance: float, total_variance: float
    ) -> VarianceComponents | None:
        """Split the variance of single days and that of sums over several days; None without values.

        :param mean: per user and day.
        :param daily_variance: over all days of all users.
        :param total_variance: of the users' sums over ``days``.
        """
        if mean <= 0 or daily_variance <= 0:
            return None
        between = 0.0
        if days > 1:
            between = min(max((total_variance / days - daily_variance) / (days - 1), 0.0), daily_variance)
        return cls(mean, between, daily_variance - between)

    def unexplained(self, days: float, pre_days: float) -> float:
        """Return the variance of a user's mean over some days that remains after CUPED."""
        own = self.within / days + self.between
        explained = self.between**2 / (self.between + self.within / pre_days) if pre_days else 0.0
        return own - explained

    def users_needed(self, effect: float, days: float, pre_days: float, ratio: float) -> int:
        """Return how many users, arm and control together, detect an effect with ``POWER``.

        :param ratio: users of the control by users of the arm.
        """
        from statsmodels.stats.power import NormalIndPower

        size = effect * self.mean / math.sqrt(_raised(effect) * self.unexplained(days, pre_days))
        in_arm = NormalIndPower().solve_power(size, alpha=ALPHA, power=POWER, ratio=ratio)
        return math.ceil(float(in_arm)) + math.ceil(float(in_arm) * ratio)

    def days_needed(
        self, effect: float, pre_days: float, users: int, control_users: int, scale: float = 1.0
    ) -> int | None:
        """Return the days after which these users detect an effect with ``POWER``; None: never.

        :param scale: observed variance / variance expected from these components.
        """
        if not users or not control_users:
            return None
        people = 1 / users + 1 / control_users
        allowed = self.mean**2 / (planned_information(effect) * scale * _raised(effect) * people)
        # ``unexplained`` is a constant plus a part that falls with the days.
        constant = self.unexplained(math.inf, pre_days)
        if allowed <= constant:
            return None
        days = math.ceil(self.within / (allowed - constant))
        return days if days <= _MAX_DAYS else None

    def expected_information(self, days: float, pre_days: float, users: int, control_users: int) -> float:
        """Return the information about the relative difference after a number of days."""
        return self.mean**2 / (self.unexplained(days, pre_days) * (1 / users + 1 / control_users))


def _raised(effect: float) -> float:
    """Return the factor of the variance of both arms when the values of one are raised by a relative effect."""
    return (1 + (1 + effect) ** 2) / 2


def _adjusted(arm: Moments, theta: float, before: float) -> tuple[float, float]:
    """Return the adjusted mean and its squared standard error."""
    mean = arm.mean - theta * (arm.before - before)
    variance = arm.variance - 2 * theta * arm.covariance + theta**2 * arm.before_variance
    return mean, max(variance, 0.0) / arm.users if arm.users else 0.0
