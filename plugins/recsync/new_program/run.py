"""Write the files of a new program: ``python -m recsync.new_program.run PROGRAM``.

``make new`` runs it. It looks at the tables of the connection ``warehouse``, asks what they do not tell, and writes
the program file, its SQL and its Avro schemas below ``include/``.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog

from recsync import settings
from recsync.errors import DELIBERATE, FatalError
from recsync.new_program.choices import Answers, Ask, Question, ask_nobody, ask_terminal
from recsync.new_program.proposal import Proposal, propose
from recsync.new_program.queries import TIMES, Queries
from recsync.new_program.render import files
from recsync.new_program.tables import chosen_tables, list_tables, read_links, read_table
from recsync.preflight.check_programs import sql_problems
from recsync.program.files import SUFFIX, program_yaml, read_program
from recsync.program.intervals import Interval
from recsync.storage.keys import Keys, uri
from recsync.warehouse.hooks import Warehouse, warehouse
from recsync.warehouse.templates import render

# As recsync.program.model has it.
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
# Fewer are refused by Amazon Personalize, and by the export before anything is paid for.
_MIN_INTERACTIONS, _MIN_USERS = 1_000, 25


def new_program(
    name: str,
    *,
    tables: Sequence[str] = (),
    answers: Answers | None = None,
    ask: Ask,
    overwrite: bool = False,
) -> Proposal:
    """Look at the warehouse, and write the files of a program.

    :param tables: look at these only.
    :raises FatalError: files are there already, the tables do not fit, or an answer is missing.
    """
    answers, include = answers or Answers(), settings.include_folder()
    _check_name(name)
    if (include / "programs" / f"{name}{SUFFIX}").exists() and not overwrite:
        _refuse([f"programs/{name}{SUFFIX}"], ask)
        overwrite = True
    bucket = settings.deployment_bucket()
    source = warehouse("warehouse", staging_uri=uri(bucket, Keys(name).staged_reads) if bucket else None)
    found = chosen_tables(list_tables(source), tables, answers.given.get("schema"))
    _say(f"Looking at {len(found)} table(s): {', '.join(name for _, name in found)}")
    read = {table: read_table(source, schema, table) for schema, table in found}
    filled = {table: each for table, each in read.items() if each.rows}
    proposal = propose(filled, read_links(source, filled), answers, ask)
    texts = files(name, proposal, source.dialect, age_days=_look_at_times(proposal, source))
    there = [path for path in texts if (include / path).exists()]
    if there and not overwrite:
        _refuse(there, ask)
    for path, text in texts.items():
        (include / path).parent.mkdir(parents=True, exist_ok=True)
        (include / path).write_text(text, encoding="utf-8")
    _tell(proposal, list(texts), there)
    _check(name, include)
    return proposal


def _look_at_times(proposal: Proposal, source: Warehouse) -> float | None:
    """Return how many days ago the newest interaction was, and note times that cannot be read or are ahead."""
    now, label = datetime.now(UTC), f"table {proposal.lines.name}"
    template = Queries(proposal, source.dialect).times()
    query = render(template, Interval.until(now), name=label, dialect=source.dialect)
    with source.read(query, TIMES, name=label) as rows:
        found = next(row for batch in rows.batches for row in batch.to_pylist())
    total, readable, newest = (int(float(found[name] or 0)) for name in TIMES)
    if not readable:
        raise FatalError(
            f"No time in {proposal.time} can be read as {proposal.form.text}. Name another column: `time:`."
        )
    if readable < total:
        proposal.notes.append(
            f"{total - readable:,} of {total:,} rows have no readable time in {proposal.time}; they are left out."
        )
    days = (now.timestamp() - newest) / 86_400
    if days < 0:
        proposal.notes.append(f"{proposal.time} has times that are still to come; a run leaves those out.")
    return days


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise FatalError(
            f"PROGRAM={name}: a name has at most 32 lower-case letters, digits, - and _, and begins with a letter or "
            "digit."
        )


def _refuse(there: Sequence[str], ask: Ask) -> None:
    listed = "\n".join(f"  include/{path}" for path in there)
    text = f"There are files already, which would be written anew:\n{listed}"
    try:
        answer = ask(Question("overwrite", text, ["no", "yes"]))
    except FatalError:
        raise FatalError(f"{text}\nChoose another PROGRAM, or add OVERWRITE=1.") from None
    if answer != "yes":
        raise FatalError("Nothing was written. Choose another PROGRAM.")


def _tell(proposal: Proposal, written: Sequence[str], there: Sequence[str]) -> None:
    _say("\nWhat was chosen, and why")
    width = max(len(choice.key) for choice in proposal.choices)
    value = max(len(choice.value) for choice in proposal.choices)
    for choice in proposal.choices:
        _say(f"  {choice.key:<{width}}  {choice.value:<{value}}  {choice.reason}")
    for note in [*proposal.notes, *_shortages(proposal)]:
        _say(f"  note: {note}")
    _say("\nWhat was written; each file says in comments what it does")
    for path in written:
        _say(f"  include/{path}{' (written anew)' if path in there else ''}")


def _shortages(proposal: Proposal) -> list[str]:
    rows = proposal.lines.rows
    people = proposal.column(proposal.user).distinct
    if rows >= _MIN_INTERACTIONS and people >= _MIN_USERS:
        return []
    return [
        f"{rows:,} interactions of {people:,} people are too few: Amazon Personalize wants {_MIN_INTERACTIONS:,}, and "
        f"{_MIN_USERS} people with two. make run will stop before anything is trained."
    ]


def _check(name: str, include: Path) -> None:
    path = include / "programs" / f"{name}{SUFFIX}"
    problems = sql_problems(program_yaml(path), read_program(path, include), include)
    if problems:
        raise FatalError("\n".join(problems))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a command; return 1 when nothing was written."""
    parser = argparse.ArgumentParser(prog="python -m recsync.new_program.run", description=__doc__)
    parser.add_argument("program", help="name of the new program")
    parser.add_argument("--tables", default="", help="tables to look at, separated by commas (default: all)")
    parser.add_argument("--answers", type=Path, help="YAML file with answers")
    parser.add_argument("--overwrite", action="store_true", help="write files anew that are there")
    chosen = parser.parse_args(arguments)
    # Hide the libraries' log lines.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        new_program(
            chosen.program,
            tables=[name for name in chosen.tables.split(",") if name],
            answers=Answers.read(chosen.answers) if chosen.answers else None,
            ask=ask_terminal if sys.stdin.isatty() else ask_nobody,
            overwrite=chosen.overwrite,
        )
    except DELIBERATE as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
