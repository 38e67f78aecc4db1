-- Five categories, and for those who are likely to want one, its three best sellers.
WITH sold AS (
    SELECT p.product_category AS category, t.product_id, count(DISTINCT t.household_id) AS households
    FROM journey.transactions AS t
    JOIN journey.products AS p USING (product_id)
    WHERE t.transaction_timestamp >= timestamptz '{{ data_interval_end }}' - interval '91 days'
      AND t.transaction_timestamp < '{{ data_interval_end }}'
      AND CAST(t.household_id AS integer) % 4 = 0
      AND p.product_category IN ('SOFT DRINKS', 'CHEESE', 'FROZEN PIZZA', 'TROPICAL FRUIT', 'BAG SNACKS')
    GROUP BY p.product_category, t.product_id
)
SELECT
    'ITEMS.CATEGORY = "' || category || '"' AS attributes,
    product_id AS item_id
FROM (
    SELECT *, row_number() OVER (PARTITION BY category ORDER BY households DESC, product_id) AS place
    FROM sold
) AS ranked
WHERE place <= 3
ORDER BY category, place
