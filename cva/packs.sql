-- Rule packs that were published here, and the snapshots that runs were decided from: with both, a
-- decision can be made again, bit for bit.
--
-- What these tables promise by themselves, whoever writes to them:
--   * a published pack never changes, and a version of a code is one pack for ever;
--   * it takes two people: whoever proposed a pack cannot be the one who publishes it;
--   * a programme that names a published pack names one that is, with the hash it was published by;
--   * a snapshot that a run names is kept as it was.
-- ledgers/schema.sql and cva/schema.sql come first.

CREATE TABLE programme.pack_proposal (
  code       text NOT NULL CHECK (code ~ '^[a-z][a-z0-9-]{1,40}$'),
  hash       bytea NOT NULL CHECK (octet_length(hash) = 32),
  document   jsonb NOT NULL,
  signature  bytea NOT NULL CHECK (octet_length(signature) = 64),   -- of the hash, by the proposer
  person_id  text NOT NULL REFERENCES staff.person,
  at         timestamptz NOT NULL,
  PRIMARY KEY (code, hash)
);

CREATE TABLE programme.pack (
  code       text NOT NULL,
  version    integer NOT NULL CHECK (version > 0),
  hash       bytea NOT NULL,
  signature  bytea NOT NULL CHECK (octet_length(signature) = 64),   -- of the hash, by the second
  person_id  text NOT NULL REFERENCES staff.person,
  at         timestamptz NOT NULL,
  PRIMARY KEY (code, version),
  UNIQUE (code, hash),
  FOREIGN KEY (code, hash) REFERENCES programme.pack_proposal
);

-- Rules are the work of the programme or of finance: two people of either.
CREATE FUNCTION programme.require_rule_writer(person text) RETURNS void LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM staff.holds_role WHERE person_id = person AND role = 'finance') THEN
    PERFORM staff.require_role(person, 'programme');
  END IF;
END $$;

CREATE FUNCTION programme.check_pack_proposal() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  PERFORM programme.require_rule_writer(NEW.person_id);
  RETURN NEW;
END $$;
CREATE TRIGGER check_pack_proposal BEFORE INSERT ON programme.pack_proposal
  FOR EACH ROW EXECUTE FUNCTION programme.check_pack_proposal();

CREATE FUNCTION programme.check_pack() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE proposed programme.pack_proposal; newest integer;
BEGIN
  PERFORM programme.require_rule_writer(NEW.person_id);
  PERFORM pg_advisory_xact_lock(hashtextextended(NEW.code, 7));
  SELECT * INTO proposed FROM programme.pack_proposal WHERE (code, hash) = (NEW.code, NEW.hash);
  IF proposed.person_id IS NULL THEN
    PERFORM books.refuse('pack_not_proposed', jsonb_build_object('pack', NEW.code),
      'Somebody proposes the pack first.');
  END IF;
  IF proposed.person_id = NEW.person_id THEN
    PERFORM books.refuse('pack_same_person', jsonb_build_object('pack', NEW.code),
      'Another person publishes it.');
  END IF;
  SELECT coalesce(max(version), 0) INTO newest FROM programme.pack WHERE code = NEW.code;
  IF NEW.version <> newest + 1 THEN
    PERFORM books.refuse('pack_version_taken',
      jsonb_build_object('pack', NEW.code, 'version', NEW.version, 'next', newest + 1),
      'Publish it again.');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_pack BEFORE INSERT ON programme.pack
  FOR EACH ROW EXECUTE FUNCTION programme.check_pack();

-- A programme says with "pack" whose rules it took over; with a version, they were published here.
CREATE FUNCTION programme.check_named_pack() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE named jsonb := NEW.document -> 'pack';
BEGIN
  IF named ->> 'version' IS NOT NULL AND NOT EXISTS (
       SELECT FROM programme.pack
       WHERE code = named ->> 'code' AND version::text = named ->> 'version'
         AND encode(hash, 'hex') = named ->> 'sha256') THEN
    PERFORM books.refuse('pack_not_published',
      jsonb_build_object('pack', concat(named ->> 'code', '@', named ->> 'version')),
      'Have the pack published by two people first.');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_named_pack BEFORE INSERT ON programme.programme
  FOR EACH ROW EXECUTE FUNCTION programme.check_named_pack();

-- The two files of a snapshot, in parts: facts only, nothing that is sealed.
CREATE TABLE assessment.snapshot_part (
  snapshot_sha256  bytea NOT NULL CHECK (octet_length(snapshot_sha256) = 32),
  file             text NOT NULL CHECK (file IN ('households', 'members')),
  part             integer NOT NULL CHECK (part >= 0),
  content          bytea NOT NULL,
  PRIMARY KEY (snapshot_sha256, file, part)
);
-- Parquet is compressed already.
ALTER TABLE assessment.snapshot_part ALTER COLUMN content SET STORAGE EXTERNAL;

DO $$
DECLARE t regclass;
BEGIN
  FOREACH t IN ARRAY ARRAY['programme.pack_proposal', 'programme.pack',
                           'assessment.snapshot_part']::regclass[]
  LOOP
    EXECUTE format('CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON %s
                    FOR EACH ROW EXECUTE FUNCTION ops.append_only()', t);
    EXECUTE format('CREATE TRIGGER append_only_table BEFORE TRUNCATE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION ops.append_only()', t);
  END LOOP;
END $$;

GRANT SELECT, INSERT ON programme.pack_proposal, programme.pack, assessment.snapshot_part TO cva_app;
GRANT SELECT ON programme.pack_proposal, programme.pack, assessment.snapshot_part TO cva_auditor;
