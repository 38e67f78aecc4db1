-- A snapshot when full; an hourly increment holds nobody, because households do not change here.
SELECT
    household_id AS user_id,
    age,
    income,
    household_size
FROM journey.households
WHERE {{ 'true' if full else 'false' }}
