"""CSV as warehouses write it (RFC 4180) and as Amazon Personalize reads it, in blocks of whole records.

https://www.rfc-editor.org/rfc/rfc4180
https://docs.aws.amazon.com/personalize/latest/dg/data-prep-formatting.html
"""

from recsync.storage.csv_text.blocks import BLOCK_BYTES, MAX_VALUE_BYTES, cut_records
from recsync.storage.csv_text.dialect import cells_of, to_personalize, without_empty_strings
from recsync.storage.csv_text.records import record_ends, split_records, unix_line_ends
from recsync.storage.csv_text.texts import text_batches

__all__ = [
    "BLOCK_BYTES",
    "MAX_VALUE_BYTES",
    "cells_of",
    "cut_records",
    "record_ends",
    "split_records",
    "text_batches",
    "to_personalize",
    "unix_line_ends",
    "without_empty_strings",
]
