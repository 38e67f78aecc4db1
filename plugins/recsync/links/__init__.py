"""Links from a task instance to the page of what it made."""
