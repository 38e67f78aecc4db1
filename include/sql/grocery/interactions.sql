-- One row per product in a basket. floor(), not a cast: rounding up could leave the interval.
SELECT
    household_id AS user_id,
    product_id AS item_id,
    floor(extract(epoch FROM transaction_timestamp))::bigint AS timestamp,
    'purchase' AS event_type,
    sales_value AS event_value
FROM journey.transactions
WHERE transaction_timestamp >= '{{ data_interval_start }}'
  AND transaction_timestamp < '{{ data_interval_end }}'
