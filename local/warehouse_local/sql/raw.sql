-- Tables of one load, made in a schema of its own and renamed to journey_raw when all of it is there.
CREATE TABLE {schema}.transactions (
    household_id text NOT NULL,
    store_id text NOT NULL,
    basket_id text NOT NULL,
    product_id text NOT NULL,
    quantity bigint,
    sales_value double precision,
    retail_disc double precision,
    coupon_disc double precision,
    coupon_match_disc double precision,
    week bigint,
    transaction_timestamp timestamptz NOT NULL
);
CREATE TABLE {schema}.products (
    product_id text PRIMARY KEY,
    department text,
    brand text,
    product_category text,
    product_type text,
    package_size text,
    product_name text NOT NULL,
    product_line text NOT NULL,
    brand_name text NOT NULL,
    aisle text,
    image text
);
CREATE TABLE {schema}.demographics (
    household_id text PRIMARY KEY,
    age text,
    income text,
    home_ownership text,
    marital_status text,
    household_size text,
    household_comp text,
    kids_count text
);
CREATE TABLE {schema}.campaigns (campaign_id text NOT NULL, household_id text NOT NULL);
CREATE TABLE {schema}.campaign_descriptions (
    campaign_id text PRIMARY KEY,
    campaign_type text,
    start_date timestamptz NOT NULL,
    end_date timestamptz NOT NULL
);
CREATE TABLE {schema}.coupon_redemptions (
    household_id text NOT NULL,
    coupon_upc text NOT NULL,
    campaign_id text NOT NULL,
    redemption_date timestamptz NOT NULL
);
CREATE TABLE {schema}.load (
    shift_weeks integer NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    format integer NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
