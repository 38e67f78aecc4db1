"""Forget: erase one person from S3, Amazon Personalize and Braze, and certify it."""
