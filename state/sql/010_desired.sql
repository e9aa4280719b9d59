-- Desired state: what people ask for, as typed rows. Constraints are the last line of defence; the triggers of the
-- following files say the same with a hint.

CREATE SCHEMA core;
CREATE SCHEMA armillary;
COMMENT ON SCHEMA core IS 'Armillary''s tables and the functions of its daemon. Administrators use schema armillary.';
COMMENT ON SCHEMA armillary IS 'Armillary for administrators: views to read and change, functions to call. Try \dv+ armillary.* and \df+ armillary.*';

CREATE TABLE core.installation (
    only_one boolean PRIMARY KEY DEFAULT true CONSTRAINT there_is_one_installation_a_database CHECK (only_one),
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE core.installation IS 'One row: which installation this database belongs to.';
INSERT INTO core.installation DEFAULT VALUES;

CREATE TABLE core.defaults (
    only_one boolean PRIMARY KEY DEFAULT true CONSTRAINT there_is_one_row_of_defaults CHECK (only_one),
    grace_seconds integer NOT NULL DEFAULT 900
        CONSTRAINT grace_seconds_are_at_most_a_year CHECK (grace_seconds BETWEEN 0 AND 31622400),
    retention_seconds integer NOT NULL DEFAULT 2592000
        CONSTRAINT retention_seconds_are_at_most_ten_years CHECK (retention_seconds BETWEEN 0 AND 316224000),
    bulk_minimum integer NOT NULL DEFAULT 3 CONSTRAINT bulk_minimum_is_positive CHECK (bulk_minimum > 0),
    bulk_percent integer NOT NULL DEFAULT 10 CONSTRAINT bulk_percent_is_a_percentage CHECK (bulk_percent BETWEEN 0 AND 100)
);
COMMENT ON TABLE core.defaults IS 'One row: times of deletion, and how many deployments a transaction may touch.';
INSERT INTO core.defaults DEFAULT VALUES;

CREATE TABLE core.clusters (
    name text PRIMARY KEY,
    driver text NOT NULL CONSTRAINT cluster_driver_is_known CHECK (driver IN ('local')),
    port_first integer NOT NULL DEFAULT 20000,
    port_last integer NOT NULL DEFAULT 32767,
    CONSTRAINT cluster_ports_are_a_range CHECK (port_first BETWEEN 1024 AND port_last AND port_last < 32768)
);
COMMENT ON TABLE core.clusters IS 'Where deployments run. The ports leased there lie below the ephemeral ones of Linux (32768).';
INSERT INTO core.clusters (name, driver) VALUES ('local', 'local');

CREATE TABLE core.workspaces (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CONSTRAINT workspace_names_are_unique UNIQUE
        CONSTRAINT workspace_name_is_lowercase_letters_digits_and_dashes CHECK (name ~ '^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$'),
    description text NOT NULL DEFAULT '' CONSTRAINT workspace_description_is_short CHECK (length(description) <= 1000),
    generation bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE core.workspaces IS 'Teams'' places for deployments.';

CREATE TABLE core.releases (
    release text PRIMARY KEY CONSTRAINT release_is_a_dns_label CHECK (release ~ '^[a-z]([a-z0-9-]{0,46}[a-z0-9])?$'),
    given_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE core.releases IS 'Every release ever given. Rows are never removed: a release is never used again.';

CREATE TABLE core.deployments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner text GENERATED ALWAYS AS ('deployment/' || id::text) STORED,
    workspace_id bigint NOT NULL REFERENCES core.workspaces,
    name text NOT NULL CONSTRAINT deployment_name_is_lowercase_letters_digits_and_dashes
        CHECK (name ~ '^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$'),
    release text NOT NULL UNIQUE REFERENCES core.releases,
    cluster text NOT NULL DEFAULT 'local' REFERENCES core.clusters,
    airflow_version text NOT NULL,
    executor text NOT NULL DEFAULT 'LocalExecutor',
    dags_folder text NOT NULL CONSTRAINT dags_folder_is_an_absolute_path
        CHECK (dags_folder ~ '^/[^\n\r]*$' AND length(dags_folder) <= 4000),
    hibernated boolean NOT NULL DEFAULT false,
    drift_policy text NOT NULL DEFAULT 'repair'
        CONSTRAINT drift_policy_is_repair_or_report CHECK (drift_policy IN ('repair', 'report')),
    paused_until timestamptz,
    pause_reason text NOT NULL DEFAULT '' CONSTRAINT pause_reason_is_short CHECK (length(pause_reason) <= 1000),
    restarted_at timestamptz,
    deletion_requested_at timestamptz,
    delete_after timestamptz,
    retain_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    generation bigint NOT NULL DEFAULT 1,
    changed_in xid8,
    changed_at timestamptz,
    changed_by text NOT NULL DEFAULT session_user,
    CONSTRAINT a_pause_has_a_reason CHECK (paused_until IS NULL OR pause_reason <> ''),
    CONSTRAINT deletion_times_are_set_together_and_in_order CHECK (
        (deletion_requested_at IS NULL AND delete_after IS NULL AND retain_until IS NULL)
        OR (deletion_requested_at IS NOT NULL AND delete_after IS NOT NULL AND retain_until >= delete_after))
);
COMMENT ON TABLE core.deployments IS 'Desired Airflows. A row goes when nothing of the deployment is left.';
COMMENT ON COLUMN core.deployments.changed_in IS 'The transaction that last bumped the generation, with its time: so it is bumped once a transaction.';
COMMENT ON COLUMN core.deployments.changed_by IS 'Who made this generation.';
CREATE UNIQUE INDEX deployment_names_are_unique_in_a_workspace
    ON core.deployments (workspace_id, name) WHERE deletion_requested_at IS NULL;
-- partial, although it is never NULL: a plain unique index would make it a key, and with a generated key every update
-- locks out the foreign keys' checks of other transactions, which then deadlock
CREATE UNIQUE INDEX deployments_by_owner ON core.deployments (owner) WHERE owner IS NOT NULL;
CREATE INDEX deployments_by_name ON core.deployments (workspace_id, name);
CREATE INDEX deployments_changed_in ON core.deployments (changed_in);

CREATE TABLE core.components (
    deployment_id bigint NOT NULL REFERENCES core.deployments ON DELETE CASCADE,
    component text NOT NULL,
    replicas integer NOT NULL DEFAULT 1,
    cpu_millicores integer CONSTRAINT cpu_millicores_are_between_10_and_256000
        CHECK (cpu_millicores BETWEEN 10 AND 256000),
    memory_mib integer CONSTRAINT memory_mib_is_between_64_and_4194304 CHECK (memory_mib BETWEEN 64 AND 4194304),
    grace_seconds integer NOT NULL DEFAULT 20
        CONSTRAINT grace_seconds_are_between_0_and_36000 CHECK (grace_seconds BETWEEN 0 AND 36000),
    settings jsonb NOT NULL DEFAULT '{}' CONSTRAINT settings_are_an_object CHECK (jsonb_typeof(settings) = 'object'),
    PRIMARY KEY (deployment_id, component)
);
COMMENT ON TABLE core.components IS 'The parts of each deployment: a row for each that its executor needs.';

CREATE TABLE core.variables (
    deployment_id bigint NOT NULL REFERENCES core.deployments ON DELETE CASCADE,
    key text NOT NULL CONSTRAINT variable_key_is_a_name_for_the_environment
        CHECK (key ~ '^[A-Za-z_][A-Za-z0-9_]{0,199}$'),
    value text CONSTRAINT variable_value_is_at_most_128_kib CHECK (octet_length(value) <= 131072),
    secret boolean NOT NULL DEFAULT false,
    version integer NOT NULL DEFAULT 0,
    components text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (deployment_id, key),
    CONSTRAINT a_secret_has_no_value_here CHECK (NOT secret OR value IS NULL),
    CONSTRAINT a_plain_variable_has_a_value CHECK (secret OR value IS NOT NULL)
);
COMMENT ON TABLE core.variables IS 'Environment variables. Of a secret one only the version is here.';

CREATE TABLE core.secrets (
    owner text NOT NULL,
    name text NOT NULL,
    version integer NOT NULL,
    key_id text NOT NULL,
    ciphertext bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, name, version)
);
COMMENT ON TABLE core.secrets IS 'Sealed values. A version never changes; generated secrets are generated once.';

CREATE UNLOGGED TABLE core.secret_inbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner text NOT NULL,
    name text NOT NULL,
    version integer NOT NULL,
    value text NOT NULL,
    actor text NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT a_version_waits_once UNIQUE (owner, name, version)
);
COMMENT ON TABLE core.secret_inbox IS 'Secrets written as plain SQL, until the daemon seals them. UNLOGGED: the plain text never reaches the write-ahead log, and a crash of the server empties it.';

CREATE TABLE core.tokens (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CONSTRAINT token_name_is_short CHECK (name <> '' AND length(name) <= 200),
    sha256 bytea NOT NULL UNIQUE CONSTRAINT a_hash_has_32_bytes CHECK (octet_length(sha256) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
);
COMMENT ON TABLE core.tokens IS 'Bearer tokens of the API, as hashes.';

CREATE TABLE core.ports (
    deployment_id bigint NOT NULL REFERENCES core.deployments ON DELETE CASCADE,
    cluster text NOT NULL REFERENCES core.clusters,
    unit text NOT NULL,
    port text NOT NULL,
    number integer NOT NULL,
    PRIMARY KEY (deployment_id, unit, port),
    CONSTRAINT a_port_is_leased_once_a_cluster UNIQUE (cluster, number)
);
COMMENT ON TABLE core.ports IS 'Ports leased to deployments: a block of 16 each, never moved.';

CREATE TABLE core.revisions (
    deployment_id bigint NOT NULL REFERENCES core.deployments ON DELETE CASCADE,
    revision bigint NOT NULL,
    spec jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    PRIMARY KEY (deployment_id, revision)
);
COMMENT ON TABLE core.revisions IS 'Every generation as a complete spec that can be restored. Secrets are versions.';

CREATE TABLE core.audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    relation text NOT NULL,
    key text NOT NULL,
    deployment text,
    operation text NOT NULL CONSTRAINT audited_operations_are_known CHECK (operation IN ('INSERT', 'UPDATE', 'DELETE')),
    before jsonb,
    after jsonb,
    session_role text NOT NULL DEFAULT session_user,
    actor text NOT NULL,
    actor_is_claimed boolean NOT NULL,
    reason text NOT NULL DEFAULT ''
);
COMMENT ON TABLE core.audit IS 'One row for each row of desired state that was changed. Append-only.';

CREATE TABLE core.approvals (
    owner text NOT NULL,
    what text NOT NULL CONSTRAINT approvals_are_known CHECK (what IN ('deletes', 'data', 'rollout')),
    reason text NOT NULL CONSTRAINT an_approval_has_a_reason CHECK (length(reason) BETWEEN 1 AND 1000),
    approved_by text NOT NULL,
    approved_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL DEFAULT now() + interval '1 hour',
    PRIMARY KEY (owner, what)
);
COMMENT ON TABLE core.approvals IS 'What people agreed to for one owner: deletes beyond the budget, the end of data that nothing uses, a held rollout.';
