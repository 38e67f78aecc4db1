-- What a household can do: take part in a coupon campaign.
SELECT DISTINCT
    campaign_id AS action_id,
    campaign_type,
    {{ epoch('start_date') }} AS creation_timestamp
FROM journey.campaigns
WHERE start_date < '{{ data_interval_end }}'
