-- The books: accounts and wallets, entries, legs, transfers, periods, balances.
--
-- What holds here holds against anybody who can type SQL as the application: entries balance per
-- layer, currency and grant; nothing recorded changes; a hold is resolved at most once and never
-- above its amount; no limited account or wallet goes below zero, holds included, under any
-- interleaving; closed periods stay closed; the cached balances are the fold of the log.
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

-- --- accounts and wallets ---------------------------------------------------------------------

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
    is_control       boolean NOT NULL DEFAULT false, -- its lines name a wallet
    stripes          smallint NOT NULL DEFAULT 1 CHECK (stripes BETWEEN 1 AND 64),
    needs            text[] NOT NULL DEFAULT '{}' -- what each of its lines must name
                     CHECK (needs <@ '{programme,cycle,provider,location}'),
    grant_code       text NULL, -- set: only this grant's money may stand on the account
    provider         text NULL,
    opened_on        date NOT NULL,
    CHECK (starts_with(code, chart_code || '.'))
);

CREATE TABLE books.account_closing (
    account_id  integer PRIMARY KEY REFERENCES books.account,
    closed_on   date NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    recorded_by text NOT NULL CHECK (recorded_by <> ''),
    reason      text NOT NULL CHECK (reason <> '')
);

-- The sub-ledger under the control accounts: one row for each card, voucher or mobile wallet. The
-- reference is opaque: no name, no number of a card.
CREATE TABLE books.wallet (
    wallet_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wallet_ref text NOT NULL UNIQUE CHECK (wallet_ref <> ''),
    provider   text NOT NULL CHECK (provider <> ''),
    opened_on  date NOT NULL
);

-- --- entries ---------------------------------------------------------------------------------

CREATE TABLE books.entry (
    entry_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entry_ref    text NOT NULL UNIQUE CHECK (entry_ref ~ '^je_[0-9a-z]{26}$'),
    key          text NOT NULL UNIQUE CHECK (key <> ''),
    body_hash    bytea NOT NULL CHECK (length(body_hash) = 32),
    event        text NOT NULL CHECK (event <> ''),
    effective_on date NOT NULL,
    recorded_on  date NOT NULL, -- the day it was where the caller's clock stands
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    recorded_by  text NOT NULL CHECK (recorded_by <> ''),
    reason       text NOT NULL CHECK (reason <> ''),
    adjustment   boolean NOT NULL DEFAULT false,
    reverses     bigint NULL UNIQUE REFERENCES books.entry,
    corrects     bigint NULL REFERENCES books.entry, -- the original of a closed period
    recorded_in  xid8 NOT NULL DEFAULT pg_current_xact_id()
);

CREATE TABLE books.leg (
    entry_id     bigint NOT NULL REFERENCES books.entry,
    leg_no       integer NOT NULL CHECK (leg_no > 0),
    layer        char(1) NOT NULL DEFAULT 'A' CHECK (layer IN ('A', 'M')), -- actual, memo
    account_id   integer NOT NULL REFERENCES books.account,
    wallet_id    bigint NULL, -- looked up where its balance is kept
    amount_minor bigint NOT NULL CHECK (amount_minor <> 0), -- debit positive
    currency     char(3) NOT NULL,
    grant_code   text NOT NULL,
    programme_id text NULL,
    cycle_id     text NULL,
    provider     text NULL,
    location     text NULL,
    PRIMARY KEY (entry_id, leg_no)
);
CREATE INDEX leg_of_account ON books.leg (account_id);

-- The lines of an entry are numbered without a gap from 1: its place in the log gives theirs. A
-- transfer's number is made of its entry's and its own, so that one index serves both; the lines of
-- an entry are looked up with `books.transfers_of`.
CREATE TABLE books.transfer (
    transfer_id       bigint GENERATED ALWAYS AS ((entry_id << 24) | line_no) STORED PRIMARY KEY,
    entry_id          bigint NOT NULL CHECK (entry_id < 1::bigint << 39),
    pending_id        bigint NULL,
    amount_minor      bigint NOT NULL CHECK (amount_minor > 0), -- of a voided one: what it releases
    held_minor        bigint NULL, -- of a resolution: what was on hold
    wallet_id         bigint NULL, -- of the side that is a control account
    line_no           integer NOT NULL CHECK (line_no > 0 AND line_no < 1 << 24),
    debit_account_id  integer NOT NULL,
    credit_account_id integer NOT NULL,
    expires_on        date NULL, -- of a hold with a stated term: the last day it can be posted
    phase             text NOT NULL
                      CHECK (phase IN ('single', 'pending', 'posted', 'voided', 'expired')),
    currency          text NOT NULL,
    grant_code        text NOT NULL,
    programme_id      text NULL,
    cycle_id          text NULL,
    provider          text NULL,
    location          text NULL,
    instruction_ref   text NULL,
    item_key          text NULL CHECK (item_key <> ''), -- the client's own, of an item of a batch
    CHECK (debit_account_id <> credit_account_id),
    CHECK ((phase IN ('posted', 'voided', 'expired')) = (pending_id IS NOT NULL)),
    CHECK ((pending_id IS NULL) = (held_minor IS NULL)),
    CHECK (phase = 'single' OR instruction_ref IS NOT NULL),
    CHECK (phase = 'pending' OR expires_on IS NULL)
);
CREATE UNIQUE INDEX transfer_one_hold ON books.transfer (instruction_ref) WHERE phase = 'pending';
CREATE UNIQUE INDEX transfer_one_resolution ON books.transfer (pending_id)
    WHERE pending_id IS NOT NULL;
CREATE INDEX transfer_single_of_instruction ON books.transfer (instruction_ref)
    WHERE phase = 'single' AND instruction_ref IS NOT NULL;
CREATE UNIQUE INDEX transfer_one_item ON books.transfer (item_key) WHERE item_key IS NOT NULL;
-- A resolution has its hold's wallet, so it is found through its hold: `books.transfers_of_wallet`.
CREATE INDEX transfer_of_wallet ON books.transfer (wallet_id)
    WHERE wallet_id IS NOT NULL AND pending_id IS NULL;
CREATE INDEX transfer_with_term ON books.transfer (expires_on) WHERE expires_on IS NOT NULL;

CREATE FUNCTION books.transfers_of(entry bigint) RETURNS SETOF books.transfer
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT * FROM books.transfer
    WHERE transfer_id > entry << 24 AND transfer_id < (entry + 1) << 24;
END;

CREATE FUNCTION books.transfers_of_wallet(wallet bigint) RETURNS SETOF books.transfer
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT * FROM books.transfer WHERE wallet_id = wallet AND pending_id IS NULL
    UNION ALL
    SELECT r.* FROM books.transfer h JOIN books.transfer r ON r.pending_id = h.transfer_id
    WHERE h.wallet_id = wallet AND h.pending_id IS NULL;
END;

-- A period begins the day after the one before it has ended, so no day is in none. Adjusting: only
-- entries marked as adjustments; closed: nothing any more.
CREATE TABLE books.period_state (
    ends_on     date NOT NULL,
    state       text NOT NULL CHECK (state IN ('adjusting', 'closed')),
    recorded_on date NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    recorded_by text NOT NULL CHECK (recorded_by <> ''),
    reason      text NOT NULL CHECK (reason <> ''),
    PRIMARY KEY (ends_on, state)
);

-- --- balances: kept for speed, always the fold of the log --------------------------------------

-- A hot account has several stripes, so that writers of single entries do not wait for each other.
-- What a limited account has available is dealt out among its stripes (`lent`, which sums to 0).
CREATE TABLE books.balance (
    account_id     integer NOT NULL REFERENCES books.account,
    stripe         smallint NOT NULL CHECK (stripe >= 0),
    posted_debit   bigint NOT NULL DEFAULT 0 CHECK (posted_debit >= 0),
    posted_credit  bigint NOT NULL DEFAULT 0 CHECK (posted_credit >= 0),
    pending_debit  bigint NOT NULL DEFAULT 0,
    pending_credit bigint NOT NULL DEFAULT 0,
    lent           bigint NOT NULL DEFAULT 0,
    version        bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (account_id, stripe)
) WITH (fillfactor = 50);

CREATE TABLE books.wallet_balance (
    account_id     integer NOT NULL,
    wallet_id      bigint NOT NULL,
    posted_debit   bigint NOT NULL CHECK (posted_debit >= 0),
    posted_credit  bigint NOT NULL CHECK (posted_credit >= 0),
    pending_debit  bigint NOT NULL,
    pending_credit bigint NOT NULL,
    PRIMARY KEY (account_id, wallet_id)
) WITH (fillfactor = 80);

-- What was posted on an account, by the day it took effect: a balance on a day reads days, not lines.
CREATE TABLE books.day_total (
    account_id    integer NOT NULL REFERENCES books.account,
    effective_on  date NOT NULL,
    stripe        smallint NOT NULL,
    posted_debit  bigint NOT NULL CHECK (posted_debit >= 0),
    posted_credit bigint NOT NULL CHECK (posted_credit >= 0),
    PRIMARY KEY (account_id, effective_on, stripe)
) WITH (fillfactor = 50);

CREATE VIEW books.account_balance WITH (security_invoker = true) AS
SELECT account_id, sum(posted_debit)::bigint AS posted_debit,
       sum(posted_credit)::bigint AS posted_credit, sum(pending_debit)::bigint AS pending_debit,
       sum(pending_credit)::bigint AS pending_credit, sum(version)::bigint AS version
FROM books.balance GROUP BY account_id;

-- Every line of the log as one account sees it; a resolution takes its hold back from `pending`.
-- The fold of this view is the balance.
CREATE VIEW books.posting WITH (security_invoker = true) AS
SELECT 'leg' AS kind, l.entry_id, l.leg_no AS line, l.layer, 'posted' AS stage, l.account_id,
       l.wallet_id, greatest(l.amount_minor, 0) AS debit_minor,
       greatest(-l.amount_minor, 0) AS credit_minor,
       l.currency, l.grant_code, l.programme_id, l.cycle_id, l.provider, l.location,
       NULL AS instruction_ref
FROM books.leg l
UNION ALL
SELECT 'transfer', t.entry_id, t.line_no, 'A',
       CASE WHEN t.phase = 'pending' THEN 'pending' ELSE 'posted' END,
       s.account_id, CASE WHEN a.is_control THEN t.wallet_id END, s.debit * t.amount_minor,
       s.credit * t.amount_minor, t.currency, t.grant_code, t.programme_id, t.cycle_id, t.provider,
       t.location, t.instruction_ref
FROM books.transfer t
CROSS JOIN LATERAL (VALUES (t.debit_account_id, 1, 0), (t.credit_account_id, 0, 1))
    AS s (account_id, debit, credit)
JOIN books.account a USING (account_id)
WHERE t.phase IN ('single', 'pending', 'posted')
UNION ALL
SELECT 'release', t.entry_id, t.line_no, 'A', 'pending',
       s.account_id, CASE WHEN a.is_control THEN t.wallet_id END, -s.debit * t.held_minor,
       -s.credit * t.held_minor, t.currency, t.grant_code, t.programme_id, t.cycle_id, t.provider,
       t.location, t.instruction_ref
FROM books.transfer t
CROSS JOIN LATERAL (VALUES (t.debit_account_id, 1, 0), (t.credit_account_id, 0, 1))
    AS s (account_id, debit, credit)
JOIN books.account a USING (account_id)
WHERE t.pending_id IS NOT NULL;

CREATE FUNCTION books.open_balances() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO books.balance (account_id, stripe)
    SELECT account_id, stripe FROM added, generate_series(0, stripes - 1) AS stripe
    ORDER BY account_id, stripe;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION books.open_balances FROM PUBLIC;

CREATE TRIGGER account_balance AFTER INSERT ON books.account
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION books.open_balances();

-- What an account or a wallet may still lose: everything on hold to leave counts as gone.
CREATE FUNCTION books.available(
    normal_side text, posted_debit bigint, posted_credit bigint,
    pending_debit bigint, pending_credit bigint
) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE normal_side WHEN 'debit' THEN posted_debit - posted_credit - pending_credit
                        ELSE posted_credit - posted_debit - pending_debit END;

-- Deals what limited accounts have available out among their stripes, all of which are locked, and
-- refuses where there is less than nothing to deal out.
CREATE FUNCTION books.deal_out(accounts integer[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    breach jsonb;
BEGIN
    WITH stripe AS (
        SELECT b.account_id, b.stripe, a.stripes, a.code, a.currency,
            books.available(a.normal_side, b.posted_debit, b.posted_credit, b.pending_debit,
                b.pending_credit) AS own
        FROM books.balance b JOIN books.account a USING (account_id)
        WHERE b.account_id = ANY (accounts)
    ), total AS (
        SELECT account_id, code, currency, stripes, sum(own)::bigint AS minor FROM stripe
        GROUP BY account_id, code, currency, stripes
    ), dealt AS (
        UPDATE books.balance b SET lent = t.minor / t.stripes - s.own
            + CASE b.stripe WHEN 0 THEN t.minor % t.stripes ELSE 0 END
        FROM stripe s JOIN total t USING (account_id)
        WHERE (b.account_id, b.stripe) = (s.account_id, s.stripe) AND t.minor >= 0
    )
    SELECT jsonb_build_object('account', code, 'short_minor', -minor, 'currency', currency)
    INTO breach FROM total WHERE minor < 0 ORDER BY account_id LIMIT 1;
    IF breach IS NOT NULL THEN
        PERFORM books.refuse('account_limit', breach, 'Fund the account, or record less.');
    END IF;
END $$;
REVOKE ALL ON FUNCTION books.deal_out FROM PUBLIC;

-- Locks balances in the order of the accounts, so that writers wait and never lock each other out;
-- adds; then looks at the limits: the locks make the answer true under concurrency. A batch takes
-- all stripes of a limited account (one reservation), a single entry only the stripe of its
-- connection while that has enough. Two single entries that find their stripes empty at the same
-- moment may meet a deadlock, which the server ends: one of them is to be repeated.
CREATE FUNCTION books.move_balances(
    accounts integer[], posted_debits bigint[], posted_credits bigint[],
    pending_debits bigint[], pending_credits bigint[], is_batch boolean
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    writer integer := pg_backend_pid();
    whole integer[];
    short integer[];
    wrong jsonb;
BEGIN
    SELECT array_agg(a.account_id) INTO whole
    FROM unnest(accounts, posted_debits, posted_credits, pending_debits, pending_credits)
        AS d (account_id, posted_debit, posted_credit, pending_debit, pending_credit)
    JOIN books.account a USING (account_id)
    JOIN books.balance b ON (b.account_id, b.stripe) = (a.account_id, writer % a.stripes)
    WHERE a.stripes > 1 AND a.never_below_zero AND (is_batch OR b.lent + books.available(
        a.normal_side, b.posted_debit + d.posted_debit, b.posted_credit + d.posted_credit,
        b.pending_debit + d.pending_debit, b.pending_credit + d.pending_credit) < 0);

    PERFORM FROM books.balance b JOIN books.account a USING (account_id)
        WHERE b.account_id = ANY (accounts)
          AND (b.stripe = writer % a.stripes OR b.account_id = ANY (whole))
        ORDER BY b.account_id, b.stripe FOR NO KEY UPDATE OF b;

    SELECT jsonb_build_object('account', code) INTO wrong
    FROM books.account_closing JOIN books.account USING (account_id)
    WHERE account_id = ANY (accounts) LIMIT 1;
    IF wrong IS NOT NULL THEN
        PERFORM books.refuse('account_closed', wrong, 'Choose an account that is open.');
    END IF;

    WITH touched AS (
        UPDATE books.balance b SET
            posted_debit = b.posted_debit + d.posted_debit,
            posted_credit = b.posted_credit + d.posted_credit,
            pending_debit = b.pending_debit + d.pending_debit,
            pending_credit = b.pending_credit + d.pending_credit,
            version = b.version + 1
        FROM unnest(accounts, posted_debits, posted_credits, pending_debits, pending_credits)
            AS d (account_id, posted_debit, posted_credit, pending_debit, pending_credit)
        JOIN books.account a USING (account_id)
        WHERE (b.account_id, b.stripe) = (d.account_id, writer % a.stripes)
        RETURNING a.account_id, a.code, a.currency, a.stripes, a.never_below_zero,
            b.lent + books.available(a.normal_side, b.posted_debit, b.posted_credit,
                b.pending_debit, b.pending_credit) AS minor
    ), breach AS (
        SELECT * FROM touched
        WHERE never_below_zero AND minor < 0 AND account_id <> ALL (coalesce(whole, '{}'))
    )
    SELECT array_agg(account_id) FILTER (WHERE stripes > 1),
        (array_agg(jsonb_build_object('account', code, 'short_minor', -minor,
                                      'currency', currency)
                   ORDER BY account_id) FILTER (WHERE stripes = 1))[1]
    INTO short, wrong FROM breach;
    IF wrong IS NOT NULL THEN
        PERFORM books.refuse('account_limit', wrong, 'Fund the account, or record less.');
    END IF;
    IF short IS NOT NULL THEN
        PERFORM FROM books.balance WHERE account_id = ANY (short)
            ORDER BY account_id, stripe FOR NO KEY UPDATE;
    END IF;
    IF whole IS NOT NULL OR short IS NOT NULL THEN
        PERFORM books.deal_out(whole || short);
    END IF;
END $$;
REVOKE ALL ON FUNCTION books.move_balances FROM PUBLIC;

-- Adds to the days' totals; whoever calls holds the stripes.
CREATE FUNCTION books.move_days(
    accounts integer[], days date[], posted_debits bigint[], posted_credits bigint[]
) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO books.day_total AS t
        (account_id, effective_on, stripe, posted_debit, posted_credit)
    SELECT a.account_id, d.effective_on, pg_backend_pid() % a.stripes, d.posted_debit,
        d.posted_credit
    FROM unnest(accounts, days, posted_debits, posted_credits)
        AS d (account_id, effective_on, posted_debit, posted_credit)
    JOIN books.account a USING (account_id)
    WHERE d.posted_debit + d.posted_credit > 0
    ORDER BY a.account_id, d.effective_on
    ON CONFLICT (account_id, effective_on, stripe) DO UPDATE SET
        posted_debit = t.posted_debit + EXCLUDED.posted_debit,
        posted_credit = t.posted_credit + EXCLUDED.posted_credit;
END;
REVOKE ALL ON FUNCTION books.move_days FROM PUBLIC;

-- --- periods -------------------------------------------------------------------------------------

-- Writers of entries share a lock that closing takes alone: no entry slips into a period while it
-- is being closed.
-- Checks and locks need the newest picture at each statement: with an older one a transaction would
-- not see that a period or an account was closed while it waited.
CREATE FUNCTION books.refuse_old_picture() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        PERFORM books.refuse('isolation_unfit',
            jsonb_build_object('isolation', current_setting('transaction_isolation')),
            'Write in a transaction of isolation read committed.');
    END IF;
END $$;

-- One look at what was added: its days are open, and it waits for its place in the log.
CREATE FUNCTION books.admit_entries() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wrong jsonb;
BEGIN
    PERFORM books.refuse_old_picture();
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('books.period', 0));
    SELECT jsonb_build_object('code', CASE
            WHEN effective_on > recorded_on THEN 'entry_in_future'
            WHEN effective_on <= closed THEN 'period_closed'
            ELSE 'period_adjusting' END,
        'entry', entry_ref, 'on', effective_on, 'closed_to', closed, 'adjusting_to', adjusting)
    INTO wrong FROM added, (
        SELECT max(ends_on) FILTER (WHERE state = 'closed') AS closed, max(ends_on) AS adjusting
        FROM books.period_state) p
    WHERE effective_on > recorded_on OR effective_on <= closed
       OR effective_on <= adjusting AND NOT adjustment
    ORDER BY entry_id LIMIT 1;
    IF wrong IS NOT NULL THEN
        PERFORM books.refuse(wrong ->> 'code', jsonb_strip_nulls(wrong - 'code'),
            'Date the entry in an open period.');
    END IF;
    INSERT INTO books.unsealed (entry_id) SELECT entry_id FROM added;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION books.admit_entries FROM PUBLIC;

CREATE TRIGGER entry_admission AFTER INSERT ON books.entry
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION books.admit_entries();

CREATE FUNCTION books.check_period() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    closed date;
BEGIN
    PERFORM books.refuse_old_picture();
    PERFORM pg_advisory_xact_lock(hashtextextended('books.period', 0));
    NEW.recorded_at := clock_timestamp(); -- after every entry that was being written
    SELECT max(ends_on) INTO closed FROM books.period_state WHERE state = 'closed';
    IF NEW.ends_on <= closed THEN
        PERFORM books.refuse('period_out_of_order',
            jsonb_build_object('ends_on', NEW.ends_on, 'closed_to', closed),
            'Periods close in the order of their days.');
    END IF;
    IF NEW.ends_on >= NEW.recorded_on THEN
        PERFORM books.refuse('period_not_over', jsonb_build_object('ends_on', NEW.ends_on),
            'Close a period after its last day.');
    END IF;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION books.check_period FROM PUBLIC;

CREATE TRIGGER period_check BEFORE INSERT ON books.period_state
    FOR EACH ROW EXECUTE FUNCTION books.check_period();

-- An account is closed when nothing stands on it and nothing is on hold.
CREATE FUNCTION books.check_closing() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wrong jsonb;
BEGIN
    PERFORM FROM books.balance WHERE account_id = NEW.account_id ORDER BY stripe FOR UPDATE;
    SELECT jsonb_build_object('account', code) INTO wrong
    FROM books.account_balance JOIN books.account USING (account_id)
    WHERE account_id = NEW.account_id
      AND (posted_debit <> posted_credit OR pending_debit <> 0 OR pending_credit <> 0);
    IF wrong IS NOT NULL THEN
        PERFORM books.refuse('account_not_empty', wrong, 'Move what stands on it, then close it.');
    END IF;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION books.check_closing FROM PUBLIC;

CREATE TRIGGER account_closing_check BEFORE INSERT ON books.account_closing
    FOR EACH ROW EXECUTE FUNCTION books.check_closing();

-- --- what lines must fit -------------------------------------------------------------------------

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
       OR EXISTS (SELECT FROM books.sealed_entry s WHERE s.entry_id = n.entry_id)
    ORDER BY n.entry_id LIMIT 1;
    IF FOUND THEN
        PERFORM books.refuse('entry_closed',
            jsonb_build_object('entry', coalesce(late.entry_ref, late.entry_id::text)),
            'Record a new entry.');
    END IF;
END $$;

-- Lines that have everything in common that an account looks at.
CREATE TYPE books.line_kind AS (
    account_id integer, layer text, currency text, grant_code text, has_wallet boolean,
    missing text[]
);

CREATE FUNCTION books.missing(
    programme boolean, cycle boolean, provider boolean, location boolean
) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN array_remove(ARRAY[CASE WHEN NOT programme THEN 'programme' END,
    CASE WHEN NOT cycle THEN 'cycle' END, CASE WHEN NOT provider THEN 'provider' END,
    CASE WHEN NOT location THEN 'location' END], NULL);

CREATE FUNCTION books.refuse_unfit(kinds books.line_kind[]) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wrong jsonb;
BEGIN
    SELECT jsonb_build_object('account', coalesce(a.code, k.account_id::text), 'code', CASE
            WHEN a.account_id IS NULL OR a.currency <> k.currency OR a.grant_code <> k.grant_code
                OR (a.class = 'memo') <> (k.layer = 'M') THEN 'account_unfit'
            WHEN a.is_control AND NOT k.has_wallet THEN 'wallet_missing'
            WHEN k.has_wallet AND NOT a.is_control THEN 'wallet_unfit'
            ELSE 'dimension_missing' END,
        'currency', k.currency, 'grant', k.grant_code,
        'dimension', (SELECT min(m) FROM unnest(k.missing) m WHERE m = ANY (a.needs)))
    INTO wrong
    FROM unnest(kinds) k LEFT JOIN books.account a USING (account_id)
    WHERE a.account_id IS NULL OR a.currency <> k.currency OR a.grant_code <> k.grant_code
       OR (a.class = 'memo') <> (k.layer = 'M') OR a.is_control <> k.has_wallet
       OR a.needs && k.missing
    ORDER BY k.account_id, k.currency, k.grant_code, k.layer, k.has_wallet, k.missing LIMIT 1;
    IF wrong IS NOT NULL THEN
        PERFORM books.refuse(wrong ->> 'code', jsonb_strip_nulls(wrong - 'code'),
            'Choose an account that fits.');
    END IF;
END $$;

-- A sum of minor units. `sum` of bigint counts in numeric, which costs more than all else where
-- there are many sums; one that does not fit a bigint is refused by both.
CREATE AGGREGATE books.total (bigint) (
    SFUNC = int8pl, STYPE = bigint, INITCOND = '0', COMBINEFUNC = int8pl, PARALLEL = SAFE
);

-- Adds to wallets, in their order, and looks at their limits.
CREATE FUNCTION books.move_wallets(
    accounts integer[], wallets bigint[], posted_debits bigint[], posted_credits bigint[],
    pending_debits bigint[], pending_credits bigint[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    breach jsonb;
BEGIN
    WITH touched AS (
        INSERT INTO books.wallet_balance AS b (account_id, wallet_id, posted_debit, posted_credit,
            pending_debit, pending_credit)
        SELECT account_id, wallet_id, books.total(pd), books.total(pc), books.total(hd),
            books.total(hc)
        FROM unnest(accounts, wallets, posted_debits, posted_credits, pending_debits,
            pending_credits) AS d (account_id, wallet_id, pd, pc, hd, hc)
        GROUP BY account_id, wallet_id ORDER BY account_id, wallet_id
        ON CONFLICT (account_id, wallet_id) DO UPDATE SET
            posted_debit = b.posted_debit + EXCLUDED.posted_debit,
            posted_credit = b.posted_credit + EXCLUDED.posted_credit,
            pending_debit = b.pending_debit + EXCLUDED.pending_debit,
            pending_credit = b.pending_credit + EXCLUDED.pending_credit
        RETURNING b.*
    )
    SELECT jsonb_build_object('code', CASE WHEN w.wallet_id IS NULL THEN 'wallet_unknown'
            ELSE 'account_limit' END, 'wallet', t.wallet_id::text,
        'account', a.code || ' / ' || w.wallet_ref, 'short_minor', -books.available(a.normal_side, t.posted_debit, t.posted_credit, t.pending_debit,
            t.pending_credit), 'currency', a.currency) INTO breach
    FROM touched t JOIN books.account a USING (account_id) LEFT JOIN books.wallet w USING (wallet_id)
    WHERE w.wallet_id IS NULL OR a.never_below_zero AND books.available(a.normal_side,
        t.posted_debit, t.posted_credit, t.pending_debit, t.pending_credit) < 0
    ORDER BY t.account_id, t.wallet_id LIMIT 1;
    IF breach IS NOT NULL THEN
        PERFORM books.refuse(breach ->> 'code', jsonb_strip_nulls(breach - 'code'),
            'Load the wallet, or record less.');
    END IF;
END $$;
REVOKE ALL ON FUNCTION books.move_wallets FROM PUBLIC;

-- --- one transfer alone ------------------------------------------------------------------------

-- What `move_balances` and `move_days` do, where one stripe of each account is enough: the lower
-- account's first. False, and nothing moved, where it is not enough; false too where an account is
-- closed: for the long way, which takes its locks in the same order and says why not.
CREATE FUNCTION books.move_one(
    debit integer, debit_stripe integer, debit_limited boolean,
    credit integer, credit_stripe integer, credit_limited boolean,
    posted bigint, held bigint, day date
) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    FOR turn IN 1..2 LOOP
        IF (turn = 1) = (debit < credit) THEN
            UPDATE books.balance b SET posted_debit = b.posted_debit + posted,
                pending_debit = b.pending_debit + held, version = b.version + 1
            WHERE b.account_id = debit AND b.stripe = debit_stripe AND (NOT debit_limited
                OR b.lent + b.posted_credit - b.posted_debit - b.pending_debit >= posted + held);
        ELSE
            UPDATE books.balance b SET posted_credit = b.posted_credit + posted,
                pending_credit = b.pending_credit + held, version = b.version + 1
            WHERE b.account_id = credit AND b.stripe = credit_stripe AND (NOT credit_limited
                OR b.lent + b.posted_debit - b.posted_credit - b.pending_credit >= posted + held);
        END IF;
        IF NOT FOUND THEN
            IF turn = 2 AND debit < credit THEN
                UPDATE books.balance b SET posted_debit = b.posted_debit - posted,
                    pending_debit = b.pending_debit - held, version = b.version - 1
                WHERE b.account_id = debit AND b.stripe = debit_stripe;
            ELSIF turn = 2 THEN
                UPDATE books.balance b SET posted_credit = b.posted_credit - posted,
                    pending_credit = b.pending_credit - held, version = b.version - 1
                WHERE b.account_id = credit AND b.stripe = credit_stripe;
            END IF;
            RETURN false;
        END IF;
    END LOOP;
    IF EXISTS (SELECT FROM books.account_closing c WHERE c.account_id IN (debit, credit)) THEN
        RETURN false;
    END IF;
    IF posted > 0 THEN
        INSERT INTO books.day_total AS t
            (account_id, effective_on, stripe, posted_debit, posted_credit)
        VALUES (least(debit, credit), day,
                CASE WHEN debit < credit THEN debit_stripe ELSE credit_stripe END,
                CASE WHEN debit < credit THEN posted ELSE 0 END,
                CASE WHEN debit < credit THEN 0 ELSE posted END),
               (greatest(debit, credit), day,
                CASE WHEN debit < credit THEN credit_stripe ELSE debit_stripe END,
                CASE WHEN debit < credit THEN 0 ELSE posted END,
                CASE WHEN debit < credit THEN posted ELSE 0 END)
        ON CONFLICT (account_id, effective_on, stripe) DO UPDATE SET
            posted_debit = t.posted_debit + EXCLUDED.posted_debit,
            posted_credit = t.posted_credit + EXCLUDED.posted_credit;
    END IF;
    RETURN true;
END $$;
REVOKE ALL ON FUNCTION books.move_one FROM PUBLIC;

-- --- legs --------------------------------------------------------------------------------------

CREATE FUNCTION books.check_legs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wrong jsonb;
    kinds books.line_kind[];
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

    SELECT array_agg(DISTINCT (account_id, layer, currency, grant_code, wallet_id IS NOT NULL,
        books.missing(programme_id IS NOT NULL, cycle_id IS NOT NULL, provider IS NOT NULL,
            location IS NOT NULL))::books.line_kind) INTO kinds
    FROM added;
    PERFORM books.refuse_unfit(kinds);

    SELECT array_agg(account_id) AS accounts, array_agg(debit) AS debits,
        array_agg(credit) AS credits, array_agg(0::bigint) AS zeros INTO moved
    FROM (
        SELECT l.account_id,
            coalesce(sum(l.amount_minor) FILTER (WHERE l.amount_minor > 0), 0)::bigint AS debit,
            coalesce(-sum(l.amount_minor) FILTER (WHERE l.amount_minor < 0), 0)::bigint AS credit
        FROM added l GROUP BY l.account_id
    ) s;
    IF moved.accounts IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM books.move_balances(
        moved.accounts, moved.debits, moved.credits, moved.zeros, moved.zeros, true);

    SELECT array_agg(account_id) AS accounts, array_agg(effective_on) AS days,
        array_agg(debit) AS debits, array_agg(credit) AS credits INTO moved
    FROM (
        SELECT l.account_id, e.effective_on,
            coalesce(sum(l.amount_minor) FILTER (WHERE l.amount_minor > 0), 0)::bigint AS debit,
            coalesce(-sum(l.amount_minor) FILTER (WHERE l.amount_minor < 0), 0)::bigint AS credit
        FROM added l JOIN books.entry e USING (entry_id) GROUP BY l.account_id, e.effective_on
    ) s;
    PERFORM books.move_days(moved.accounts, moved.days, moved.debits, moved.credits);

    SELECT array_agg(account_id) AS accounts, array_agg(wallet_id) AS wallets,
        array_agg(debit) AS debits, array_agg(credit) AS credits, array_agg(0::bigint) AS zeros
    INTO moved
    FROM (
        SELECT l.account_id, l.wallet_id,
            coalesce(sum(l.amount_minor) FILTER (WHERE l.amount_minor > 0), 0)::bigint AS debit,
            coalesce(-sum(l.amount_minor) FILTER (WHERE l.amount_minor < 0), 0)::bigint AS credit
        FROM added l WHERE l.wallet_id IS NOT NULL GROUP BY l.account_id, l.wallet_id
    ) s;
    IF moved.accounts IS NOT NULL THEN
        PERFORM books.move_wallets(moved.accounts, moved.wallets, moved.debits, moved.credits,
            moved.zeros, moved.zeros);
    END IF;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION books.check_legs FROM PUBLIC;

CREATE TRIGGER leg_check AFTER INSERT ON books.leg
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION books.check_legs();

-- --- transfers -----------------------------------------------------------------------------------

-- Transfers that have everything in common but wallet, location, amount and instruction: a mass
-- entry has a handful of these, and what is checked of them is checked once.
CREATE TYPE books.transfer_group AS (
    entry_id bigint, debit_account_id integer, credit_account_id integer, currency text,
    grant_code text, has_wallet boolean, missing text[],
    lines bigint, first_line integer, last_line integer,
    posted bigint, held bigint, released bigint, resolved bigint
);

-- A resolution repeats its hold in everything but the amount, which it never exceeds. EXECUTE plans
-- anew each time: a plan kept from when the table was small would be slow for ever. The holds of a
-- million lines fit into the memory given here; with less they go through files.
CREATE FUNCTION books.check_transfers() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET work_mem = '128MB' AS $$
DECLARE
    groups books.transfer_group[];
    kinds books.line_kind[];
    wrong jsonb;
    moved record;
    one record;
BEGIN
    -- A line alone that is plainly fine needs one look; everything else goes the long way.
    IF (SELECT count(*) FROM (SELECT FROM added LIMIT 2) few) = 1 THEN
        SELECT n.debit_account_id AS debit, n.credit_account_id AS credit, n.wallet_id,
            pg_backend_pid() % d.stripes AS debit_stripe,
            pg_backend_pid() % k.stripes AS credit_stripe,
            d.never_below_zero AND d.normal_side = 'credit' AS debit_limited,
            k.never_below_zero AND k.normal_side = 'debit' AS credit_limited,
            CASE n.phase WHEN 'pending' THEN 0 ELSE n.amount_minor END AS posted,
            CASE n.phase WHEN 'pending' THEN n.amount_minor ELSE 0 END AS held,
            d.is_control AS debit_is_control, e.effective_on, e.reverses
        INTO one
        FROM added n JOIN books.entry e USING (entry_id)
        JOIN books.account d ON d.account_id = n.debit_account_id
        JOIN books.account k ON k.account_id = n.credit_account_id
        WHERE n.line_no = 1 AND n.phase IN ('single', 'pending')
          AND e.recorded_in = pg_current_xact_id() AND e.recorded_at >= transaction_timestamp()
          AND NOT EXISTS (SELECT FROM books.sealed_entry s WHERE s.entry_id = n.entry_id)
          AND d.currency = n.currency AND coalesce(d.grant_code = n.grant_code, true)
          AND k.currency = n.currency AND coalesce(k.grant_code = n.grant_code, true)
          AND d.class <> 'memo' AND k.class <> 'memo' AND NOT (d.is_control AND k.is_control)
          AND (n.wallet_id IS NOT NULL) = (d.is_control OR k.is_control)
          AND NOT d.needs || k.needs && books.missing(n.programme_id IS NOT NULL,
              n.cycle_id IS NOT NULL, n.provider IS NOT NULL, n.location IS NOT NULL);
        IF FOUND AND one.reverses IS NULL
           AND books.move_one(one.debit, one.debit_stripe, one.debit_limited, one.credit,
               one.credit_stripe, one.credit_limited, one.posted, one.held, one.effective_on) THEN
            IF one.wallet_id IS NOT NULL THEN
                IF one.debit_is_control THEN
                    PERFORM books.move_wallets(ARRAY[one.debit], ARRAY[one.wallet_id],
                        ARRAY[one.posted], '{0}', ARRAY[one.held], '{0}');
                ELSE
                    PERFORM books.move_wallets(ARRAY[one.credit], ARRAY[one.wallet_id],
                        '{0}', ARRAY[one.posted], '{0}', ARRAY[one.held]);
                END IF;
            END IF;
            RETURN NULL;
        END IF;
    END IF;

    SELECT array_agg((entry_id, debit_account_id, credit_account_id, currency, grant_code,
        has_wallet,
        books.missing(has_programme, has_cycle, has_provider, has_location),
        lines, first_line, last_line, posted, held, released, resolved)::books.transfer_group)
    INTO groups
    FROM (
        SELECT entry_id, debit_account_id, credit_account_id, currency, grant_code,
            wallet_id IS NOT NULL AS has_wallet,
            programme_id IS NOT NULL AS has_programme, cycle_id IS NOT NULL AS has_cycle,
            provider IS NOT NULL AS has_provider, location IS NOT NULL AS has_location,
            count(*) AS lines, min(line_no) AS first_line, max(line_no) AS last_line,
            books.total(amount_minor) FILTER (WHERE phase IN ('single', 'posted')) AS posted,
            books.total(amount_minor) FILTER (WHERE phase = 'pending') AS held,
            books.total(held_minor) AS released, count(pending_id) AS resolved
        FROM added GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
    ) g;
    IF groups IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM books.refuse_late_lines(array_agg(DISTINCT entry_id)) FROM unnest(groups);

    -- Numbered from 1 without a gap, so all transfers of an entry come in one statement.
    SELECT jsonb_build_object('entry', e.entry_ref, 'code',
        CASE WHEN e.reverses IS NULL THEN 'entry_closed' ELSE 'reversal_not_mirror' END) INTO wrong
    FROM (SELECT entry_id, sum(lines) AS lines, min(first_line) AS first_line,
              max(last_line) AS last_line FROM unnest(groups) GROUP BY entry_id) n
    JOIN books.entry e USING (entry_id)
    WHERE n.first_line <> 1 OR n.last_line <> n.lines OR e.reverses IS NOT NULL
    ORDER BY entry_id LIMIT 1;
    IF wrong IS NOT NULL THEN
        PERFORM books.refuse(wrong ->> 'code', wrong - 'code',
            'Give all transfers of an entry at once, numbered from 1; a reversal has legs only.');
    END IF;

    -- A wallet is of the one side that is a control account.
    SELECT array_agg(DISTINCT (s.account_id, 'A', g.currency, g.grant_code,
        g.has_wallet AND (s.is_control OR NOT s.other_is_control), g.missing)::books.line_kind)
    INTO kinds
    FROM unnest(groups) g
    LEFT JOIN books.account d ON d.account_id = g.debit_account_id
    LEFT JOIN books.account k ON k.account_id = g.credit_account_id
    CROSS JOIN LATERAL (VALUES
        (g.debit_account_id, coalesce(d.is_control, false), coalesce(k.is_control, false)),
        (g.credit_account_id, coalesce(k.is_control, false), coalesce(d.is_control, false)))
        AS s (account_id, is_control, other_is_control);
    PERFORM books.refuse_unfit(kinds);
    SELECT jsonb_build_object('account', d.code) INTO wrong
    FROM unnest(groups) g JOIN books.account d ON d.account_id = g.debit_account_id
    JOIN books.account k ON k.account_id = g.credit_account_id
    WHERE d.is_control AND k.is_control LIMIT 1;
    IF wrong IS NOT NULL THEN
        PERFORM books.refuse('wallet_unfit', wrong,
            'From wallet to wallet goes an entry of two legs.');
    END IF;

    IF (SELECT sum(resolved) FROM unnest(groups)) > 0 THEN
        EXECUTE $q$
            SELECT jsonb_build_object('instruction', n.instruction_ref,
                'held_minor', p.amount_minor, 'amount_minor', n.amount_minor,
                'currency', n.currency, 'code', CASE
                    WHEN p.transfer_id IS NULL THEN 'hold_unknown'
                    WHEN n.amount_minor > p.amount_minor THEN 'hold_exceeded'
                    WHEN n.phase = 'posted' AND e.effective_on > p.expires_on THEN 'hold_expired'
                    WHEN n.phase = 'expired' AND (e.effective_on > p.expires_on) IS NOT TRUE
                        THEN 'hold_not_expired'
                    ELSE 'hold_changed' END)
            FROM added n JOIN books.entry e USING (entry_id) LEFT JOIN books.transfer p
                ON p.transfer_id = n.pending_id AND p.phase = 'pending'
            WHERE n.pending_id IS NOT NULL AND (
                p.transfer_id IS NULL OR n.amount_minor > p.amount_minor
                OR n.held_minor <> p.amount_minor
                OR (n.phase IN ('voided', 'expired') AND n.amount_minor <> p.amount_minor)
                OR (n.phase = 'posted' AND e.effective_on > p.expires_on)
                OR (n.phase = 'expired' AND (e.effective_on > p.expires_on) IS NOT TRUE)
                OR (n.debit_account_id, n.credit_account_id, n.currency, n.grant_code,
                    n.instruction_ref)
                   <> (p.debit_account_id, p.credit_account_id, p.currency, p.grant_code,
                       p.instruction_ref)
                OR n.item_key IS NOT NULL
                OR (n.wallet_id, n.programme_id, n.cycle_id, n.provider,
                    n.location) IS DISTINCT FROM
                   (p.wallet_id, p.programme_id, p.cycle_id, p.provider,
                    p.location))
            ORDER BY n.instruction_ref LIMIT 1 $q$ INTO wrong;
        IF wrong IS NOT NULL THEN
            PERFORM books.refuse(wrong ->> 'code', wrong - 'code',
                'Resolve the hold as it was made.');
        END IF;
    END IF;

    SELECT array_agg(account_id) AS accounts,
        array_agg(posted_debit) AS posted_debits, array_agg(posted_credit) AS posted_credits,
        array_agg(pending_debit) AS pending_debits, array_agg(pending_credit) AS pending_credits,
        sum(lines) > 2 AS is_batch INTO moved
    FROM (
        SELECT s.account_id, sum(g.lines) AS lines,
            sum(s.debit * g.posted)::bigint AS posted_debit,
            sum(s.credit * g.posted)::bigint AS posted_credit,
            sum(s.debit * (g.held - g.released))::bigint AS pending_debit,
            sum(s.credit * (g.held - g.released))::bigint AS pending_credit
        FROM unnest(groups) g CROSS JOIN LATERAL (VALUES
            (g.debit_account_id, 1, 0), (g.credit_account_id, 0, 1)) AS s (account_id, debit, credit)
        GROUP BY s.account_id
    ) a;
    PERFORM books.move_balances(moved.accounts, moved.posted_debits, moved.posted_credits,
        moved.pending_debits, moved.pending_credits, moved.is_batch);

    SELECT array_agg(account_id) AS accounts, array_agg(effective_on) AS days,
        array_agg(posted_debit) AS debits, array_agg(posted_credit) AS credits INTO moved
    FROM (
        SELECT s.account_id, e.effective_on, sum(s.debit * g.posted)::bigint AS posted_debit,
            sum(s.credit * g.posted)::bigint AS posted_credit
        FROM unnest(groups) g JOIN books.entry e USING (entry_id) CROSS JOIN LATERAL (VALUES
            (g.debit_account_id, 1, 0), (g.credit_account_id, 0, 1)) AS s (account_id, debit, credit)
        WHERE g.posted > 0 GROUP BY s.account_id, e.effective_on
    ) d;
    IF moved.accounts IS NOT NULL THEN
        PERFORM books.move_days(moved.accounts, moved.days, moved.debits, moved.credits);
    END IF;

    IF (SELECT bool_or(has_wallet) FROM unnest(groups)) THEN
        SELECT array_agg(account_id) AS accounts, array_agg(wallet_id) AS wallets,
            array_agg(posted_debit) AS posted_debits, array_agg(posted_credit) AS posted_credits,
            array_agg(pending_debit) AS pending_debits,
            array_agg(pending_credit) AS pending_credits INTO moved
        FROM (
            SELECT a.account_id, s.wallet_id,
                CASE WHEN a.account_id = s.debit_account_id THEN s.posted ELSE 0 END
                    AS posted_debit,
                CASE WHEN a.account_id = s.debit_account_id THEN 0 ELSE s.posted END
                    AS posted_credit,
                CASE WHEN a.account_id = s.debit_account_id THEN s.pending ELSE 0 END
                    AS pending_debit,
                CASE WHEN a.account_id = s.debit_account_id THEN 0 ELSE s.pending END
                    AS pending_credit
            FROM (
                SELECT debit_account_id, credit_account_id, wallet_id,
                    books.total(amount_minor) FILTER (WHERE phase IN ('single', 'posted')) AS posted,
                    books.total(amount_minor) FILTER (WHERE phase = 'pending')
                        - books.total(held_minor) AS pending
                FROM added WHERE wallet_id IS NOT NULL GROUP BY 1, 2, 3
            ) s
            JOIN books.account a
                ON a.account_id IN (s.debit_account_id, s.credit_account_id) AND a.is_control
        ) w;
        PERFORM books.move_wallets(moved.accounts, moved.wallets, moved.posted_debits,
            moved.posted_credits, moved.pending_debits, moved.pending_credits);
    END IF;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION books.check_transfers FROM PUBLIC;

CREATE TRIGGER transfer_check AFTER INSERT ON books.transfer
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION books.check_transfers();

-- --- batches judged item by item -------------------------------------------------------------------

-- What became of the items of a batch that is not all or nothing: the recorded ones are transfers of
-- its entry, the others are refused here. An item refused for what may change (a limit, a closed
-- account) stays refused: a late repetition never succeeds where somebody was told that it failed.
CREATE TABLE books.item_batch (
    batch_key    text PRIMARY KEY CHECK (batch_key <> ''),
    body_hash    bytea NOT NULL CHECK (length(body_hash) = 32),
    entry_id     bigint NULL UNIQUE REFERENCES books.entry,
    items        integer NOT NULL CHECK (items > 0),
    recorded     integer NOT NULL CHECK (recorded BETWEEN 0 AND items),
    amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
    recorded_by  text NOT NULL CHECK (recorded_by <> ''),
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((entry_id IS NULL) = (recorded = 0))
);
CREATE TABLE books.item_refusal (
    batch_key text NOT NULL REFERENCES books.item_batch,
    item_no   integer NOT NULL,
    item_key  text NOT NULL,
    code      text NOT NULL CHECK (code <> ''),
    fact      text NOT NULL,
    PRIMARY KEY (batch_key, item_no)
);
CREATE INDEX item_refusal_of_key ON books.item_refusal (item_key);

-- Locks limited accounts and wallets in their order and says what each has available, so that items
-- can be judged one after the other before they are written.
CREATE FUNCTION books.lock_available(accounts integer[], wallets bigint[])
RETURNS TABLE (account_id integer, wallet_id bigint, available bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM books.balance b WHERE b.account_id = ANY (accounts)
        ORDER BY b.account_id, b.stripe FOR NO KEY UPDATE;
    PERFORM FROM books.wallet_balance b
        WHERE b.account_id = ANY (accounts) AND b.wallet_id = ANY (wallets)
        ORDER BY b.account_id, b.wallet_id FOR NO KEY UPDATE;
    RETURN QUERY
    SELECT b.account_id, NULL::bigint, books.available(a.normal_side, b.posted_debit,
        b.posted_credit, b.pending_debit, b.pending_credit)
    FROM books.account_balance b JOIN books.account a USING (account_id)
    WHERE b.account_id = ANY (accounts) AND a.never_below_zero
    UNION ALL
    SELECT b.account_id, b.wallet_id, books.available(a.normal_side, b.posted_debit,
        b.posted_credit, b.pending_debit, b.pending_credit)
    FROM books.wallet_balance b JOIN books.account a USING (account_id)
    WHERE b.account_id = ANY (accounts) AND b.wallet_id = ANY (wallets) AND a.never_below_zero;
END $$;
REVOKE ALL ON FUNCTION books.lock_available FROM PUBLIC;
GRANT EXECUTE ON FUNCTION books.lock_available TO cva_app;

-- --- entries as a whole, at commit ---------------------------------------------------------------

CREATE FUNCTION books.check_entry() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    target books.entry;
    transfers bigint;
BEGIN
    -- Transfers are numbered from 1: the first two say whether there are none, one or more.
    SELECT count(*) INTO transfers FROM books.transfer
    WHERE transfer_id IN ((NEW.entry_id << 24) | 1, (NEW.entry_id << 24) | 2);
    IF transfers = 0
       AND (SELECT count(*) FROM books.leg WHERE entry_id = NEW.entry_id) < 2 THEN
        PERFORM books.refuse('entry_without_lines', jsonb_build_object('entry', NEW.entry_ref),
            'Give at least two legs or one transfer.');
    END IF;
    -- A batch takes its place in the log itself; what is single is sealed after its commit.
    IF transfers = 2 THEN
        PERFORM books.seal(ARRAY[NEW.entry_id]);
    END IF;
    IF NEW.reverses IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT * INTO target FROM books.entry WHERE entry_id = NEW.reverses;
    IF NEW.effective_on < target.effective_on
       OR EXISTS (SELECT 1 FROM books.transfers_of(target.entry_id))
       OR EXISTS (
            SELECT leg_no, layer, account_id, wallet_id, -amount_minor, currency, grant_code,
                programme_id, cycle_id, provider, location
            FROM books.leg WHERE entry_id = target.entry_id
            EXCEPT
            SELECT leg_no, layer, account_id, wallet_id, amount_minor, currency, grant_code,
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

-- --- the log: a Merkle tree over entries and transfers ------------------------------------------

-- Entries that have no place in the log yet; everybody sees them, nobody can take one out.
CREATE TABLE books.unsealed (
    entry_id bigint PRIMARY KEY REFERENCES books.entry
);

-- What leaves the queue has its place in the log.
CREATE FUNCTION books.check_queue() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM gone WHERE NOT EXISTS (
            SELECT FROM books.sealed_entry s WHERE s.entry_id = gone.entry_id)) THEN
        PERFORM books.refuse('books_append_only',
            '{"table": "books.unsealed", "operation": "DELETE"}', 'Seal the entry.');
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER unsealed_check AFTER DELETE ON books.unsealed
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION books.check_queue();

-- The tree after each sealing: its size in leaves, its root, and the roots of its complete
-- subtrees, the smallest first.
CREATE TABLE books.tree (
    tree_size bigint PRIMARY KEY CHECK (tree_size > 0),
    root      bytea NOT NULL CHECK (length(root) = 32),
    frontier  bytea[] NOT NULL,
    sealed_at timestamptz NOT NULL UNIQUE
);

-- An entry's leaves stand together: its head at `first_position`, its transfer n places after it.
CREATE TABLE books.sealed_entry (
    entry_id       bigint PRIMARY KEY REFERENCES books.entry,
    first_position bigint NOT NULL UNIQUE CHECK (first_position >= 0),
    leaves         bigint NOT NULL CHECK (leaves > 0),
    tree_size      bigint NOT NULL REFERENCES books.tree,
    CHECK (first_position + leaves <= tree_size)
);

-- Complete nodes of level 8 and above: a proof reads these and makes at most 256 leaves anew.
CREATE TABLE books.tree_node (
    level smallint NOT NULL CHECK (level >= 8),
    index bigint NOT NULL CHECK (index >= 0),
    hash  bytea NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, index)
);

-- What the log was, signed by its key; and the word of witnesses at other agencies that it only grew.
-- Signatures are checked by whoever reads them: the keys that count are those kept elsewhere.
CREATE TABLE books.checkpoint (
    tree_size bigint PRIMARY KEY REFERENCES books.tree,
    origin    text NOT NULL CHECK (origin ~ '^[^[:space:]+]+$'),
    root      bytea NOT NULL,
    vkey      text NOT NULL,
    signature bytea NOT NULL CHECK (length(signature) = 64),
    signed_at timestamptz NOT NULL
);
CREATE TABLE books.cosignature (
    tree_size   bigint NOT NULL REFERENCES books.checkpoint,
    vkey        text NOT NULL,
    signature   bytea NOT NULL CHECK (length(signature) = 72), -- the moment and the signature
    received_at timestamptz NOT NULL,
    PRIMARY KEY (tree_size, vkey)
);

CREATE FUNCTION books.check_checkpoint() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM books.tree t
                   WHERE (t.tree_size, t.root) = (NEW.tree_size, NEW.root)) THEN
        PERFORM books.refuse('log_size_unknown', jsonb_build_object('size', NEW.tree_size),
            'Sign the log as it is.');
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER checkpoint_check BEFORE INSERT ON books.checkpoint
    FOR EACH ROW EXECUTE FUNCTION books.check_checkpoint();

-- Adds leaf hashes, 32 bytes each, to a tree of `size` leaves: its new frontier, and the nodes that
-- are complete now, level by level from level 8. One query for each level, one hash for each node.
CREATE FUNCTION books.grow(size bigint, frontier bytea[], hashes bytea,
    OUT grown bytea[], OUT levels bytea[])
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    level integer := 0;
    used integer := 0;
    nodes bytea := hashes;
    many bigint;
BEGIN
    grown := '{}';
    levels := '{}';
    WHILE size >> level > 0 OR length(nodes) > 0 LOOP
        IF level >= 8 THEN
            levels := array_append(levels, nodes);
        END IF;
        IF (size >> level) & 1 = 1 THEN
            used := used + 1;
            nodes := frontier[used] || nodes;
        END IF;
        many := length(nodes) / 32;
        IF many % 2 = 1 THEN
            grown := array_append(grown, substr(nodes, ((many - 1) * 32 + 1)::integer, 32));
        END IF;
        -- A function's rows are aggregated in the order in which it gives them.
        SELECT coalesce(string_agg(
            sha256('\x01'::bytea || substr(nodes, (pair * 64 + 1)::integer, 64)), ''::bytea), '')
        INTO nodes FROM generate_series(0, many / 2 - 1) AS pair;
        level := level + 1;
    END LOOP;
END $$;

-- The root over complete subtrees, the smallest first.
CREATE FUNCTION books.tree_root(frontier bytea[]) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    root bytea;
    subtree bytea;
BEGIN
    FOREACH subtree IN ARRAY frontier LOOP
        root := coalesce(sha256('\x01'::bytea || subtree || root), subtree);
    END LOOP;
    RETURN coalesce(root, sha256(''));
END $$;

-- The root of a tree of its own over leaf hashes, 32 bytes each.
CREATE FUNCTION books.merkle_root(hashes bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
RETURN books.tree_root((books.grow(0, '{}', hashes)).grown);

-- The leaf of a transfer. A resolution's hold is told by its number, which is made of its entry's
-- and its own.
CREATE FUNCTION books.transfer_leaf(
    t books.transfer, entry_ref text, debit text, credit text, wallet_ref text, held_in text
) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE
RETURN sha256('\x00'::bytea || record_send(ROW(
    'cva.transfer.v1'::text, entry_ref, t.line_no, t.phase, debit, credit, wallet_ref,
    t.amount_minor, t.held_minor, t.currency, t.grant_code, t.programme_id, t.cycle_id, t.provider,
    t.location, t.instruction_ref, t.item_key, held_in, (t.pending_id & 16777215)::integer,
    t.expires_on)));

-- The leaves of a mass entry's transfers, 32 bytes each, in their order. They are half of what a
-- batch costs: where there is a second processor, a second process takes its part.
CREATE FUNCTION books.mass_leaves(entry bigint) RETURNS bytea
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET work_mem = '128MB'
SET max_parallel_workers_per_gather = 1 SET parallel_setup_cost = 0 SET parallel_tuple_cost = 0
SET min_parallel_table_scan_size = 0 SET min_parallel_index_scan_size = 0
SET enable_nestloop = off AS $$
DECLARE
    leaves bytea;
BEGIN
    EXECUTE $q$
        WITH leaf AS MATERIALIZED (
            SELECT t.line_no, books.transfer_leaf(t, e.entry_ref, d.code, k.code, w.wallet_ref,
                h.entry_ref) AS hash
            FROM books.transfer t
            JOIN books.entry e ON e.entry_id = $1
            JOIN books.account d ON d.account_id = t.debit_account_id
            JOIN books.account k ON k.account_id = t.credit_account_id
            LEFT JOIN books.wallet w USING (wallet_id)
            LEFT JOIN books.entry h ON h.entry_id = t.pending_id >> 24
                AND h.entry_id = ANY (ARRAY(SELECT DISTINCT pending_id >> 24
                    FROM books.transfers_of($1) WHERE pending_id IS NOT NULL))
            WHERE t.transfer_id > $1 << 24 AND t.transfer_id < ($1 + 1) << 24
        )
        SELECT string_agg(hash, ''::bytea ORDER BY line_no) FROM leaf $q$
    INTO leaves USING entry;
    RETURN leaves;
END $$;
REVOKE ALL ON FUNCTION books.mass_leaves FROM PUBLIC;

-- Gives entries their place in the log, for good, and returns how many leaves were added. A batch
-- seals its own entries at the end of its own transaction; without entries the oldest of the queue
-- are sealed, as many as are visible and at most 100,000. One transaction at a time seals, until it
-- ends: nobody sees position n before n - 1. Text goes into a leaf as UTF-8 whatever the client
-- speaks. EXECUTE plans anew each time.
CREATE FUNCTION books.seal(entries bigint[] DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET client_encoding = 'UTF8'
SET work_mem = '128MB' SET max_parallel_workers_per_gather = 0 AS $$
DECLARE
    mass CONSTANT bigint := 20000; -- below it a second process costs more than it takes off
    last books.tree;
    chosen bigint[];
    counts bigint[];
    hashes bytea;
    made record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('books.seal', 0));
    SELECT array_agg(entry_id ORDER BY entry_id) INTO chosen
    FROM (SELECT entry_id FROM books.unsealed u
          WHERE entries IS NULL OR entry_id = ANY (entries)
          ORDER BY entry_id LIMIT 100000) oldest;
    IF chosen IS NULL THEN
        RETURN 0;
    END IF;
    IF entries IS NOT NULL AND EXISTS (
        SELECT FROM books.entry WHERE entry_id = ANY (chosen)
            AND (recorded_in <> pg_current_xact_id()
                 OR recorded_at < transaction_timestamp())) THEN
        PERFORM books.refuse('seal_not_own', '{}', 'Seal what is in the queue, in its order.');
    END IF;
    EXECUTE $q$
        SELECT array_agg(n.transfers ORDER BY c.place)
        FROM unnest($1) WITH ORDINALITY AS c (entry_id, place)
        CROSS JOIN LATERAL (SELECT count(*) AS transfers
                            FROM books.transfers_of(c.entry_id)) n $q$
    INTO counts USING chosen;
    EXECUTE $q$
        WITH chosen AS (
            SELECT * FROM unnest($1, $2) WITH ORDINALITY AS c (entry_id, transfers, place)
        ), leaf AS MATERIALIZED (
            SELECT c.place, 0 AS line_no, sha256('\x00'::bytea || record_send(ROW(
                'cva.entry.v1'::text, e.entry_ref, e.key, e.body_hash, e.event, e.effective_on,
                e.recorded_on, e.recorded_at, e.recorded_by, e.reason, e.adjustment, r.entry_ref,
                o.entry_ref, l.legs::integer, c.transfers::integer, l.encoded))) AS hash
            FROM chosen c JOIN books.entry e USING (entry_id)
            LEFT JOIN books.entry r ON r.entry_id = e.reverses
            LEFT JOIN books.entry o ON o.entry_id = e.corrects
            CROSS JOIN LATERAL (
                SELECT count(*) AS legs,
                    coalesce(string_agg(int4send(length(leg)) || leg, ''::bytea ORDER BY leg_no), '')
                        AS encoded
                FROM (SELECT n.leg_no, record_send(ROW(
                          'cva.leg.v1'::text, n.leg_no, n.layer::text, a.code, w.wallet_ref,
                          n.amount_minor, n.currency::text, n.grant_code, n.programme_id,
                          n.cycle_id, n.provider, n.location)) AS leg
                      FROM books.leg n JOIN books.account a USING (account_id)
                      LEFT JOIN books.wallet w USING (wallet_id)
                      WHERE n.entry_id = c.entry_id) encoding) l
            UNION ALL
            SELECT c.place, t.line_no, books.transfer_leaf(t, e.entry_ref, d.code, k.code,
                w.wallet_ref, h.entry_ref)
            FROM chosen c JOIN books.entry e USING (entry_id)
            CROSS JOIN LATERAL books.transfers_of(c.entry_id) t
            JOIN books.account d ON d.account_id = t.debit_account_id
            JOIN books.account k ON k.account_id = t.credit_account_id
            LEFT JOIN books.wallet w USING (wallet_id)
            LEFT JOIN books.entry h ON h.entry_id = t.pending_id >> 24
            WHERE c.transfers < $3
            UNION ALL
            SELECT c.place, 1, books.mass_leaves(c.entry_id) FROM chosen c
            WHERE c.transfers >= $3
        )
        SELECT string_agg(hash, ''::bytea ORDER BY place, line_no) FROM leaf $q$
    INTO hashes USING chosen, counts, mass;

    SELECT * INTO last FROM books.tree ORDER BY tree_size DESC LIMIT 1;
    made := books.grow(coalesce(last.tree_size, 0), coalesce(last.frontier, '{}'), hashes);
    INSERT INTO books.tree (tree_size, root, frontier, sealed_at)
    VALUES (coalesce(last.tree_size, 0) + length(hashes) / 32, books.tree_root(made.grown),
        made.grown, greatest(clock_timestamp(), last.sealed_at + interval '1 microsecond'));
    INSERT INTO books.tree_node (level, index, hash)
    SELECT n.level + 7, (coalesce(last.tree_size, 0) >> (n.level + 7)::integer) + at,
        substr(n.nodes, (at * 32 + 1)::integer, 32)
    FROM unnest(made.levels) WITH ORDINALITY AS n (nodes, level),
        generate_series(0, length(n.nodes) / 32 - 1) AS at;
    INSERT INTO books.sealed_entry (entry_id, first_position, leaves, tree_size)
    SELECT entry_id,
        coalesce(last.tree_size, 0) + sum(transfers + 1) OVER (ORDER BY place) - transfers - 1,
        transfers + 1, coalesce(last.tree_size, 0) + length(hashes) / 32
    FROM unnest(chosen, counts) WITH ORDINALITY AS c (entry_id, transfers, place);
    DELETE FROM books.unsealed WHERE entry_id = ANY (chosen);
    RETURN length(hashes) / 32;
END $$;
REVOKE ALL ON FUNCTION books.seal FROM PUBLIC;
GRANT EXECUTE ON FUNCTION books.seal TO cva_app;

-- --- rates of exchange ---------------------------------------------------------------------------

-- What one unit of `base` was worth in `quote` on a day, as a source published it. A rate that was
-- recorded wrongly stays, and gets a next revision.
CREATE TABLE books.rate (
    rate_id     integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source      text NOT NULL CHECK (source <> ''),
    base        char(3) NOT NULL CHECK (base ~ '^[A-Z]{3}$'),
    quote       char(3) NOT NULL CHECK (quote ~ '^[A-Z]{3}$' AND quote <> base),
    valid_on    date NOT NULL,
    revision    integer NOT NULL CHECK (revision > 0),
    rate        numeric NOT NULL CHECK (rate > 0 AND rate < 1e12), -- NaN is above every number
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    recorded_by text NOT NULL CHECK (recorded_by <> ''),
    UNIQUE (source, base, quote, valid_on, revision)
);

CREATE TRIGGER rate_permanent BEFORE UPDATE OR DELETE ON books.rate
    FOR EACH ROW EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER rate_kept BEFORE TRUNCATE ON books.rate
    FOR EACH STATEMENT EXECUTE FUNCTION books.refuse_change();
GRANT INSERT (source, base, quote, valid_on, revision, rate, recorded_by) ON books.rate TO cva_app;

-- --- permanence and privileges -------------------------------------------------------------------

CREATE TRIGGER account_permanent BEFORE UPDATE OR DELETE ON books.account
    FOR EACH ROW EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER account_kept BEFORE TRUNCATE ON books.account
    FOR EACH STATEMENT EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER account_closing_permanent BEFORE UPDATE OR DELETE ON books.account_closing
    FOR EACH ROW EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER account_closing_kept BEFORE TRUNCATE ON books.account_closing
    FOR EACH STATEMENT EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER wallet_permanent BEFORE UPDATE OR DELETE ON books.wallet
    FOR EACH ROW EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER wallet_kept BEFORE TRUNCATE ON books.wallet
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
CREATE TRIGGER item_batch_permanent BEFORE UPDATE OR DELETE ON books.item_batch
    FOR EACH ROW EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER item_batch_kept BEFORE TRUNCATE ON books.item_batch
    FOR EACH STATEMENT EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER item_refusal_permanent BEFORE UPDATE OR DELETE ON books.item_refusal
    FOR EACH ROW EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER item_refusal_kept BEFORE TRUNCATE ON books.item_refusal
    FOR EACH STATEMENT EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER period_permanent BEFORE UPDATE OR DELETE ON books.period_state
    FOR EACH ROW EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER period_kept BEFORE TRUNCATE ON books.period_state
    FOR EACH STATEMENT EXECUTE FUNCTION books.refuse_change();

CREATE TRIGGER unsealed_permanent BEFORE UPDATE ON books.unsealed
    FOR EACH ROW EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER unsealed_kept BEFORE TRUNCATE ON books.unsealed
    FOR EACH STATEMENT EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER tree_permanent BEFORE UPDATE OR DELETE ON books.tree
    FOR EACH ROW EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER tree_kept BEFORE TRUNCATE ON books.tree
    FOR EACH STATEMENT EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER sealed_entry_permanent BEFORE UPDATE OR DELETE ON books.sealed_entry
    FOR EACH ROW EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER sealed_entry_kept BEFORE TRUNCATE ON books.sealed_entry
    FOR EACH STATEMENT EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER tree_node_permanent BEFORE UPDATE OR DELETE ON books.tree_node
    FOR EACH ROW EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER tree_node_kept BEFORE TRUNCATE ON books.tree_node
    FOR EACH STATEMENT EXECUTE FUNCTION books.refuse_change();

CREATE TRIGGER checkpoint_permanent BEFORE UPDATE OR DELETE ON books.checkpoint
    FOR EACH ROW EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER checkpoint_kept BEFORE TRUNCATE ON books.checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER cosignature_permanent BEFORE UPDATE OR DELETE ON books.cosignature
    FOR EACH ROW EXECUTE FUNCTION books.refuse_change();
CREATE TRIGGER cosignature_kept BEFORE TRUNCATE ON books.cosignature
    FOR EACH STATEMENT EXECUTE FUNCTION books.refuse_change();

REVOKE ALL ON ALL TABLES IN SCHEMA books FROM PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA books TO cva_app, cva_auditor;
GRANT INSERT ON books.account, books.wallet, books.leg, books.transfer, books.checkpoint,
    books.cosignature TO cva_app;
-- The time and the transaction of a record are the database's to say.
GRANT INSERT (entry_ref, key, body_hash, event, effective_on, recorded_on, recorded_by, reason,
    adjustment, reverses, corrects) ON books.entry TO cva_app;
GRANT INSERT (account_id, closed_on, recorded_by, reason) ON books.account_closing TO cva_app;
GRANT INSERT (batch_key, body_hash, entry_id, items, recorded, amount_minor, recorded_by)
    ON books.item_batch TO cva_app;
GRANT INSERT ON books.item_refusal TO cva_app;
GRANT INSERT (ends_on, state, recorded_on, recorded_by, reason) ON books.period_state TO cva_app;
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
