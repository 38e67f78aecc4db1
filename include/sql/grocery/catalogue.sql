-- What may stand in an e-mail, with the fields it shows.
SELECT
    product_id AS item_id,
    product_name AS name,
    department,
    price
FROM journey.products
