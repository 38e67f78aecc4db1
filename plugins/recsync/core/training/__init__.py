"""Whether a training is worth what it costs."""
