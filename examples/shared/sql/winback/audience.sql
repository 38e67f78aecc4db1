-- Households that may be mailed and bought nothing in the last two weeks.
SELECT
    l.household_id AS user_id,
    l.household_id AS external_id,
    h.age AS segment
FROM journey.mailing_list AS l
LEFT JOIN journey.households AS h USING (household_id)
WHERE NOT EXISTS (
    SELECT
    FROM journey.transactions AS t
    WHERE t.household_id = l.household_id
      AND t.transaction_timestamp >= timestamptz '{{ data_interval_end }}' - interval '14 days'
)
