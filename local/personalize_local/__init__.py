"""Serve Amazon Personalize's own protocols from a laptop, with models that are really trained."""
