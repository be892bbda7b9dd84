-- Reconciliation: lists of lines from two sides, what was matched with what, what is still open.
--
-- What holds here holds against anybody who can type SQL as the application: a line is never cleared
-- for more than its amount, by any number of writers at once; what a match takes from one side it
-- takes from the other; a match, once recorded, is undone by a new record only; a write-off is
-- proposed by one person and approved by another; nothing recorded changes. Nothing here moves
-- money: money moves by entries, and a write-off names the entry that its caller recorded.
--
-- How: every line has a chain of clearing steps. A step says what was open before it, what it
-- applies, and therefore what stays open; the primary key (line, step) lets one writer take a step
-- and makes the other wait and then fail. No row is ever updated, so a million matches are one COPY
-- in speed. What is open of a line is its amount less the sum of its steps.
--
-- Vocabulary: a *source* is a list of lines (an account in the books, an account's statements); a
-- *comparison* is the set of sources that are compared with each other, each on the side *ours* or
-- *theirs*; a *run* is one act of matching, by rules or by hand, and holds *matches*.
-- Amounts are signed alike on both sides: below 0 leaves the account.
--
-- Run as cva_owner, after schema.sql. cva_app may read and add, cva_auditor may read.

CREATE SCHEMA recon;
REVOKE ALL ON SCHEMA recon FROM PUBLIC;
GRANT USAGE ON SCHEMA recon TO cva_app, cva_auditor;

-- --- comparing like with like ------------------------------------------------------------------

-- A reference as both sides would write it: without case, separators, the usual prefixes, leading
-- zeros; the banks' words for "none" are none.
CREATE FUNCTION recon.reference(given text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT regexp_replace(translate(upper($1), E' \t-/._:+', ''),
        '^(NOTPROVIDED$|NONREF$|EREF|KREF|REF)?0*', '')
$$;

-- The number of a working day, Monday to Friday; a weekend counts as the Monday after it.
CREATE FUNCTION recon.workday(day date) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (($1 - DATE '1900-01-01') / 7) * 5 + least(($1 - DATE '1900-01-01') % 7, 5)
$$;

-- How old an open item is, and how far up it has come: 0 its owner's, 5 everybody's.
CREATE VIEW recon.age_bucket AS
SELECT * FROM (VALUES (0, 3, '0-3', 0), (4, 7, '4-7', 1), (8, 14, '8-14', 2), (15, 30, '15-30', 3),
    (31, 60, '31-60', 4), (61, 2147483647, '60+', 5)) AS b (first_day, last_day, name, level);

-- --- sources and lines -------------------------------------------------------------------------

CREATE TABLE recon.source (
    source_id  integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code       text NOT NULL UNIQUE CHECK (code <> ''),
    comparison text NOT NULL CHECK (comparison <> ''),
    side       text NOT NULL CHECK (side IN ('ours', 'theirs')),
    kind       text NOT NULL CHECK (kind IN ('ledger', 'statement', 'processor'))
);

CREATE TABLE recon.import (
    import_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source_id   integer NOT NULL REFERENCES recon.source,
    name        text NOT NULL CHECK (name <> ''), -- the file, or where else the lines come from
    recorded_on date NOT NULL,
    recorded_by text NOT NULL CHECK (recorded_by <> ''),
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    recorded_in xid8 NOT NULL DEFAULT pg_current_xact_id()
);

CREATE TABLE recon.line (
    line_no      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    import_id    bigint NOT NULL,
    source_id    integer NOT NULL,
    statement_id text NOT NULL,
    line_id      text NOT NULL,
    body_hash    bytea NOT NULL CHECK (length(body_hash) = 32), -- of everything the source said
    amount_minor bigint NOT NULL CHECK (amount_minor > -9223372036854775807),
    currency     char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    value_on     date NOT NULL,
    booked_on    date NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('payment', 'return', 'fee', 'funding', 'other')),
    ref          text NOT NULL, -- normalised; empty: none
    counterparty text NOT NULL, -- a token of the wallet, card or account; empty: none
    group_keys   text[] NOT NULL, -- batch, settlement, merchant's day: what is summed up with it
    words        text NOT NULL, -- free of personal data
    UNIQUE (source_id, statement_id, line_id)
);

CREATE FUNCTION recon.check_lines() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT import_id, source_id FROM added) n
        LEFT JOIN recon.import i USING (import_id, source_id)
        WHERE i.recorded_in IS DISTINCT FROM pg_current_xact_id()
           OR i.recorded_at < transaction_timestamp()) THEN
        PERFORM books.refuse('lines_without_import', '{}', 'Import the lines of a source.');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER line_check AFTER INSERT ON recon.line
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION recon.check_lines();

-- --- write-offs: proposed by one person, approved by another -----------------------------------

CREATE TABLE recon.write_off (
    write_off_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    line_no      bigint NOT NULL REFERENCES recon.line,
    amount_minor bigint NOT NULL CHECK (amount_minor <> 0), -- signed as the line
    reason       text NOT NULL CHECK (reason <> ''),
    proposed_by  text NOT NULL CHECK (proposed_by <> ''),
    recorded_on  date NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What a processor reports of its payments its statements say again, and money is booked once: it is
-- written off where the books are held against statements.
CREATE FUNCTION recon.check_write_off() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    reported text;
BEGIN
    SELECT s.comparison INTO reported
    FROM recon.line l JOIN recon.source s USING (source_id)
    WHERE l.line_no = NEW.line_no AND EXISTS (
        SELECT FROM recon.source p WHERE p.comparison = s.comparison AND p.kind = 'processor');
    IF reported IS NOT NULL THEN
        PERFORM books.refuse('write_off_of_reports', jsonb_build_object('comparison', reported),
            'Write it off in the comparison with the statements.');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER write_off_check BEFORE INSERT ON recon.write_off
    FOR EACH ROW EXECUTE FUNCTION recon.check_write_off();

CREATE TABLE recon.write_off_approval (
    write_off_id bigint PRIMARY KEY REFERENCES recon.write_off,
    entry_id     bigint NOT NULL UNIQUE REFERENCES books.entry, -- where the money went
    approved_by  text NOT NULL CHECK (approved_by <> ''),
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE FUNCTION recon.check_approval() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM recon.write_off w
               WHERE w.write_off_id = NEW.write_off_id AND w.proposed_by = NEW.approved_by) THEN
        PERFORM books.refuse('write_off_by_one_person',
            jsonb_build_object('write_off', NEW.write_off_id), 'Let a second person approve it.');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER approval_check BEFORE INSERT ON recon.write_off_approval
    FOR EACH ROW EXECUTE FUNCTION recon.check_approval();

-- --- runs, matches, clearing ---------------------------------------------------------------------

CREATE TABLE recon.run (
    run_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    comparison   text NOT NULL,
    act          text NOT NULL CHECK (act IN ('rules', 'manual', 'unmatch', 'write_off')),
    matches      integer NOT NULL CHECK (matches >= 0),
    write_off_id bigint NULL UNIQUE REFERENCES recon.write_off_approval,
    recorded_on  date NOT NULL,
    recorded_by  text NOT NULL CHECK (recorded_by <> ''),
    reason       text NOT NULL CHECK (reason <> ''),
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    recorded_in  xid8 NOT NULL DEFAULT pg_current_xact_id(),
    CHECK ((act = 'write_off') = (write_off_id IS NOT NULL)),
    CHECK (act = 'rules' OR matches = 1)
);

CREATE TABLE recon.match (
    run_id       bigint NOT NULL,
    match_no     integer NOT NULL CHECK (match_no > 0),
    rule         text NOT NULL CHECK (rule <> ''),
    rule_version smallint NOT NULL CHECK (rule_version > 0),
    name         text NULL CHECK (name IN ('late')), -- a difference that is not of money
    PRIMARY KEY (run_id, match_no)
);

CREATE TABLE recon.unmatch (
    run_id       bigint PRIMARY KEY REFERENCES recon.run,
    undoes_run   bigint NOT NULL,
    undoes_match integer NOT NULL,
    UNIQUE (undoes_run, undoes_match),
    FOREIGN KEY (undoes_run, undoes_match) REFERENCES recon.match
);

CREATE TABLE recon.clearing (
    line_no       bigint NOT NULL,
    step          smallint NOT NULL CHECK (step > 0),
    run_id        bigint NOT NULL,
    match_no      integer NOT NULL,
    before_minor  bigint NOT NULL,
    applied_minor bigint NOT NULL CHECK (applied_minor <> 0),
    after_minor   bigint GENERATED ALWAYS AS (before_minor - applied_minor) STORED,
    PRIMARY KEY (line_no, step),
    UNIQUE (run_id, match_no, line_no),
    -- never over-applied: what is open keeps the sign of the line
    CONSTRAINT never_over_applied CHECK (
        (before_minor >= 0 AND applied_minor <= before_minor)
        OR (before_minor <= 0 AND applied_minor >= before_minor))
);

-- Runs whose steps are all there; written by the trigger below.
CREATE TABLE recon.cleared_run (
    run_id bigint PRIMARY KEY REFERENCES recon.run
);

-- A run is written by the transaction that began it, its matches before their steps.
CREATE FUNCTION recon.refuse_late_run(runs bigint[]) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM unnest(runs) AS n (run_id) LEFT JOIN recon.run r USING (run_id)
        WHERE r.recorded_in IS DISTINCT FROM pg_current_xact_id()
           OR r.recorded_at < transaction_timestamp()
           OR EXISTS (SELECT FROM recon.cleared_run c WHERE c.run_id = n.run_id)) THEN
        PERFORM books.refuse('run_closed', '{}', 'Record a new run.');
    END IF;
END $$;

CREATE FUNCTION recon.check_matches() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM recon.refuse_late_run(array_agg(DISTINCT run_id)) FROM added;
    RETURN NULL;
END $$;
CREATE TRIGGER match_check AFTER INSERT ON recon.match
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION recon.check_matches();

-- All steps of a run come in one statement: what was checked is what stands. EXECUTE plans anew each
-- time: a plan kept from when the tables were small would be slow for ever.
CREATE FUNCTION recon.check_clearing() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wrong text;
    runs bigint[];
BEGIN
    SELECT array_agg(DISTINCT run_id) INTO runs FROM added;
    IF runs IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM recon.refuse_late_run(runs);

    -- Every step begins where the one before it ended; the first begins with the line's amount.
    IF EXISTS (SELECT FROM added WHERE step > 1) THEN
        EXECUTE $q$
            SELECT 'clearing_out_of_step' FROM added a LEFT JOIN recon.clearing p
                ON p.line_no = a.line_no AND p.step = a.step - 1
            WHERE a.step > 1 AND p.after_minor IS DISTINCT FROM a.before_minor LIMIT 1 $q$
        INTO wrong;
    END IF;
    -- A run's matches are numbered from 1 without gaps, and every one of them has steps here.
    IF wrong IS NULL THEN
        EXECUTE $q$
            WITH found AS (
                SELECT a.run_id, a.match_no, count(*) AS lines,
                    bool_or(l.line_no IS NULL OR s.comparison <> r.comparison
                            OR a.match_no NOT BETWEEN 1 AND r.matches) AS unfit,
                    bool_or(a.step = 1 AND a.before_minor <> l.amount_minor) AS out_of_step,
                    bool_and(a.applied_minor > 0 AND a.before_minor > 0
                             OR a.applied_minor < 0 AND a.before_minor < 0) AS forward,
                    min(l.currency) = max(l.currency) AS one_currency,
                    sum(CASE s.side WHEN 'ours' THEN a.applied_minor ELSE -a.applied_minor END)
                        AS net
                FROM added a JOIN recon.run r USING (run_id)
                LEFT JOIN recon.line l USING (line_no) LEFT JOIN recon.source s USING (source_id)
                GROUP BY a.run_id, a.match_no
            ), whole AS (
                SELECT f.run_id, r.matches, count(*) AS matched, bool_or(f.unfit) AS unfit,
                    bool_or(f.out_of_step) AS out_of_step,
                    bool_or(r.act <> 'unmatch' AND NOT f.forward
                            OR r.act IN ('rules', 'manual')
                               AND (f.lines < 2 OR f.net <> 0 OR NOT f.one_currency)) AS unbalanced
                FROM found f JOIN recon.run r USING (run_id)
                GROUP BY f.run_id, r.matches
            )
            SELECT CASE WHEN unfit THEN 'clearing_unfit'
                        WHEN out_of_step THEN 'clearing_out_of_step'
                        WHEN unbalanced THEN 'match_unbalanced'
                        ELSE 'run_without_matches' END
            FROM whole w
            WHERE unfit OR out_of_step OR unbalanced OR matched <> w.matches
               OR w.matches <> (SELECT count(*) FROM recon.match m
                                WHERE m.run_id = w.run_id AND m.match_no <= w.matches)
            LIMIT 1 $q$ INTO wrong;
    END IF;
    -- An un-matching is the match backwards, a write-off is what was approved.
    IF wrong IS NULL THEN
        EXECUTE $q$
            SELECT CASE r.act WHEN 'unmatch' THEN 'unmatch_not_mirror' ELSE 'write_off_differs' END
            FROM unnest($1) AS n (run_id) JOIN recon.run r USING (run_id)
            LEFT JOIN recon.unmatch u USING (run_id)
            LEFT JOIN recon.write_off w USING (write_off_id)
            WHERE r.act IN ('unmatch', 'write_off') AND CASE r.act
                WHEN 'unmatch' THEN u.run_id IS NULL
                    OR (SELECT d.act NOT IN ('rules', 'manual') FROM recon.run d
                        WHERE d.run_id = u.undoes_run)
                    OR (SELECT jsonb_agg(jsonb_build_array(c.line_no, c.applied_minor)
                                         ORDER BY c.line_no)
                        FROM recon.clearing c
                        WHERE (c.run_id, c.match_no) = (u.undoes_run, u.undoes_match))
                       IS DISTINCT FROM
                       (SELECT jsonb_agg(jsonb_build_array(a.line_no, -a.applied_minor)
                                         ORDER BY a.line_no)
                        FROM added a WHERE a.run_id = n.run_id)
                ELSE (SELECT count(*) <> 1 OR bool_or((a.line_no, a.applied_minor)
                                                      <> (w.line_no, w.amount_minor))
                      FROM added a WHERE a.run_id = n.run_id) END
            LIMIT 1 $q$ INTO wrong USING runs;
    END IF;
    IF wrong IS NOT NULL THEN
        PERFORM books.refuse(wrong, '{}', 'Look at what is open and match that.');
    END IF;
    INSERT INTO recon.cleared_run SELECT unnest(runs);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION recon.check_clearing FROM PUBLIC;
CREATE TRIGGER clearing_check AFTER INSERT ON recon.clearing
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION recon.check_clearing();

-- A run that says it has matches has them.
CREATE FUNCTION recon.check_run() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.matches > 0
       AND NOT EXISTS (SELECT FROM recon.cleared_run c WHERE c.run_id = NEW.run_id) THEN
        PERFORM books.refuse('run_without_matches', '{}', 'Give every match of the run its lines.');
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER run_whole AFTER INSERT ON recon.run
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION recon.check_run();

-- What is open of every line. The sum of its steps, because steps only ever add up.
CREATE VIEW recon.open_line WITH (security_invoker = true) AS
SELECT l.*, s.comparison, s.side, s.code AS source, coalesce(c.steps, 0::smallint) AS steps,
    l.amount_minor - coalesce(c.minor, 0) AS open_minor
FROM recon.line l
JOIN recon.source s USING (source_id)
LEFT JOIN (SELECT line_no, sum(applied_minor)::bigint AS minor, max(step) AS steps
           FROM recon.clearing GROUP BY line_no) c USING (line_no)
WHERE l.amount_minor <> coalesce(c.minor, 0);

-- --- suggestions: never more than that -----------------------------------------------------------

CREATE TABLE recon.suggestion (
    suggestion_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id        bigint NOT NULL REFERENCES recon.run,
    rule          text NOT NULL CHECK (rule <> ''),
    rule_version  smallint NOT NULL CHECK (rule_version > 0),
    fingerprint   bytea NOT NULL UNIQUE CHECK (length(fingerprint) = 32) -- of rule, lines, amounts
);

CREATE TABLE recon.suggestion_item (
    suggestion_id bigint NOT NULL REFERENCES recon.suggestion,
    line_no       bigint NOT NULL REFERENCES recon.line,
    applied_minor bigint NOT NULL CHECK (applied_minor <> 0),
    PRIMARY KEY (suggestion_id, line_no)
);
CREATE INDEX suggestion_item_line ON recon.suggestion_item (line_no);

-- Suggestions that could still be accepted.
CREATE VIEW recon.open_suggestion WITH (security_invoker = true) AS
SELECT i.suggestion_id, g.run_id, g.rule, g.rule_version, i.line_no, i.applied_minor
FROM recon.suggestion_item i JOIN recon.suggestion g USING (suggestion_id)
WHERE NOT EXISTS (
    SELECT FROM recon.suggestion_item o JOIN recon.line l USING (line_no)
    WHERE o.suggestion_id = i.suggestion_id
      AND abs(l.amount_minor - coalesce((SELECT sum(c.applied_minor) FROM recon.clearing c
                                         WHERE c.line_no = o.line_no), 0)) < abs(o.applied_minor));

-- --- exceptions: every difference has a name, an owner and an age ---------------------------------

-- The newest one of a line stands, as long as something of the line is open. A line that came again
-- with other content stands until somebody answers it.
CREATE TABLE recon.exception (
    exception_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    line_no       bigint NOT NULL REFERENCES recon.line,
    other_line_no bigint NULL REFERENCES recon.line, -- its counterpart, where one is known
    name          text NOT NULL CHECK (name IN ('missing', 'unknown', 'short', 'over', 'duplicate',
                                                'fee', 'returned', 'line_changed')),
    amount_minor  bigint NOT NULL, -- the difference, signed as the line
    owner         text NOT NULL CHECK (owner <> ''),
    other_hash    bytea NULL, -- of the other content
    recorded_on   date NOT NULL,
    recorded_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((name = 'line_changed') = (other_hash IS NOT NULL)),
    UNIQUE (line_no, other_hash)
);
CREATE INDEX exception_line ON recon.exception (line_no, exception_id);

CREATE TABLE recon.assignment (
    assignment_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    exception_id  bigint NOT NULL REFERENCES recon.exception,
    owner         text NOT NULL CHECK (owner <> ''),
    reason        text NOT NULL CHECK (reason <> ''),
    recorded_by   text NOT NULL CHECK (recorded_by <> ''),
    recorded_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Which content of a changed line stands, and why.
CREATE TABLE recon.answer (
    exception_id bigint PRIMARY KEY REFERENCES recon.exception,
    reason       text NOT NULL CHECK (reason <> ''),
    recorded_by  text NOT NULL CHECK (recorded_by <> ''),
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE FUNCTION recon.check_answer() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM recon.exception
                   WHERE exception_id = NEW.exception_id AND name = 'line_changed') THEN
        PERFORM books.refuse('exception_not_answerable',
            jsonb_build_object('exception', NEW.exception_id),
            'Match the line, or write it off.');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER answer_check BEFORE INSERT ON recon.answer
    FOR EACH ROW EXECUTE FUNCTION recon.check_answer();

CREATE VIEW recon.open_exception WITH (security_invoker = true) AS
WITH newest AS (
    SELECT DISTINCT ON (e.line_no) e.* FROM recon.exception e
    WHERE e.name <> 'line_changed' ORDER BY e.line_no, e.exception_id DESC
), still AS (
    SELECT n.* FROM newest n JOIN recon.open_line o USING (line_no)
), standing AS (
    -- what is said of a pair stands for both its lines
    SELECT n.* FROM still n WHERE NOT EXISTS (
        SELECT FROM still m WHERE m.other_line_no = n.line_no AND m.exception_id > n.exception_id)
    UNION ALL
    SELECT e.* FROM recon.exception e
    WHERE e.name = 'line_changed'
      AND NOT EXISTS (SELECT FROM recon.answer a WHERE a.exception_id = e.exception_id)
)
SELECT t.exception_id, s.comparison, s.side, s.code AS source, t.line_no, t.other_line_no,
    l.statement_id, l.line_id, l.ref, l.value_on, l.currency, t.name, t.amount_minor,
    coalesce((SELECT a.owner FROM recon.assignment a WHERE a.exception_id = t.exception_id
              ORDER BY a.assignment_id DESC LIMIT 1), t.owner) AS owner
FROM standing t JOIN recon.line l USING (line_no) JOIN recon.source s USING (source_id);

-- --- permanence and privileges -------------------------------------------------------------------

DO $$
DECLARE t regclass;
BEGIN
    FOR t IN SELECT c.oid FROM pg_class c WHERE c.relkind = 'r'
             AND c.relnamespace = 'recon'::regnamespace ORDER BY c.oid
    LOOP
        EXECUTE format('CREATE TRIGGER permanent BEFORE UPDATE OR DELETE ON %s
                        FOR EACH ROW EXECUTE FUNCTION books.refuse_change()', t);
        EXECUTE format('CREATE TRIGGER kept BEFORE TRUNCATE ON %s
                        FOR EACH STATEMENT EXECUTE FUNCTION books.refuse_change()', t);
    END LOOP;
END $$;

REVOKE ALL ON ALL TABLES IN SCHEMA recon FROM PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA recon TO cva_app, cva_auditor;
GRANT INSERT ON recon.source, recon.line, recon.write_off, recon.match, recon.unmatch,
    recon.suggestion, recon.suggestion_item, recon.exception, recon.assignment, recon.answer
    TO cva_app;
-- The time and the transaction of a document are the database's to say.
GRANT INSERT (source_id, name, recorded_on, recorded_by) ON recon.import TO cva_app;
GRANT INSERT (write_off_id, entry_id, approved_by) ON recon.write_off_approval TO cva_app;
GRANT INSERT (comparison, act, matches, write_off_id, recorded_on, recorded_by, reason)
    ON recon.run TO cva_app;
GRANT INSERT (line_no, step, run_id, match_no, before_minor, applied_minor)
    ON recon.clearing TO cva_app;
