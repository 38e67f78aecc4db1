"""What of the published exports a dataset does not hold yet: planned from values alone, without S3."""
