-- This week's leaflet, the same for all: the hundred products that most households bought in four weeks.
SELECT product_id AS item_id
FROM journey.transactions
WHERE transaction_timestamp >= timestamptz '{{ data_interval_end }}' - interval '28 days'
  AND transaction_timestamp < '{{ data_interval_end }}'
  AND CAST(household_id AS integer) % 4 = 0
GROUP BY product_id
ORDER BY count(DISTINCT household_id) DESC, product_id
LIMIT 100
