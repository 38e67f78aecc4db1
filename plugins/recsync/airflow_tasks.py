"""The ``@task`` decorator and operator mixin of recsync's DAGs, and the retry policy of every task.

Airflow writes the texts of an error and its causes into the task's log and passes them to callbacks. Errors of recsync,
Airflow, AWS and the operating system hold no record content. Any other text, such as DuckDB's, may quote a row: it is
replaced, and the traceback stays.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar, cast, overload

from airflow.providers.common.compat.sdk import task_decorator_factory
from airflow.providers.standard.decorators.python import _PythonDecoratedOperator
from airflow.providers.standard.exceptions import HITLTimeoutError
from airflow.sdk import task as airflow_task
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException, AirflowSkipException
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from jinja2 import TemplateError

from airflow_personalize.defaults import PersonalizeRetryPolicy
from airflow_personalize.refusals import may_pass
from recsync.errors import DELIBERATE, FATAL, REJECTED, RETRIABLE, UnexpectedError
from recsync.notes import PageLink, note_skip, notes_logged_last

# Library errors are here as a safety net: code that catches one should raise a FatalError that says what to do.
_PERMANENT = (
    *FATAL,
    *REJECTED,
    AirflowNotFoundException,
    AttributeError,
    FileNotFoundError,
    HITLTimeoutError,
    ImportError,
    IsADirectoryError,
    NameError,
    NotADirectoryError,
    NotImplementedError,
    ParamValidationError,
    TemplateError,
    TypeError,
    UnicodeError,
)


class ErrorRetryPolicy(PersonalizeRetryPolicy):
    """Decide by recsync's errors, and by those of the libraries that its tasks call."""

    permanent = _PERMANENT
    retriable = RETRIABLE

    def class_of(self, exception: BaseException) -> type[BaseException]:
        """Return the error's class, of an UnexpectedError that of the error it replaces."""
        return exception.kind if isinstance(exception, UnexpectedError) else type(exception)


RETRY_POLICY = ErrorRetryPolicy()

log = logging.getLogger(__name__)

# NameError, AttributeError and ImportError name code only. ParamValidationError quotes the refused value.
_SHOWN = (
    *DELIBERATE,
    AirflowException,
    ClientError,
    BotoCoreError,
    TemplateError,
    NameError,
    AttributeError,
    ImportError,
    MemoryError,
)
_NOT_SHOWN = (ParamValidationError,)
_GUARDED = "_recsync_records_withheld"

F = TypeVar("F", bound=Callable[..., Any])


@contextmanager
def records_withheld() -> Generator[None]:
    """Replace the text of errors that may quote a record.

    :raises UnexpectedError: in the place of such an error, with its class and its traceback.
    """
    try:
        yield
    except Exception as error:
        shown = _public(error)
        if shown is error:
            raise
        raise shown from shown.__cause__


def guarded(function: F) -> F:
    """Run a function in :func:`records_withheld`."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with records_withheld():
            try:
                return function(*args, **kwargs)
            except AirflowSkipException as reason:
                note_skip(str(reason))
                raise

    setattr(run, _GUARDED, True)
    return cast("F", run)


def patient(poke: F) -> F:
    """Let a sensor's poke return False on an error that may pass: each would use up one of the task's few retries."""

    @functools.wraps(poke)
    def look(*args: Any, **kwargs: Any) -> Any:
        try:
            return poke(*args, **kwargs)
        except Exception as error:
            if not (may_pass(error) or isinstance(error, RETRIABLE)):
                raise
            log.warning("This look failed; the next one follows. %s", error)
            return False

    return cast("F", look)


def is_guarded(task: Any) -> bool:
    """Return whether a task of a DAG withholds record content, for the test of all DAGs."""
    function = getattr(task, "python_callable", None) or getattr(task, "partial_kwargs", {}).get(
        "python_callable"
    )
    return hasattr(function, _GUARDED) or issubclass(
        getattr(task, "operator_class", type(task)), WithholdsRecords
    )


class WithholdsRecords:
    """Mixin of operators that work on records, to put before the operator's class."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Guard the methods in which Airflow runs the operator."""
        super().__init_subclass__(**kwargs)
        for name in ("execute", "execute_complete"):
            if name in vars(cls):
                setattr(cls, name, guarded(vars(cls)[name]))


# Only a subclass can add links and a last log line to a decorated task, and Airflow's class has no public name.
class _PythonTask(_PythonDecoratedOperator):
    """Airflow's ``@task``; the log ends with the task's note instead of its return value."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"show_return_value_in_logs": False, **kwargs})

    def execute(self, context: Any) -> Any:
        """Run the function."""
        with notes_logged_last():
            return super().execute(context)


class _PythonTaskWithPage(_PythonTask):
    """The same for a task that links to a page."""

    operator_extra_links = (PageLink(),)


class _Task:
    """Airflow's ``@task``, ``@task(…)`` and ``@task.sensor(…)``, with the function guarded.

    ``@task(has_page=True)`` links to the page that the function passes to :func:`recsync.notes.note`.
    """

    @overload
    def __call__(self, function: Callable[..., Any]) -> Any: ...

    @overload
    def __call__(self, function: None = None, **kwargs: Any) -> Callable[[Callable[..., Any]], Any]: ...

    def __call__(self, function: Callable[..., Any] | None = None, **kwargs: Any) -> Any:
        if function is None:
            kind = _PythonTaskWithPage if kwargs.pop("has_page", False) else _PythonTask
            return lambda given: task_decorator_factory(
                python_callable=guarded(given), decorated_operator_class=kind, **kwargs
            )
        return task_decorator_factory(python_callable=guarded(function), decorated_operator_class=_PythonTask)

    def sensor(self, **kwargs: Any) -> Callable[[Callable[..., Any]], Any]:
        """Make a :func:`patient` sensor of a function."""
        return lambda given: airflow_task.sensor(**kwargs)(guarded(patient(given)))

    def short_circuit(self, **kwargs: Any) -> Callable[[Callable[..., Any]], Any]:
        """Make a task that skips what follows it when a function returns False."""
        return lambda given: airflow_task.short_circuit(**kwargs)(guarded(given))


task = _Task()


def _public(error: BaseException) -> BaseException:
    """Return the error, or its replacement, with each error behind it replaced where necessary."""
    shown = error if _is_shown(error) else UnexpectedError(error).with_traceback(error.__traceback__)
    behind = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    # Setting the cause also hides the context.
    shown.__cause__ = _public(behind) if behind is not None else None
    return shown


def _is_shown(error: BaseException) -> bool:
    if isinstance(error, OSError) and type(error).__module__ == "builtins":
        return error.errno is not None
    return isinstance(error, _SHOWN) and not isinstance(error, _NOT_SHOWN)
