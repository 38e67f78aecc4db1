"""Read hyperparameters, which are strings in the API."""

from collections.abc import Mapping

from personalize_local.engine.errors import HyperparameterError


def read_number(given: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    """Read a number in [low, high]; raise :class:`HyperparameterError` for anything else."""
    text = given.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError as error:
        raise HyperparameterError(f"{name} is {text!r}, expected a number.") from error
    if not low <= value <= high:
        raise HyperparameterError(f"{name} is {value:g}, expected {low:g} to {high:g}.")
    return value


def read_whole_number(given: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    """Read a whole number in [low, high]; raise :class:`HyperparameterError` for anything else."""
    value = read_number(given, name, default, low, high)
    if not float(value).is_integer():
        raise HyperparameterError(f"{name} is {value:g}, expected a whole number.")
    return int(value)


def read_choice(given: Mapping[str, str], name: str, default: str, choices: Mapping[str, float]) -> float:
    """Read one of some words and return what it stands for; raise :class:`HyperparameterError`."""
    text = given.get(name, default).strip().lower()
    if text not in choices:
        raise HyperparameterError(f"{name} is {text!r}, expected {' or '.join(choices)}.")
    return choices[text]
