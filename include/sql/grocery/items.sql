-- Products that were sold for the first time in the interval; all of them when full.
SELECT
    product_id AS item_id,
    department,
    product_category AS category,
    brand,
    price,
    {{ epoch('first_sold_at') }} AS creation_timestamp
FROM journey.products
WHERE first_sold_at >= '{{ data_interval_start }}'
  AND first_sold_at < '{{ data_interval_end }}'
