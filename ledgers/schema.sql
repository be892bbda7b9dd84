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
