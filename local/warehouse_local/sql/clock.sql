-- The clock outlives every load of the sample data: it lies in its own table, and only its own command sets it.
CREATE SCHEMA IF NOT EXISTS journey;

CREATE TABLE IF NOT EXISTS journey.clock (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    fixed_at timestamptz
);
INSERT INTO journey.clock (only_row) VALUES (true) ON CONFLICT DO NOTHING;

-- STABLE: one value per statement, so a comparison with it can use an index.
CREATE OR REPLACE FUNCTION journey.now() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT coalesce((SELECT fixed_at FROM journey.clock), pg_catalog.now()) $$;
