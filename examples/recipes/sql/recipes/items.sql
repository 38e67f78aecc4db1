-- The products that these households bought. NAME and DESCRIPTION are read only where a schema has them.
SELECT
    p.product_id AS item_id,
    p.product_name AS name,
    concat_ws(', ', lower(p.product_type), lower(p.product_category), lower(p.department), p.package_size) AS description,
    p.department,
    p.product_category AS category,
    p.brand,
    p.price,
    {{ epoch('p.first_sold_at') }} AS creation_timestamp
FROM journey.products AS p
WHERE p.first_sold_at >= '{{ data_interval_start }}'
  AND p.first_sold_at < '{{ data_interval_end }}'
  AND p.product_id IN (
      SELECT product_id
      FROM journey.transactions
      WHERE transaction_timestamp >= timestamptz '{{ data_interval_end }}' - interval '91 days'
        AND CAST(household_id AS integer) % 4 = 0
  )
