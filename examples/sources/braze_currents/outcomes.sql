-- What people bought, and what they did with a mail: docs/lift.md. Braze delivers events at least once, so id is the
-- outcome_id. A scanner's click and an opening by Apple's proxy are no person's.
-- https://www.braze.com/docs/user_guide/engagement_tools/segments/segment_extension/sql_segments/sql_segments_tables
WITH events AS (
    SELECT external_user_id, time, price AS value, product_id AS item_id, 'conversion' AS event, id
    FROM users_behaviors_purchase_shared
    UNION ALL
    SELECT external_user_id, time, NULL, NULL, 'open', id
    FROM users_messages_email_open_shared
    WHERE COALESCE(machine_open, 'false') <> 'true'
    UNION ALL
    SELECT external_user_id, time, NULL, NULL, 'click', id
    FROM users_messages_email_click_shared
    WHERE NOT COALESCE(is_suspected_bot_click, FALSE)
    UNION ALL
    SELECT external_user_id, time, NULL, NULL, 'unsubscribe', id
    FROM users_messages_email_unsubscribe_shared
    UNION ALL
    SELECT external_user_id, time, NULL, NULL, 'complaint', id
    FROM users_messages_email_markasspam_shared
)
SELECT
    external_user_id AS user_id,
    time AS timestamp,
    value,
    item_id,
    event,
    id AS outcome_id
FROM events
WHERE external_user_id IS NOT NULL
  AND time >= {{ data_interval_start_epoch }}
  AND time < {{ data_interval_end_epoch }}
