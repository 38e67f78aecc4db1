-- The clock and the shop's address outlive every load of the sample data: they are in tables of their own.
CREATE SCHEMA IF NOT EXISTS journey;

CREATE TABLE IF NOT EXISTS journey.shop (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    base_url text NOT NULL DEFAULT 'http://127.0.0.1:9300'
);
INSERT INTO journey.shop (only_row) VALUES (true) ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS journey.clock (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    fixed_at timestamptz
);
INSERT INTO journey.clock (only_row) VALUES (true) ON CONFLICT DO NOTHING;

-- STABLE: one value per statement, so a comparison with it can use an index.
CREATE OR REPLACE FUNCTION journey.now() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT coalesce((SELECT fixed_at FROM journey.clock), pg_catalog.now()) $$;
