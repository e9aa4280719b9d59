-- Components: what each row must be. Rows come with the deployment and go with it.

CREATE FUNCTION core.component_checked() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE
    most integer;
    known text;
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.deployment_id, NEW.component) IS DISTINCT FROM (OLD.deployment_id, OLD.component) THEN
        PERFORM core.invalid('components_are_not_renamed', core.pointer('components', OLD.component),
            format('The component %s cannot become another one.', OLD.component), 'Change the other component''s row instead.',
            core.where_is(OLD.deployment_id));
    END IF;
    SELECT max(c.replicas_max) FILTER (WHERE c.component = NEW.component), string_agg(c.component, ', ' ORDER BY c.component)
      INTO most, known
      FROM core.component_catalogue c JOIN core.deployments d ON d.executor = c.executor WHERE d.id = NEW.deployment_id;
    IF most IS NULL THEN
        PERFORM core.invalid('component_is_known', core.pointer('components', NEW.component),
            format('There is no component %L in this deployment.', NEW.component), 'Components: ' || known, core.where_is(NEW.deployment_id));
    END IF;
    PERFORM core.check_amount(NEW, 'replicas', coalesce(NEW.replicas, -1), 0, most);
    PERFORM core.check_amount(NEW, 'cpu_millicores', NEW.cpu_millicores, 10, 256000);
    PERFORM core.check_amount(NEW, 'memory_mib', NEW.memory_mib, 64, 4194304);
    PERFORM core.check_amount(NEW, 'grace_seconds', coalesce(NEW.grace_seconds, -1), 0, 36000);
    PERFORM core.check_settings(NEW);
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.component_checked IS 'Trigger: checks a component''s row.';

CREATE FUNCTION core.check_amount(of_component core.components, field text, amount integer, lowest integer, highest integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF amount NOT BETWEEN lowest AND highest THEN
        PERFORM core.invalid(field || '_are_within_limits', core.pointer('components', of_component.component, field),
            format('%s of %s cannot be %s.', field, of_component.component, CASE WHEN amount = -1 THEN 'negative or NULL' ELSE amount::text END),
            format('Choose between %s and %s.', lowest, highest), core.where_is(of_component.deployment_id));
    END IF;
END $$;
COMMENT ON FUNCTION core.check_amount IS 'Raises when a number of a component is out of its limits. NULL is within.';

CREATE FUNCTION core.check_settings(c core.components) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    one record;
    known core.setting_catalogue;
    of_component text := c.component;
BEGIN
    IF jsonb_typeof(c.settings) IS DISTINCT FROM 'object' THEN
        PERFORM core.invalid('settings_are_an_object', core.pointer('components', of_component, 'settings'),
            format('The settings of %s must be a JSON object.', of_component), 'Write {"key": value}, or {} for none.', core.where_is(c.deployment_id));
    END IF;
    FOR one IN SELECT key, value FROM jsonb_each(c.settings) LOOP
        SELECT * INTO known FROM core.setting_catalogue s WHERE s.component = of_component AND s.key = one.key;
        IF NOT FOUND THEN
            PERFORM core.invalid('setting_is_known', core.pointer('components', of_component, 'settings', one.key),
                format('%s has no setting %L.', of_component, left(one.key, 80)), 'Its settings: '
                || coalesce((SELECT string_agg(key, ', ' ORDER BY key) FROM core.setting_catalogue s WHERE s.component = of_component), 'none'), core.where_is(c.deployment_id));
        END IF;
        IF known.pattern IS NOT NULL THEN
            PERFORM core.check_text(c, known, one.value);
        ELSIF one.value::text !~ '^-?[0-9]{1,9}$' OR one.value::text::integer NOT BETWEEN known.minimum AND known.maximum THEN
            PERFORM core.invalid('setting_is_within_limits', core.pointer('components', of_component, 'settings', one.key),
                format('%s of %s cannot be %s.', one.key, of_component, left(one.value::text, 80)),
                format('Choose a whole number between %s and %s, without quotes. %s', known.minimum, known.maximum, known.meaning), core.where_is(c.deployment_id));
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION core.check_settings IS 'Raises when a setting is not in the catalogue, or out of its limits.';

CREATE FUNCTION core.check_text(c core.components, known core.setting_catalogue, value jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE said text := value #>> '{}';
BEGIN
    IF (jsonb_typeof(value) = 'string' AND said ~ known.pattern AND length(said) BETWEEN known.minimum AND known.maximum) IS NOT TRUE THEN
        PERFORM core.invalid('setting_is_within_limits', core.pointer('components', c.component, 'settings', known.key),
            format('%s of %s cannot be %s.', known.key, c.component, left(value::text, 80)),
            'Write a text in quotes. ' || known.meaning, core.where_is(c.deployment_id));
    END IF;
END $$;
COMMENT ON FUNCTION core.check_text IS 'Raises when a setting that is a text does not look as it must.';

CREATE FUNCTION core.component_stays() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    -- a row that goes with its deployment has no deployment any more, or one that is just being removed
    IF EXISTS (SELECT FROM core.deployments d WHERE d.id = OLD.deployment_id AND NOT core.is_left_over(OLD, d.executor)
                  AND d.owner IS DISTINCT FROM current_setting('armillary.removing', true)) THEN
        PERFORM core.refuse('components_follow_from_the_executor', core.pointer('components', OLD.component),
            format('The component %s belongs to the deployment''s executor and is not deleted.', OLD.component),
            'To stop it: UPDATE armillary.components SET replicas = 0 WHERE …', core.where_is(OLD.deployment_id));
    END IF;
    RETURN OLD;
END $$;
COMMENT ON FUNCTION core.component_stays IS 'Trigger: a component goes only with its deployment, or with an executor.';

CREATE TRIGGER a1_check BEFORE INSERT OR UPDATE ON core.components FOR EACH ROW EXECUTE FUNCTION core.component_checked();
CREATE TRIGGER a2_stays BEFORE DELETE ON core.components FOR EACH ROW EXECUTE FUNCTION core.component_stays();
