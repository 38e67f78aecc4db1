-- Segment has no table of products, so the newest view of each one tells its name, price and addresses.
SELECT
    product_id AS item_id,
    name AS title,
    category,
    price,
    image_url,
    url
FROM shop.product_viewed
WHERE product_id IS NOT NULL
QUALIFY ROW_NUMBER() OVER (PARTITION BY product_id ORDER BY "TIMESTAMP" DESC) = 1
