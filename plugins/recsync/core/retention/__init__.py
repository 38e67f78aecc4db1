"""What may go, what stays, and why: decided without looking at anything."""
