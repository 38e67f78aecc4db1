-- One row per product in a basket.
SELECT
    household_id AS user_id,
    product_id AS item_id,
    {{ epoch('transaction_timestamp') }} AS timestamp,
    'purchase' AS event_type,
    sales_value AS event_value
FROM journey.transactions
WHERE transaction_timestamp >= '{{ data_interval_start }}'
  AND transaction_timestamp < '{{ data_interval_end }}'
