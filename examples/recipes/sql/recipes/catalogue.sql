SELECT
    product_id AS item_id,
    product_name AS name,
    department,
    price
FROM journey.products
