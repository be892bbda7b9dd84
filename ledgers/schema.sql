-- The books: accounts, entries, legs, transfers, balances.
--
-- What holds here holds against anybody who can type SQL as the application: entries balance per
-- layer, currency and grant; nothing recorded changes; a hold is resolved at most once and never
-- above its amount; no limited account goes below zero, holds included, under any interleaving;
-- the cached balance is the fold of the log.
--
-- How: one row of `transfer` is one debit and one credit, so mass events cannot be unbalanced; the
-- legs of an entry come in one statement that sums to zero; checks are set-based (statement
-- triggers over transition tables) because row-level foreign keys and triggers on mass tables cost
-- more than all these checks together. Refusals carry SQLSTATE CV001, a code and its facts.
--
-- Run as cva_owner. cva_app may read and add, cva_auditor may read.

CREATE SCHEMA books;
REVOKE ALL ON SCHEMA books FROM PUBLIC;
GRANT USAGE ON SCHEMA books TO cva_app, cva_auditor;

-- --- refusals --------------------------------------------------------------------------------

CREATE FUNCTION books.refuse(code text, facts jsonb, hint text DEFAULT '') RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'CV001', MESSAGE = code,
        DETAIL = coalesce(facts, '{}'::jsonb)::text, HINT = coalesce(hint, '');
END $$;

-- Nothing recorded changes: row triggers against UPDATE, DELETE, MERGE and upserts, a statement
-- trigger against TRUNCATE.
CREATE FUNCTION books.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM books.refuse('books_append_only',
        jsonb_build_object('table', TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME, 'operation', TG_OP),
        'Record a new entry that corrects it.');
    RETURN NULL;
END $$;

-- --- accounts --------------------------------------------------------------------------------

CREATE TABLE books.account (
    account_id       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code             text NOT NULL UNIQUE CHECK (code ~ '^[0-9]{4}(\.[A-Z0-9][A-Z0-9-]*)+$'),
    chart_code       text NOT NULL CHECK (chart_code ~ '^[0-9]{4}$'),
    name             text NOT NULL CHECK (name <> ''),
    class            text NOT NULL
                     CHECK (class IN ('asset', 'liability', 'fund', 'revenue', 'expense', 'memo')),
    normal_side      text NOT NULL CHECK (normal_side IN ('debit', 'credit')),
    currency         char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    never_below_zero boolean NOT NULL DEFAULT false,
    grant_code       text NULL, -- set: only this grant's money may stand on the account
    provider         text NULL,
    opened_on        date NOT NULL,
    CHECK (starts_with(code, chart_code || '.'))
);

-- --- entries ---------------------------------------------------------------------------------

CREATE TABLE books.entry (
    entry_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entry_ref    text NOT NULL UNIQUE CHECK (entry_ref ~ '^je_[0-9a-z]{26}$'),
    key          text NOT NULL UNIQUE CHECK (key <> ''),
    body_hash    bytea NOT NULL CHECK (length(body_hash) = 32),
    event        text NOT NULL CHECK (event <> ''),
    effective_on date NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    recorded_by  text NOT NULL CHECK (recorded_by <> ''),
    reason       text NOT NULL CHECK (reason <> ''),
    reverses     bigint NULL UNIQUE REFERENCES books.entry,
    recorded_in  xid8 NOT NULL DEFAULT pg_current_xact_id()
);

CREATE TABLE books.leg (
    entry_id     bigint NOT NULL REFERENCES books.entry,
    leg_no       integer NOT NULL CHECK (leg_no > 0),
    layer        char(1) NOT NULL DEFAULT 'A' CHECK (layer IN ('A', 'M')), -- actual, memo
    account_id   integer NOT NULL REFERENCES books.account,
    amount_minor bigint NOT NULL CHECK (amount_minor <> 0), -- debit positive
    currency     char(3) NOT NULL,
    grant_code   text NOT NULL,
    programme_id text NULL,
    cycle_id     text NULL,
    provider     text NULL,
    location     text NULL,
    PRIMARY KEY (entry_id, leg_no)
);

CREATE TABLE books.transfer (
    transfer_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entry_id          bigint NOT NULL,
    phase             text NOT NULL CHECK (phase IN ('single', 'pending', 'posted', 'voided')),
    debit_account_id  integer NOT NULL,
    credit_account_id integer NOT NULL,
    amount_minor      bigint NOT NULL CHECK (amount_minor > 0), -- of a voided one: what it releases
    currency          char(3) NOT NULL,
    grant_code        text NOT NULL,
    programme_id      text NULL,
    cycle_id          text NULL,
    provider          text NULL,
    location          text NULL,
    instruction_ref   text NULL,
    pending_id        bigint NULL,
    CHECK (debit_account_id <> credit_account_id),
    CHECK ((phase IN ('posted', 'voided')) = (pending_id IS NOT NULL)),
    CHECK (phase = 'single' OR instruction_ref IS NOT NULL)
);
CREATE INDEX transfer_of_entry ON books.transfer (entry_id);
CREATE UNIQUE INDEX transfer_one_hold ON books.transfer (instruction_ref) WHERE phase = 'pending';
CREATE UNIQUE INDEX transfer_one_resolution ON books.transfer (pending_id)
    WHERE pending_id IS NOT NULL;
CREATE INDEX transfer_single_of_instruction ON books.transfer (instruction_ref)
    WHERE phase = 'single' AND instruction_ref IS NOT NULL;

CREATE TABLE books.balance (
    account_id     integer PRIMARY KEY REFERENCES books.account,
    posted_debit   bigint NOT NULL DEFAULT 0 CHECK (posted_debit >= 0),
    posted_credit  bigint NOT NULL DEFAULT 0 CHECK (posted_credit >= 0),
    pending_debit  bigint NOT NULL DEFAULT 0 CHECK (pending_debit >= 0),
    pending_credit bigint NOT NULL DEFAULT 0 CHECK (pending_credit >= 0),
    version        bigint NOT NULL DEFAULT 0
);

-- Every line of the log as one account sees it; a resolution takes its hold back from `pending`.
-- The fold of this view is the balance.
CREATE VIEW books.posting WITH (security_invoker = true) AS
SELECT 'leg' AS kind, l.entry_id, l.leg_no::bigint AS line, l.layer, 'posted' AS stage, l.account_id,
       greatest(l.amount_minor, 0) AS debit_minor, greatest(-l.amount_minor, 0) AS credit_minor,
       l.currency, l.grant_code, l.programme_id, l.cycle_id, l.provider, l.location,
       NULL::text AS instruction_ref
FROM books.leg l
UNION ALL
SELECT 'transfer', t.entry_id, t.transfer_id, 'A', CASE t.phase WHEN 'pending' THEN 'pending' ELSE 'posted' END,
       s.account_id, s.debit * t.amount_minor, s.credit * t.amount_minor,
       t.currency, t.grant_code, t.programme_id, t.cycle_id, t.provider, t.location,
       t.instruction_ref
FROM books.transfer t
CROSS JOIN LATERAL (VALUES (t.debit_account_id, 1, 0), (t.credit_account_id, 0, 1))
    AS s (account_id, debit, credit)
WHERE t.phase <> 'voided'
UNION ALL
SELECT 'release', t.entry_id, t.transfer_id, 'A', 'pending',
       s.account_id, -s.debit * p.amount_minor, -s.credit * p.amount_minor,
       t.currency, t.grant_code, t.programme_id, t.cycle_id, t.provider, t.location,
       t.instruction_ref
FROM books.transfer t
JOIN books.transfer p ON p.transfer_id = t.pending_id
CROSS JOIN LATERAL (VALUES (p.debit_account_id, 1, 0), (p.credit_account_id, 0, 1))
    AS s (account_id, debit, credit);

-- --- balances and limits ---------------------------------------------------------------------

CREATE FUNCTION books.open_balances() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO books.balance (account_id) SELECT account_id FROM added ORDER BY account_id;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION books.open_balances FROM PUBLIC;

CREATE TRIGGER account_balance AFTER INSERT ON books.account
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION books.open_balances();

-- Locks balances in the order of the accounts, so that writers wait and never lock each other out;
-- adds; then looks at the limits: the locks make the answer true under concurrency.
CREATE FUNCTION books.move_balances(
    accounts integer[], posted_debits bigint[], posted_credits bigint[],
    pending_debits bigint[], pending_credits bigint[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    breach jsonb;
BEGIN
    PERFORM FROM books.balance b WHERE b.account_id = ANY (accounts)
        ORDER BY b.account_id FOR NO KEY UPDATE;
    WITH touched AS (
        UPDATE books.balance b SET
            posted_debit = b.posted_debit + d.posted_debit,
            posted_credit = b.posted_credit + d.posted_credit,
            pending_debit = b.pending_debit + d.pending_debit,
            pending_credit = b.pending_credit + d.pending_credit,
            version = b.version + 1
        FROM unnest(accounts, posted_debits, posted_credits, pending_debits, pending_credits)
            AS d (account_id, posted_debit, posted_credit, pending_debit, pending_credit)
        WHERE d.account_id = b.account_id
        RETURNING b.*
    ), available AS (
        SELECT a.account_id, a.code, a.currency, CASE a.normal_side
            WHEN 'debit' THEN t.posted_debit - t.posted_credit - t.pending_credit
            ELSE t.posted_credit - t.posted_debit - t.pending_debit END AS minor
        FROM touched t JOIN books.account a USING (account_id)
        WHERE a.never_below_zero
    )
    SELECT jsonb_build_object('account', v.code, 'short_minor', -v.minor, 'currency', v.currency)
    INTO breach FROM available v WHERE v.minor < 0 ORDER BY v.account_id LIMIT 1;
    IF breach IS NOT NULL THEN
        PERFORM books.refuse('account_limit', breach, 'Fund the account, or record less.');
    END IF;
END $$;
REVOKE ALL ON FUNCTION books.move_balances FROM PUBLIC;

-- --- lines belong to the transaction that made their entry -------------------------------------

-- Is the entry of these lines being made by this very transaction? The transaction's number alone
-- would repeat after a restore into another server; the time alone would admit a parallel writer.
CREATE FUNCTION books.refuse_late_lines(entries bigint[]) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    late record;
BEGIN
    SELECT n.entry_id, e.entry_ref INTO late
    FROM unnest(entries) AS n (entry_id) LEFT JOIN books.entry e USING (entry_id)
    WHERE e.recorded_in IS DISTINCT FROM pg_current_xact_id()
       OR e.recorded_at < transaction_timestamp()
    ORDER BY n.entry_id LIMIT 1;
    IF FOUND THEN
        PERFORM books.refuse('entry_closed',
            jsonb_build_object('entry', coalesce(late.entry_ref, late.entry_id::text)),
            'Record a new entry.');
    END IF;
END $$;

-- --- legs --------------------------------------------------------------------------------------

CREATE FUNCTION books.check_legs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wrong jsonb;
    moved record;
BEGIN
    PERFORM books.refuse_late_lines(array_agg(DISTINCT entry_id)) FROM added;

    -- All legs of an entry come in one statement: what was checked is what stands.
    SELECT jsonb_build_object('entry', e.entry_ref) INTO wrong
    FROM (SELECT entry_id, count(*) AS legs FROM added GROUP BY entry_id) n
    JOIN books.entry e USING (entry_id)
    WHERE n.legs <> (SELECT count(*) FROM books.leg l WHERE l.entry_id = n.entry_id)
    ORDER BY entry_id LIMIT 1;
    IF wrong IS NOT NULL THEN
        PERFORM books.refuse('entry_closed', wrong, 'Give all legs of an entry at once.');
    END IF;

    SELECT jsonb_build_object('entry', e.entry_ref, 'layer', l.layer, 'currency', l.currency,
        'grant', l.grant_code, 'difference_minor', sum(l.amount_minor)) INTO wrong
    FROM added l JOIN books.entry e USING (entry_id)
    GROUP BY e.entry_ref, l.layer, l.currency, l.grant_code
    HAVING sum(l.amount_minor) <> 0
    ORDER BY e.entry_ref, l.layer, l.currency, l.grant_code LIMIT 1;
    IF wrong IS NOT NULL THEN
        PERFORM books.refuse('entry_unbalanced', wrong, 'Correct the amounts.');
    END IF;

    SELECT jsonb_build_object('account', a.code, 'currency', l.currency, 'grant', l.grant_code)
    INTO wrong
    FROM added l JOIN books.account a USING (account_id)
    WHERE a.currency <> l.currency OR a.grant_code <> l.grant_code
       OR (a.class = 'memo') <> (l.layer = 'M')
    ORDER BY l.entry_id, l.leg_no LIMIT 1;
    IF wrong IS NOT NULL THEN
        PERFORM books.refuse('account_unfit', wrong, 'Choose an account that fits.');
    END IF;

    SELECT array_agg(account_id) AS accounts, array_agg(debit) AS debits,
        array_agg(credit) AS credits, array_agg(0::bigint) AS zeros INTO moved
    FROM (
        SELECT l.account_id,
            coalesce(sum(l.amount_minor) FILTER (WHERE l.amount_minor > 0), 0)::bigint AS debit,
            coalesce(-sum(l.amount_minor) FILTER (WHERE l.amount_minor < 0), 0)::bigint AS credit
        FROM added l GROUP BY l.account_id
    ) s;
    IF moved.accounts IS NOT NULL THEN
        PERFORM books.move_balances(
            moved.accounts, moved.debits, moved.credits, moved.zeros, moved.zeros);
    END IF;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION books.check_legs FROM PUBLIC;

CREATE TRIGGER leg_check AFTER INSERT ON books.leg
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION books.check_legs();

-- --- transfers -----------------------------------------------------------------------------------

-- EXECUTE plans anew each time: a plan kept from when the table was small would be slow for ever.
CREATE FUNCTION books.check_transfers() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    entries bigint[];
    wrong jsonb;
    moved record;
BEGIN
    SELECT array_agg(DISTINCT entry_id) INTO entries FROM added;
    IF entries IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM books.refuse_late_lines(entries);

    SELECT jsonb_build_object('entry', e.entry_ref) INTO wrong
    FROM books.entry e WHERE e.entry_id = ANY (entries) AND e.reverses IS NOT NULL LIMIT 1;
    IF wrong IS NOT NULL THEN
        PERFORM books.refuse('reversal_not_mirror', wrong, 'A reversal has legs only.');
    END IF;

    SELECT jsonb_build_object('account', coalesce(a.code, n.account_id::text),
        'currency', n.currency, 'grant', n.grant_code) INTO wrong
    FROM (
        SELECT debit_account_id AS account_id, currency, grant_code FROM added GROUP BY 1, 2, 3
        UNION
        SELECT credit_account_id, currency, grant_code FROM added GROUP BY 1, 2, 3
    ) n LEFT JOIN books.account a USING (account_id)
    WHERE a.account_id IS NULL OR a.currency <> n.currency OR a.grant_code <> n.grant_code
       OR a.class = 'memo'
    ORDER BY n.account_id LIMIT 1;
    IF wrong IS NOT NULL THEN
        PERFORM books.refuse('account_unfit', wrong, 'Choose an account that fits.');
    END IF;

    -- A resolution repeats its hold in everything but the amount, which it never exceeds.
    EXECUTE $q$
        SELECT jsonb_build_object('instruction', n.instruction_ref, 'held_minor', p.amount_minor,
            'amount_minor', n.amount_minor, 'code', CASE
                WHEN p.transfer_id IS NULL THEN 'hold_unknown'
                WHEN n.amount_minor > p.amount_minor THEN 'hold_exceeded'
                ELSE 'hold_changed' END)
        FROM added n LEFT JOIN books.transfer p
            ON p.transfer_id = n.pending_id AND p.phase = 'pending'
        WHERE n.pending_id IS NOT NULL AND (
            p.transfer_id IS NULL OR n.amount_minor > p.amount_minor
            OR (n.phase = 'voided' AND n.amount_minor <> p.amount_minor)
            OR (n.debit_account_id, n.credit_account_id, n.currency, n.grant_code, n.instruction_ref)
               <> (p.debit_account_id, p.credit_account_id, p.currency, p.grant_code, p.instruction_ref)
            OR (n.programme_id, n.cycle_id, n.provider, n.location) IS DISTINCT FROM
               (p.programme_id, p.cycle_id, p.provider, p.location))
        ORDER BY n.instruction_ref LIMIT 1 $q$ INTO wrong;
    IF wrong IS NOT NULL THEN
        PERFORM books.refuse(wrong ->> 'code', wrong - 'code', 'Resolve the hold as it was made.');
    END IF;

    EXECUTE $q$
        WITH pair AS (
            SELECT n.debit_account_id, n.credit_account_id,
                coalesce(sum(n.amount_minor) FILTER (WHERE n.phase IN ('single', 'posted')), 0) AS posted,
                coalesce(sum(n.amount_minor) FILTER (WHERE n.phase = 'pending'), 0)
                    - coalesce(sum(p.amount_minor), 0) AS pending
            FROM added n LEFT JOIN books.transfer p ON p.transfer_id = n.pending_id
            GROUP BY n.debit_account_id, n.credit_account_id
        ), side AS (
            SELECT debit_account_id AS account_id, posted AS posted_debit, 0 AS posted_credit,
                pending AS pending_debit, 0 AS pending_credit FROM pair
            UNION ALL
            SELECT credit_account_id, 0, posted, 0, pending FROM pair
        ), account AS (
            SELECT account_id, sum(posted_debit)::bigint AS posted_debit,
                sum(posted_credit)::bigint AS posted_credit,
                sum(pending_debit)::bigint AS pending_debit,
                sum(pending_credit)::bigint AS pending_credit
            FROM side GROUP BY account_id
        )
        SELECT array_agg(account_id) AS accounts,
            array_agg(posted_debit) AS posted_debits, array_agg(posted_credit) AS posted_credits,
            array_agg(pending_debit) AS pending_debits, array_agg(pending_credit) AS pending_credits
        FROM account $q$ INTO moved;
    PERFORM books.move_balances(moved.accounts, moved.posted_debits, moved.posted_credits,
        moved.pending_debits, moved.pending_credits);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION books.check_transfers FROM PUBLIC;

CREATE TRIGGER transfer_check AFTER INSERT ON books.transfer
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION books.check_transfers();

-- --- entries as a whole, at commit ---------------------------------------------------------------

CREATE FUNCTION books.check_entry() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    target books.entry;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM books.transfer WHERE entry_id = NEW.entry_id)
       AND (SELECT count(*) FROM books.leg WHERE entry_id = NEW.entry_id) < 2 THEN
        PERFORM books.refuse('entry_without_lines', jsonb_build_object('entry', NEW.entry_ref),
            'Give at least two legs or one transfer.');
    END IF;
    IF NEW.reverses IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT * INTO target FROM books.entry WHERE entry_id = NEW.reverses;
    IF NEW.effective_on < target.effective_on
       OR EXISTS (SELECT 1 FROM books.transfer WHERE entry_id = target.entry_id)
       OR EXISTS (
            SELECT leg_no, layer, account_id, -amount_minor, currency, grant_code,
                programme_id, cycle_id, provider, location
            FROM books.leg WHERE entry_id = target.entry_id
            EXCEPT
            SELECT leg_no, layer, account_id, amount_minor, currency, grant_code,
                programme_id, cycle_id, provider, location
            FROM books.leg WHERE entry_id = NEW.entry_id)
       OR (SELECT count(*) FROM books.leg WHERE entry_id = target.entry_id)
            <> (SELECT count(*) FROM books.leg WHERE entry_id = NEW.entry_id) THEN
        PERFORM books.refuse('reversal_not_mirror', jsonb_build_object('entry', NEW.entry_ref),
            'A reversal repeats every leg with the opposite sign, on or after the day of the entry.');
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER entry_check AFTER INSERT ON books.entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION books.check_entry();

-- --- permanence and privileges -------------------------------------------------------------------

CREATE TRIGGER account_permanent BEFORE UPDATE OR DELETE ON books.account
    FOR EACH ROW EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER account_kept BEFORE TRUNCATE ON books.account
    FOR EACH STATEMENT EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER entry_permanent BEFORE UPDATE OR DELETE ON books.entry
    FOR EACH ROW EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER entry_kept BEFORE TRUNCATE ON books.entry
    FOR EACH STATEMENT EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER leg_permanent BEFORE UPDATE OR DELETE ON books.leg
    FOR EACH ROW EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER leg_kept BEFORE TRUNCATE ON books.leg
    FOR EACH STATEMENT EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER transfer_permanent BEFORE UPDATE OR DELETE ON books.transfer
    FOR EACH ROW EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER transfer_kept BEFORE TRUNCATE ON books.transfer
    FOR EACH STATEMENT EXECUTE FUNCTION books.refuse_change();

REVOKE ALL ON ALL TABLES IN SCHEMA books FROM PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA books TO cva_app, cva_auditor;
GRANT INSERT ON books.account, books.leg, books.transfer TO cva_app;
-- The time and the transaction of an entry are the database's to say.
GRANT INSERT (entry_ref, key, body_hash, event, effective_on, recorded_by, reason, reverses)
    ON books.entry TO cva_app;
