-- What households spent, basket line by basket line: docs/lift.md.
SELECT
    household_id AS user_id,
    {{ epoch('transaction_timestamp') }} AS timestamp,
    sales_value AS value,
    product_id AS item_id
FROM journey.transactions
WHERE transaction_timestamp >= '{{ data_interval_start }}'
  AND transaction_timestamp < '{{ data_interval_end }}'
