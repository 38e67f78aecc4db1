-- What every fourth household bought in the last thirteen weeks: enough to compare recipes within minutes.
SELECT
    household_id AS user_id,
    product_id AS item_id,
    {{ epoch('transaction_timestamp') }} AS timestamp,
    'purchase' AS event_type,
    sales_value AS event_value
FROM journey.transactions
WHERE transaction_timestamp >= '{{ data_interval_start }}'
  AND transaction_timestamp < '{{ data_interval_end }}'
  AND transaction_timestamp >= timestamptz '{{ data_interval_end }}' - interval '91 days'
  AND CAST(household_id AS integer) % 4 = 0
