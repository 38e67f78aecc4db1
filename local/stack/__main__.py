"""Run one command of the stack: every module of `stack.commands` is one."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence

from stack import commands
from stack.errors import StackError
from warehouse_local.errors import WarehouseError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stack", description="The local stack for interactive use."
    )
    choices = parser.add_subparsers(required=True, metavar="command")
    for found in pkgutil.iter_modules(commands.__path__):
        module = importlib.import_module(f"stack.commands.{found.name}")
        choice = choices.add_parser(found.name, help=module.HELP.replace("%", "%%"))
        module.add_arguments(choice)
        choice.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; a known failure prints its message and exits with 1."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except (StackError, WarehouseError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
