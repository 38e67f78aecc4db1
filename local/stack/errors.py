"""Name the ways the stack can fail; each message says what happened and what to do."""

from __future__ import annotations


class StackError(Exception):
    """Be the root of everything this package raises on purpose."""


class PortTakenError(StackError):
    """Say which port is taken and which variable chooses another."""


class StartError(StackError):
    """Say which part did not come up, with the end of its log."""


class ApiError(StackError):
    """Say what the Airflow REST API answered instead of what was asked for."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class WaitTimeoutError(StackError):
    """Say what was waited for, how long, and what was seen last."""
