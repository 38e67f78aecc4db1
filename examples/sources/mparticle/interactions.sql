-- mParticle writes all events of an app into one view; eventtimestamp is in milliseconds.
-- Names as in mParticle's own Looker block for Redshift: eventsview, mparticleuserid, eventname, messagetypeid (4: a
-- custom event of the app). eventattributes is a JSON text, and the names in it are your own: correct product_id.
-- A person is mparticleuserid here; use customerid where your export has it, so that Braze knows the same id.
SELECT
    mparticleuserid AS user_id,
    JSON_EXTRACT_PATH_TEXT(eventattributes, 'product_id') AS item_id,
    {{ epoch_ms('eventtimestamp') }} AS timestamp,
    eventname AS event_type
FROM app.eventsview
WHERE messagetypeid = 4
  AND eventname IN ('product_viewed', 'product_added', 'purchase')
  AND JSON_EXTRACT_PATH_TEXT(eventattributes, 'product_id') <> ''
  AND eventtimestamp >= {{ data_interval_start_epoch * 1000 }}
  AND eventtimestamp < {{ data_interval_end_epoch * 1000 }}
