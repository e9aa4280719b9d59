-- Alert e-mails: who is told when something is wrong with a deployment. They change nothing that runs, so no generation counts
-- them, and who is on duty does not go back with a rollback. What is wrong now, with whom to tell, is asked over HTTP: /v1/alerts.

CREATE FUNCTION core.check_email(email text, deployment bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- what a browser accepts: https://html.spec.whatwg.org/#valid-e-mail-address
    IF (length(email) <= 200 AND email ~ '^[a-zA-Z0-9.!#$%&''*+/=?^_`{|}~-]+@[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?([.][a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$') IS NOT TRUE THEN
        PERFORM core.invalid('an_alert_email_is_an_address', core.pointer('alert_emails', coalesce(email, '')),
            format('%s cannot be an e-mail address.', coalesce(quote_literal(left(email, 60)), 'NULL')),
            'Write one address without a name around it, as in team@example.org, of at most 200 characters.', core.where_is(deployment));
    END IF;
END $$;
COMMENT ON FUNCTION core.check_email IS 'Raises when a text is no e-mail address.';

CREATE FUNCTION core.alert_email_is_there(deployment text, email text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM core.conflict(format('%s tells %s already.', deployment, email),
        'Nothing is to be done. Capital letters make no other address.');
END $$;
COMMENT ON FUNCTION core.alert_email_is_there IS 'Raises: a deployment tells an address once.';

CREATE FUNCTION core.alert_email_checked() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    PERFORM core.check_email(NEW.email, NEW.deployment_id);
    IF TG_OP = 'UPDATE' AND EXISTS (SELECT FROM core.alert_emails a WHERE a.deployment_id = NEW.deployment_id
           AND lower(a.email) = lower(NEW.email) AND a.email <> OLD.email) THEN
        PERFORM core.alert_email_is_there(core.path_of(NEW.deployment_id), NEW.email);
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.alert_email_checked IS 'Trigger: checks an alert e-mail''s row.';
CREATE TRIGGER a1_check BEFORE INSERT OR UPDATE OF email ON core.alert_emails FOR EACH ROW EXECUTE FUNCTION core.alert_email_checked();
CREATE TRIGGER b1_path BEFORE INSERT OR UPDATE OF deployment_id, path ON core.alert_emails FOR EACH ROW EXECUTE FUNCTION core.part_named();
ALTER TABLE core.alert_emails ENABLE ALWAYS TRIGGER b1_path;

CREATE FUNCTION core.alert_emails_of(deployment bigint) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT coalesce(jsonb_agg(a.email ORDER BY lower(a.email)), '[]') FROM core.alert_emails a WHERE a.deployment_id = deployment);
END $$;
COMMENT ON FUNCTION core.alert_emails_of IS 'The addresses that a deployment tells, in order.';

CREATE FUNCTION core.put_alert_email(path text, wanted text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE target bigint := core.resolve(path);
BEGIN
    UPDATE core.alert_emails a SET email = wanted
     WHERE a.deployment_id = target AND lower(a.email) = lower(wanted) AND a.email <> wanted;
    IF FOUND OR EXISTS (SELECT FROM core.alert_emails a WHERE a.deployment_id = target AND a.email = wanted) THEN
        RETURN false;
    END IF;
    INSERT INTO core.alert_emails (deployment_id, email) VALUES (target, wanted);
    RETURN true;
END $$;
COMMENT ON FUNCTION core.put_alert_email IS 'Lets a deployment tell an address. True: it did not before.';

CREATE FUNCTION core.delete_alert_email(path text, unwanted text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE target bigint := core.resolve(path);
BEGIN
    DELETE FROM core.alert_emails a WHERE a.deployment_id = target AND lower(a.email) = lower(unwanted);
    IF NOT FOUND THEN
        PERFORM core.not_found(format('%s does not tell %L.', path, left(unwanted, 60)),
            'It tells: ' || coalesce((SELECT string_agg(e, ', ') FROM jsonb_array_elements_text(core.alert_emails_of(target)) AS e), 'nobody'));
    END IF;
END $$;
COMMENT ON FUNCTION core.delete_alert_email IS 'Lets a deployment tell an address no more. Raises when it did not.';

CREATE VIEW armillary.alert_emails AS SELECT a.path || '' AS deployment, a.email FROM core.alert_emails a;
COMMENT ON VIEW armillary.alert_emails IS 'Who is to be told when something is wrong with a deployment. INSERT, UPDATE, DELETE. /v1/alerts names them; Armillary itself sends no mail.';
COMMENT ON COLUMN armillary.alert_emails.deployment IS 'workspace/name; set at INSERT.';
COMMENT ON COLUMN armillary.alert_emails.email IS 'An address, at most 200 characters. Capital letters make no other one.';

CREATE FUNCTION core.view_insert_alert_email() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    INSERT INTO core.alert_emails (deployment_id, email) VALUES (core.resolve(NEW.deployment), NEW.email) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        PERFORM core.alert_email_is_there(NEW.deployment, NEW.email);
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.view_insert_alert_email IS 'Trigger: INSERT INTO armillary.alert_emails.';
CREATE TRIGGER insert_alert_email INSTEAD OF INSERT ON armillary.alert_emails FOR EACH ROW EXECUTE FUNCTION core.view_insert_alert_email();

CREATE TRIGGER z1_audit_inserted AFTER INSERT ON core.alert_emails REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION core.audit_inserted('deployment_id', 'email');
CREATE TRIGGER z1_audit_updated AFTER UPDATE ON core.alert_emails REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION core.audit_updated('deployment_id', 'email');
CREATE TRIGGER z1_audit_deleted AFTER DELETE ON core.alert_emails REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION core.audit_deleted('deployment_id', 'email');
