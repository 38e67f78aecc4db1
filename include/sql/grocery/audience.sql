-- Households that were sent a campaign: those who may be mailed. Braze knows them by the same id.
SELECT
    household_id AS user_id,
    household_id AS external_id
FROM journey.mailing_list
