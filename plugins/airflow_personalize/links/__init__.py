"""Links from a task instance to the AWS console."""
