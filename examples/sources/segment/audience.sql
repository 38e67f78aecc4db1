-- Segment keeps the newest traits of each person in the table users; its id is the user_id of the events.
-- newsletter is a trait of your own: name the one that holds the consent.
SELECT
    id AS user_id,
    id AS external_id
FROM shop.users
WHERE email IS NOT NULL
  AND newsletter = TRUE
