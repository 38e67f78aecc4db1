"""Costs: prices, estimates, the ledger of recorded usage, and the budget."""
