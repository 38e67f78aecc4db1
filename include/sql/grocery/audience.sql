-- Households that were sent a campaign: those who may be mailed. Braze knows them by the same id. Who shops most is
-- written first (priority), and popular products are counted within an age group (segment).
SELECT
    l.household_id AS user_id,
    l.household_id AS external_id,
    coalesce(t.baskets, 0) AS priority,
    h.age AS segment
FROM journey.mailing_list AS l
LEFT JOIN journey.households AS h USING (household_id)
LEFT JOIN (
    SELECT household_id, count(DISTINCT basket_id) AS baskets
    FROM journey.transactions
    WHERE transaction_timestamp >= timestamptz '{{ data_interval_end }}' - interval '28 days'
    GROUP BY household_id
) AS t USING (household_id)
