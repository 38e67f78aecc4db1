-- RudderStack writes one table for each event, in a schema named after the source. Replace shop by yours.
-- The column timestamp is the time of the event, corrected for wrong clocks. An event may be there twice with the same
-- id when a device sent it again, as rows are appended.
-- Written for BigQuery, where products of an order is a JSON text.
-- https://www.rudderstack.com/docs/destinations/warehouse-destinations/warehouse-schema/
SELECT DISTINCT
    v.id AS event_id,
    v.user_id,
    v.product_id AS item_id,
    {{ epoch('v.`timestamp`') }} AS timestamp,
    'view' AS event_type
FROM shop.product_viewed AS v
WHERE v.user_id IS NOT NULL
  AND v.product_id IS NOT NULL
  AND v.`timestamp` >= '{{ data_interval_start }}'
  AND v.`timestamp` < '{{ data_interval_end }}'
UNION ALL
SELECT DISTINCT
    o.id AS event_id,
    o.user_id,
    JSON_VALUE(product, '$.product_id') AS item_id,
    {{ epoch('o.`timestamp`') }} AS timestamp,
    'purchase' AS event_type
FROM shop.order_completed AS o,
    UNNEST(JSON_QUERY_ARRAY(o.products)) AS product
WHERE o.user_id IS NOT NULL
  AND o.`timestamp` >= '{{ data_interval_start }}'
  AND o.`timestamp` < '{{ data_interval_end }}'
