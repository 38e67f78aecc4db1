"""A run in one line: the last line of a task's log, the run's note, and a link to its page.

A task says what it did with :func:`note`. Airflow 3.3.2 has no call with which a task sets its run's note (only
``TriggerDagRunOperator`` takes one), so the sentence goes into an XCom, and a listener in the scheduler copies the
sentences of a finished run into its note. Notes hold counts and names of resources, and no id of a person.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl
from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.models import BaseOperator
    from airflow.models.dagrun import DagRun
    from airflow.providers.common.compat.sdk import TaskInstanceKey

log = logging.getLogger(__name__)

# Where the API server mounts our pages.
MOUNT = "/recsync"
KEY = "recsync_note"
SKIPPED = "recsync_skipped"
"""XCom key of a skipped task's reason. It becomes the run's note only if no task has a note."""
AUTHOR = "recsync"
"""The author of the listener's notes; it never changes notes of other authors."""
# The column holds 1,000; the list of runs shows the first few dozen.
_MAX_CHARACTERS = 400
_deferred: ContextVar[list[str] | None] = ContextVar("held", default=None)


def note(text: str, *, page: str = "", of_run: bool = True) -> None:
    """Record in one line what the running task did; outside a task, only log it.

    :param text: a sentence without its full stop, such as ``2,007 sent, 0 rejected``.
    :param page: route of the page about it, such as ``/deliveries/shop/20261122T05``; the task links to it, if it is
        declared with :class:`PageLink`.
    :param of_run: whether it is also part of the run's note.
    """
    held = _deferred.get()
    if held is None:
        log.info("%s.", text)
    else:
        held.append(text)
    if of_run and (ti := _running()) is not None:
        ti.xcom_push(key=KEY, value=text)
    if page:
        link_to(page)


def link_to(page: str) -> None:
    """Let the running task link to a page, also if it fails afterwards; see :func:`note`."""
    if (ti := _running()) is not None:
        # Relative to Airflow's address, which may include a path.
        ti.xcom_push(key=PageLink.key, value=f"{MOUNT}{page}".removeprefix("/"))


def note_skip(reason: str) -> None:
    """Record why the running task is skipped; Airflow logs it."""
    if reason and (ti := _running()) is not None:
        ti.xcom_push(key=SKIPPED, value=reason.rstrip("."))


@contextmanager
def notes_logged_last() -> Generator[None]:
    """Log the texts of :func:`note` at the end, below the lines of Airflow's operator."""
    held: list[str] = []
    token = _deferred.set(held)
    try:
        yield
    finally:
        _deferred.reset(token)
        for text in held:
            log.info("%s.", text)


def _running() -> Any:
    from airflow.sdk import get_current_context

    try:
        return get_current_context()["ti"]
    except RuntimeError:
        return None


class PageLink(BaseOperatorLink):
    """A task's link to its page."""

    name = "Page"
    key = "recsync_page"

    @property
    def xcom_key(self) -> str:
        """Key of the XCom with the whole link, which Airflow's API server reads."""
        return self.key

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address that the task stored; an empty one shows no link."""
        # Airflow calls this when the task ends and stores the result under the same key.
        return XCom.get_value(key=self.key, ti_key=ti_key) or ""


class RunNoteListener:
    """Write the notes of a finished run's tasks into the run's note.

    It runs in the scheduler, so it makes one indexed query per finished run, and its errors never reach the scheduler.
    """

    def __init__(self) -> None:
        self._warned = False

    @hookimpl
    def on_dag_run_success(self, dag_run: DagRun) -> None:
        """Write the note of a run that succeeded."""
        self._write(dag_run)

    @hookimpl
    def on_dag_run_failed(self, dag_run: DagRun) -> None:
        """Write the note of a failed run: the failed tasks, then the notes of the others."""
        self._write(dag_run)

    def _write(self, dag_run: DagRun) -> None:
        try:
            _write_note(dag_run)
        except Exception:
            level = logging.DEBUG if self._warned else logging.WARNING
            self._warned = True
            log.log(level, "A run's note was not written; later failures are logged at DEBUG.", exc_info=True)


def _write_note(dag_run: DagRun) -> None:
    from airflow.models.dagrun import DagRunNote
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from sqlalchemy import insert, select, update
    from sqlalchemy.orm import object_session

    session, known = object_session(dag_run), dag_run.__dict__.get("dag_run_note")
    if session is None or (known is not None and known.user_id != AUTHOR):
        return
    said = select(XComModel.key, XComModel.value).where(
        XComModel.dag_run_id == dag_run.id, XComModel.key.in_((KEY, SKIPPED))
    )
    written = select(DagRunNote.user_id).where(DagRunNote.dag_run_id == dag_run.id)
    failed = select(TaskInstance.task_id).where(
        TaskInstance.dag_id == dag_run.dag_id,
        TaskInstance.run_id == dag_run.run_id,
        TaskInstance.state == "failed",
    )
    # In a savepoint: if a person writes the run's first note at the same moment, the conflict must not fail the
    # scheduler's commit. On the connection: the scheduler forbids commits of its session, also of a savepoint.
    connection = session.connection()
    with connection.begin_nested():
        rows = connection.execute(said.order_by(XComModel.timestamp)).all()
        if not rows:
            return  # a run of another DAG, or one without notes
        done = [row for row in rows if row.key == KEY] or rows
        texts = [str(XComModel.deserialize_value(row)) for row in done]
        text = join_notes(texts, sorted(set(connection.scalars(failed))))
        author = connection.execute(written).one_or_none()
        if author is None:
            values = {"dag_run_id": dag_run.id, "content": text, "user_id": AUTHOR}
            connection.execute(insert(DagRunNote).values(values))
        elif author.user_id == AUTHOR:
            connection.execute(
                update(DagRunNote).where(DagRunNote.dag_run_id == dag_run.id).values(content=text)
            )
    if "dag_run_note" in dag_run.__dict__:
        session.expire(dag_run, ["dag_run_note"])


def join_notes(texts: Iterable[str], failed: Iterable[str] = ()) -> str:
    """Join the notes of tasks into a run's note, each text once.

    >>> join_notes(["2 planned", "2 sent", "2 sent"], ["verify"])
    'verify failed; 2 planned; 2 sent'
    """
    broken = [f"{', '.join(failed)} failed"] if (failed := list(failed)) else []
    whole = "; ".join([*broken, *dict.fromkeys(" ".join(text.split()) for text in texts)])
    return whole if len(whole) <= _MAX_CHARACTERS else f"{whole[: _MAX_CHARACTERS - 1]}…"
