-- What people decide beside a run: who is listed at discretion, who leaves and who takes the place,
-- what was attended, and what a case officer awards.
--
-- What these tables promise by themselves, whoever writes to them:
--   * nothing recorded changes; a correction is a new record that names the one it corrects, once;
--   * the discretionary list never holds more households than the programme allows, nor for longer;
--   * awards stay within the limits of their items and of the household's cycle;
--   * a promotion takes the first who waits, into a free place that the budget reaches;
--   * nothing of this touches a household, or the list, once a payment plan is locked.
-- ledgers/schema.sql and cva/schema.sql come first.

-- The run a cycle stands on: its latest.
CREATE VIEW assessment.latest_run AS
  SELECT DISTINCT ON (cycle_id) * FROM assessment.run ORDER BY cycle_id, at DESC, run_id DESC;

-- What a run was short of, and what it reached: coverage is of those who were selected.
CREATE TABLE assessment.run_terms (
  run_id        text PRIMARY KEY REFERENCES assessment.run DEFERRABLE INITIALLY DEFERRED,
  stratum_by    text CHECK (stratum_by IN ('province', 'population_group')),
  unused_move   boolean NOT NULL,
  budget_minor  bigint CHECK (budget_minor >= 0),   -- NULL: only places are short
  after_run_id  text REFERENCES assessment.run      -- the run decided before it from one snapshot
);
CREATE TABLE assessment.coverage (
  run_id           text NOT NULL REFERENCES assessment.run DEFERRABLE INITIALLY DEFERRED,
  stratum          text NOT NULL,   -- empty: in all, or of households that name none
  places           integer CHECK (places >= 0),   -- NULL: only money is short
  eligible         integer NOT NULL,
  selected         integer NOT NULL,
  waiting          integer NOT NULL,
  people_selected  integer NOT NULL,
  amount_minor     bigint NOT NULL,   -- of the selected
  PRIMARY KEY (run_id, stratum)
);

-- Before lock ----------------------------------------------------------------------------------

-- Whoever changes what a plan is made from, and whoever locks one, wait for each other. With a
-- household: its own line is what counts; without: any plan of the cycle.
CREATE FUNCTION assessment.refuse_locked(cycle text, household text) RETURNS void LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended(cycle, 1));
  IF EXISTS (SELECT FROM programme.cycle_close WHERE cycle_id = cycle) THEN
    PERFORM books.refuse('cycle_closed', jsonb_build_object('cycle', cycle), 'Open the next cycle.');
  END IF;
  IF EXISTS (SELECT FROM payments.plan p
             WHERE p.cycle_id = cycle
               AND NOT EXISTS (SELECT FROM payments.cancellation c WHERE c.plan_id = p.plan_id)
               AND (household IS NULL OR EXISTS (
                 SELECT FROM payments.line l
                 WHERE (l.plan_id, l.household_id) = (p.plan_id, household)))) THEN
    PERFORM books.refuse('selection_locked',
      jsonb_build_object('cycle', cycle, 'household', coalesce(household, '-')),
      'It counts from the next cycle on, or after the plan is cancelled.');
  END IF;
END $$;

-- Amounts that a programme's document states ---------------------------------------------------

-- How many decimals a currency has (ISO 4217), where it is not two.
CREATE FUNCTION assessment.decimals(currency text) RETURNS integer LANGUAGE sql IMMUTABLE
  SET search_path = pg_catalog
BEGIN ATOMIC
  SELECT CASE
    WHEN currency IN ('BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX',
      'UYI', 'VND', 'VUV', 'XAF', 'XOF', 'XPF') THEN 0
    WHEN currency IN ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') THEN 3
    WHEN currency IN ('CLF', 'UYW') THEN 4 ELSE 2 END;
END;

-- An amount written out, or the value on that day of the parameter that it names.
CREATE FUNCTION assessment.stated_minor(rules jsonb, stated text, on_day date) RETURNS numeric
  LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
DECLARE amount text := stated;
BEGIN
  IF stated LIKE 'p.%' THEN
    SELECT value INTO amount
    FROM jsonb_each_text(rules -> 'parameters' -> substr(stated, 3) -> 'values')
    WHERE key::date <= on_day ORDER BY key::date DESC LIMIT 1;
  END IF;
  RETURN amount::numeric * 10 ^ assessment.decimals(rules ->> 'currency');
END $$;

-- Attendance -----------------------------------------------------------------------------------

CREATE TABLE assessment.attendance (
  record_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  cycle_id        text NOT NULL REFERENCES programme.cycle,
  household_id    text NOT NULL REFERENCES registry.household,
  member_no       integer NOT NULL CHECK (member_no > 0),
  planned_units   integer NOT NULL CHECK (planned_units BETWEEN 0 AND 10000),
  attended_units  integer,   -- NULL: enrolled, and nobody has reported yet
  evidence_ref    text NOT NULL CHECK (evidence_ref <> ''),
  corrects        bigint UNIQUE REFERENCES assessment.attendance,
  person_id       text NOT NULL REFERENCES staff.person,
  at              timestamptz NOT NULL,
  CHECK (attended_units BETWEEN 0 AND planned_units)
);
CREATE UNIQUE INDEX attendance_begins_once ON assessment.attendance
  (cycle_id, household_id, member_no) WHERE corrects IS NULL;

CREATE VIEW assessment.attended AS
  SELECT a.* FROM assessment.attendance a
  WHERE NOT EXISTS (SELECT FROM assessment.attendance n WHERE n.corrects = a.record_id);

CREATE FUNCTION assessment.check_attendance() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE wrong record;
BEGIN
  PERFORM staff.require_role(person_id, 'programme')
    FROM (SELECT DISTINCT person_id FROM added) people;
  PERFORM pg_advisory_xact_lock(hashtextextended(cycle_id, 1))
    FROM (SELECT DISTINCT cycle_id FROM added ORDER BY cycle_id) c;
  SELECT a.household_id, a.member_no INTO wrong FROM added a
    LEFT JOIN assessment.attendance c ON c.record_id = a.corrects
    WHERE a.corrects IS NOT NULL AND (c.cycle_id, c.household_id, c.member_no)
      IS DISTINCT FROM (a.cycle_id, a.household_id, a.member_no) LIMIT 1;
  IF FOUND THEN
    PERFORM books.refuse('correction_of_another', jsonb_build_object('household',
      wrong.household_id, 'what', 'attendance'), 'Correct the latest record of the same member.');
  END IF;
  SELECT a.household_id, a.member_no INTO wrong FROM added a
    WHERE NOT EXISTS (
      SELECT FROM registry.version v JOIN registry.member m USING (version_id)
      WHERE (v.household_id, m.member_no) = (a.household_id, a.member_no)) LIMIT 1;
  IF FOUND THEN
    PERFORM books.refuse('attendance_member_unknown', jsonb_build_object(
      'household', wrong.household_id, 'member', wrong.member_no), 'Check the list.');
  END IF;
  SELECT a.household_id INTO wrong FROM added a JOIN programme.cycle y USING (cycle_id)
    JOIN programme.programme p USING (programme_id)
    WHERE p.document #> '{rules,entitlement,attendance}' IS NULL LIMIT 1;
  IF FOUND THEN
    PERFORM books.refuse('attendance_not_asked', '{}', 'Choose a cycle of such a programme.');
  END IF;
  PERFORM assessment.refuse_locked(c.cycle_id, '')   -- closed cycles
    FROM (SELECT DISTINCT cycle_id FROM added) c;
  PERFORM assessment.refuse_locked(l.cycle_id, l.household_id)
    FROM added a JOIN payments.line l USING (cycle_id, household_id);
  RETURN NULL;
END $$;
CREATE TRIGGER check_attendance AFTER INSERT ON assessment.attendance
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT
  EXECUTE FUNCTION assessment.check_attendance();

-- Cases ----------------------------------------------------------------------------------------

CREATE TABLE assessment.award (
  award_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  cycle_id      text NOT NULL REFERENCES programme.cycle,
  household_id  text NOT NULL REFERENCES registry.household,
  item          text NOT NULL,
  amount_minor  bigint NOT NULL CHECK (amount_minor >= 0),   -- 0 takes back what it corrects
  evidence_ref  text NOT NULL CHECK (evidence_ref <> ''),
  reason        text NOT NULL CHECK (reason <> ''),
  corrects      bigint UNIQUE REFERENCES assessment.award,
  person_id     text NOT NULL REFERENCES staff.person,   -- the case officer
  at            timestamptz NOT NULL,
  CHECK (amount_minor > 0 OR corrects IS NOT NULL)
);
CREATE INDEX award_household ON assessment.award (cycle_id, household_id);

CREATE VIEW assessment.awarded AS
  SELECT a.* FROM assessment.award a
  WHERE NOT EXISTS (SELECT FROM assessment.award n WHERE n.corrects = a.award_id);

CREATE FUNCTION assessment.check_award() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE rules jsonb; first_day date; corrected assessment.award; stated text; most numeric;
  sums record;
BEGIN
  PERFORM staff.require_role(NEW.person_id, 'programme');
  PERFORM assessment.refuse_locked(NEW.cycle_id, NEW.household_id);
  SELECT p.document -> 'rules', lower(c.period) INTO rules, first_day
    FROM programme.cycle c JOIN programme.programme p USING (programme_id)
    WHERE c.cycle_id = NEW.cycle_id;
  stated := rules #>> ARRAY['entitlement', 'case_by_case', 'items', NEW.item, 'at_most'];
  IF stated IS NULL THEN
    PERFORM books.refuse('award_item_unknown', jsonb_build_object('item', NEW.item),
      'Award one of the items that the programme names.');
  END IF;
  IF NEW.corrects IS NOT NULL THEN
    SELECT * INTO corrected FROM assessment.award WHERE award_id = NEW.corrects;
    IF (corrected.cycle_id, corrected.household_id, corrected.item)
        IS DISTINCT FROM (NEW.cycle_id, NEW.household_id, NEW.item) THEN
      PERFORM books.refuse('correction_of_another', jsonb_build_object('household',
        NEW.household_id, 'what', 'award'), 'Correct the latest award of the same item.');
    END IF;
  END IF;
  SELECT coalesce(sum(amount_minor), 0) AS whole,
         coalesce(sum(amount_minor) FILTER (WHERE item = NEW.item), 0) AS of_item
    INTO sums FROM assessment.awarded
    WHERE (cycle_id, household_id) = (NEW.cycle_id, NEW.household_id)
      AND award_id IS DISTINCT FROM NEW.corrects;
  most := assessment.stated_minor(rules, stated, first_day);
  IF sums.of_item + NEW.amount_minor > coalesce(most, 0) THEN
    PERFORM books.refuse('award_above_limit', jsonb_build_object('item', NEW.item,
      'limit_minor', coalesce(most, 0)::bigint, 'awarded_minor', sums.of_item::bigint,
      'currency', rules ->> 'currency'), 'Award less.');
  END IF;
  stated := rules #>> '{entitlement,at_most}';
  most := assessment.stated_minor(rules, stated, first_day);
  IF stated IS NOT NULL AND sums.whole + NEW.amount_minor > coalesce(most, 0) THEN
    PERFORM books.refuse('award_above_limit', jsonb_build_object('item', 'all items',
      'limit_minor', coalesce(most, 0)::bigint, 'awarded_minor', sums.whole::bigint,
      'currency', rules ->> 'currency'), 'Award less.');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_award BEFORE INSERT ON assessment.award
  FOR EACH ROW EXECUTE FUNCTION assessment.check_award();

-- The discretionary list -----------------------------------------------------------------------

CREATE TABLE assessment.discretionary (
  listing_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  programme_id  text NOT NULL REFERENCES programme.programme,
  household_id  text NOT NULL REFERENCES registry.household,
  reason        text NOT NULL CHECK (reason <> ''),
  listed_on     date NOT NULL,
  expires_on    date NOT NULL CHECK (expires_on >= listed_on),
  person_id     text NOT NULL REFERENCES staff.person,
  at            timestamptz NOT NULL
);
CREATE TABLE assessment.discretionary_end (
  listing_id  bigint PRIMARY KEY REFERENCES assessment.discretionary,
  reason      text NOT NULL CHECK (reason <> ''),
  person_id   text NOT NULL REFERENCES staff.person,
  at          timestamptz NOT NULL
);
-- Listings that were not ended; each counts from its day to the day it expires, both included.
CREATE VIEW assessment.listed AS
  SELECT d.*, p.code FROM assessment.discretionary d JOIN programme.programme p USING (programme_id)
  WHERE NOT EXISTS (SELECT FROM assessment.discretionary_end e WHERE e.listing_id = d.listing_id);

CREATE FUNCTION assessment.check_discretionary() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE named programme.programme; terms jsonb; standing integer;
BEGIN
  PERFORM staff.require_role(NEW.person_id, 'programme');
  SELECT * INTO named FROM programme.programme WHERE programme_id = NEW.programme_id;
  PERFORM pg_advisory_xact_lock(hashtextextended(named.code, 8));
  terms := named.document #> '{rules,selection,discretionary}';
  IF terms IS NULL THEN
    PERFORM books.refuse('discretion_not_given', jsonb_build_object('programme', named.code),
      'The rules decide alone.');
  END IF;
  IF NEW.expires_on > NEW.listed_on + (terms ->> 'days_max')::integer
     OR NEW.listed_on <> (NEW.at AT TIME ZONE 'Europe/Istanbul')::date THEN
    PERFORM books.refuse('discretion_too_long', jsonb_build_object('days', terms ->> 'days_max'),
      'Choose an earlier day.');
  END IF;
  IF EXISTS (SELECT FROM assessment.listed
             WHERE code = named.code AND household_id = NEW.household_id
               AND expires_on >= NEW.listed_on) THEN
    PERFORM books.refuse('discretion_already', jsonb_build_object('household', NEW.household_id),
      'It stands on the list.');
  END IF;
  SELECT count(*) INTO standing FROM assessment.listed
    WHERE code = named.code AND expires_on >= NEW.listed_on;
  IF standing >= (terms ->> 'households_max')::integer THEN
    PERFORM books.refuse('discretion_used_up', jsonb_build_object(
      'programme', named.code, 'households', terms ->> 'households_max'),
      'End a listing first.');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_discretionary BEFORE INSERT ON assessment.discretionary
  FOR EACH ROW EXECUTE FUNCTION assessment.check_discretionary();
CREATE TRIGGER check_role BEFORE INSERT ON assessment.discretionary_end
  FOR EACH ROW EXECUTE FUNCTION staff.check_role('programme');

-- Leaving and being promoted -------------------------------------------------------------------

CREATE TABLE assessment.leaving (
  cycle_id      text NOT NULL REFERENCES programme.cycle,
  household_id  text NOT NULL REFERENCES registry.household,
  reason        text NOT NULL CHECK (reason <> ''),
  person_id     text NOT NULL REFERENCES staff.person,
  at            timestamptz NOT NULL,
  PRIMARY KEY (cycle_id, household_id)
);
CREATE TABLE assessment.promotion (
  run_id        text NOT NULL,
  household_id  text NOT NULL,
  person_id     text NOT NULL REFERENCES staff.person,
  at            timestamptz NOT NULL,
  PRIMARY KEY (run_id, household_id),
  FOREIGN KEY (run_id, household_id) REFERENCES assessment.decision
);

-- Who is served now: whom the run selected or people promoted since, without those who left.
CREATE VIEW assessment.served AS
  SELECT d.*, p.run_id IS NOT NULL AS promoted
  FROM assessment.decision d
  JOIN assessment.run r USING (run_id)
  LEFT JOIN assessment.promotion p USING (run_id, household_id)
  WHERE (d.selected OR p.run_id IS NOT NULL)
    AND NOT EXISTS (SELECT FROM assessment.leaving l
                    WHERE (l.cycle_id, l.household_id) = (r.cycle_id, d.household_id));

-- The stratum of each household in the order of a run; empty where places are counted in all.
CREATE VIEW assessment.standing AS
  SELECT d.run_id, r.cycle_id, d.household_id, d.rank, d.score, d.tie_key, d.amount_minor,
         d.waitlist_position, d.waitlist_position IS NULL AS was_selected,
         CASE t.stratum_by WHEN 'province' THEN v.province
                           WHEN 'population_group' THEN v.population_group
                           ELSE '' END AS stratum
  FROM assessment.decision d
  JOIN assessment.run r USING (run_id)
  LEFT JOIN assessment.run_terms t USING (run_id)
  JOIN registry.version v USING (version_id)
  WHERE d.rank IS NOT NULL;

-- The waiting list of each run, without those who were promoted and those who left.
CREATE VIEW assessment.waiting AS
  SELECT s.* FROM assessment.standing s
  WHERE s.waitlist_position IS NOT NULL
    AND NOT EXISTS (SELECT FROM assessment.promotion p
                    WHERE (p.run_id, p.household_id) = (s.run_id, s.household_id))
    AND NOT EXISTS (SELECT FROM assessment.leaving l
                    WHERE (l.cycle_id, l.household_id) = (s.cycle_id, s.household_id));

-- What is free in each stratum of a run: places (NULL: as many as the budget reaches), and money in
-- all (NULL: no budget). Unused places of the whole quota count for every stratum where they move.
CREATE FUNCTION assessment.free(run text) RETURNS TABLE (
  stratum text, places bigint, spare_places bigint, left_minor numeric) LANGUAGE sql STABLE
  SET search_path = pg_catalog
BEGIN ATOMIC
  WITH taken AS (
    SELECT s.stratum, count(*) AS households FROM assessment.standing s
    JOIN assessment.served USING (run_id, household_id) WHERE s.run_id = run GROUP BY s.stratum),
  each AS (
    SELECT c.stratum, c.places, coalesce(t.households, 0) AS households
    FROM assessment.coverage c LEFT JOIN taken t USING (stratum) WHERE c.run_id = run)
  SELECT e.stratum, e.places - e.households,
    CASE WHEN m.unused_move THEN (SELECT sum(places) - sum(households) FROM each) ELSE 0 END,
    m.budget_minor - (SELECT coalesce(sum(amount_minor), 0) FROM assessment.served
                      WHERE run_id = run)
  FROM each e JOIN assessment.run_terms m ON m.run_id = run;
END;

CREATE FUNCTION assessment.check_leaving() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  PERFORM staff.require_role(NEW.person_id, 'programme');
  PERFORM assessment.refuse_locked(NEW.cycle_id, NULL);
  IF NOT EXISTS (SELECT FROM assessment.latest_run r JOIN assessment.served s USING (run_id)
                 WHERE (r.cycle_id, s.household_id) = (NEW.cycle_id, NEW.household_id)) THEN
    PERFORM books.refuse('leaving_not_served', jsonb_build_object('household', NEW.household_id),
      'Only who is served can leave.');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_leaving BEFORE INSERT ON assessment.leaving
  FOR EACH ROW EXECUTE FUNCTION assessment.check_leaving();

CREATE FUNCTION assessment.check_promotion() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE stands record; open_ record;
BEGIN
  PERFORM staff.require_role(NEW.person_id, 'programme');
  SELECT cycle_id INTO stands FROM assessment.run WHERE run_id = NEW.run_id;
  PERFORM assessment.refuse_locked(stands.cycle_id, NULL);
  SELECT * INTO stands FROM assessment.waiting w JOIN assessment.latest_run l USING (run_id)
    WHERE (w.run_id, w.household_id) = (NEW.run_id, NEW.household_id);
  IF NOT FOUND OR EXISTS (
      SELECT FROM assessment.waiting w
      WHERE (w.run_id, w.stratum) = (NEW.run_id, stands.stratum)
        AND w.waitlist_position < stands.waitlist_position) THEN
    PERFORM books.refuse('promotion_out_of_turn', jsonb_build_object('household',
      NEW.household_id), 'Promote the first who waits.');
  END IF;
  SELECT * INTO open_ FROM assessment.free(NEW.run_id) WHERE stratum = stands.stratum;
  IF NOT FOUND OR open_.places <= 0 AND open_.spare_places <= 0
     OR open_.left_minor < stands.amount_minor THEN
    PERFORM books.refuse('promotion_without_place', jsonb_build_object('household',
      NEW.household_id), 'Wait until a place and its money are free.');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_promotion BEFORE INSERT ON assessment.promotion
  FOR EACH ROW EXECUTE FUNCTION assessment.check_promotion();

-- Nothing recorded changes ---------------------------------------------------------------------

DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['run_terms', 'coverage', 'attendance', 'award', 'discretionary',
    'discretionary_end', 'leaving', 'promotion']
  LOOP
    EXECUTE format('CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON assessment.%I
                    FOR EACH ROW EXECUTE FUNCTION ops.append_only()', t);
    EXECUTE format('CREATE TRIGGER append_only_table BEFORE TRUNCATE ON assessment.%I
                    FOR EACH STATEMENT EXECUTE FUNCTION ops.append_only()', t);
    EXECUTE format('GRANT SELECT, INSERT ON assessment.%I TO cva_app', t);
    EXECUTE format('GRANT SELECT ON assessment.%I TO cva_auditor', t);
  END LOOP;
  FOREACH t IN ARRAY ARRAY['latest_run', 'attended', 'awarded', 'listed', 'served', 'standing',
    'waiting']
  LOOP
    EXECUTE format('GRANT SELECT ON assessment.%I TO cva_app, cva_auditor', t);
  END LOOP;
END $$;
