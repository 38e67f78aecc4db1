"""What the stages do, one module each: bodies for the tasks of the DAGs."""
