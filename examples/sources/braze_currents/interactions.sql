-- Braze shares what it knows with Snowflake; time is in seconds since 1970. Purchases name the product, and custom
-- events hold it in properties, a JSON text: correct product_viewed and product_id to yours.
-- https://www.braze.com/docs/user_guide/engagement_tools/segments/segment_extension/sql_segments/sql_segments_tables
SELECT
    external_user_id AS user_id,
    product_id AS item_id,
    time AS timestamp,
    'purchase' AS event_type
FROM users_behaviors_purchase_shared
WHERE external_user_id IS NOT NULL
  AND time >= {{ data_interval_start_epoch }}
  AND time < {{ data_interval_end_epoch }}
UNION ALL
SELECT
    external_user_id AS user_id,
    PARSE_JSON(properties):product_id::VARCHAR AS item_id,
    time AS timestamp,
    'view' AS event_type
FROM users_behaviors_customevent_shared
WHERE external_user_id IS NOT NULL
  AND name = 'product_viewed'
  AND PARSE_JSON(properties):product_id IS NOT NULL
  AND time >= {{ data_interval_start_epoch }}
  AND time < {{ data_interval_end_epoch }}
