"""What recsync keeps on S3: exports, recommendations and state, each published whole."""
