-- Guards: what nobody may do by accident.

CREATE FUNCTION core.deployment_row_stays() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    IF current_setting('armillary.removing', true) IS DISTINCT FROM OLD.owner THEN
        PERFORM core.refuse('a_deployment_goes_last', '', 'A deployment''s row goes when nothing of the deployment is left, not before.',
            'Ask for the deletion: DELETE FROM armillary.deployments WHERE deployment = ''workspace/name''');
    END IF;
    RETURN OLD;
END $$;
COMMENT ON FUNCTION core.deployment_row_stays IS 'Trigger: only core.remove_owner removes a deployment''s row.';
CREATE TRIGGER a1_stays BEFORE DELETE ON core.deployments FOR EACH ROW EXECUTE FUNCTION core.deployment_row_stays();

CREATE FUNCTION core.check_bulk(touched integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE most integer;
BEGIN
    IF coalesce(current_setting('armillary.allow_bulk', true), '') <> '' OR touched <= (SELECT bulk_minimum FROM core.defaults) THEN
        RETURN;
    END IF;
    SELECT greatest(u.bulk_minimum, ceil(count(d.id) * u.bulk_percent / 100.0)) INTO most
      FROM core.defaults u LEFT JOIN core.deployments d ON true GROUP BY u.bulk_minimum, u.bulk_percent;
    IF touched > most THEN
        PERFORM core.refuse('bulk_is_meant', '',
            format('This transaction touches %s deployments; without saying so it may touch %s.', touched, most),
            'If you mean it, run first, in the same transaction: SET LOCAL armillary.allow_bulk = ''why''');
    END IF;
END $$;
COMMENT ON FUNCTION core.check_bulk IS 'Raises when a transaction touches more deployments than it may without saying so, however many statements it takes.';

CREATE FUNCTION core.token_stays_revoked() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    PERFORM core.check_time(NEW.revoked_at, 'revoked_at');
    IF OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at THEN
        PERFORM core.refuse('a_revoked_token_stays_revoked', '', format('The token %s was revoked.', OLD.name), 'Make a new one: armillary token create');
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.token_stays_revoked IS 'Trigger: a revocation is final.';
CREATE TRIGGER a1_stays BEFORE UPDATE ON core.tokens FOR EACH ROW EXECUTE FUNCTION core.token_stays_revoked();

CREATE FUNCTION core.check_default(field text, amount integer, lowest integer, highest integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF (amount BETWEEN lowest AND highest) IS NOT TRUE THEN
        PERFORM core.invalid('defaults_are_within_limits', core.pointer(field), format('%s cannot be %s.', field, coalesce(amount::text, 'NULL')),
            format('Choose between %s and %s.', lowest, highest), 'In armillary.defaults, which every deployment starts from.');
    END IF;
END $$;
COMMENT ON FUNCTION core.check_default IS 'Raises when a number of the defaults is out of its limits.';

CREATE FUNCTION core.defaults_checked() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    PERFORM core.check_default('grace_seconds', NEW.grace_seconds, 0, 31622400),
            core.check_default('retention_seconds', NEW.retention_seconds, 0, 316224000),
            core.check_default('bulk_minimum', NEW.bulk_minimum, 1, 2147483647),
            core.check_default('bulk_percent', NEW.bulk_percent, 0, 100);
    IF NEW.refuse_plaintext IS NULL THEN
        PERFORM core.invalid('refuse_plaintext_is_true_or_false', '/refuse_plaintext', 'refuse_plaintext cannot be NULL.', 'Set it to true or false.');
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.defaults_checked IS 'Trigger: checks the one row of defaults.';
CREATE TRIGGER a1_check BEFORE UPDATE ON core.defaults FOR EACH ROW EXECUTE FUNCTION core.defaults_checked();

CREATE FUNCTION core.never_truncate() RETURNS trigger LANGUAGE plpgsql SET search_path = core, pg_temp AS $$
BEGIN
    IF TG_TABLE_NAME = 'secret_inbox' AND current_setting('armillary.scrubbing', true) = 'yes' THEN
        RETURN NULL;  -- by core.scrub_inbox, which has seen that nothing is in it
    END IF;
    PERFORM core.refuse('nothing_is_truncated', '', format('%s is never truncated.', TG_TABLE_NAME),
        'Delete deployments one by one; each is kept until its retain_until.');
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.never_truncate IS 'Trigger: a table that is suddenly empty would read as a wish to remove everything.';
DO $$
DECLARE relation text;
BEGIN
    FOR relation IN SELECT tablename FROM pg_tables WHERE schemaname = 'core' LOOP
        EXECUTE format('CREATE TRIGGER a1_never BEFORE TRUNCATE ON core.%I FOR EACH STATEMENT EXECUTE FUNCTION core.never_truncate()', relation);
    END LOOP;
END $$;
