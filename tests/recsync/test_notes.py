"""What tasks say, through runs of real DAGs: the note of the run, the link of the task, the last line of its log.

``dag.test()`` calls listeners with a run of no session; ``tests/e2e/test_scheduler.py`` has a real scheduler.
"""

from __future__ import annotations

import itertools
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowSkipException

from recsync.airflow_tasks import task
from recsync.notes import AUTHOR, RunNoteListener, join_notes, link_to, note, notes_logged_last

_HOURS = itertools.count()


def sends() -> dict[str, int]:
    note("2,007 sent, 0 rejected", page="/deliveries/shop/d1")
    return {"sent": 2_007}


def returns() -> dict[str, int]:
    return {"sent": 1}


def skips() -> None:
    raise AirflowSkipException("No new rows since the last training.")


def fails() -> None:
    link_to("/deliveries/shop/d2")
    note("2,007 planned")
    raise ValueError("a user's value")


def run(*functions: Any, name: str = "") -> Any:
    """Run a DAG of these tasks, one after the other, as ``airflow dags test`` does."""
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session

    with DAG(name or f"notes_{next(_HOURS)}", schedule=None, default_args={"retries": 0}) as dag:
        tasks = [task(has_page=True, trigger_rule="all_done")(function)() for function in functions]
        for before, after in itertools.pairwise(tasks):
            before >> after
    with create_session() as session:
        session.merge(DagBundleModel(name="testing"))
    lazy = LazyDeserializedDAG.from_dag(dag)
    SerializedDAG.bulk_write_to_db("testing", None, [lazy])
    SerializedDagModel.write_dag(lazy, bundle_name="testing")
    return dag.test(logical_date=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=next(_HOURS)))


def note_of(found: Any) -> tuple[str | None, str | None]:
    from airflow.models.dagrun import DagRunNote
    from airflow.utils.session import create_session

    with create_session() as session:
        written = session.get(DagRunNote, found.id)
        return (written.content, written.user_id) if written else (None, None)


def ended(found: Any, listener: RunNoteListener) -> Any:
    """Tell the listener that the run ended, as the scheduler does: in a session with work of its own and no commit."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.sqlalchemy import prohibit_commit

    with create_session() as session, prohibit_commit(session) as guard:
        dag_run = session.get(DagRun, found.id)
        dag_run.last_scheduling_decision = datetime(2026, 1, 2, tzinfo=UTC)
        failed = dag_run.state == "failed"
        (listener.on_dag_run_failed if failed else listener.on_dag_run_success)(dag_run)
        guard.commit()
    with create_session() as session:
        assert session.get(DagRun, found.id).last_scheduling_decision == datetime(2026, 1, 2, tzinfo=UTC)
    return found


def test_a_run_carries_what_its_tasks_said(airflow_db):
    found = ended(run(sends, skips), RunNoteListener())
    assert str(found.state) == "success"
    assert note_of(found) == ("2,007 sent, 0 rejected", AUTHOR)


def test_a_run_that_did_nothing_says_why(airflow_db):
    found = ended(run(skips), RunNoteListener())
    assert note_of(found) == ("No new rows since the last training", AUTHOR)


def test_a_failed_run_says_where_and_what_was_done(airflow_db):
    found = ended(run(fails), RunNoteListener())
    assert str(found.state) == "failed"
    assert note_of(found) == ("fails failed; 2,007 planned", AUTHOR)


def test_a_run_that_has_nothing_to_say_has_no_note(airflow_db):
    assert note_of(ended(run(returns), RunNoteListener())) == (None, None)


@pytest.mark.parametrize(("function", "page"), [(sends, "d1"), (fails, "d2")])
def test_a_task_links_to_its_page_also_when_it_fails(airflow_db, function, page):
    from airflow.models.serialized_dag import SerializedDagModel

    (instance,) = run(function).get_task_instances()
    found = SerializedDagModel.get(instance.dag_id).dag.get_task(instance.task_id)
    assert found.get_extra_links(instance, "Page") == f"recsync/deliveries/shop/{page}"


def test_the_last_line_of_a_log_is_the_sentence(airflow_db, caplog, capfd):
    with caplog.at_level(logging.INFO):
        run(sends)
    lines = [record.getMessage() for record in caplog.records if record.name == "recsync.notes"]
    assert lines == ["2,007 sent, 0 rejected."]
    assert "'sent': 2007" not in capfd.readouterr().out
    with caplog.at_level(logging.INFO):
        caplog.clear()
        with notes_logged_last():
            note("2 sent", of_run=False)
            logging.getLogger("airflow").info("Done. Returned value not shown")
    assert [record.getMessage() for record in caplog.records][-1] == "2 sent."


def test_a_persons_note_stays_and_an_own_one_is_renewed(airflow_db):
    from airflow.models.dagrun import DagRunNote
    from airflow.utils.session import create_session

    listener = RunNoteListener()
    found = ended(run(sends), listener)
    with create_session() as session:
        session.get(DagRunNote, found.id).content = "old"
    ended(found, listener)
    assert note_of(found) == ("2,007 sent, 0 rejected", AUTHOR)
    with create_session() as session:
        written = session.get(DagRunNote, found.id)
        written.content, written.user_id = "looked at it", "ada"
    ended(found, listener)
    assert note_of(found) == ("looked at it", "ada")


def test_a_note_that_a_person_gives_with_the_state_stays(airflow_db):
    """The API writes the note first and calls listeners before it commits."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    found = run(sends)
    with create_session() as session:
        dag_run = session.get(DagRun, found.id)
        dag_run.note = ("mine", "ada")
        RunNoteListener().on_dag_run_success(dag_run)
    assert note_of(found) == ("mine", "ada")


def test_whatever_happens_the_schedulers_own_work_is_kept(airflow_db, monkeypatch, caplog):
    from airflow.models.xcom import XComModel
    from sqlalchemy import Connection, text

    found, listener = run(sends), RunNoteListener()
    execute = Connection.execute

    def refused(self: Connection, statement: Any, *arguments: Any, **options: Any) -> Any:
        # A statement that the database refuses, within the listener's part of the transaction.
        if "dag_run_note" in str(statement):
            statement = text("SELECT no_such_column FROM dag_run_note")
        return execute(self, statement, *arguments, **options)

    with monkeypatch.context() as patch, caplog.at_level(logging.DEBUG, "recsync.notes"):
        patch.setattr(Connection, "execute", refused)
        for _ in range(2):
            ended(found, listener)
        patch.setattr(XComModel, "deserialize_value", lambda row: 1 / 0)
        ended(found, listener)
    levels = [record.levelname for record in caplog.records if "was not written" in record.getMessage()]
    assert levels == ["WARNING", "DEBUG", "DEBUG"], "told once"


def test_a_run_that_belongs_to_no_session_is_left_alone(airflow_db):
    from airflow.models.dagrun import DagRun

    RunNoteListener().on_dag_run_failed(DagRun(dag_id="d", run_id="r"))


def test_a_note_is_one_line_of_a_length_that_fits():
    assert join_notes(["a\nb", "a b"]) == "a b"
    long = join_notes([f"{n} of them" for n in range(200)], ["x"])
    assert len(long) == 400
    assert long.startswith("x failed; 0 of them; ")
    assert long.endswith("…")


def test_outside_a_task_the_log_has_it(caplog):
    with caplog.at_level(logging.INFO):
        note("2 sent", page="/deliveries/shop/d1")
    assert [record.getMessage() for record in caplog.records] == ["2 sent."]
