"""Explanations from the command line."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from stack.commands.explain import run
from stack.errors import StackError


def test_people_and_the_table_are_asked_for_one_at_a_time() -> None:
    asked = Namespace(program="shop", users=Path("ids.txt"), without_list=Path("without.csv"))
    with pytest.raises(StackError, match="ask for one"):
        run(asked)
