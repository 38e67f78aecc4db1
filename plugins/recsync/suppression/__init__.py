"""The suppression list: users that are left out everywhere."""
