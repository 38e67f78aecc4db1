"""Define the errors of the stack; each message has the problem and the remedy."""

from __future__ import annotations


class StackError(Exception):
    """The root of this package's errors."""


class PortTakenError(StackError):
    """A port is taken; the message names the variable that chooses another."""


class StartError(StackError):
    """A part did not start; the message has the end of its log."""


class ApiError(StackError):
    """The Airflow REST API responded with an error or not at all."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class WaitTimeoutError(StackError):
    """A wait timed out; the message has the awaited condition and the last error."""
