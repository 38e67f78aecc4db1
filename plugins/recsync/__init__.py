"""Keep product recommendations in e-mails fresh: warehouse, Amazon Personalize and Braze joined by Airflow."""
