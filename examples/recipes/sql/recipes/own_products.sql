-- What each household bought before, to be put into an order: at most the hundred last products.
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
      AND CAST(household_id AS integer) % 4 = 0
    GROUP BY household_id, product_id
) AS bought
WHERE place <= 100
ORDER BY user_id, place
