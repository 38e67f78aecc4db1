"""The push: plan a delivery, send it, account for everybody, verify it."""
