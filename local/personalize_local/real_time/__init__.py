"""Implement personalize-runtime and personalize-events: real-time recommendations and streamed data."""
