"""Define one command per module: `HELP`, `add_arguments(parser)` and `run(arguments) -> exit status`."""
