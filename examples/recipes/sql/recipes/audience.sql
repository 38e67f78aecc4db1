-- The households of the sample that may be mailed.
SELECT
    household_id AS user_id,
    household_id AS external_id
FROM journey.mailing_list
WHERE CAST(household_id AS integer) % 4 = 0
