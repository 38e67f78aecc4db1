"""Push: plan a delivery to Braze, send it, account for every user, verify it."""
