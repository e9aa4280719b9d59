-- What is under no guard: tables whose triggers are off, as a restore leaves them that was broken off in the middle.

CREATE VIEW armillary.unguarded AS
    SELECT t.tgrelid::regclass::text AS relation, count(*)::integer AS triggers,
           format('When no restore is at work, as the owner of the database: ALTER TABLE %s ENABLE TRIGGER ALL', t.tgrelid::regclass) AS what_to_do
      FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
     WHERE c.relnamespace IN ('core'::regnamespace, 'armillary'::regnamespace) AND t.tgenabled = 'D'
     GROUP BY t.tgrelid;
COMMENT ON VIEW armillary.unguarded IS 'Tables whose triggers are off: what is changed there is not checked, counted or audited. Empty: all is well.';
COMMENT ON COLUMN armillary.unguarded.relation IS 'The table.';
COMMENT ON COLUMN armillary.unguarded.triggers IS 'How many of its triggers are off.';
COMMENT ON COLUMN armillary.unguarded.what_to_do IS 'The statement that switches them on again. What was changed meanwhile is found within a minute.';
