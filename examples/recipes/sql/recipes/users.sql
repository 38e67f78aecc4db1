SELECT
    household_id AS user_id,
    age,
    income,
    household_size
FROM journey.households
WHERE CAST(household_id AS integer) % 4 = 0
