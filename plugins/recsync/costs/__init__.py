"""Costs: what is billed, prices, the ledger of used amounts, and the budget."""
