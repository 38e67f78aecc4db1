-- Lists of actions are checked against actions: campaigns that still run or ended lately.
SELECT DISTINCT
    campaign_id AS item_id,
    'Campaign ' || campaign_id || ' (' || campaign_type || ')' AS name
FROM journey.campaigns
