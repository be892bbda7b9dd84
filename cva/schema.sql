-- The programme's tables: people, households, programmes, decisions, plans, providers' words.
--
-- What these tables promise by themselves, whoever writes to them:
--   * nothing recorded changes: no UPDATE, DELETE or TRUNCATE, by trigger and by privilege;
--   * preparer, approvers and releaser of a plan are pairwise different and sign the plan's digest;
--   * a household has at most one unfailed payment per programme, cycle and kind;
--   * a file for lines that another file already carries is refused until that one is known not
--     to have been taken;
--   * cycles of one programme do not overlap, and a cycle with an unexplained difference stays open.
-- The one exception is how far a job is (ops.job_progress), which is news and no record.
--
-- State is never a column that changes: it is the latest of the events recorded.
-- Refusals are raised by books.refuse(code, facts, hint); ledgers/schema.sql comes first.

CREATE SCHEMA ops;
CREATE SCHEMA staff;
CREATE SCHEMA registry;
CREATE SCHEMA programme;
CREATE SCHEMA assessment;
CREATE SCHEMA payments;

-- ops: what was done ---------------------------------------------------------------------------

CREATE FUNCTION ops.append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM books.refuse('append_only',
    jsonb_build_object('table', TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME, 'operation', TG_OP),
    'Record a new event instead.');
  RETURN NULL;
END $$;

-- One row for every writing verb: who, when, what, and the answer given, under the caller's key.
CREATE TABLE ops.act (
  act_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  key        text NOT NULL UNIQUE,
  verb       text NOT NULL,
  object_id  text NOT NULL,
  body_hash  bytea NOT NULL CHECK (octet_length(body_hash) = 32),
  answer     jsonb NOT NULL,
  person_id  text NOT NULL,
  at         timestamptz NOT NULL
);
CREATE INDEX act_at ON ops.act (at);

-- A clock that was set back would put what is done now before what was done. Between the clocks of
-- two machines lie at most five minutes; an act bears the moment at which its transaction began.
CREATE FUNCTION ops.refuse_clock_set_back(moment timestamptz) RETURNS void LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE newest timestamptz; running interval;
BEGIN
  SELECT max(at) INTO newest FROM ops.act;
  running := greatest(clock_timestamp() - transaction_timestamp(), interval '0');
  IF moment < newest - interval '5 minutes' - running THEN
    PERFORM books.refuse('clock_set_back', jsonb_build_object(
      'now', to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'),
      'newest', to_char(newest AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')),
      'Set the clock right.');
  END IF;
END $$;

-- A hand-over was held against the clock before it began; what the provider then answered is never
-- refused, whatever became of our clock meanwhile: it stands after the newest act.
CREATE FUNCTION ops.check_clock() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  IF NEW.verb = 'send' THEN
    NEW.at := greatest(NEW.at, (SELECT max(at) FROM ops.act));
  ELSE
    PERFORM ops.refuse_clock_set_back(NEW.at);
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_clock BEFORE INSERT ON ops.act
  FOR EACH ROW EXECUTE FUNCTION ops.check_clock();

-- The master key this database was made with: an HMAC under it, which tells nothing about it.
CREATE TABLE ops.vault_fingerprint (
  fingerprint  bytea PRIMARY KEY CHECK (octet_length(fingerprint) = 32),
  at           timestamptz NOT NULL
);
CREATE UNIQUE INDEX one_master_key ON ops.vault_fingerprint ((true));

-- The installation's own keys, sealed under the master key: one that signs the log's checkpoints, one
-- that witnesses other agencies' logs. The newest of a use signs; older ones stay to be checked.
CREATE TABLE ops.signing_key (
  key_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  use         text NOT NULL CHECK (use IN ('log', 'witness')),
  name        text NOT NULL CHECK (name ~ '^[^[:space:]+]+$'),
  public_key  bytea NOT NULL CHECK (octet_length(public_key) = 32),
  sealed_key  bytea NOT NULL,
  at          timestamptz NOT NULL
);

-- What this installation saw of other agencies' logs and cosigned: each log only ever grows.
CREATE TABLE ops.witnessed (
  origin      text NOT NULL,
  tree_size   bigint NOT NULL CHECK (tree_size >= 0),
  note        text NOT NULL,
  at          timestamptz NOT NULL,
  PRIMARY KEY (origin, tree_size)
);

-- staff: who may do what -----------------------------------------------------------------------

CREATE TABLE staff.person (
  person_id   text PRIMARY KEY CHECK (person_id ~ '^per_[0-9a-z]{26}$'),
  login       text NOT NULL UNIQUE CHECK (login ~ '^[a-z][a-z0-9._-]{1,31}$'),
  name        text NOT NULL,
  public_key  bytea NOT NULL CHECK (octet_length(public_key) = 32),
  sealed_key  bytea NOT NULL,   -- the Ed25519 private key under the person's passphrase
  added_by    text REFERENCES staff.person,  -- NULL only for the first administrator
  added_at    timestamptz NOT NULL
);
CREATE UNIQUE INDEX one_first_administrator ON staff.person ((added_by IS NULL)) WHERE added_by IS NULL;

CREATE TABLE staff.role_event (
  event_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  person_id  text NOT NULL REFERENCES staff.person,
  role       text NOT NULL CHECK (role IN ('administrator', 'programme', 'finance', 'auditor')),
  granted    boolean NOT NULL,
  by_person  text NOT NULL REFERENCES staff.person,
  at         timestamptz NOT NULL
);
CREATE VIEW staff.holds_role AS
  SELECT person_id, role FROM (
    SELECT DISTINCT ON (person_id, role) person_id, role, granted
    FROM staff.role_event ORDER BY person_id, role, event_id DESC) latest
  WHERE granted;

CREATE FUNCTION staff.check_role_event() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE first_administrator boolean;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('staff.role_event', 0));
  SELECT added_by IS NULL AND NEW.role = 'administrator'
         AND NOT EXISTS (SELECT FROM staff.role_event)
    INTO first_administrator FROM staff.person WHERE person_id = NEW.person_id;
  IF first_administrator THEN RETURN NEW; END IF;
  IF NEW.by_person = NEW.person_id THEN
    PERFORM books.refuse('own_role', jsonb_build_object('role', NEW.role),
      'Another administrator changes your roles.');
  END IF;
  IF NOT EXISTS (SELECT FROM staff.holds_role
                 WHERE person_id = NEW.by_person AND role = 'administrator') THEN
    PERFORM books.refuse('role_missing', jsonb_build_object('role', 'administrator'),
      'An administrator changes roles.');
  END IF;
  IF NEW.granted AND EXISTS (
      SELECT FROM staff.holds_role WHERE person_id = NEW.person_id
      AND (role = 'auditor') <> (NEW.role = 'auditor')) THEN
    PERFORM books.refuse('auditor_writes_nothing', '{}',
      'An auditor holds no other role; add a second person.');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_role_event BEFORE INSERT ON staff.role_event
  FOR EACH ROW EXECUTE FUNCTION staff.check_role_event();

CREATE FUNCTION staff.require_role(person text, wanted text) RETURNS void LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM staff.holds_role WHERE person_id = person AND role = wanted) THEN
    PERFORM books.refuse('role_missing', jsonb_build_object('role', wanted),
      'Ask an administrator for the role.');
  END IF;
END $$;

-- ops: long steps while they run -----------------------------------------------------------------

-- A step that takes long, written beside its own transaction so that others see it at once. Whoever
-- runs it holds an advisory lock on its id: a job that has not ended and holds none is gone.
CREATE TABLE ops.job (
  job_id     text PRIMARY KEY CHECK (job_id ~ '^job_[0-9a-z]{26}$'),
  verb       text NOT NULL,
  object_id  text NOT NULL,
  counted    text NOT NULL,   -- what its counts are of, a plural
  command    text NOT NULL,   -- the same command does it again, or goes on
  person_id  text REFERENCES staff.person,   -- NULL: a step that asks nobody who they are
  begun_at   timestamptz NOT NULL
);
CREATE TABLE ops.job_end (
  job_id    text PRIMARY KEY REFERENCES ops.job,
  outcome   text NOT NULL CHECK (outcome IN ('done', 'refused', 'cancelled', 'interrupted', 'failed')),
  ended_at  timestamptz NOT NULL
);
CREATE TABLE ops.job_cancel (
  job_id     text PRIMARY KEY REFERENCES ops.job,
  person_id  text NOT NULL REFERENCES staff.person,
  at         timestamptz NOT NULL
);
-- How far it is: the only rows here that change. Not worth a crash's recovery.
CREATE UNLOGGED TABLE ops.job_progress (
  job_id   text PRIMARY KEY REFERENCES ops.job,
  done     bigint NOT NULL CHECK (done >= 0),
  total    bigint,             -- NULL: nobody knows of how many
  seconds  integer NOT NULL    -- that it took
);

CREATE FUNCTION ops.check_job_cancel() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM ops.job WHERE (job_id, person_id) = (NEW.job_id, NEW.person_id)) THEN
    PERFORM staff.require_role(NEW.person_id, 'administrator');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_job_cancel BEFORE INSERT ON ops.job_cancel
  FOR EACH ROW EXECUTE FUNCTION ops.check_job_cancel();

CREATE VIEW ops.job_state AS
  WITH held AS (
    SELECT l.classid::bigint << 32 | l.objid::bigint AS lock
    FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
    WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted)
  SELECT j.*, p.done, p.total, p.seconds, c.at AS asked_at, c.person_id AS asked_by, e.ended_at,
         CASE WHEN e.job_id IS NOT NULL THEN e.outcome
              WHEN hashtextextended('job:' || j.job_id, 0) NOT IN (SELECT lock FROM held) THEN 'gone'
              WHEN c.job_id IS NOT NULL THEN 'cancelling' ELSE 'running' END AS state
  FROM ops.job j
  LEFT JOIN ops.job_progress p USING (job_id)
  LEFT JOIN ops.job_cancel c USING (job_id)
  LEFT JOIN ops.job_end e USING (job_id);

-- registry: households and members -------------------------------------------------------------

CREATE TABLE registry.import (
  import_id   text PRIMARY KEY,
  form        text NOT NULL,
  file_name   text NOT NULL,
  sha256      bytea NOT NULL CHECK (octet_length(sha256) = 32),
  added       integer NOT NULL,
  revised     integer NOT NULL,
  unchanged   integer NOT NULL,
  refused     integer NOT NULL,
  members     integer NOT NULL,            -- with a name, in what was added and revised
  declared    integer NOT NULL DEFAULT 0,  -- people that these declared
  person_id   text NOT NULL REFERENCES staff.person,
  at          timestamptz NOT NULL,
  UNIQUE (form, sha256)
);

-- The identity of a registration is the form and the source's own record identity.
CREATE TABLE registry.household (
  household_id  text PRIMARY KEY CHECK (household_id ~ '^hh_[0-9a-z]{26}$'),
  form          text NOT NULL,
  record_key    text NOT NULL,  -- a keyed token: the source's identity may be personal
  import_id     text NOT NULL REFERENCES registry.import DEFERRABLE INITIALLY DEFERRED,
  UNIQUE (form, record_key)
);

-- The household's data key, wrapped by the master key. Without it nothing sealed can be read.
CREATE TABLE registry.household_key (
  household_id  text PRIMARY KEY REFERENCES registry.household,
  wrapped       bytea NOT NULL
);

-- One row for every revision of a registration. Clear columns are what rules read in sets; names,
-- identifiers, phones, accounts, card references and addresses are in `sealed`.
CREATE TABLE registry.version (
  version_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  household_id      text NOT NULL REFERENCES registry.household,
  revision          text NOT NULL,  -- a keyed token as well: it may be a digest of the answers
  import_id         text NOT NULL REFERENCES registry.import DEFERRABLE INITIALLY DEFERRED,
  submitted_at      timestamptz,
  consent_given     boolean,
  consent_language  text,
  consent_on        date,
  province          text,
  district          text,
  population_group  text,
  declared_size     integer CHECK (declared_size > 0),
  roster_size       integer NOT NULL CHECK (roster_size > 0),
  has_roster        boolean NOT NULL,
  answers           jsonb NOT NULL,
  sealed            bytea NOT NULL,
  UNIQUE (household_id, revision)
);
CREATE INDEX version_latest ON registry.version (household_id, version_id DESC);

CREATE TABLE registry.member (
  version_id            bigint NOT NULL REFERENCES registry.version,
  member_no             integer NOT NULL CHECK (member_no > 0),
  relationship          text,
  sex                   text CHECK (sex IN ('female', 'male')),
  birth_date            date,
  birth_date_precision  text CHECK (birth_date_precision IN ('exact', 'year')),
  nationality           text,
  disability_percent    integer CHECK (disability_percent BETWEEN 0 AND 100),
  PRIMARY KEY (version_id, member_no)
);

-- Keyed tokens of identifiers (HMAC-SHA256, 16 bytes): equality can be asked, nothing can be read.
CREATE TABLE registry.identifier (
  version_id  bigint NOT NULL REFERENCES registry.version,
  member_no   integer NOT NULL,   -- 0: the household's own
  kind        text NOT NULL,
  token       bytea NOT NULL CHECK (octet_length(token) = 16),
  valid       boolean NOT NULL,
  PRIMARY KEY (version_id, member_no, kind)
);
CREATE INDEX identifier_token ON registry.identifier (token, kind);

CREATE TABLE registry.finding (
  import_id     text NOT NULL REFERENCES registry.import DEFERRABLE INITIALLY DEFERRED,
  finding_no    integer NOT NULL,
  code          text NOT NULL,
  weight        text NOT NULL CHECK (weight IN ('refused', 'doubtful', 'note')),
  sheet         text NOT NULL,
  row_no        integer,
  field         text NOT NULL,
  shown         text NOT NULL,   -- masked where personal
  facts         jsonb NOT NULL,
  household_id  text,
  PRIMARY KEY (import_id, finding_no)
);

-- After an import the planner must know what was loaded: without it, questions about pairs and
-- shared identifiers take hours. The application may not analyse tables itself.
CREATE FUNCTION registry.analyse() RETURNS void LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  ANALYZE registry.household, registry.household_key, registry.version, registry.member,
    registry.identifier;
END $$;
REVOKE ALL ON FUNCTION registry.analyse FROM PUBLIC;
GRANT EXECUTE ON FUNCTION registry.analyse TO cva_app;

-- programme: what is promised ------------------------------------------------------------------

CREATE TABLE programme.code (
  code    text PRIMARY KEY,
  number  integer GENERATED ALWAYS AS IDENTITY UNIQUE
);

CREATE TABLE programme.programme (
  programme_id  text PRIMARY KEY CHECK (programme_id ~ '^pgm_[0-9a-z]{26}$'),
  code          text NOT NULL REFERENCES programme.code,
  version       integer NOT NULL CHECK (version > 0),
  document      jsonb NOT NULL,
  hash          bytea NOT NULL CHECK (octet_length(hash) = 32),
  person_id     text NOT NULL REFERENCES staff.person,
  at            timestamptz NOT NULL,
  UNIQUE (code, version),
  UNIQUE (code, hash)
);

CREATE TABLE programme.cycle (
  cycle_id          text PRIMARY KEY CHECK (cycle_id ~ '^cyc_[0-9a-z]{26}$'),
  programme_id      text NOT NULL REFERENCES programme.programme,
  programme_number  integer NOT NULL REFERENCES programme.code (number),
  name              text NOT NULL,
  period            daterange NOT NULL CHECK (NOT isempty(period)),
  person_id         text NOT NULL REFERENCES staff.person,
  at                timestamptz NOT NULL,
  UNIQUE (programme_number, name),
  CONSTRAINT cycles_do_not_overlap EXCLUDE USING gist (
    int4range(programme_number, programme_number, '[]') WITH &&, period WITH &&)
);

-- assessment: who qualifies, who is served now, how much ---------------------------------------

CREATE TABLE assessment.run (
  run_id           text PRIMARY KEY CHECK (run_id ~ '^run_[0-9a-z]{26}$'),
  cycle_id         text NOT NULL REFERENCES programme.cycle,
  snapshot_sha256  bytea NOT NULL CHECK (octet_length(snapshot_sha256) = 32),
  decisions_sha256 bytea NOT NULL CHECK (octet_length(decisions_sha256) = 32),
  pack_hash        bytea NOT NULL CHECK (octet_length(pack_hash) = 32),
  reference_date   date NOT NULL,
  seed             text NOT NULL,
  registered       integer NOT NULL,
  eligible         integer NOT NULL,
  review           integer NOT NULL,
  selected         integer NOT NULL,
  person_id        text NOT NULL REFERENCES staff.person,
  at               timestamptz NOT NULL
);

CREATE TABLE assessment.decision (
  run_id             text NOT NULL REFERENCES assessment.run DEFERRABLE INITIALLY DEFERRED,
  household_id       text NOT NULL,
  version_id         bigint NOT NULL,
  status             text NOT NULL CHECK (status IN ('eligible', 'ineligible', 'review')),
  pass_bits          bigint NOT NULL,
  unknown_bits       bigint NOT NULL,
  score              bigint,
  tie_key            text NOT NULL,
  rank               integer,
  selected           boolean NOT NULL,
  waitlist_position  integer,
  amount_minor       bigint,
  currency           char(3) NOT NULL,
  people             integer,   -- unknown: no roster and no declared size
  people_from        text CHECK (people_from IN ('roster', 'declared')),
  reason             text NOT NULL,
  PRIMARY KEY (run_id, household_id)
);

-- payments: plans ------------------------------------------------------------------------------

CREATE TABLE payments.plan (
  plan_id           text PRIMARY KEY CHECK (plan_id ~ '^plan_[0-9a-z]{26}$'),
  cycle_id          text NOT NULL REFERENCES programme.cycle,
  run_id            text NOT NULL REFERENCES assessment.run,
  parent_plan_id    text REFERENCES payments.plan,   -- a follow-up names the plan it follows
  provider          text NOT NULL,
  currency          char(3) NOT NULL,
  execute_on        date NOT NULL,
  lines             integer NOT NULL CHECK (lines >= 0),
  stopped_lines     integer NOT NULL CHECK (stopped_lines BETWEEN 0 AND lines),
  total_minor       bigint NOT NULL CHECK (total_minor >= 0),   -- of the lines not stopped
  people            integer NOT NULL,
  digest            bytea NOT NULL CHECK (octet_length(digest) = 32),
  approvers_needed  integer NOT NULL CHECK (approvers_needed >= 1),
  prepared_by       text NOT NULL REFERENCES staff.person,
  locked_at         timestamptz NOT NULL,
  UNIQUE (plan_id, cycle_id)
);
CREATE INDEX plan_cycle ON payments.plan (cycle_id);

-- One instruction each. `attempt` counts the tries to pay one household in one cycle: the unique
-- key and payments.check_attempts together let a second try exist only after the first failed.
CREATE TABLE payments.line (
  plan_id           text NOT NULL,
  line_no           integer NOT NULL CHECK (line_no > 0),
  cycle_id          text NOT NULL,
  household_id      text NOT NULL,
  version_id        bigint NOT NULL,
  kind              text NOT NULL CHECK (kind IN ('regular', 'shortfall')),
  attempt           smallint NOT NULL CHECK (attempt > 0),
  amount_minor      bigint NOT NULL CHECK (amount_minor > 0),
  people            integer NOT NULL,
  people_from       text NOT NULL,
  province          text,
  population_group  text,
  stopped           text,   -- why this line is not paid in this plan
  instruction_ref   text NOT NULL UNIQUE CHECK (instruction_ref ~ '^[A-Z0-9]{1,35}$'),
  PRIMARY KEY (plan_id, line_no),
  CONSTRAINT once_per_cycle UNIQUE (cycle_id, household_id, kind, attempt),
  FOREIGN KEY (plan_id, cycle_id) REFERENCES payments.plan (plan_id, cycle_id)
    DEFERRABLE INITIALLY DEFERRED
);

-- What became of a line: at most loaded and then returned; or stopped, cancelled, voided.
CREATE TABLE payments.outcome (
  plan_id         text NOT NULL,
  line_no         integer NOT NULL,
  step            smallint NOT NULL CHECK (step IN (1, 2)),
  kind            text NOT NULL CHECK (kind IN ('stopped', 'cancelled', 'loaded', 'voided', 'returned')),
  amount_minor    bigint NOT NULL CHECK (amount_minor >= 0),
  delivered_on    date,
  observation_id  bigint,
  at              timestamptz NOT NULL,
  PRIMARY KEY (plan_id, line_no, step),
  CHECK ((kind = 'returned') = (step = 2)),
  CHECK ((kind IN ('loaded', 'returned')) = (amount_minor > 0)),
  CHECK ((kind = 'loaded') = (delivered_on IS NOT NULL))
);

-- Set-based in place of row-level foreign keys. An outcome says what the books say: loaded and voided
-- stand on the resolution of the line's hold, returned on the transfer that brought it back. EXECUTE
-- plans anew each time: a plan kept from when the tables were small would be slow for ever.
CREATE FUNCTION payments.check_outcomes() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE wrong boolean;
BEGIN
  EXECUTE $q$ SELECT EXISTS (SELECT FROM added a LEFT JOIN payments.line l USING (plan_id, line_no)
    WHERE l.plan_id IS NULL OR (a.kind = 'stopped') <> (l.stopped IS NOT NULL)
       OR a.amount_minor > l.amount_minor) $q$ INTO wrong;
  IF wrong THEN
    PERFORM books.refuse('outcome_without_line', '{}', 'Name a line of a plan.');
  END IF;
  EXECUTE $q$ SELECT EXISTS (SELECT FROM added a
    LEFT JOIN payments.outcome o ON (o.plan_id, o.line_no, o.step) = (a.plan_id, a.line_no, 1)
    WHERE a.kind = 'returned' AND (o.kind = 'loaded' AND o.amount_minor >= a.amount_minor)
      IS NOT TRUE) $q$ INTO wrong;
  IF wrong THEN
    PERFORM books.refuse('return_without_load', '{}', 'Only what was loaded can come back.');
  END IF;
  EXECUTE $q$ SELECT EXISTS (
    SELECT FROM added a JOIN payments.line l USING (plan_id, line_no)
    LEFT JOIN books.transfer h ON h.instruction_ref = l.instruction_ref AND h.phase = 'pending'
    LEFT JOIN books.transfer r ON r.pending_id = h.transfer_id
    WHERE a.kind IN ('loaded', 'voided')
      AND (r.phase = CASE a.kind WHEN 'loaded' THEN 'posted' ELSE 'voided' END
           AND (a.kind = 'voided' OR r.amount_minor = a.amount_minor)) IS NOT TRUE
    UNION ALL
    SELECT FROM added a JOIN payments.line l USING (plan_id, line_no)
    WHERE a.kind = 'returned' AND NOT EXISTS (
      SELECT FROM books.transfer b WHERE b.instruction_ref = l.instruction_ref
        AND b.phase = 'single' AND b.amount_minor = a.amount_minor)
    UNION ALL
    SELECT FROM added a JOIN payments.line l USING (plan_id, line_no)
    LEFT JOIN payments.cancellation c USING (plan_id)
    LEFT JOIN books.transfer h ON h.instruction_ref = l.instruction_ref AND h.phase = 'pending'
    LEFT JOIN books.transfer r ON r.pending_id = h.transfer_id
    WHERE a.kind = 'cancelled'
      AND (c.plan_id IS NULL OR h.transfer_id IS NOT NULL AND r.phase IS DISTINCT FROM 'voided')) $q$
    INTO wrong;
  IF wrong THEN
    PERFORM books.refuse('outcome_differs_from_books', '{}', 'Settle the plan.');
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER check_outcomes AFTER INSERT ON payments.outcome
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION payments.check_outcomes();

-- A further attempt, or a shortfall line, stands on the end of the line before it; once anything was
-- loaded it is no larger than what is open. Writers of one cycle wait for each other, so that none misses what
-- another is about to add.
CREATE FUNCTION payments.check_attempts() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE wrong text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended(cycle_id, 1))
    FROM (SELECT DISTINCT cycle_id FROM added ORDER BY cycle_id) c;
  EXECUTE $q$ SELECT a.plan_id FROM added a JOIN payments.plan p USING (plan_id) LIMIT 1 $q$
    INTO wrong;
  IF wrong IS NOT NULL THEN
    PERFORM books.refuse('plan_is_locked', '{}', 'Prepare a new plan.');
  END IF;
  EXECUTE $q$
    SELECT a.household_id FROM added a
    LEFT JOIN registry.version v ON (v.version_id, v.household_id) = (a.version_id, a.household_id)
    WHERE v.version_id IS NULL LIMIT 1 $q$ INTO wrong;
  IF wrong IS NOT NULL THEN
    PERFORM books.refuse('line_without_registration', jsonb_build_object('household', wrong),
      'Pay registered households only.');
  END IF;
  EXECUTE $q$
    SELECT a.household_id FROM added a
    WHERE a.attempt > 1 AND NOT EXISTS (
      SELECT FROM payments.line l
      JOIN payments.outcome o ON (o.plan_id, o.line_no, o.step) = (l.plan_id, l.line_no, 1)
      LEFT JOIN payments.outcome b ON (b.plan_id, b.line_no, b.step) = (l.plan_id, l.line_no, 2)
      LEFT JOIN payments.line s ON l.kind = 'regular' AND s.kind = 'shortfall' AND s.attempt = 1
        AND (s.cycle_id, s.household_id) = (l.cycle_id, l.household_id)
      WHERE (l.cycle_id, l.household_id, l.kind, l.attempt)
          = (a.cycle_id, a.household_id, a.kind, a.attempt - 1)
        AND (o.kind <> 'loaded' OR b.kind = 'returned')
        AND (a.amount_minor <= l.amount_minor - o.amount_minor + coalesce(b.amount_minor, 0)
               - CASE WHEN o.kind = 'loaded' AND o.amount_minor < l.amount_minor
                      THEN coalesce(s.amount_minor, 0) ELSE 0 END
             OR NOT EXISTS (
               SELECT FROM payments.line e
               JOIN payments.outcome eo ON (eo.plan_id, eo.line_no, eo.step) = (e.plan_id, e.line_no, 1)
               WHERE (e.cycle_id, e.household_id, e.kind) = (a.cycle_id, a.household_id, a.kind)
                 AND e.attempt < a.attempt AND eo.kind = 'loaded')))
    LIMIT 1 $q$ INTO wrong;
  IF wrong IS NOT NULL THEN
    PERFORM books.refuse('already_paid_or_pending', jsonb_build_object('household', wrong),
      'Wait until the line before it has failed for certain.');
  END IF;
  EXECUTE $q$
    SELECT a.household_id FROM added a
    WHERE a.kind = 'shortfall' AND a.attempt = 1 AND NOT EXISTS (
      SELECT FROM payments.line l
      JOIN payments.outcome o ON (o.plan_id, o.line_no, o.step) = (l.plan_id, l.line_no, 1)
      WHERE (l.cycle_id, l.household_id, l.kind) = (a.cycle_id, a.household_id, 'regular')
        AND o.kind = 'loaded' AND o.amount_minor + a.amount_minor <= l.amount_minor
        AND NOT EXISTS (
          SELECT FROM payments.line n WHERE (n.cycle_id, n.household_id, n.kind, n.attempt)
            = (l.cycle_id, l.household_id, l.kind, l.attempt + 1)))
    LIMIT 1 $q$ INTO wrong;
  IF wrong IS NOT NULL THEN
    PERFORM books.refuse('shortfall_without_short_load',
      jsonb_build_object('household', wrong), 'Only what a short load left open can follow.');
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER check_attempts AFTER INSERT ON payments.line
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION payments.check_attempts();

-- What approvers sign: the plan's head, how many lines, and the root of a Merkle tree over them, so
-- that one line can be shown to belong to it without the others. A line's leaf holds the digest of
-- its registration and the whole decision. Text is UTF-8 whatever the client speaks.
CREATE FUNCTION payments.line_leaves(plan text, run text)
RETURNS TABLE (line_no integer, encoding bytea) LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp SET client_encoding = 'UTF8'
BEGIN ATOMIC
  SELECT l.line_no, record_send(ROW('cva.line.v1'::text, l.line_no, l.household_id, l.version_id,
      l.kind, l.attempt::integer, l.amount_minor, l.people, l.stopped, l.instruction_ref,
      sha256(record_send(ROW('cva.registration.v1'::text, v.household_id, v.version_id, v.revision,
        v.import_id, v.submitted_at, v.consent_given, v.consent_language, v.consent_on, v.province,
        v.district, v.population_group, v.declared_size, v.roster_size, v.has_roster, v.answers,
        v.sealed))),
      record_send(ROW('cva.decision.v1'::text, d.run_id, d.status, d.pass_bits, d.unknown_bits,
        d.score, d.rank, d.selected, d.waitlist_position, d.amount_minor, d.currency::text,
        d.people, d.people_from, d.reason, r.snapshot_sha256, r.decisions_sha256, r.pack_hash,
        r.reference_date))))
  FROM payments.line l
  LEFT JOIN registry.version v USING (version_id)
  LEFT JOIN assessment.run r ON r.run_id = run
  LEFT JOIN assessment.decision d ON (d.run_id, d.household_id) = (run, l.household_id)
  WHERE l.plan_id = plan;
END;
CREATE FUNCTION payments.digest(plan text, head text) RETURNS bytea LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
  SELECT sha256(convert_to(head, 'UTF8') || int8send(count(*)) || books.merkle_root(coalesce(
    string_agg(sha256('\x00'::bytea || encoding), ''::bytea ORDER BY line_no), ''::bytea)))
  FROM payments.line_leaves(plan, split_part(head, '|', 3));
END;
CREATE FUNCTION payments.head(p payments.plan) RETURNS text LANGUAGE sql STABLE
  SET search_path = pg_catalog AS $$
  SELECT concat_ws('|', p.plan_id, p.cycle_id, p.run_id, coalesce(p.parent_plan_id, '-'), p.provider,
    p.currency, to_char(p.execute_on, 'YYYY-MM-DD'), p.approvers_needed, p.prepared_by)
$$;

-- A plan says of its lines what is true of them, at the commit that makes it.
CREATE FUNCTION payments.check_plan() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE found record;
BEGIN
  SELECT count(*) AS lines, count(stopped) AS stopped_lines,
         coalesce(sum(amount_minor) FILTER (WHERE stopped IS NULL), 0) AS total_minor,
         coalesce(sum(people) FILTER (WHERE stopped IS NULL), 0) AS people
    INTO found FROM payments.line WHERE plan_id = NEW.plan_id;
  IF (found.lines, found.stopped_lines, found.total_minor, found.people)
     IS DISTINCT FROM (NEW.lines::bigint, NEW.stopped_lines::bigint, NEW.total_minor::numeric,
                       NEW.people::bigint)
     OR NEW.digest <> payments.digest(NEW.plan_id, payments.head(NEW)) THEN
    PERFORM books.refuse('plan_differs_from_lines', jsonb_build_object('plan', NEW.plan_id),
      'Prepare the plan again.');
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER check_plan AFTER INSERT ON payments.plan
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION payments.check_plan();

CREATE FUNCTION payments.check_prepared() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  PERFORM staff.require_role(NEW.prepared_by, 'programme');
  PERFORM pg_advisory_xact_lock(hashtextextended(NEW.cycle_id, 1));  -- as check_attempts
  IF NOT EXISTS (SELECT FROM assessment.run r
                 WHERE (r.run_id, r.cycle_id) = (NEW.run_id, NEW.cycle_id))
     OR NEW.parent_plan_id IS NOT NULL AND NOT EXISTS (
       SELECT FROM payments.plan p
       WHERE (p.plan_id, p.cycle_id) = (NEW.parent_plan_id, NEW.cycle_id)) THEN
    PERFORM books.refuse('plan_of_another_cycle', jsonb_build_object('plan', NEW.plan_id),
      'Prepare the plan from a run of its own cycle.');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_prepared BEFORE INSERT ON payments.plan
  FOR EACH ROW EXECUTE FUNCTION payments.check_prepared();

-- A plan is cancelled as long as nobody can have taken anything of it, also after its release.
CREATE TABLE payments.cancellation (
  plan_id    text PRIMARY KEY REFERENCES payments.plan,
  reason     text NOT NULL CHECK (reason <> ''),
  person_id  text NOT NULL REFERENCES staff.person,
  at         timestamptz NOT NULL
);

-- Approvals and the release. One person acts once on a plan, and signs its digest.
CREATE TABLE payments.signature (
  plan_id    text NOT NULL REFERENCES payments.plan,
  person_id  text NOT NULL REFERENCES staff.person,
  act        text NOT NULL CHECK (act IN ('approved', 'released')),
  digest     bytea NOT NULL,
  signature  bytea NOT NULL CHECK (octet_length(signature) = 64),
  reason     text NOT NULL,
  at         timestamptz NOT NULL,
  PRIMARY KEY (plan_id, person_id)
);
CREATE UNIQUE INDEX released_once ON payments.signature (plan_id) WHERE act = 'released';

-- What the plan's commitment reserved of its grant's budget, as long as nobody has taken it back.
CREATE FUNCTION payments.committed_minor(plan text) RETURNS bigint LANGUAGE sql STABLE
  SET search_path = pg_catalog AS $$
  SELECT coalesce(sum(l.amount_minor), 0)::bigint
  FROM payments.plan p JOIN programme.cycle c USING (cycle_id)
  JOIN programme.programme g USING (programme_id)
  JOIN books.entry e ON e.key = 'commit:' || p.plan_id
  JOIN books.leg l USING (entry_id) JOIN books.account a USING (account_id)
  WHERE p.plan_id = plan AND a.chart_code = '9020' AND l.currency = p.currency
    AND l.grant_code = g.document->'grant'->>'code'
    AND NOT EXISTS (SELECT FROM books.entry r WHERE r.reverses = e.entry_id)
$$;

CREATE FUNCTION payments.check_signature() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE plan payments.plan; approvals integer;
BEGIN
  SELECT * INTO plan FROM payments.plan WHERE plan_id = NEW.plan_id FOR UPDATE;
  IF plan.prepared_by = NEW.person_id THEN
    PERFORM books.refuse('preparer_may_not_sign', jsonb_build_object('act', NEW.act),
      'Another person approves or releases it.');
  END IF;
  PERFORM staff.require_role(NEW.person_id, 'finance');
  IF NEW.digest IS DISTINCT FROM plan.digest THEN
    PERFORM books.refuse('digest_differs', '{}', 'Look at the plan again, then sign what it says.');
  END IF;
  IF EXISTS (SELECT FROM payments.signature
             WHERE (plan_id, person_id) = (NEW.plan_id, NEW.person_id)) THEN
    PERFORM books.refuse('signed_already', jsonb_build_object('plan', NEW.plan_id),
      'Approvers and releaser are different people: ask another one.');
  END IF;
  IF EXISTS (SELECT FROM payments.cancellation WHERE plan_id = NEW.plan_id) THEN
    PERFORM books.refuse('plan_cancelled', jsonb_build_object('plan', NEW.plan_id),
      'Prepare a new plan.');
  END IF;
  IF EXISTS (SELECT FROM payments.signature WHERE plan_id = NEW.plan_id AND act = 'released') THEN
    PERFORM books.refuse('plan_already_released', jsonb_build_object('plan', NEW.plan_id),
      'Nothing is left to sign.');
  END IF;
  SELECT count(*) INTO approvals FROM payments.signature
    WHERE plan_id = NEW.plan_id AND act = 'approved';
  IF NEW.act = 'approved' AND approvals >= plan.approvers_needed THEN
    PERFORM books.refuse('approvals_complete', jsonb_build_object('plan', NEW.plan_id),
      'A third person releases it.');
  END IF;
  IF NEW.act = 'released' AND approvals < plan.approvers_needed THEN
    PERFORM books.refuse('approvals_missing',
      jsonb_build_object('given', approvals, 'needed', plan.approvers_needed),
      'Ask the missing approvers.');
  END IF;
  IF NEW.act = 'released' AND payments.committed_minor(NEW.plan_id) < plan.total_minor THEN
    PERFORM books.refuse('commitment_missing', jsonb_build_object('plan', NEW.plan_id),
      'Cancel the plan and prepare it again.');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_signature BEFORE INSERT ON payments.signature
  FOR EACH ROW EXECUTE FUNCTION payments.check_signature();

CREATE FUNCTION payments.check_cancellation() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM staff.holds_role
                 WHERE person_id = NEW.person_id AND role = 'finance') THEN
    PERFORM staff.require_role(NEW.person_id, 'programme');
  END IF;
  PERFORM FROM payments.plan WHERE plan_id = NEW.plan_id FOR UPDATE;
  IF EXISTS (SELECT FROM payments.signature WHERE plan_id = NEW.plan_id AND act = 'released') THEN
    PERFORM staff.require_role(NEW.person_id, 'finance');
  END IF;
  IF EXISTS (SELECT FROM payments.file f JOIN payments.handover h USING (file_id)
             WHERE f.plan_id = NEW.plan_id
               AND NOT EXISTS (SELECT FROM payments.not_taken n WHERE n.file_id = f.file_id)) THEN
    PERFORM books.refuse('plan_already_released', jsonb_build_object('plan', NEW.plan_id),
      'What may have been taken is settled, not cancelled.');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_cancellation BEFORE INSERT ON payments.cancellation
  FOR EACH ROW EXECUTE FUNCTION payments.check_cancellation();

-- What plans have reserved of a grant's budget (9020) is freed only with what it was reserved for: at
-- most as much as the same transaction resolves of holds and takes off wallets, or the whole of a
-- plan that is cancelled before its release. An entry that moved what is reserved is reversed by that
-- cancellation and nothing else. Of grants that no plan is paid from, this says nothing.
CREATE FUNCTION payments.check_reserved() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE moved record; left_minor numeric;
BEGIN
  IF NOT EXISTS (SELECT FROM added WHERE layer = 'M') THEN
    RETURN NULL;
  END IF;
  FOR moved IN
    SELECT l.account_id, l.grant_code, l.currency, t.entry_ref AS reversed,
           x.plan_id IS NOT NULL AS is_cancellation
    FROM added l JOIN books.account a USING (account_id) JOIN books.entry e USING (entry_id)
    LEFT JOIN books.entry t ON t.entry_id = e.reverses
    LEFT JOIN payments.cancellation x ON t.key = 'commit:' || x.plan_id
    WHERE a.chart_code = '9020' AND EXISTS (
      SELECT FROM payments.plan p JOIN programme.cycle c USING (cycle_id)
      JOIN programme.programme g USING (programme_id)
      WHERE p.currency = l.currency AND g.document->'grant'->>'code' = l.grant_code)
    GROUP BY e.entry_id, l.account_id, l.grant_code, l.currency, t.entry_ref, x.plan_id
    HAVING t.entry_ref IS NOT NULL OR sum(l.amount_minor) < 0
  LOOP
    IF moved.reversed IS NOT NULL AND NOT moved.is_cancellation THEN
      PERFORM books.refuse('commitment_not_reversed',
        jsonb_build_object('entry', moved.reversed), 'Cancel the plan, or settle it.');
    END IF;
    EXECUTE $q$
      WITH mine AS MATERIALIZED (
        SELECT e.entry_id, e.reverses FROM books.unsealed u CROSS JOIN LATERAL (
          SELECT n.entry_id, n.reverses FROM books.entry n
          WHERE n.entry_id = u.entry_id AND n.recorded_in = pg_current_xact_id() OFFSET 0) e
      ), freed AS (
        SELECT -sum(l.amount_minor) AS minor FROM mine JOIN books.leg l USING (entry_id)
        WHERE l.account_id = $1 AND NOT EXISTS (  -- of a plan that holds nothing
          SELECT FROM books.entry t JOIN payments.cancellation x ON t.key = 'commit:' || x.plan_id
          WHERE t.entry_id = mine.reverses AND NOT EXISTS (
            SELECT FROM payments.signature s WHERE s.plan_id = x.plan_id AND s.act = 'released'))
        GROUP BY entry_id HAVING sum(l.amount_minor) < 0
      ), gone AS (
        SELECT CASE WHEN t.pending_id IS NOT NULL THEN t.held_minor
                    WHEN k.is_control THEN t.amount_minor END AS minor
        FROM mine CROSS JOIN LATERAL books.transfers_of(entry_id) t
        JOIN books.account k ON k.account_id = t.credit_account_id
        WHERE t.grant_code = $2 AND t.currency = $3
      )
      SELECT (SELECT coalesce(sum(minor), 0) FROM freed) - (SELECT coalesce(sum(minor), 0) FROM gone)
    $q$ INTO left_minor USING moved.account_id, moved.grant_code, moved.currency::text;
    IF left_minor > 0 THEN
      PERFORM books.refuse('commitment_kept', jsonb_build_object(
        'grant', moved.grant_code, 'freed_minor', left_minor, 'currency', moved.currency),
        'Cancel the plan, or settle it.');
    END IF;
  END LOOP;
  RETURN NULL;
END $$;
CREATE TRIGGER reserved_check AFTER INSERT ON books.leg
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION payments.check_reserved();

-- payments: files out --------------------------------------------------------------------------

-- The outbox: written in the transaction of the release, sent afterwards.
CREATE TABLE payments.file (
  file_id            text PRIMARY KEY CHECK (file_id ~ '^fil_[0-9a-z]{26}$'),
  plan_id            text NOT NULL REFERENCES payments.plan,
  part               integer NOT NULL CHECK (part > 0),
  generation         integer NOT NULL CHECK (generation > 0),
  message_id         text NOT NULL UNIQUE CHECK (message_id ~ '^[A-Z0-9]{1,35}$'),
  created_at         timestamptz NOT NULL,   -- fixed, so that rendering again gives the same bytes
  first_line         integer NOT NULL,
  last_line          integer NOT NULL CHECK (last_line >= first_line),
  control_count      integer NOT NULL CHECK (control_count > 0),
  control_sum_minor  bigint NOT NULL CHECK (control_sum_minor > 0),
  UNIQUE (plan_id, part, generation)
);

CREATE TABLE payments.rendering (
  file_id      text PRIMARY KEY REFERENCES payments.file,
  sha256       bytea NOT NULL CHECK (octet_length(sha256) = 32),
  size_bytes   bigint NOT NULL CHECK (size_bytes > 0),
  rendered_at  timestamptz NOT NULL
);

-- Handing over is recorded before the first byte leaves; the answer is a row of its own, and a
-- hand-over without an answer is UNKNOWN.
CREATE TABLE payments.handover (
  file_id            text NOT NULL REFERENCES payments.rendering,
  attempt            integer NOT NULL CHECK (attempt > 0),
  recipient          text NOT NULL,
  control_count      integer NOT NULL,
  control_sum_minor  bigint NOT NULL,
  person_id          text NOT NULL REFERENCES staff.person,
  begun_at           timestamptz NOT NULL,
  PRIMARY KEY (file_id, attempt)
);
CREATE TABLE payments.handover_answer (
  file_id       text NOT NULL,
  attempt       integer NOT NULL,
  outcome       text NOT NULL CHECK (outcome IN ('accepted', 'rejected', 'unknown')),
  detail        text NOT NULL,
  provider_ref  text NOT NULL,
  answered_at   timestamptz NOT NULL,
  PRIMARY KEY (file_id, attempt),
  FOREIGN KEY (file_id, attempt) REFERENCES payments.handover
);

-- The provider's word, or a person's on written evidence, that a file was not taken.
CREATE TABLE payments.not_taken (
  file_id    text PRIMARY KEY REFERENCES payments.file,
  evidence   text NOT NULL CHECK (evidence <> ''),
  person_id  text NOT NULL REFERENCES staff.person,
  at         timestamptz NOT NULL
);

CREATE FUNCTION payments.check_file() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE holds record;
BEGIN
  PERFORM FROM payments.plan WHERE plan_id = NEW.plan_id FOR UPDATE;
  IF NOT EXISTS (SELECT FROM payments.signature WHERE plan_id = NEW.plan_id AND act = 'released') THEN
    PERFORM books.refuse('plan_not_released', jsonb_build_object('plan', NEW.plan_id),
      'Release the plan first.');
  END IF;
  IF EXISTS (
      SELECT FROM payments.file f WHERE f.plan_id = NEW.plan_id
        AND int4range(f.first_line, f.last_line, '[]') && int4range(NEW.first_line, NEW.last_line, '[]')
        AND NOT EXISTS (SELECT FROM payments.not_taken n WHERE n.file_id = f.file_id)) THEN
    PERFORM books.refuse('file_may_have_been_taken', jsonb_build_object('plan', NEW.plan_id),
      'Ask the provider about the earlier file; record its answer first.');
  END IF;
  SELECT count(*) AS lines, coalesce(sum(amount_minor), 0) AS sum_minor
    INTO holds FROM payments.line
    WHERE plan_id = NEW.plan_id AND line_no BETWEEN NEW.first_line AND NEW.last_line
      AND stopped IS NULL;
  IF (holds.lines, holds.sum_minor) <> (NEW.control_count::bigint, NEW.control_sum_minor::numeric)
     OR EXISTS (SELECT FROM payments.outcome
                WHERE plan_id = NEW.plan_id AND line_no BETWEEN NEW.first_line AND NEW.last_line
                  AND kind <> 'stopped') THEN
    PERFORM books.refuse('file_differs_from_lines', jsonb_build_object('plan', NEW.plan_id),
      'Send the plan again; its files are made from its lines.');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_file BEFORE INSERT ON payments.file
  FOR EACH ROW EXECUTE FUNCTION payments.check_file();

-- payments: what providers say -----------------------------------------------------------------

CREATE TABLE payments.document (
  document_id  text PRIMARY KEY CHECK (document_id ~ '^doc_[0-9a-z]{26}$'),
  provider     text NOT NULL,
  sha256       bytea NOT NULL CHECK (octet_length(sha256) = 32),
  name         text NOT NULL,
  size_bytes   bigint NOT NULL,
  sealed       bytea NOT NULL,   -- every raw answer is kept, unreadable without the master key
  person_id    text NOT NULL REFERENCES staff.person,
  received_at  timestamptz NOT NULL,
  UNIQUE (provider, sha256)
);

CREATE TABLE payments.observation (
  observation_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  document_id     text REFERENCES payments.document,   -- NULL: what we know from silence
  plan_id         text,
  line_no         integer,
  ref             text NOT NULL,
  message_id      text NOT NULL,
  outcome         text NOT NULL CHECK (outcome IN ('accepted', 'executed', 'delivered', 'rejected',
                    'returned', 'cancelled', 'expired', 'unknown')),
  evidence        smallint NOT NULL,
  amount_minor    bigint,
  currency        text NOT NULL,
  reason_code     text NOT NULL,
  provider_ref    text NOT NULL,
  observed_on     date,
  recorded_at     timestamptz NOT NULL
);
CREATE INDEX observation_line ON payments.observation (plan_id, line_no);
CREATE UNIQUE INDEX observation_written ON payments.observation (plan_id, line_no)
  WHERE evidence > 50;
CREATE INDEX observation_of_file ON payments.observation (message_id) WHERE ref = '';

-- What a provider's letter says of one line, as a person read it. Where files are silent or contradict
-- each other for ever, the same reading by a second person decides.
CREATE TABLE payments.written_answer (
  answer_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  plan_id       text NOT NULL,
  line_no       integer NOT NULL,
  document_id   text NOT NULL REFERENCES payments.document,
  amount_minor  bigint NOT NULL CHECK (amount_minor >= 0),   -- 0: not paid, and it will not be
  observed_on   date NOT NULL,
  person_id     text NOT NULL REFERENCES staff.person,
  at            timestamptz NOT NULL,
  FOREIGN KEY (plan_id, line_no) REFERENCES payments.line
);
CREATE INDEX written_answer_line ON payments.written_answer (plan_id, line_no);

CREATE TABLE payments.statement_line (
  provider      text NOT NULL,
  account       text NOT NULL,
  statement_id  text NOT NULL,
  line_id       text NOT NULL,
  document_id   text NOT NULL REFERENCES payments.document,
  plan_id       text,
  line_no       integer,
  ref           text NOT NULL,
  amount_minor  bigint NOT NULL,
  currency      char(3) NOT NULL,
  booked_on     date NOT NULL,
  kind          text NOT NULL CHECK (kind IN ('payment', 'return', 'fee', 'funding', 'other')),
  reason_code   text NOT NULL,
  PRIMARY KEY (provider, account, statement_id, line_id)
);
CREATE INDEX statement_line_plan ON payments.statement_line (plan_id, line_no);

CREATE TABLE payments.statement_balance (
  provider      text NOT NULL,
  account       text NOT NULL,
  statement_id  text NOT NULL,
  kind          text NOT NULL CHECK (kind IN ('opening', 'closing')),
  document_id   text NOT NULL REFERENCES payments.document,
  amount_minor  bigint NOT NULL,
  currency      char(3) NOT NULL,
  on_date       date NOT NULL,
  PRIMARY KEY (provider, account, statement_id, kind)
);

CREATE TABLE payments.document_finding (
  document_id  text NOT NULL REFERENCES payments.document,
  finding_no   integer NOT NULL,
  code         text NOT NULL,
  place        text NOT NULL,
  sentence     text NOT NULL,
  PRIMARY KEY (document_id, finding_no)
);

-- What a settlement rests on: the observation that decided each line, with the document that says it.
CREATE FUNCTION payments.evidence_leaves(instructions text[], observations bigint[])
RETURNS TABLE (place bigint, encoding bytea) LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp SET client_encoding = 'UTF8'
BEGIN ATOMIC
  SELECT n.place, record_send(ROW('cva.evidence.v1'::text, n.instruction_ref, o.outcome,
    o.evidence::integer, o.amount_minor, o.currency, o.reason_code, o.observed_on, d.sha256))
  FROM unnest(instructions, observations) WITH ORDINALITY
    AS n (instruction_ref, observation_id, place)
  LEFT JOIN payments.observation o USING (observation_id)
  LEFT JOIN payments.document d USING (document_id);
END;
CREATE FUNCTION payments.evidence_digest(instructions text[], observations bigint[]) RETURNS bytea
  LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
  SELECT sha256(int8send(count(*)) || books.merkle_root(
    string_agg(sha256('\x00'::bytea || encoding), ''::bytea ORDER BY place)))
  FROM payments.evidence_leaves(instructions, observations);
END;

-- What was said of every line: by its reference, or of the whole file that carries it.
CREATE VIEW payments.said AS
  SELECT observation_id, plan_id, line_no, outcome, evidence, amount_minor, currency, observed_on
  FROM payments.observation WHERE line_no IS NOT NULL
  UNION ALL
  SELECT o.observation_id, l.plan_id, l.line_no, o.outcome, o.evidence, o.amount_minor, o.currency,
         o.observed_on
  FROM payments.line l
  JOIN payments.file f ON f.plan_id = l.plan_id AND l.line_no BETWEEN f.first_line AND f.last_line
  JOIN payments.observation o ON o.message_id = f.message_id AND o.ref = ''
  WHERE l.stopped IS NULL
    AND NOT EXISTS (SELECT FROM payments.not_taken n WHERE n.file_id = f.file_id);

-- Files that may be handed over, for the first time or again: nobody took them for certain, nobody
-- refused them as a whole, and none of their lines has ended.
CREATE VIEW payments.outbox AS
  SELECT f.* FROM payments.file f
  WHERE NOT EXISTS (SELECT FROM payments.not_taken n WHERE n.file_id = f.file_id)
    AND NOT EXISTS (SELECT FROM payments.handover_answer a
                    WHERE a.file_id = f.file_id AND a.outcome = 'accepted')
    AND NOT EXISTS (SELECT FROM payments.observation o
                    WHERE o.message_id = f.message_id AND o.ref = ''
                      AND o.outcome IN ('rejected', 'cancelled'))
    AND NOT EXISTS (SELECT FROM payments.outcome e
                    WHERE e.plan_id = f.plan_id AND e.line_no BETWEEN f.first_line AND f.last_line
                      AND e.kind <> 'stopped');

-- Where every line stands. A released line without an outcome is unknown where the best evidence
-- says so or contradicts itself, and where nothing was said and its file was handed over without an
-- accepted answer; the sub-selects are asked for such lines only.
CREATE VIEW payments.line_state AS
  SELECT l.*, coalesce(o2.kind, o1.kind,
           CASE WHEN c.plan_id IS NOT NULL THEN 'cancelled'
                WHEN r.plan_id IS NULL THEN 'planned'
                WHEN coalesce(
                  (SELECT bool_or(best.outcome = 'unknown') OR count(DISTINCT best.paid) > 1
                   FROM (SELECT s.outcome, s.outcome IN ('executed', 'delivered') AS paid,
                                rank() OVER (ORDER BY s.evidence DESC) AS place
                         FROM payments.said s
                         WHERE s.plan_id = l.plan_id AND s.line_no = l.line_no
                           AND s.outcome <> 'returned') best
                   WHERE best.place = 1),
                  EXISTS (SELECT FROM payments.file f JOIN payments.handover h USING (file_id)
                          WHERE f.plan_id = l.plan_id
                            AND l.line_no BETWEEN f.first_line AND f.last_line
                            AND NOT EXISTS (SELECT FROM payments.handover_answer a
                                            WHERE a.file_id = f.file_id AND a.outcome = 'accepted')
                            AND NOT EXISTS (SELECT FROM payments.not_taken n
                                            WHERE n.file_id = f.file_id))) THEN 'unknown'
                ELSE 'pending' END) AS state,
         CASE o1.kind WHEN 'loaded' THEN o1.amount_minor ELSE 0 END AS loaded_minor,
         coalesce(o2.amount_minor, 0) AS returned_minor,
         o1.delivered_on
  FROM payments.line l
  -- LIMIT keeps these two a look-up by key for each line: joined as sets they are compared line by
  -- line with each other as long as the statistics do not know the plan, which is always the newest.
  LEFT JOIN LATERAL (SELECT o.kind, o.amount_minor, o.delivered_on FROM payments.outcome o
    WHERE (o.plan_id, o.line_no, o.step) = (l.plan_id, l.line_no, 1) LIMIT 1) o1 ON true
  LEFT JOIN LATERAL (SELECT o.kind, o.amount_minor FROM payments.outcome o
    WHERE (o.plan_id, o.line_no, o.step) = (l.plan_id, l.line_no, 2) LIMIT 1) o2
    ON o1.kind = 'loaded'
  LEFT JOIN payments.cancellation c ON c.plan_id = l.plan_id
  LEFT JOIN payments.signature r ON r.plan_id = l.plan_id AND r.act = 'released';

CREATE FUNCTION payments.check_handover() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  PERFORM staff.require_role(NEW.person_id, 'finance');
  PERFORM ops.refuse_clock_set_back(NEW.begun_at);  -- before anything leaves
  PERFORM FROM payments.plan WHERE plan_id = (
    SELECT plan_id FROM payments.file WHERE file_id = NEW.file_id) FOR UPDATE;
  IF NOT EXISTS (SELECT FROM payments.outbox WHERE file_id = NEW.file_id) THEN
    PERFORM books.refuse('file_not_open', jsonb_build_object('file', NEW.file_id),
      'Collect the answers and settle the plan.');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_handover BEFORE INSERT ON payments.handover
  FOR EACH ROW EXECUTE FUNCTION payments.check_handover();

-- A file counts as taken where its hand-over or a report of the provider says so and no report
-- refuses it as a whole; where anything was said of one of its lines; where one of them has ended.
CREATE FUNCTION payments.check_not_taken() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE sent payments.file; refused boolean;
BEGIN
  PERFORM staff.require_role(NEW.person_id, 'finance');
  SELECT * INTO sent FROM payments.file WHERE file_id = NEW.file_id;
  PERFORM FROM payments.plan WHERE plan_id = sent.plan_id FOR UPDATE;
  refused := EXISTS (SELECT FROM payments.observation
                     WHERE message_id = sent.message_id AND ref = ''
                       AND outcome IN ('rejected', 'cancelled'));
  IF NOT refused AND (
       EXISTS (SELECT FROM payments.handover_answer
               WHERE file_id = NEW.file_id AND outcome = 'accepted')
       OR EXISTS (SELECT FROM payments.observation
                  WHERE message_id = sent.message_id AND ref = '' AND outcome = 'accepted'))
     OR EXISTS (SELECT FROM payments.observation
                WHERE plan_id = sent.plan_id AND line_no BETWEEN sent.first_line AND sent.last_line
                  AND outcome <> 'unknown')
     OR EXISTS (SELECT FROM payments.outcome
                WHERE plan_id = sent.plan_id AND line_no BETWEEN sent.first_line AND sent.last_line
                  AND kind <> 'stopped') THEN
    PERFORM books.refuse('file_was_taken', jsonb_build_object('file', NEW.file_id),
      'The provider answered for it: settle its lines.');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_not_taken BEFORE INSERT ON payments.not_taken
  FOR EACH ROW EXECUTE FUNCTION payments.check_not_taken();

-- A letter is read about a line that was handed over, taken or at least answered for, and that has not
-- ended. A file that may be on its way could still be paid after a letter that knows nothing of it.
CREATE FUNCTION payments.check_written_answer() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE stands record;
BEGIN
  PERFORM staff.require_role(NEW.person_id, 'finance');
  SELECT instruction_ref, amount_minor, state INTO stands
    FROM payments.line_state WHERE plan_id = NEW.plan_id AND line_no = NEW.line_no;
  IF EXISTS (SELECT FROM payments.observation WHERE plan_id = NEW.plan_id
               AND line_no = NEW.line_no AND evidence > 50) THEN
    stands.state := 'decided by a letter';
  END IF;
  IF stands.state IS DISTINCT FROM 'unknown' AND stands.state IS DISTINCT FROM 'pending' THEN
    PERFORM books.refuse('line_has_ended', jsonb_build_object('line', stands.instruction_ref,
      'state', stands.state), 'Only what is pending or unknown is decided by a letter.');
  END IF;
  IF NOT EXISTS (
      SELECT FROM payments.file f JOIN payments.handover_answer a USING (file_id)
      WHERE f.plan_id = NEW.plan_id AND NEW.line_no BETWEEN f.first_line AND f.last_line
        AND a.outcome = 'accepted'
        AND NOT EXISTS (SELECT FROM payments.not_taken n WHERE n.file_id = f.file_id)) THEN
    PERFORM books.refuse('hand_over_unanswered',
      jsonb_build_object('line', stands.instruction_ref), 'Send the plan again first.');
  END IF;
  IF NEW.amount_minor > stands.amount_minor THEN
    PERFORM books.refuse('written_amount_unfit',
      jsonb_build_object('line', stands.instruction_ref), 'Give at most the amount of the line.');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_written_answer BEFORE INSERT ON payments.written_answer
  FOR EACH ROW EXECUTE FUNCTION payments.check_written_answer();

-- What ranks above a booked statement is what two people last read in one letter.
CREATE FUNCTION payments.check_written() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  IF (SELECT count(*) FROM (
        SELECT DISTINCT ON (person_id) * FROM payments.written_answer
        WHERE plan_id = NEW.plan_id AND line_no = NEW.line_no
        ORDER BY person_id, answer_id DESC) a
      WHERE a.document_id = NEW.document_id AND a.observed_on = NEW.observed_on
        AND a.amount_minor = NEW.amount_minor
        AND NEW.outcome = CASE WHEN a.amount_minor > 0 THEN 'executed' ELSE 'rejected' END) < 2 THEN
    PERFORM books.refuse('letter_read_by_one', jsonb_build_object('line', NEW.ref),
      'A second person reads it too.');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_written BEFORE INSERT ON payments.observation
  FOR EACH ROW WHEN (NEW.evidence > 50) EXECUTE FUNCTION payments.check_written();

-- payments: reconciliation ---------------------------------------------------------------------

CREATE TABLE payments.reconciliation (
  reconciliation_id  text PRIMARY KEY CHECK (reconciliation_id ~ '^rec_[0-9a-z]{26}$'),
  cycle_id           text NOT NULL REFERENCES programme.cycle,
  planned_minor      bigint NOT NULL,
  ledger_minor       bigint NOT NULL,
  reported_minor     bigint NOT NULL,
  booked_minor       bigint NOT NULL,
  pending_lines      integer NOT NULL,
  unexplained_minor  bigint NOT NULL,
  last_transfer_id   bigint NOT NULL,   -- what the books knew
  documents          bigint NOT NULL,   -- how much the cycle's providers had said
  person_id          text NOT NULL REFERENCES staff.person,
  at                 timestamptz NOT NULL
);

CREATE TABLE payments.difference (
  reconciliation_id  text NOT NULL REFERENCES payments.reconciliation DEFERRABLE INITIALLY DEFERRED,
  difference_no      integer NOT NULL,
  name               text NOT NULL,
  instruction_ref    text NOT NULL,
  line_id            text NOT NULL,
  amount_minor       bigint NOT NULL,
  explained          boolean NOT NULL,
  owner              text NOT NULL,   -- the role that works on it
  PRIMARY KEY (reconciliation_id, difference_no)
);

CREATE TABLE programme.cycle_close (
  cycle_id           text PRIMARY KEY REFERENCES programme.cycle,
  reconciliation_id  text NOT NULL REFERENCES payments.reconciliation,
  person_id          text NOT NULL REFERENCES staff.person,
  signature          bytea NOT NULL CHECK (octet_length(signature) = 64),
  at                 timestamptz NOT NULL
);

CREATE FUNCTION programme.check_close() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE compared payments.reconciliation;
BEGIN
  PERFORM staff.require_role(NEW.person_id, 'finance');
  PERFORM FROM programme.cycle WHERE cycle_id = NEW.cycle_id FOR UPDATE;
  SELECT * INTO compared FROM payments.reconciliation
    WHERE reconciliation_id = NEW.reconciliation_id AND cycle_id = NEW.cycle_id;
  IF compared.reconciliation_id IS NULL OR compared.unexplained_minor <> 0
     OR compared.pending_lines <> 0
     OR EXISTS (SELECT FROM payments.difference
                WHERE reconciliation_id = NEW.reconciliation_id
                  AND (name = 'pending' OR NOT explained AND amount_minor <> 0)) THEN
    PERFORM books.refuse('cycle_not_reconciled', jsonb_build_object(
      'unexplained_minor', coalesce(compared.unexplained_minor, 0),
      'pending_lines', coalesce(compared.pending_lines, 0)),
      'Explain every difference and settle every line, then reconcile again.');
  END IF;
  IF compared.documents <> (
       SELECT count(*) FROM payments.document WHERE provider IN (
         SELECT provider FROM payments.plan WHERE cycle_id = NEW.cycle_id)) THEN
    PERFORM books.refuse('reconciliation_outdated', jsonb_build_object('cycle', NEW.cycle_id),
      'Reconcile again.');
  END IF;
  IF EXISTS (SELECT FROM payments.line_state
             WHERE cycle_id = NEW.cycle_id AND state IN ('planned', 'pending', 'unknown')) THEN
    PERFORM books.refuse('cycle_has_open_lines', jsonb_build_object('cycle', NEW.cycle_id),
      'Settle or cancel every plan of the cycle first.');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_close BEFORE INSERT ON programme.cycle_close
  FOR EACH ROW EXECUTE FUNCTION programme.check_close();

CREATE FUNCTION programme.check_open() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  PERFORM FROM programme.cycle WHERE cycle_id = NEW.cycle_id FOR KEY SHARE;
  IF EXISTS (SELECT FROM programme.cycle_close WHERE cycle_id = NEW.cycle_id) THEN
    PERFORM books.refuse('cycle_closed', jsonb_build_object('cycle', NEW.cycle_id),
      'Open the next cycle.');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_open BEFORE INSERT ON payments.plan
  FOR EACH ROW EXECUTE FUNCTION programme.check_open();
CREATE TRIGGER check_open BEFORE INSERT ON assessment.run
  FOR EACH ROW EXECUTE FUNCTION programme.check_open();

-- Whose work it is, also against raw SQL.
CREATE FUNCTION staff.check_role() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  PERFORM staff.require_role(NEW.person_id, TG_ARGV[0]);
  RETURN NEW;
END $$;
CREATE TRIGGER check_role BEFORE INSERT ON programme.programme
  FOR EACH ROW EXECUTE FUNCTION staff.check_role('programme');
CREATE TRIGGER check_role BEFORE INSERT ON programme.cycle
  FOR EACH ROW EXECUTE FUNCTION staff.check_role('programme');
CREATE TRIGGER check_role BEFORE INSERT ON assessment.run
  FOR EACH ROW EXECUTE FUNCTION staff.check_role('programme');
CREATE TRIGGER check_role BEFORE INSERT ON payments.document
  FOR EACH ROW EXECUTE FUNCTION staff.check_role('finance');
CREATE TRIGGER check_role BEFORE INSERT ON payments.reconciliation
  FOR EACH ROW EXECUTE FUNCTION staff.check_role('finance');

-- What the planner expects ---------------------------------------------------------------------

-- A plan, run or document that is being written is in no statistics yet, and these would say that it
-- has hardly a line: queries over all of it were then planned as if for one, and never ended. Without
-- statistics of the column it is taken to have one row in two hundred.
DO $$
DECLARE c text;
BEGIN
  FOREACH c IN ARRAY ARRAY['assessment.decision run_id', 'payments.line plan_id',
      'payments.line cycle_id', 'payments.outcome plan_id', 'payments.observation plan_id',
      'payments.observation document_id', 'payments.statement_line document_id',
      'payments.statement_line plan_id', 'registry.version import_id'] LOOP
    EXECUTE format('ALTER TABLE %s ALTER COLUMN %s SET STATISTICS 0',
      split_part(c, ' ', 1), split_part(c, ' ', 2));
  END LOOP;
END $$;

-- Nothing recorded changes ---------------------------------------------------------------------

DO $$
DECLARE t regclass;
BEGIN
  FOR t IN SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE c.relkind = 'r' AND c.relpersistence = 'p'
             AND n.nspname IN ('ops', 'staff', 'registry', 'programme', 'assessment', 'payments')
           ORDER BY c.oid
  LOOP
    EXECUTE format('CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON %s
                    FOR EACH ROW EXECUTE FUNCTION ops.append_only()', t);
    EXECUTE format('CREATE TRIGGER append_only_table BEFORE TRUNCATE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION ops.append_only()', t);
  END LOOP;
END $$;

GRANT USAGE ON SCHEMA ops, staff, registry, programme, assessment, payments TO cva_app, cva_auditor;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA ops, staff, registry, programme, assessment, payments
  TO cva_app;
GRANT UPDATE (done, total, seconds) ON ops.job_progress TO cva_app;
-- An import numbers its versions before it copies their members.
GRANT USAGE ON SEQUENCE registry.version_version_id_seq TO cva_app;
GRANT SELECT ON ALL TABLES IN SCHEMA ops, staff, registry, programme, assessment, payments
  TO cva_auditor;
REVOKE SELECT ON registry.household_key FROM cva_auditor;
