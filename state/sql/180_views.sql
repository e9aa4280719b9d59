-- What administrators see and change. Simple views over one table stay updatable by PostgreSQL itself; names of
-- other tables' rows are sub-selects. What is counted is a plain column: the table's trigger refuses it with a hint.

CREATE VIEW armillary.workspaces AS
    SELECT w.name, w.description, w.generation, w.created_at FROM core.workspaces w;
COMMENT ON VIEW armillary.workspaces IS 'Teams'' places for deployments. INSERT, UPDATE, DELETE; one with deployments cannot be deleted.';
COMMENT ON COLUMN armillary.workspaces.name IS 'Lowercase letters, digits and dashes, at most 20.';
COMMENT ON COLUMN armillary.workspaces.description IS 'For people.';
COMMENT ON COLUMN armillary.workspaces.generation IS 'Grows with every change. Read-only.';
COMMENT ON COLUMN armillary.workspaces.created_at IS 'When it was made.';

CREATE VIEW armillary.deployments AS
    SELECT (SELECT w.name FROM core.workspaces w WHERE w.id = d.workspace_id) AS workspace, d.name,
           d.path || '' AS deployment,
           d.release, d.cluster, d.airflow_version, d.executor, d.dags_folder, d.hibernated, d.drift_policy, d.paused_until,
           d.pause_reason, d.restarted_at, d.generation, d.deletion_requested_at, d.delete_after, d.retain_until,
           d.created_at
      FROM core.deployments d;
COMMENT ON VIEW armillary.deployments IS 'Desired Airflows. INSERT with workspace, name, airflow_version, dags_folder; UPDATE; DELETE asks for the deletion, which can be undone: armillary.undelete().';
COMMENT ON COLUMN armillary.deployments.workspace IS 'The workspace''s name; set at INSERT.';
COMMENT ON COLUMN armillary.deployments.name IS 'Unique in its workspace among deployments that are not being deleted.';
COMMENT ON COLUMN armillary.deployments.deployment IS 'workspace/name: how functions and other views name it; of one being deleted whose name was given to another, workspace/name@release. Read-only.';
COMMENT ON COLUMN armillary.deployments.release IS 'Name of its database, folder and roles. Given once, never changed, never used again.';
COMMENT ON COLUMN armillary.deployments.cluster IS 'Where it runs. Never changes.';
COMMENT ON COLUMN armillary.deployments.airflow_version IS 'The Airflow that runs; changing it migrates the database.';
COMMENT ON COLUMN armillary.deployments.executor IS 'How Airflow runs tasks.';
COMMENT ON COLUMN armillary.deployments.dags_folder IS 'Absolute path of the folder with DAG files. Never written to.';
COMMENT ON COLUMN armillary.deployments.hibernated IS 'True: nothing runs, everything is kept.';
COMMENT ON COLUMN armillary.deployments.drift_policy IS 'repair (the default), or report: drift is shown and left alone.';
COMMENT ON COLUMN armillary.deployments.paused_until IS 'Until then nothing is changed. A pause always expires.';
COMMENT ON COLUMN armillary.deployments.pause_reason IS 'Why, for the next person.';
COMMENT ON COLUMN armillary.deployments.restarted_at IS 'Every process is restarted when this changes.';
COMMENT ON COLUMN armillary.deployments.generation IS 'Grows once a transaction that changes what is desired. Read-only.';
COMMENT ON COLUMN armillary.deployments.deletion_requested_at IS 'When the deletion was asked for; NULL undoes it. Everything is stopped at once.';
COMMENT ON COLUMN armillary.deployments.delete_after IS 'From then on everything but data is removed.';
COMMENT ON COLUMN armillary.deployments.retain_until IS 'From then on databases and volumes are removed too, and then this row.';
COMMENT ON COLUMN armillary.deployments.created_at IS 'When it was made.';

CREATE VIEW armillary.components AS
    SELECT c.path || '' AS deployment,
           c.component, c.replicas, c.cpu_millicores, c.memory_mib, c.grace_seconds, c.settings
      FROM core.components c;
COMMENT ON VIEW armillary.components IS 'The parts of each deployment. UPDATE them: takes effect within a second.';
COMMENT ON COLUMN armillary.components.deployment IS 'workspace/name.';
COMMENT ON COLUMN armillary.components.component IS 'api-server, scheduler, dag-processor, triggerer.';
COMMENT ON COLUMN armillary.components.replicas IS 'How many run; 0 stops it.';
COMMENT ON COLUMN armillary.components.cpu_millicores IS 'A limit in thousandths of a core; advisory on a local cluster.';
COMMENT ON COLUMN armillary.components.memory_mib IS 'A limit in MiB; advisory on a local cluster.';
COMMENT ON COLUMN armillary.components.grace_seconds IS 'How long it may take to stop before it is killed.';
COMMENT ON COLUMN armillary.components.settings IS 'Its settings as a JSON object; see armillary.settings for the keys.';

CREATE VIEW armillary.variables AS
    SELECT v.path || '' AS deployment,
           v.key, v.value, v.secret, v.version + 0 AS version, v.components
      FROM core.variables v;
COMMENT ON VIEW armillary.variables IS 'Environment variables of deployments. INSERT, UPDATE, DELETE. With secret = true the value is sealed and never shown.';
COMMENT ON COLUMN armillary.variables.deployment IS 'workspace/name; set at INSERT.';
COMMENT ON COLUMN armillary.variables.key IS 'Name of the environment variable.';
COMMENT ON COLUMN armillary.variables.value IS 'Its value; of a secret, written once and read as NULL.';
COMMENT ON COLUMN armillary.variables.secret IS 'True: sealed.';
COMMENT ON COLUMN armillary.variables.version IS 'Of a secret: the version in force; 0 until the daemon has sealed it. Read-only.';
COMMENT ON COLUMN armillary.variables.components IS 'Who reads it; empty: every Airflow process. Changing it restarts who reads it.';

CREATE VIEW armillary.defaults AS
    SELECT u.grace_seconds, u.retention_seconds, u.bulk_minimum, u.bulk_percent, u.refuse_plaintext FROM core.defaults u;
COMMENT ON VIEW armillary.defaults IS 'One row: how long deletions can be undone and data is kept, and how many deployments a transaction may touch without saying so.';
COMMENT ON COLUMN armillary.defaults.grace_seconds IS 'From the wish to delete until processes and files are removed.';
COMMENT ON COLUMN armillary.defaults.retention_seconds IS 'From then until databases and volumes are removed.';
COMMENT ON COLUMN armillary.defaults.bulk_minimum IS 'So many deployments a transaction may always touch.';
COMMENT ON COLUMN armillary.defaults.bulk_percent IS 'Of a large fleet, so many percent.';
COMMENT ON COLUMN armillary.defaults.refuse_plaintext IS 'True: SQL may set a secret only to what armillary secret seal printed.';

CREATE VIEW armillary.tokens AS
    SELECT t.id + 0 AS id, t.name || '' AS name, t.created_at + interval '0' AS created_at, t.expires_at + interval '0' AS expires_at, t.revoked_at
      FROM core.tokens t;
COMMENT ON VIEW armillary.tokens IS 'The API''s bearer tokens, without what would let anybody in. UPDATE … SET revoked_at = now() ends one.';
COMMENT ON COLUMN armillary.tokens.id IS 'Its number.';
COMMENT ON COLUMN armillary.tokens.name IS 'What it is for.';
COMMENT ON COLUMN armillary.tokens.created_at IS 'When it was made.';
COMMENT ON COLUMN armillary.tokens.expires_at IS 'When it ends by itself; NULL: never.';
COMMENT ON COLUMN armillary.tokens.revoked_at IS 'When it was ended. Final. The API may accept it for some seconds more.';

CREATE VIEW armillary.settings AS
    SELECT s.component, s.key, s.minimum, s.maximum, s.usual, s.meaning, s.pattern FROM core.setting_catalogue s;
COMMENT ON VIEW armillary.settings IS 'Every setting that a component knows. Read-only.';
COMMENT ON COLUMN armillary.settings.component IS 'Whose setting it is.';
COMMENT ON COLUMN armillary.settings.key IS 'Its key in armillary.components.settings.';
COMMENT ON COLUMN armillary.settings.pattern IS 'What a text must look like; NULL for whole numbers.';
COMMENT ON COLUMN armillary.settings.minimum IS 'The smallest value allowed; of a text, its length.';
COMMENT ON COLUMN armillary.settings.maximum IS 'The largest value allowed; of a text, its length.';
COMMENT ON COLUMN armillary.settings.usual IS 'What is used where it is not set; of a text, its length.';
COMMENT ON COLUMN armillary.settings.meaning IS 'What it does.';

CREATE VIEW armillary.clusters AS SELECT c.name, c.driver, c.port_first, c.port_last FROM core.clusters c;
COMMENT ON VIEW armillary.clusters IS 'Where deployments run. Read-only.';
COMMENT ON COLUMN armillary.clusters.name IS 'Its name.';
COMMENT ON COLUMN armillary.clusters.driver IS 'How things are run there.';
COMMENT ON COLUMN armillary.clusters.port_first IS 'The first port that may be leased.';
COMMENT ON COLUMN armillary.clusters.port_last IS 'The last port that may be leased.';

CREATE VIEW armillary.ports AS
    SELECT d.path || '' AS deployment, p.cluster, p.unit, p.port, p.number FROM core.ports p JOIN core.deployments d ON d.id = p.deployment_id;
COMMENT ON VIEW armillary.ports IS 'Ports leased to deployments on a local cluster. Read-only; a port never moves.';
COMMENT ON COLUMN armillary.ports.deployment IS 'workspace/name.';
COMMENT ON COLUMN armillary.ports.cluster IS 'Where.';
COMMENT ON COLUMN armillary.ports.unit IS 'Which part listens.';
COMMENT ON COLUMN armillary.ports.port IS 'What for.';
COMMENT ON COLUMN armillary.ports.number IS 'The port on 127.0.0.1.';
