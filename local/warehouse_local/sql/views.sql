-- What is derived once per load, and the views that show only what has happened by journey.now().
CREATE INDEX ON {schema}.transactions (transaction_timestamp);

CREATE TABLE {schema}.sold_products AS
SELECT
    sold.product_id,
    p.department,
    p.brand,
    p.product_category,
    p.product_type,
    p.package_size,
    coalesce(p.product_name, 'Product ' || sold.product_id) AS product_name,
    coalesce(p.product_line, 'Product ' || sold.product_id) AS product_line,
    p.brand_name,
    p.aisle,
    p.image,
    sold.price,
    -- Reduced by a fifth or more. A product that sells at a third of its shelf price is one that is entered wrongly.
    CASE WHEN sold.shelf_price BETWEEN sold.price * 1.25 AND sold.price * 3 THEN sold.shelf_price END AS former_price,
    sold.first_sold_at
FROM (
    SELECT
        product_id,
        min(transaction_timestamp) AS first_sold_at,
        -- The data hold no list price. The median of what was paid per piece is not moved by single large
        -- coupons; 0.01 keeps fuel, counted in thousandths of a gallon, above zero. Never paid for: null.
        greatest(0.01, (percentile_cont(0.5) WITHIN GROUP (ORDER BY sales_value / quantity)
            FILTER (WHERE quantity > 0 AND sales_value > 0))::numeric(10, 2))
            * CASE WHEN bool_or(quantity > 0 AND sales_value > 0) THEN 1 END AS price,
        -- What it costs without card and coupons: the discounts are kept apart from what was paid.
        (percentile_cont(0.5) WITHIN GROUP (
            ORDER BY (sales_value + retail_disc + coupon_disc + coupon_match_disc) / quantity
        ) FILTER (WHERE quantity > 0 AND sales_value > 0))::numeric(10, 2) AS shelf_price
    FROM {schema}.transactions
    GROUP BY product_id
) AS sold
LEFT JOIN {schema}.products AS p USING (product_id);
ALTER TABLE {schema}.sold_products
    ALTER COLUMN price TYPE numeric(10, 2), ALTER COLUMN former_price TYPE numeric(10, 2), ADD PRIMARY KEY (product_id);
CREATE INDEX ON {schema}.sold_products (first_sold_at);

CREATE TABLE {schema}.households AS
SELECT h.household_id, d.age, d.income, d.home_ownership, d.marital_status, d.household_size, d.household_comp,
    d.kids_count
FROM (SELECT DISTINCT household_id FROM {schema}.transactions) AS h
LEFT JOIN {schema}.demographics AS d USING (household_id);

CREATE OR REPLACE VIEW journey.transactions AS
SELECT * FROM {schema}.transactions WHERE transaction_timestamp <= (SELECT journey.now());

-- New columns go to the end: only there can a view that others use get them.
CREATE OR REPLACE VIEW journey.products AS
SELECT
    p.product_id,
    p.department,
    p.brand,
    p.product_category,
    p.product_type,
    p.package_size,
    p.product_name,
    p.price,
    p.first_sold_at,
    p.product_line,
    p.brand_name,
    p.aisle,
    p.former_price,
    shop.base_url || '/products/' || p.product_id AS url,
    shop.base_url || '/images/' || p.image AS image,
    -- What the online shop sells: things with a picture, at a price that one would ask for a piece.
    p.image IS NOT NULL AND coalesce(p.price, 0) >= 0.25 AS sold_online
FROM {schema}.sold_products AS p, journey.shop AS shop
WHERE p.first_sold_at <= (SELECT journey.now());

-- Who the households are is no event: all of them are known from the start.
CREATE OR REPLACE VIEW journey.households AS SELECT * FROM {schema}.households;

-- Those who were sent a campaign gave their address: they may be mailed.
CREATE OR REPLACE VIEW journey.mailing_list AS SELECT DISTINCT household_id FROM {schema}.campaigns;

CREATE OR REPLACE VIEW journey.campaigns AS
SELECT c.campaign_id, c.household_id, d.campaign_type, d.start_date, d.end_date
FROM {schema}.campaigns AS c
JOIN {schema}.campaign_descriptions AS d USING (campaign_id)
WHERE d.start_date <= (SELECT journey.now());

CREATE OR REPLACE VIEW journey.coupon_redemptions AS
SELECT * FROM {schema}.coupon_redemptions WHERE redemption_date <= (SELECT journey.now());
