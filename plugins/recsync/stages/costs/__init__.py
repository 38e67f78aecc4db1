"""What runs use: expected before a step, booked after it, looked for when a run died in between."""
