-- What the daemon writes about owners: nothing here bumps a generation, notifies, or is audited. No foreign keys:
-- rows outlive the deployment that they are about.

CREATE TABLE core.status (
    owner text PRIMARY KEY,
    observed_generation bigint NOT NULL,
    epoch bigint NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    converged_generation bigint,
    converged_defaults text NOT NULL DEFAULT '',
    rolling_since timestamptz
) WITH (fillfactor = 80);
COMMENT ON TABLE core.status IS 'What was last looked at, and when a failed attempt is repeated.';
COMMENT ON COLUMN core.status.epoch IS 'Of the lease under which this row was last changed.';
COMMENT ON COLUMN core.status.converged_generation IS 'The generation at which all that was asked for was last there.';
COMMENT ON COLUMN core.status.converged_defaults IS 'The digest of the defaults at which all that was asked for was last there.';
COMMENT ON COLUMN core.status.rolling_since IS 'Since when a change that nobody asked for in particular is on its way.';

CREATE TABLE core.conditions (
    owner text NOT NULL,
    type text NOT NULL,
    status text NOT NULL CONSTRAINT condition_status_is_true_false_or_unknown CHECK (status IN ('True', 'False', 'Unknown')),
    reason text NOT NULL,
    message text NOT NULL,
    since timestamptz NOT NULL,
    PRIMARY KEY (owner, type)
) WITH (fillfactor = 80);
COMMENT ON TABLE core.conditions IS 'Synced and Ready of each owner.';

CREATE TABLE core.units (
    owner text NOT NULL,
    unit text NOT NULL,
    position integer NOT NULL,
    component text NOT NULL,
    state text NOT NULL,
    detail text NOT NULL,
    PRIMARY KEY (owner, unit)
) WITH (fillfactor = 80);
COMMENT ON TABLE core.units IS 'How each part of each owner is doing.';

CREATE TABLE core.objects (
    owner text NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    unit text NOT NULL,
    digest text NOT NULL,
    needs jsonb NOT NULL DEFAULT '[]',
    state text NOT NULL CONSTRAINT inventory_states_are_known CHECK (state IN ('intended', 'present', 'stopped', 'deleting', 'gone')),
    retain boolean NOT NULL,
    uid text NOT NULL DEFAULT '',
    PRIMARY KEY (owner, kind, name)
);
COMMENT ON TABLE core.objects IS 'The inventory: every object intended, made or being deleted.';

CREATE TABLE core.milestones (
    owner text NOT NULL,
    name text NOT NULL,
    key text NOT NULL,
    begun text[] NOT NULL DEFAULT '{}',
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, name)
);
COMMENT ON TABLE core.milestones IS 'What each task has achieved last: done is a row.';
COMMENT ON COLUMN core.milestones.key IS 'Empty: nothing yet.';
COMMENT ON COLUMN core.milestones.begun IS 'What was started since: until something is achieved again, nobody knows how far it came.';

CREATE TABLE core.events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason text NOT NULL,
    message text NOT NULL,
    cause text,
    object text NOT NULL DEFAULT ''
);
CREATE INDEX events_of_an_owner ON core.events (owner, id);
COMMENT ON TABLE core.events IS 'What happened to owners.';

CREATE TABLE core.leases (
    name text PRIMARY KEY,
    holder text NOT NULL,
    epoch bigint NOT NULL,
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE core.leases IS 'Who may act on a cluster, until when, and for the how manieth time it was taken.';
