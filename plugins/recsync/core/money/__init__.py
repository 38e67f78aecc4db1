"""What is billed: kinds of use, prices, expectations, the ledger's months, the budget's verdict."""
