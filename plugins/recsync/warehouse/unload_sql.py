"""Write the statements that unload to S3. No statement contains an AWS key: the warehouse uses its role."""

from __future__ import annotations

import re

from recsync.warehouse.dialects import ATHENA, REDSHIFT, SNOWFLAKE

# Snowflake's largest file on S3, and a size that spreads a snapshot over its threads.
# https://docs.snowflake.com/en/sql-reference/sql/copy-into-location#copy-options-copyoptions
_SINGLE_FILE_BYTES = 5 * 1024**3
_PART_BYTES = 256 * 1024**2
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")


def redshift_unload(query: str, uri: str, *, iam_role: str, ordered: bool, region: str | None = None) -> str:
    """Return the ``UNLOAD`` statement, which writes parts and a manifest below ``uri``.

    https://docs.aws.amazon.com/redshift/latest/dg/r_UNLOAD.html

    :param iam_role: its ARN, or ``default`` for the cluster's default role.
    :param ordered: keep the query's order; the warehouse then does not write in parallel.
    :param region: of the bucket; None when it is the cluster's.
    """
    role = "default" if iam_role == "default" else REDSHIFT.literal(iam_role)
    lines = [
        f"UNLOAD ({_query_text(query)})",
        f"TO {REDSHIFT.literal(uri)}",
        f"IAM_ROLE {role}",
        # VERBOSE adds the length of each part, so that truncated parts are found.
        f"FORMAT AS CSV MANIFEST VERBOSE ALLOWOVERWRITE PARALLEL {'OFF' if ordered else 'ON'}",
    ]
    return "\n".join([*lines, f"REGION {REDSHIFT.literal(region)}"] if region else lines)


def snowflake_copy(query: str, uri: str, *, storage_integration: str, ordered: bool) -> str:
    """Return ``COPY INTO``, which writes one object at ``uri`` when ordered, else parts with this prefix.

    https://docs.snowflake.com/en/sql-reference/sql/copy-into-location

    :param storage_integration: name of the integration with access to ``uri``.
    :param ordered: keep the query's order: one file, written by one thread.
    """
    # Texts are quoted, so an empty text is "" and NULL an empty cell. A backslash is no escape.
    csv = " ".join(
        [
            "TYPE = CSV COMPRESSION = NONE FIELD_DELIMITER = ',' RECORD_DELIMITER = '\\n'",
            "FIELD_OPTIONALLY_ENCLOSED_BY = '\"' ESCAPE = NONE ESCAPE_UNENCLOSED_FIELD = NONE",
            "NULL_IF = () EMPTY_FIELD_AS_NULL = FALSE",
        ]
    )
    size = _SINGLE_FILE_BYTES if ordered else _PART_BYTES
    return "\n".join(
        [
            f"COPY INTO {SNOWFLAKE.literal(uri)}",
            f"FROM (\n{query}\n)",
            f"STORAGE_INTEGRATION = {_name(storage_integration)}",
            f"FILE_FORMAT = ({csv})",
            f"OVERWRITE = TRUE SINGLE = {'TRUE' if ordered else 'FALSE'} MAX_FILE_SIZE = {size}",
            "DETAILED_OUTPUT = TRUE HEADER = FALSE",
        ]
    )


def athena_unload(query: str, uri: str) -> str:
    """Return the ``UNLOAD`` statement, which writes Parquet below ``uri``; Athena's text files have no quotes.

    https://docs.aws.amazon.com/athena/latest/ug/unload.html
    """
    return "\n".join(
        [
            f"UNLOAD (\n{query}\n)",
            f"TO {ATHENA.literal(uri)}",
            "WITH (format = 'PARQUET', compression = 'SNAPPY')",
        ]
    )


def _query_text(query: str) -> str:
    """Quote a query for UNLOAD: between dollars, where nothing is an escape, if possible."""
    if "$$" not in query and not query.endswith("$"):
        return f"$$\n{query}\n$$"
    escaped = query.replace("\\", "\\\\").replace("'", "\\'")
    return f"'\n{escaped}\n'"


def _name(identifier: str) -> str:
    """Quote a name if necessary: Snowflake folds a plain name to upper case, but not a quoted one."""
    return identifier if _PLAIN_NAME.fullmatch(identifier) else SNOWFLAKE.quoted(identifier)
