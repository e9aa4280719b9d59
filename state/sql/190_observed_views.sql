-- What is, for people: nothing here can be changed.

CREATE VIEW armillary.fleet AS
    SELECT d.path || '' AS deployment, d.airflow_version, d.executor,
           CASE WHEN d.deletion_requested_at IS NULL THEN 'active' WHEN statement_timestamp() < d.delete_after THEN 'stopping'
                WHEN statement_timestamp() < d.retain_until THEN 'retaining' ELSE 'purging' END AS stage,
           coalesce(y.status, 'Unknown') AS synced, coalesce(y.reason, 'NotLookedAt') AS synced_reason,
           coalesce(r.status, 'Unknown') AS ready, coalesce(r.reason, 'NotLookedAt') AS ready_reason,
           d.generation, s.observed_generation,
           CASE WHEN y.status IS DISTINCT FROM 'True' THEN y.message WHEN r.status IS DISTINCT FROM 'True' THEN r.message END AS message,
           greatest(y.since, r.since) AS since
      FROM core.deployments d
      LEFT JOIN core.status s ON s.owner = d.owner
      LEFT JOIN core.conditions y ON y.owner = d.owner AND y.type = 'Synced'
      LEFT JOIN core.conditions r ON r.owner = d.owner AND r.type = 'Ready';
COMMENT ON VIEW armillary.fleet IS 'One line a deployment: is it as asked (synced), does it work (ready), and if not, why.';
COMMENT ON COLUMN armillary.fleet.deployment IS 'workspace/name.';
COMMENT ON COLUMN armillary.fleet.airflow_version IS 'The Airflow asked for.';
COMMENT ON COLUMN armillary.fleet.executor IS 'How Airflow runs tasks.';
COMMENT ON COLUMN armillary.fleet.stage IS 'active; of a deletion: stopping (can be undone, nothing is removed), retaining (only data is left), purging.';
COMMENT ON COLUMN armillary.fleet.synced IS 'True: what is observed is what is asked.';
COMMENT ON COLUMN armillary.fleet.synced_reason IS 'Why, in a word.';
COMMENT ON COLUMN armillary.fleet.ready IS 'True: it works.';
COMMENT ON COLUMN armillary.fleet.ready_reason IS 'Why, in a word.';
COMMENT ON COLUMN armillary.fleet.generation IS 'What is asked for.';
COMMENT ON COLUMN armillary.fleet.observed_generation IS 'What the rest of the line is about.';
COMMENT ON COLUMN armillary.fleet.message IS 'The sentence of what is not as it should be.';
COMMENT ON COLUMN armillary.fleet.since IS 'When synced or ready last changed.';

CREATE VIEW armillary.status AS
    SELECT d.path || '' AS deployment, d.generation, s.observed_generation, s.attempts, s.next_attempt_at
      FROM core.deployments d LEFT JOIN core.status s ON s.owner = d.owner;
COMMENT ON VIEW armillary.status IS 'What was looked at, and when what failed is tried again.';
COMMENT ON COLUMN armillary.status.deployment IS 'workspace/name.';
COMMENT ON COLUMN armillary.status.generation IS 'What is asked for.';
COMMENT ON COLUMN armillary.status.observed_generation IS 'What was last looked at; NULL: nothing yet.';
COMMENT ON COLUMN armillary.status.attempts IS 'Failed passes since the last success or change.';
COMMENT ON COLUMN armillary.status.next_attempt_at IS 'When the next one is.';

CREATE VIEW armillary.conditions AS
    SELECT d.path || '' AS deployment, c.type, c.status, c.reason, c.message, c.since
      FROM core.conditions c JOIN core.deployments d ON d.owner = c.owner;
COMMENT ON VIEW armillary.conditions IS 'Synced and Ready of each deployment, with reason and since when.';
COMMENT ON COLUMN armillary.conditions.deployment IS 'workspace/name.';
COMMENT ON COLUMN armillary.conditions.type IS 'Synced: as asked for. Ready: works.';
COMMENT ON COLUMN armillary.conditions.status IS 'True, False or Unknown.';
COMMENT ON COLUMN armillary.conditions.reason IS 'Why, in a word.';
COMMENT ON COLUMN armillary.conditions.message IS 'Why, in a sentence.';
COMMENT ON COLUMN armillary.conditions.since IS 'When status last changed.';

CREATE VIEW armillary.units AS
    SELECT d.path || '' AS deployment, u.unit, u.component, u.state, u.detail, u.position
      FROM core.units u JOIN core.deployments d ON d.owner = u.owner;
COMMENT ON VIEW armillary.units IS 'How each part of each deployment is doing.';
COMMENT ON COLUMN armillary.units.deployment IS 'workspace/name.';
COMMENT ON COLUMN armillary.units.unit IS 'The part.';
COMMENT ON COLUMN armillary.units.component IS 'The component that it belongs to.';
COMMENT ON COLUMN armillary.units.state IS 'waiting, held, blind, applying, progressing, ready, failed, stopped or done.';
COMMENT ON COLUMN armillary.units.detail IS 'What there is to say about it.';
COMMENT ON COLUMN armillary.units.position IS 'The order in which parts are made.';

CREATE VIEW armillary.waiting AS
    SELECT deployment, unit, state, detail FROM armillary.units WHERE state IN ('waiting', 'held', 'blind', 'failed')
    UNION ALL
    SELECT d.path || '', '', CASE c.reason WHEN 'Blind' THEN 'blind' WHEN 'Paused' THEN 'paused' WHEN 'Refused' THEN 'failed' ELSE 'held' END, c.message
      FROM core.conditions c JOIN core.deployments d ON d.owner = c.owner
     WHERE c.type = 'Synced' AND c.reason IN ('Held', 'Blind', 'Paused', 'Refused', 'InvalidSpec')
       AND NOT EXISTS (SELECT FROM core.units u WHERE u.owner = c.owner AND u.state IN ('held', 'blind', 'failed'))
    UNION ALL
    SELECT d.path || '', i.name, 'waiting', 'A secret written at ' || i.written_at || ' waits to be sealed by the daemon.'
      FROM core.secret_inbox i JOIN core.deployments d ON d.owner = i.owner
    UNION ALL
    SELECT d.path || '', 'variable/' || v.key, 'failed', 'The secret was not sealed (the database''s server crashed before, or its sealed text did not open): write its value again.'
      FROM core.variables v JOIN core.deployments d ON d.id = v.deployment_id
     WHERE v.secret AND v.version = 0
       AND NOT EXISTS (SELECT FROM core.secret_inbox i WHERE i.owner = d.owner AND i.name = 'variable/' || v.key);
COMMENT ON VIEW armillary.waiting IS 'What waits, and for what; what is held, and for whom.';
COMMENT ON COLUMN armillary.waiting.deployment IS 'workspace/name.';
COMMENT ON COLUMN armillary.waiting.unit IS 'The part, or variable/KEY of a secret that is not sealed; empty: all of the deployment.';
COMMENT ON COLUMN armillary.waiting.state IS 'waiting for something it needs, held until a person decides, blind (cannot be seen), paused, or failed.';
COMMENT ON COLUMN armillary.waiting.detail IS 'For what, and what to do.';

CREATE VIEW armillary.objects AS
    SELECT coalesce(d.path || '', o.owner) AS deployment, o.kind, o.name, o.unit, o.state, o.retain, o.uid
      FROM core.objects o LEFT JOIN core.deployments d ON d.owner = o.owner;
COMMENT ON VIEW armillary.objects IS 'The inventory: everything that was made for deployments.';
COMMENT ON COLUMN armillary.objects.deployment IS 'workspace/name, or the owner when its row is gone.';
COMMENT ON COLUMN armillary.objects.kind IS 'What it is.';
COMMENT ON COLUMN armillary.objects.name IS 'Its name in the cluster.';
COMMENT ON COLUMN armillary.objects.unit IS 'The part that it was made for.';
COMMENT ON COLUMN armillary.objects.state IS 'intended, present, deleting or gone.';
COMMENT ON COLUMN armillary.objects.retain IS 'True: holds data, and is kept until retain_until.';
COMMENT ON COLUMN armillary.objects.uid IS 'Which one it is, should another of its name appear.';

CREATE VIEW armillary.events AS
    SELECT e.id, e.at, coalesce(d.path || '', e.owner) AS deployment, e.reason, e.cause, e.object, e.message
      FROM core.events e LEFT JOIN core.deployments d ON d.owner = e.owner;
COMMENT ON VIEW armillary.events IS 'What happened, newest with the highest id. Cause drift: something was changed behind Armillary''s back and repaired.';
COMMENT ON COLUMN armillary.events.id IS 'Grows.';
COMMENT ON COLUMN armillary.events.at IS 'When.';
COMMENT ON COLUMN armillary.events.deployment IS 'workspace/name, or the owner when its row is gone.';
COMMENT ON COLUMN armillary.events.reason IS 'What, in a word.';
COMMENT ON COLUMN armillary.events.cause IS 'Why: generation (somebody changed what is asked), drift, orphan, …';
COMMENT ON COLUMN armillary.events.object IS 'What it concerns; empty: the whole deployment.';
COMMENT ON COLUMN armillary.events.message IS 'The sentence.';

CREATE VIEW armillary.drift AS
    SELECT at, deployment, object, message FROM armillary.events WHERE cause = 'drift';
COMMENT ON VIEW armillary.drift IS 'Every repair of something that was changed out of band.';
COMMENT ON COLUMN armillary.drift.at IS 'When.';
COMMENT ON COLUMN armillary.drift.deployment IS 'workspace/name.';
COMMENT ON COLUMN armillary.drift.object IS 'What had been changed.';
COMMENT ON COLUMN armillary.drift.message IS 'What was done about it.';

CREATE VIEW armillary.history AS
    SELECT d.path || '' AS deployment, r.revision, r.at, r.actor, r.spec
      FROM core.revisions r JOIN core.deployments d ON d.id = r.deployment_id;
COMMENT ON VIEW armillary.history IS 'Every generation as a complete spec; armillary.rollback() restores one.';
COMMENT ON COLUMN armillary.history.deployment IS 'workspace/name.';
COMMENT ON COLUMN armillary.history.revision IS 'The generation.';
COMMENT ON COLUMN armillary.history.at IS 'When it was made.';
COMMENT ON COLUMN armillary.history.actor IS 'By whom.';
COMMENT ON COLUMN armillary.history.spec IS 'All of it. Secrets are versions.';

CREATE VIEW armillary.audit AS
    SELECT a.id, a.at, a.transaction, a.relation, a.key, a.deployment, a.operation, a.before, a.after, a.session_role, a.actor,
           a.actor_is_claimed, a.reason
      FROM core.audit a;
COMMENT ON VIEW armillary.audit IS 'One row a changed row: who, what, before and after. Secrets are masked.';
COMMENT ON COLUMN armillary.audit.id IS 'Grows.';
COMMENT ON COLUMN armillary.audit.at IS 'When.';
COMMENT ON COLUMN armillary.audit.transaction IS 'Rows of one transaction belong together.';
COMMENT ON COLUMN armillary.audit.relation IS 'The table.';
COMMENT ON COLUMN armillary.audit.key IS 'The row''s primary key.';
COMMENT ON COLUMN armillary.audit.deployment IS 'workspace/name, where it concerns one.';
COMMENT ON COLUMN armillary.audit.operation IS 'INSERT, UPDATE or DELETE.';
COMMENT ON COLUMN armillary.audit.before IS 'The row before; NULL for a new one.';
COMMENT ON COLUMN armillary.audit.after IS 'The row after; NULL for one that went.';
COMMENT ON COLUMN armillary.audit.session_role IS 'The role that logged in.';
COMMENT ON COLUMN armillary.audit.actor IS 'Who acted, as the session said; else the role.';
COMMENT ON COLUMN armillary.audit.actor_is_claimed IS 'True: a session said so that is not the API''s. Kept, and not believed.';
COMMENT ON COLUMN armillary.audit.reason IS 'Why a bulk change was meant.';
