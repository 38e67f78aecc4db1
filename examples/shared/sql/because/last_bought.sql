-- The three products that each household bought last, the last one first.
SELECT user_id, item_id
FROM (
    SELECT
        household_id AS user_id,
        product_id AS item_id,
        row_number() OVER (
            PARTITION BY household_id ORDER BY max(transaction_timestamp) DESC, product_id
        ) AS place
    FROM journey.transactions
    WHERE transaction_timestamp >= timestamptz '{{ data_interval_end }}' - interval '91 days'
      AND transaction_timestamp < '{{ data_interval_end }}'
    GROUP BY household_id, product_id
) AS bought
WHERE place <= 3
ORDER BY user_id, place
