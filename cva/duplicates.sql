-- Once, not twice: who may be the same, what people decide, what other agencies give, what waits.
--
-- What these tables promise by themselves, whoever writes to them:
--   * nothing recorded changes: a decision, a merge and its reversal are events, and what stands is
--     the latest of them; reversing restores both sides because nothing of either was touched;
--   * a merge is the work of two people, and so is its reversal; a person may not be both;
--   * a decision names a pair that is known and the evidence it rests on: the same evidence is
--     not asked about again, other evidence is;
--   * of a household's registrations that were merged one is paid in a cycle, whichever it is;
--   * only what is *possible* lapses into payment, and only after its deadline; an exact duplicate
--     and another agency's confirmed assistance escalate;
--   * a plan does not leave with a line whose registration is, or for certain may be, another one's,
--     nor with one that was found to be stopped by what another agency, or another programme of
--     ours, gives.
--
-- cva/schema.sql comes first. Keys: a household is `hh_…`, its second member `hh_…/2`; a household
-- of another agency is `oa:AGENCY:token`, a person there `oa:AGENCY:token/token`.

CREATE SCHEMA duplicates;

CREATE FUNCTION duplicates.household_of(key text) RETURNS text LANGUAGE sql IMMUTABLE
  SET search_path = pg_catalog
RETURN split_part(key, '/', 1);

-- The second of two people may be of the programme or of finance.
CREATE FUNCTION duplicates.require_hand(person text) RETURNS void LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM staff.holds_role WHERE person_id = person AND role = 'finance') THEN
    PERFORM staff.require_role(person, 'programme');
  END IF;
END $$;

-- what linkage found ---------------------------------------------------------------------------

CREATE TABLE duplicates.model (
  model_sha256  bytea PRIMARY KEY CHECK (octet_length(model_sha256) = 32),
  document      jsonb NOT NULL,
  person_id     text NOT NULL REFERENCES staff.person,
  at            timestamptz NOT NULL
);

CREATE TABLE duplicates.run (
  run_id           text PRIMARY KEY CHECK (run_id ~ '^lnk_[0-9a-z]{26}$'),
  scope            text NOT NULL CHECK (scope IN ('whole', 'new', 'lists')),
  model_sha256     bytea NOT NULL REFERENCES duplicates.model,
  last_version_id  bigint NOT NULL,    -- the newest registration that it saw
  last_list_id     text,               -- the newest list of another agency that it saw
  people           integer NOT NULL,
  pairs            integer NOT NULL,
  fresh            integer NOT NULL CHECK (fresh BETWEEN 0 AND pairs),   -- never found before
  person_id        text NOT NULL REFERENCES staff.person,
  at               timestamptz NOT NULL
);

-- Two people, or two households, that may be one, with the evidence (a keyed token of what was
-- compared). `pieces` add up to the score, in thousandths of a bit.
CREATE TABLE duplicates.pair (
  pair_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id         text NOT NULL REFERENCES duplicates.run DEFERRABLE INITIALLY DEFERRED,
  unit           text NOT NULL CHECK (unit IN ('person', 'household')),
  left_key       text NOT NULL,
  right_key      text NOT NULL,
  band           text NOT NULL CHECK (band IN ('automatic', 'review')),
  likeness       text CHECK (likeness IN ('same', 'split', 'shared_member', 'collector_twice',
                   'instrument')),
  shared         integer NOT NULL CHECK (shared >= 0),   -- people of both
  score_millibits integer,
  pieces         jsonb NOT NULL,
  evidence       bytea NOT NULL CHECK (octet_length(evidence) = 16),
  UNIQUE (left_key, right_key, evidence),
  CHECK (left_key COLLATE "C" < right_key COLLATE "C"),
  CHECK ((unit = 'person') = (position('/' IN left_key) > 0 AND position('/' IN right_key) > 0)),
  CHECK ((unit = 'household') = (likeness IS NOT NULL)),
  CHECK ((unit = 'person') = (score_millibits IS NOT NULL))
);
CREATE INDEX pair_right ON duplicates.pair (right_key);
CREATE INDEX pair_households ON duplicates.pair
  (duplicates.household_of(left_key), duplicates.household_of(right_key));

-- A run says again which pairs there are; what it found before is one row and asks nothing anew.
CREATE TABLE duplicates.seen (
  run_id   text NOT NULL REFERENCES duplicates.run DEFERRABLE INITIALLY DEFERRED,
  pair_id  bigint NOT NULL REFERENCES duplicates.pair,
  PRIMARY KEY (run_id, pair_id)
);

-- What people decide ---------------------------------------------------------------------------

CREATE TABLE duplicates.decision (
  decision_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  left_key     text NOT NULL,
  right_key    text NOT NULL,
  verdict      text NOT NULL CHECK (verdict IN ('same', 'different', 'ask')),
  kept_key     text CHECK (kept_key IN (left_key, right_key)),
  evidence     bytea[] NOT NULL CHECK (cardinality(evidence) > 0),   -- all that was known of the pair
  reason       text NOT NULL CHECK (reason <> ''),
  person_id    text NOT NULL REFERENCES staff.person,
  at           timestamptz NOT NULL,
  CHECK (left_key COLLATE "C" < right_key COLLATE "C"),
  CHECK ((verdict = 'same') = (kept_key IS NOT NULL)),
  CHECK (kept_key NOT LIKE 'oa:%')
);
CREATE INDEX decision_pair ON duplicates.decision (left_key, right_key, decision_id DESC);
CREATE INDEX decision_right ON duplicates.decision (right_key);

-- The second hand: now the two are one, and `gone` is withdrawn from everything that follows.
CREATE TABLE duplicates.merge (
  merge_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  decision_id  bigint NOT NULL UNIQUE REFERENCES duplicates.decision,
  kept_key     text NOT NULL,
  gone_key     text NOT NULL CHECK (gone_key <> kept_key),
  person_id    text NOT NULL REFERENCES staff.person,
  at           timestamptz NOT NULL
);
CREATE INDEX merge_gone ON duplicates.merge (gone_key);

CREATE TABLE duplicates.unmerge_request (
  merge_id   bigint PRIMARY KEY REFERENCES duplicates.merge,
  reason     text NOT NULL CHECK (reason <> ''),
  person_id  text NOT NULL REFERENCES staff.person,
  at         timestamptz NOT NULL
);
CREATE TABLE duplicates.unmerge (
  merge_id   bigint PRIMARY KEY REFERENCES duplicates.unmerge_request,
  person_id  text NOT NULL REFERENCES staff.person,
  at         timestamptz NOT NULL
);

CREATE VIEW duplicates.merged AS
  SELECT merge_id, kept_key, gone_key FROM duplicates.merge m
  WHERE NOT EXISTS (SELECT FROM duplicates.unmerge u WHERE u.merge_id = m.merge_id);

-- The latest decision of each pair. Where its merge was reversed, nothing stands: it is asked again.
CREATE VIEW duplicates.standing AS
  SELECT d.* FROM (SELECT DISTINCT ON (left_key, right_key) * FROM duplicates.decision
                   ORDER BY left_key, right_key, decision_id DESC) d
  WHERE NOT EXISTS (SELECT FROM duplicates.merge m JOIN duplicates.unmerge u USING (merge_id)
                    WHERE m.decision_id = d.decision_id);

-- Registrations and people that stand for nothing of their own any more, and who stands for them.
CREATE VIEW duplicates.gone AS
  WITH RECURSIVE chain AS (
    SELECT gone_key, kept_key FROM duplicates.merged
    UNION ALL
    SELECT c.gone_key, m.kept_key FROM chain c JOIN duplicates.merged m ON m.gone_key = c.kept_key)
  SELECT gone_key, kept_key FROM chain c
  WHERE NOT EXISTS (SELECT FROM duplicates.merged m WHERE m.gone_key = c.kept_key);

CREATE VIEW registry.withdrawn AS
  SELECT gone_key AS household_id, kept_key AS kept_id FROM duplicates.gone
  WHERE gone_key LIKE 'hh\_%' AND position('/' IN gone_key) = 0;

-- The latest version of every household that is not a confirmed duplicate of another.
CREATE VIEW registry.live AS
  SELECT DISTINCT ON (household_id) v.*
  FROM registry.version v
  WHERE NOT EXISTS (SELECT FROM duplicates.merged m WHERE m.gone_key = v.household_id)
  ORDER BY household_id, version_id DESC;

-- Registrations that a reversed merge brought back: a run before that moment knew nothing of them.
CREATE VIEW duplicates.restored AS
  SELECT g.gone_key AS household_id, max(u.at) AS at
  FROM duplicates.unmerge u JOIN duplicates.merge g USING (merge_id)
  WHERE position('/' IN g.gone_key) = 0 GROUP BY g.gone_key;

-- More people than this with one strong number: a filler, or an enumerator's own. Linkage leaves
-- such numbers out as well (eligibility.duplicates.preparing.HOLDERS_MAX; a test holds them equal).
CREATE FUNCTION registry.holders_max() RETURNS integer LANGUAGE sql IMMUTABLE
  SET search_path = pg_catalog
RETURN 8;

-- Valid strong identifiers that people of several live households hold.
CREATE VIEW registry.shared_identifier AS
  SELECT i.kind, i.token, count(*)::integer AS holders,
         array_agg(l.household_id) AS households, array_agg(i.version_id) AS versions,
         array_agg(i.member_no) AS members
  FROM registry.identifier i JOIN registry.live l USING (version_id)
  WHERE i.valid AND i.kind IN ('tr_national_id', 'tr_foreigner_id', 'tr_legacy_id', 'passport')
  GROUP BY i.token, i.kind HAVING min(l.household_id) <> max(l.household_id);

-- Live households that hold the same valid strong identifiers; the evidence is which ones. A number
-- of too many makes nobody a duplicate, and neither does a passport's of people of two states.
CREATE VIEW registry.exact_pair AS
  WITH both_hold AS (
    SELECT DISTINCT a.household_id AS left_id, b.household_id AS right_id, s.kind, s.token
    FROM registry.shared_identifier s
    CROSS JOIN unnest(s.households, s.versions, s.members) a (household_id, version_id, member_no)
    CROSS JOIN unnest(s.households, s.versions, s.members) b (household_id, version_id, member_no)
    WHERE s.holders <= registry.holders_max()
      AND a.household_id COLLATE "C" < b.household_id COLLATE "C"
      -- Looked up for each of the few that share one: as a join, all members would be read.
      AND (s.kind = 'passport' AND (
            SELECT m.nationality FROM registry.member m
            WHERE (m.version_id, m.member_no) = (a.version_id, a.member_no)) <> (
            SELECT m.nationality FROM registry.member m
            WHERE (m.version_id, m.member_no) = (b.version_id, b.member_no))) IS NOT TRUE)
  SELECT left_id, right_id,
         substr(sha256(string_agg(convert_to(kind, 'UTF8') || token, ''::bytea
           ORDER BY kind COLLATE "C", token)), 1, 16) AS evidence,
         count(*)::integer AS shared
  FROM both_hold GROUP BY left_id, right_id;

-- Numbers that too many hold to say anything of one: they stop nobody, and people look at them.
CREATE VIEW registry.crowded_number AS
  SELECT s.kind, s.token, s.holders, h.households, h.first_id
  FROM registry.shared_identifier s CROSS JOIN LATERAL (
    SELECT count(DISTINCT one)::integer AS households, min(one) AS first_id
    FROM unnest(s.households) one) h
  WHERE s.holders > registry.holders_max();

-- Of these, the ones that nobody has decided to be different, as far as this evidence goes.
CREATE VIEW registry.open_pair AS
  SELECT e.left_id, e.right_id, e.evidence, e.shared FROM registry.exact_pair e
  WHERE NOT EXISTS (
    SELECT FROM duplicates.standing d
    WHERE d.left_key = e.left_id AND d.right_key = e.right_id
      AND d.verdict = 'different' AND e.evidence = ANY (d.evidence));

-- The pairs that linkage says there are now: of the last run over everything and those after it,
-- the newest evidence of each pair, unless a run since then saw one of the two as it is now and did
-- not find the pair again. Pairs with other agencies' people: of the last run over lists.
CREATE VIEW duplicates.current AS
  WITH counted AS (
    SELECT run_id, at, last_version_id AS knew FROM duplicates.run r
    WHERE scope <> 'lists' AND at >= (SELECT max(at) FROM duplicates.run WHERE scope = 'whole')
    UNION ALL
    (SELECT run_id, at, NULL AS last_version_id FROM duplicates.run WHERE scope = 'lists'
     ORDER BY at DESC, run_id DESC LIMIT 1))
  SELECT DISTINCT ON (p.left_key, p.right_key) p.*
  FROM counted c JOIN duplicates.seen s USING (run_id) JOIN duplicates.pair p USING (pair_id)
  WHERE c.knew IS NULL OR NOT EXISTS (
    SELECT FROM registry.version v
    WHERE v.household_id IN (duplicates.household_of(p.left_key), duplicates.household_of(p.right_key))
      AND v.version_id > c.knew AND v.version_id <= (
        SELECT max(last_version_id) FROM duplicates.run WHERE scope <> 'lists'))
  ORDER BY p.left_key, p.right_key, c.at DESC, p.pair_id DESC;

CREATE VIEW duplicates.covered AS
  SELECT p.pair_id, d.verdict, d.decision_id
  FROM duplicates.current p JOIN duplicates.standing d
    ON d.left_key = p.left_key AND d.right_key = p.right_key AND p.evidence = ANY (d.evidence);

-- Two households of ours that linkage asks about: possible as long as nobody decided that they are
-- different, or that every one of the people that they seem to have in common is another. People who
-- are the same in both free only a household that shares one of them and no more: from there on they
-- count once. An instrument is no identity.
CREATE VIEW duplicates.possible AS
  SELECT p.pair_id, p.left_key, p.right_key, p.band, p.likeness, p.shared, p.evidence
  FROM duplicates.current p
  WHERE p.unit = 'household' AND p.likeness <> 'instrument' AND p.right_key NOT LIKE 'oa:%'
    AND NOT EXISTS (SELECT FROM duplicates.merged g WHERE g.gone_key = p.left_key)
    AND NOT EXISTS (SELECT FROM duplicates.merged g WHERE g.gone_key = p.right_key)
    AND NOT EXISTS (SELECT FROM duplicates.covered c
                    WHERE c.pair_id = p.pair_id AND c.verdict = 'different')
    AND NOT (EXISTS (SELECT FROM duplicates.current m WHERE m.unit = 'person'
               AND duplicates.household_of(m.left_key) = p.left_key
               AND duplicates.household_of(m.right_key) = p.right_key)
             AND NOT EXISTS (
               SELECT FROM duplicates.current m WHERE m.unit = 'person'
                 AND duplicates.household_of(m.left_key) = p.left_key
                 AND duplicates.household_of(m.right_key) = p.right_key
                 AND NOT EXISTS (
                   SELECT FROM duplicates.covered c WHERE c.pair_id = m.pair_id
                     AND (c.verdict = 'different'
                          OR p.likeness IN ('shared_member', 'collector_twice')
                             AND p.band = 'review' AND EXISTS (
                               SELECT FROM duplicates.merge g
                               WHERE g.decision_id = c.decision_id)))));

-- What a registration said of one of its people at a moment.
CREATE FUNCTION duplicates.said_of(key text, moment timestamptz)
RETURNS TABLE (sex text, birth_date date) LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
  SELECT m.sex, m.birth_date FROM registry.member m
  WHERE m.member_no = split_part(key, '/', 2)::integer AND m.version_id = (
    SELECT v.version_id FROM registry.version v JOIN registry.import i USING (import_id)
    WHERE v.household_id = split_part(key, '/', 1) AND i.at <= moment
    ORDER BY v.version_id DESC LIMIT 1)
$$;

-- People on two rosters whom two people merged, as it stood at a moment: who is gone counts in the
-- household of the one who is kept. Not where that one stands in no live registration any more, and
-- not where the number has come to mean somebody else: nobody is left out of both.
CREATE FUNCTION registry.counted_elsewhere(known_at timestamptz)
RETURNS TABLE (household_id text, member_no integer, sex text, birth_date date)
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
  WITH RECURSIVE standing AS (
    SELECT g.gone_key, g.kept_key, g.at FROM duplicates.merge g
    WHERE g.at <= known_at AND NOT EXISTS (
      SELECT FROM duplicates.unmerge u WHERE u.merge_id = g.merge_id AND u.at <= known_at)),
  chain AS (
    SELECT gone_key, kept_key, at AS gone_at, at AS kept_at FROM standing
    WHERE position('/' IN gone_key) > 0
    UNION ALL
    SELECT c.gone_key, s.kept_key, c.gone_at, s.at
    FROM chain c JOIN standing s ON s.gone_key = c.kept_key)
  SELECT split_part(c.gone_key, '/', 1), split_part(c.gone_key, '/', 2)::integer,
         was.sex, was.birth_date
  FROM chain c
  CROSS JOIN LATERAL duplicates.said_of(c.gone_key, c.gone_at) was
  CROSS JOIN LATERAL duplicates.said_of(c.kept_key, c.kept_at) kept
  CROSS JOIN LATERAL duplicates.said_of(c.kept_key, known_at) now
  WHERE NOT EXISTS (SELECT FROM standing s
                    WHERE s.gone_key IN (c.kept_key, split_part(c.kept_key, '/', 1)))
    AND (kept.sex, kept.birth_date) IS NOT DISTINCT FROM (now.sex, now.birth_date)
$$;

-- How long a possible pair may stop a line: the clock begins when it first does, once.
CREATE TABLE duplicates.clock (
  pair_id   bigint PRIMARY KEY REFERENCES duplicates.pair,
  began_at  timestamptz NOT NULL,
  due_at    timestamptz NOT NULL CHECK (due_at > began_at)
);

CREATE FUNCTION duplicates.check_decision() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  PERFORM staff.require_role(NEW.person_id, 'programme');
  PERFORM pg_advisory_xact_lock(hashtextextended('registry.duplicates', 0));
  IF EXISTS (SELECT FROM unnest(NEW.evidence) e WHERE NOT EXISTS (
               SELECT FROM duplicates.current p
               WHERE (p.left_key, p.right_key, p.evidence) = (NEW.left_key, NEW.right_key, e))
             AND NOT EXISTS (
               SELECT FROM registry.exact_pair x
               WHERE (x.left_id, x.right_id, x.evidence) = (NEW.left_key, NEW.right_key, e))) THEN
    PERFORM books.refuse('pair_unknown',
      jsonb_build_object('left', NEW.left_key, 'right', NEW.right_key), 'List the open pairs.');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_decision BEFORE INSERT ON duplicates.decision
  FOR EACH ROW EXECUTE FUNCTION duplicates.check_decision();

CREATE FUNCTION duplicates.check_merge() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE decided duplicates.decision;
BEGIN
  PERFORM duplicates.require_hand(NEW.person_id);
  PERFORM pg_advisory_xact_lock(hashtextextended('registry.duplicates', 0));
  SELECT * INTO decided FROM duplicates.decision WHERE decision_id = NEW.decision_id;
  IF decided.verdict <> 'same' OR decided.right_key LIKE 'oa:%'
     OR NEW.kept_key <> decided.kept_key
     OR NEW.gone_key NOT IN (decided.left_key, decided.right_key)
     OR NEW.decision_id <> (SELECT max(decision_id) FROM duplicates.decision
                            WHERE (left_key, right_key) = (decided.left_key, decided.right_key)) THEN
    PERFORM books.refuse('merge_not_decided', jsonb_build_object('kept', NEW.kept_key,
      'gone', NEW.gone_key), 'One person decides that the two are the same; another one merges them.');
  END IF;
  IF decided.person_id = NEW.person_id THEN
    PERFORM books.refuse('second_person_needed', jsonb_build_object('act', 'merge'),
      'Ask another person.');
  END IF;
  IF EXISTS (SELECT FROM duplicates.merged WHERE gone_key IN (NEW.kept_key, NEW.gone_key,
               duplicates.household_of(NEW.kept_key), duplicates.household_of(NEW.gone_key))) THEN
    PERFORM books.refuse('merged_already', jsonb_build_object('kept', NEW.kept_key,
      'gone', NEW.gone_key), 'Look at what became of the two.');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_merge BEFORE INSERT ON duplicates.merge
  FOR EACH ROW EXECUTE FUNCTION duplicates.check_merge();

CREATE FUNCTION duplicates.check_unmerge() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  PERFORM duplicates.require_hand(NEW.person_id);
  PERFORM pg_advisory_xact_lock(hashtextextended('registry.duplicates', 0));
  IF TG_TABLE_NAME = 'unmerge' AND EXISTS (
      SELECT FROM duplicates.unmerge_request
      WHERE (merge_id, person_id) = (NEW.merge_id, NEW.person_id)) THEN
    PERFORM books.refuse('second_person_needed', jsonb_build_object('act', 'unmerge'),
      'Ask another person.');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_unmerge BEFORE INSERT ON duplicates.unmerge_request
  FOR EACH ROW EXECUTE FUNCTION duplicates.check_unmerge();
CREATE TRIGGER check_unmerge BEFORE INSERT ON duplicates.unmerge
  FOR EACH ROW EXECUTE FUNCTION duplicates.check_unmerge();

-- what other agencies give ---------------------------------------------------------------------

-- A list of another agency, once. Its people are sealed under a key of the list's own.
CREATE TABLE duplicates.list (
  list_id    text PRIMARY KEY CHECK (list_id ~ '^lst_[0-9a-z]{26}$'),
  agency     text NOT NULL CHECK (agency ~ '^[A-Z0-9][A-Z0-9-]{1,29}$'),
  file_name  text NOT NULL,
  sha256     bytea NOT NULL CHECK (octet_length(sha256) = 32),
  records    integer NOT NULL,
  people     integer NOT NULL,
  refused    integer NOT NULL,
  wrapped    bytea NOT NULL,
  person_id  text NOT NULL REFERENCES staff.person,
  at         timestamptz NOT NULL,
  UNIQUE (agency, sha256)
);

CREATE TABLE duplicates.other_person (
  list_id        text NOT NULL REFERENCES duplicates.list DEFERRABLE INITIALLY DEFERRED,
  person_key     text NOT NULL CHECK (person_key ~ '^oa:[A-Z0-9-]+:[0-9a-f]{32}/[0-9a-f]{32}$'),
  is_head        boolean NOT NULL,
  sealed         bytea NOT NULL,
  PRIMARY KEY (list_id, person_key)
);

CREATE TABLE duplicates.assistance (
  list_id        text NOT NULL REFERENCES duplicates.list DEFERRABLE INITIALLY DEFERRED,
  record_key     text NOT NULL CHECK (record_key ~ '^oa:[A-Z0-9-]+:[0-9a-f]{32}$'),
  row_no         integer NOT NULL,
  recipient_key  text NOT NULL CHECK (recipient_key ~ '^oa:'),
  unit           text NOT NULL CHECK (unit IN ('household', 'person')),
  programme      text NOT NULL,
  need           text NOT NULL,
  modality       text NOT NULL CHECK (modality IN ('cash', 'voucher', 'in_kind')),
  first_day      date NOT NULL,
  last_day       date CHECK (last_day >= first_day),
  one_off        boolean NOT NULL,
  status         text NOT NULL CHECK (status IN ('planned', 'committed', 'paid', 'failed', 'cancelled')),
  committed_at   timestamptz,
  currency       char(3),
  amount_minor   bigint CHECK (amount_minor > 0),
  people         integer CHECK (people > 0),
  replaces       text,
  referred_by    text,
  referred_on    date,
  verdict        text NOT NULL,        -- what that agency, or its platform, said of it
  PRIMARY KEY (list_id, record_key),
  CHECK ((unit = 'person') = (position('/' IN recipient_key) > 0)),
  CHECK ((amount_minor IS NULL) = (currency IS NULL))
);
CREATE INDEX assistance_recipient ON duplicates.assistance (duplicates.household_of(recipient_key));

CREATE TABLE duplicates.list_finding (
  list_id     text NOT NULL REFERENCES duplicates.list DEFERRABLE INITIALLY DEFERRED,
  finding_no  integer NOT NULL,
  code        text NOT NULL,
  weight      text NOT NULL CHECK (weight IN ('refused', 'doubtful', 'note')),
  row_no      integer,
  field       text NOT NULL,
  shown       text NOT NULL,   -- masked where personal
  PRIMARY KEY (list_id, finding_no)
);

-- A record that comes again in a later list of its agency is the later one.
CREATE VIEW duplicates.assisted AS
  SELECT DISTINCT ON (a.record_key) a.*, l.agency
  FROM duplicates.assistance a JOIN duplicates.list l USING (list_id)
  ORDER BY a.record_key, l.at DESC, l.list_id DESC;

CREATE TABLE duplicates.policy (
  policy_sha256  bytea PRIMARY KEY CHECK (octet_length(policy_sha256) = 32),
  document       jsonb NOT NULL
);

-- Which policy is in force since when; one may come back.
CREATE TABLE duplicates.policy_event (
  event_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  policy_sha256  bytea NOT NULL REFERENCES duplicates.policy,
  person_id      text NOT NULL REFERENCES staff.person,
  at             timestamptz NOT NULL
);

-- What the policy said of one of our lines and another record: of another agency (`oa:…`), or of
-- another programme of ours (`our:CYCLE:HOUSEHOLD:KIND`). The newest of the two stands.
CREATE TABLE duplicates.overlap (
  overlap_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  cycle_id       text NOT NULL REFERENCES programme.cycle,
  household_id   text NOT NULL REFERENCES registry.household,
  kind           text NOT NULL CHECK (kind IN ('regular', 'shortfall')),
  record_key     text NOT NULL,
  ours_first     boolean NOT NULL,   -- this line stands and the other yields
  basis          text NOT NULL,
  strength       text NOT NULL CHECK (strength IN ('confirmed', 'possible')),
  verdict        text NOT NULL CHECK (verdict IN ('stop', 'hold', 'cap', 'report', 'flag', 'clear')),
  reason         text NOT NULL,
  first_day      date NOT NULL,
  last_day       date,
  payable_minor  bigint CHECK (payable_minor >= 0),
  lapses         boolean NOT NULL,
  evidence       text NOT NULL CHECK (evidence ~ '^[0-9a-f]{64}$'),
  policy_sha256  bytea NOT NULL REFERENCES duplicates.policy,
  found_at       timestamptz NOT NULL,
  due_at         timestamptz NOT NULL CHECK (due_at > found_at),
  CHECK ((verdict = 'cap') = (payable_minor IS NOT NULL)),
  CHECK (NOT (lapses AND strength = 'confirmed' AND verdict = 'stop'))
);
CREATE INDEX overlap_line ON duplicates.overlap (cycle_id, household_id, kind, record_key, overlap_id DESC);

CREATE VIEW duplicates.overlap_now AS
  SELECT DISTINCT ON (cycle_id, household_id, kind, record_key) * FROM duplicates.overlap
  ORDER BY cycle_id, household_id, kind, record_key, overlap_id DESC;

-- What people did about it: one row each, so that two people are two.
CREATE TABLE duplicates.overlap_act (
  overlap_id  bigint NOT NULL REFERENCES duplicates.overlap,
  action      text NOT NULL CHECK (action IN ('override', 'told', 'appeal', 'uphold', 'dismiss')),
  reason      text NOT NULL CHECK (reason <> ''),
  person_id   text NOT NULL REFERENCES staff.person,
  at          timestamptz NOT NULL,
  PRIMARY KEY (overlap_id, action, person_id)
);

CREATE FUNCTION duplicates.check_overlap_act() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  PERFORM duplicates.require_hand(NEW.person_id);
  -- An appeal stands as long as its evidence: work on the plan writes the verdict anew.
  IF NEW.action IN ('uphold', 'dismiss') AND NOT EXISTS (
      SELECT FROM duplicates.overlap o
      JOIN duplicates.overlap s ON (s.cycle_id, s.household_id, s.kind, s.record_key, s.evidence)
        = (o.cycle_id, o.household_id, o.kind, o.record_key, o.evidence)
      JOIN duplicates.overlap_act a ON a.overlap_id = s.overlap_id AND a.action = 'appeal'
      WHERE o.overlap_id = NEW.overlap_id) THEN
    PERFORM books.refuse('appeal_missing', jsonb_build_object('overlap', NEW.overlap_id),
      'Record the appeal first.');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_overlap_act BEFORE INSERT ON duplicates.overlap_act
  FOR EACH ROW EXECUTE FUNCTION duplicates.check_overlap_act();

-- what waits -----------------------------------------------------------------------------------

-- Of every stopped line: whose work it is, since when, until when, and what happens then.
CREATE TABLE payments.stop (
  plan_id  text NOT NULL,
  line_no  integer NOT NULL,
  cause    text NOT NULL,
  owner    text NOT NULL CHECK (owner IN ('programme', 'finance', 'administrator')),
  since    timestamptz NOT NULL,
  due_at   timestamptz NOT NULL CHECK (due_at > since),
  lapses   boolean NOT NULL,
  PRIMARY KEY (plan_id, line_no),
  FOREIGN KEY (plan_id, line_no) REFERENCES payments.line,
  CONSTRAINT only_the_possible_lapses
    CHECK (NOT lapses OR cause IN ('possible_duplicate', 'possible_overlap'))
);

-- What the deadline brought, written when the plan or its cycle is next worked on.
CREATE TABLE payments.stop_end (
  plan_id  text NOT NULL,
  line_no  integer NOT NULL,
  kind     text NOT NULL CHECK (kind IN ('lapsed', 'escalated')),
  at       timestamptz NOT NULL,
  PRIMARY KEY (plan_id, line_no),
  FOREIGN KEY (plan_id, line_no) REFERENCES payments.stop
);

CREATE TABLE payments.stop_owner (
  plan_id    text NOT NULL,
  line_no    integer NOT NULL,
  owner_id   text NOT NULL REFERENCES staff.person,
  person_id  text NOT NULL REFERENCES staff.person,
  at         timestamptz NOT NULL,
  FOREIGN KEY (plan_id, line_no) REFERENCES payments.stop
);
CREATE INDEX stop_owner_line ON payments.stop_owner (plan_id, line_no, at DESC);

CREATE FUNCTION payments.check_stop() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE found boolean;
BEGIN
  EXECUTE $q$ SELECT EXISTS (SELECT FROM added a JOIN payments.line l USING (plan_id, line_no)
    WHERE l.stopped IS DISTINCT FROM a.cause) $q$ INTO found;
  IF found THEN
    PERFORM books.refuse('stop_without_stopped_line', '{}', 'Prepare the plan again.');
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER check_stop AFTER INSERT ON payments.stop
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION payments.check_stop();

CREATE FUNCTION payments.check_stop_end() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE stopped payments.stop;
BEGIN
  SELECT * INTO stopped FROM payments.stop
    WHERE (plan_id, line_no) = (NEW.plan_id, NEW.line_no);
  IF NEW.at < stopped.due_at THEN
    PERFORM books.refuse('deadline_not_passed', jsonb_build_object('line', NEW.line_no,
      'due', to_char(stopped.due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')), 'Wait or decide.');
  END IF;
  IF (NEW.kind = 'lapsed') <> stopped.lapses THEN
    PERFORM books.refuse('stop_never_lapses', jsonb_build_object('cause', stopped.cause),
      'People decide about it.');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_stop_end BEFORE INSERT ON payments.stop_end
  FOR EACH ROW EXECUTE FUNCTION payments.check_stop_end();

-- A household is paid once, whichever of its registrations is paid --------------------------------

-- The lines that pay one registration of a household, or may yet, as its other registrations see
-- them: of those that were merged and of the one that stands for them.
CREATE VIEW payments.paid_as_other AS
  WITH one AS (
    SELECT household_id, kept_id FROM registry.withdrawn
    UNION SELECT kept_id, kept_id FROM registry.withdrawn)
  SELECT s.household_id, l.cycle_id, l.plan_id, l.line_no
  FROM one s JOIN one o ON o.kept_id = s.kept_id AND o.household_id <> s.household_id
  JOIN payments.line l ON l.household_id = o.household_id AND l.stopped IS NULL
  LEFT JOIN LATERAL (SELECT e.kind, e.amount_minor FROM payments.outcome e
    WHERE (e.plan_id, e.line_no, e.step) = (l.plan_id, l.line_no, 1) LIMIT 1) o1 ON true
  LEFT JOIN LATERAL (SELECT e.amount_minor FROM payments.outcome e
    WHERE (e.plan_id, e.line_no, e.step) = (l.plan_id, l.line_no, 2) LIMIT 1) o2 ON true
  WHERE o1.kind IS NULL
     OR o1.kind = 'loaded' AND coalesce(o2.amount_minor, 0) < o1.amount_minor;
GRANT SELECT ON payments.paid_as_other TO cva_app, cva_auditor;

-- As payments.check_attempts, which goes before and holds the cycle's lock.
CREATE FUNCTION payments.check_one_household() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE wrong text;
BEGIN
  EXECUTE $q$
    SELECT min(a.household_id) FROM added a
    JOIN payments.paid_as_other o USING (cycle_id, household_id) WHERE a.stopped IS NULL $q$
    INTO wrong;
  IF wrong IS NOT NULL THEN
    PERFORM books.refuse('already_paid_or_pending', jsonb_build_object('household', wrong),
      'Wait until the line before it has failed for certain.');
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER check_one_household AFTER INSERT ON payments.line
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION payments.check_one_household();

-- A plan does not leave with a line whose registration was merged into another, may for certain be
-- another's, or whose household is paid by another of its registrations. All pairs are made at once,
-- as when a plan is prepared: looked up line by line they would cost a large plan three times as much.
CREATE FUNCTION payments.check_duplicates() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE found bigint;
BEGIN
  IF NEW.act <> 'released' THEN
    RETURN NEW;
  END IF;
  EXECUTE $q$
    WITH waiting AS (
      SELECT left_id, right_id FROM registry.open_pair
      UNION ALL
      SELECT left_key, right_key FROM duplicates.possible WHERE band = 'automatic'),
    barred AS (
      SELECT left_id AS household_id FROM waiting
      UNION SELECT right_id FROM waiting
      UNION SELECT household_id FROM registry.withdrawn)
    SELECT count(DISTINCT line_no) FROM (
      SELECT l.line_no FROM payments.line l JOIN barred USING (household_id)
      WHERE l.plan_id = $1 AND l.stopped IS NULL
      UNION ALL
      SELECT l.line_no FROM payments.line l
      JOIN payments.paid_as_other o USING (cycle_id, household_id)
      JOIN payments.signature s ON s.plan_id = o.plan_id AND s.act = 'released'
      WHERE l.plan_id = $1 AND l.stopped IS NULL) found $q$
    INTO found USING NEW.plan_id;
  IF found > 0 THEN
    PERFORM books.refuse('plan_duplicates', jsonb_build_object('plan', NEW.plan_id, 'lines', found),
      'Cancel the plan and prepare it again.');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_duplicates BEFORE INSERT ON payments.signature
  FOR EACH ROW EXECUTE FUNCTION payments.check_duplicates();

-- A plan does not leave with a line that other assistance stops, or pays too much of.
CREATE FUNCTION payments.check_overlaps() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE found bigint;
BEGIN
  IF NEW.act <> 'released' THEN
    RETURN NEW;
  END IF;
  EXECUTE $q$
    SELECT count(DISTINCT l.line_no) FROM payments.line l
    JOIN duplicates.overlap_now o USING (cycle_id, household_id, kind)
    WHERE l.plan_id = $1 AND l.stopped IS NULL AND NOT o.ours_first
      AND (o.verdict = 'stop' OR o.verdict = 'hold' AND NOT (o.lapses AND o.due_at <= $2)
           OR o.verdict = 'cap' AND o.payable_minor < l.amount_minor) $q$
    INTO found USING NEW.plan_id, NEW.at;
  IF found > 0 THEN
    PERFORM books.refuse('plan_overlaps', jsonb_build_object('plan', NEW.plan_id, 'lines', found),
      'Cancel the plan and prepare it again.');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_overlaps BEFORE INSERT ON payments.signature
  FOR EACH ROW EXECUTE FUNCTION payments.check_overlaps();

CREATE TRIGGER check_role BEFORE INSERT ON duplicates.run
  FOR EACH ROW EXECUTE FUNCTION staff.check_role('programme');
CREATE TRIGGER check_role BEFORE INSERT ON duplicates.list
  FOR EACH ROW EXECUTE FUNCTION staff.check_role('programme');
CREATE TRIGGER check_role BEFORE INSERT ON duplicates.policy_event
  FOR EACH ROW EXECUTE FUNCTION staff.check_role('programme');

-- After a run or a list the planner must know what was added; the application may not analyse.
CREATE FUNCTION duplicates.analyse() RETURNS void LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  ANALYZE duplicates.pair, duplicates.seen, duplicates.other_person, duplicates.assistance,
    duplicates.decision;
END $$;
REVOKE ALL ON FUNCTION duplicates.analyse FROM PUBLIC;
GRANT EXECUTE ON FUNCTION duplicates.analyse TO cva_app;

-- Nothing recorded changes ---------------------------------------------------------------------

DO $$
DECLARE t regclass;
BEGIN
  FOR t IN SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE c.relkind = 'r' AND (n.nspname = 'duplicates' OR n.nspname = 'payments'
             AND c.relname IN ('stop', 'stop_end', 'stop_owner'))
           ORDER BY c.oid
  LOOP
    EXECUTE format('CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON %s
                    FOR EACH ROW EXECUTE FUNCTION ops.append_only()', t);
    EXECUTE format('CREATE TRIGGER append_only_table BEFORE TRUNCATE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION ops.append_only()', t);
  END LOOP;
END $$;

GRANT USAGE ON SCHEMA duplicates TO cva_app, cva_auditor;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA duplicates TO cva_app;
GRANT SELECT, INSERT ON payments.stop, payments.stop_end, payments.stop_owner TO cva_app;
GRANT SELECT ON ALL TABLES IN SCHEMA duplicates TO cva_auditor;
GRANT SELECT ON payments.stop, payments.stop_end, payments.stop_owner TO cva_auditor;
GRANT SELECT ON registry.withdrawn, registry.live, registry.shared_identifier,
  registry.exact_pair, registry.crowded_number, registry.open_pair TO cva_app, cva_auditor;
REVOKE SELECT ON duplicates.list FROM cva_auditor;   -- it holds the wrapped keys
GRANT SELECT (list_id, agency, file_name, sha256, records, people, refused, person_id, at)
  ON duplicates.list TO cva_auditor;
