-- Who was sent a campaign, and who redeemed a coupon of it.
SELECT
    household_id AS user_id,
    campaign_id AS action_id,
    event_type,
    {{ epoch('at') }} AS timestamp
FROM (
    SELECT household_id, campaign_id, 'VIEWED' AS event_type, start_date AS at
    FROM journey.campaigns
    UNION ALL
    SELECT DISTINCT household_id, campaign_id, 'TAKEN', redemption_date
    FROM journey.coupon_redemptions
) AS events
WHERE at >= '{{ data_interval_start }}'
  AND at < '{{ data_interval_end }}'
