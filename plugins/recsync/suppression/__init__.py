"""The suppression list: erased users, whom exports, audiences and deliveries leave out."""
