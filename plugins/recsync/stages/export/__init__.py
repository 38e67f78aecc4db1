"""What export does: rows of the warehouse become one checked CSV object per dataset and interval."""
