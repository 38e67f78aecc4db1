-- What may stand in an e-mail, with the fields it shows. Tobacco, alcohol and fuel are not sold online; the product
-- line, which no e-mail shows, is the name without the size.
SELECT
    product_id AS item_id,
    product_name AS name,
    product_line,
    brand_name AS brand,
    aisle AS department,
    price,
    former_price,
    url,
    image
FROM journey.products
WHERE sold_online
