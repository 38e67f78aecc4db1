-- Everybody whom Braze mailed in the last 90 days, except those who have unsubscribed from e-mail since then.
-- Braze leaves unsubscribed people out of its own sends too; this only spares their lists.
WITH latest AS (
    SELECT
        external_user_id,
        subscription_status
    FROM users_behaviors_subscription_globalstatechange_shared
    WHERE channel = 'email'
    QUALIFY ROW_NUMBER() OVER (PARTITION BY external_user_id ORDER BY time DESC) = 1
)
SELECT DISTINCT
    s.external_user_id AS user_id,
    s.external_user_id AS external_id
FROM users_messages_email_send_shared AS s
LEFT JOIN latest AS l ON l.external_user_id = s.external_user_id
WHERE s.external_user_id IS NOT NULL
  AND s.time >= {{ data_interval_end_epoch - 90 * 86400 }}
  AND (l.subscription_status IS NULL OR l.subscription_status <> 'Unsubscribed')
