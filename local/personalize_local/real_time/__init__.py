"""Answer personalize-runtime and personalize-events: recommendations in real time, and streamed data."""
