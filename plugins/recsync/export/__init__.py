"""Export: rows of the warehouse become checked CSV objects on S3."""
