-- Revisions: every generation is kept as a complete spec, at commit, when everything the transaction changed is there.

CREATE FUNCTION core.revision_kept() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    INSERT INTO core.revisions (deployment_id, revision, spec, actor)
    SELECT d.id, d.generation, core.document(d.id), d.changed_by FROM core.deployments d WHERE d.id = NEW.id
    ON CONFLICT (deployment_id, revision) DO NOTHING;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.revision_kept IS 'Trigger at commit: keeps the generation that the transaction made.';

CREATE CONSTRAINT TRIGGER z2_revision_of_new AFTER INSERT ON core.deployments
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION core.revision_kept();
CREATE CONSTRAINT TRIGGER z2_revision_of_changed AFTER UPDATE ON core.deployments
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.generation IS DISTINCT FROM NEW.generation)
    EXECUTE FUNCTION core.revision_kept();
