-- Segment writes one table for each event, in a schema named after the source. Replace shop by yours.
-- Product Viewed and Product Added have one product each; Order Completed holds its products as a JSON text.
-- The column timestamp is the time of the event, corrected by Segment for wrong clocks; received_at comes later.
-- Written for Snowflake. https://www.twilio.com/docs/segment/connections/storage/warehouses/schema
SELECT
    user_id,
    product_id AS item_id,
    {{ epoch('"TIMESTAMP"') }} AS timestamp,
    'view' AS event_type
FROM shop.product_viewed
WHERE user_id IS NOT NULL
  AND product_id IS NOT NULL
  AND "TIMESTAMP" >= '{{ data_interval_start }}'
  AND "TIMESTAMP" < '{{ data_interval_end }}'
UNION ALL
SELECT
    o.user_id,
    p.value:product_id::VARCHAR AS item_id,
    {{ epoch('o."TIMESTAMP"') }} AS timestamp,
    'purchase' AS event_type
FROM shop.order_completed AS o,
    LATERAL FLATTEN(INPUT => PARSE_JSON(o.products)) AS p
WHERE o.user_id IS NOT NULL
  AND p.value:product_id IS NOT NULL
  AND o."TIMESTAMP" >= '{{ data_interval_start }}'
  AND o."TIMESTAMP" < '{{ data_interval_end }}'
