"""Forget: remove one person from Braze, Amazon Personalize and S3, and certify it."""
