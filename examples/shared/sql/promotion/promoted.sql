-- The products of the promotion: the ten best sellers of the store's own brand in the last thirteen weeks.
SELECT t.product_id AS item_id
FROM journey.transactions AS t
JOIN journey.products AS p USING (product_id)
WHERE t.transaction_timestamp >= timestamptz '{{ data_interval_end }}' - interval '91 days'
  AND t.transaction_timestamp < '{{ data_interval_end }}'
  AND p.brand = 'Private'
GROUP BY t.product_id
ORDER BY count(DISTINCT t.household_id) DESC, t.product_id
LIMIT 10
