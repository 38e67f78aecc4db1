"""The judgement between a trained solution version and its promotion."""
