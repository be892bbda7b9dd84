-- All overlaps of the records handed over, step by step; `sets` says the vocabulary. Each statement
-- makes one named table. The lists and the tables of the policy (need_pair, need_window, ...) are
-- registered before; `setting` has one row.

-- Records that count, with the days they count for (`ends` is the first day after).
CREATE TEMP TABLE live AS
SELECT
    a.*,
    a.unit || ':' || a.recipient_id AS recipient,
    w.confidential,
    greatest(
        a.first_day + 1,
        CASE WHEN a.one_off THEN a.first_day + w.window_days
             ELSE coalesce(a.last_day + 1, DATE '9999-12-31') END
    ) AS ends,
    a.status = 'paid' AS paid,
    a.status = 'planned' AS planned,
    coalesce(p.place, 2147483647) AS place,
    coalesce(a.committed_at, TIMESTAMPTZ '9999-12-31 00:00:00+00') AS bound_at
FROM assistance AS a
JOIN need_window AS w USING (need)
LEFT JOIN precedence AS p USING (agency)
WHERE a.status <> 'cancelled';

-- Who is in each recipient, and on which days (both included).
CREATE TEMP TABLE person_of AS
SELECT
    'household:' || household_id AS recipient, person_id, is_head,
    coalesce(first_day, DATE '0001-01-01') AS from_day,
    coalesce(last_day, DATE '9999-12-31') AS until_day
FROM roster
WHERE household_id IN (SELECT recipient_id FROM live WHERE unit = 'household')
UNION ALL
SELECT DISTINCT recipient, recipient_id, false, DATE '0001-01-01', DATE '9999-12-31'
FROM live WHERE unit = 'person';

-- People who are or may be the same, both ways round; everybody is certainly themselves.
CREATE TEMP TABLE kin AS
SELECT left_id, right_id, bool_or(certain) AS certain
FROM (
    SELECT left_id, right_id, strength = 'confirmed' AS certain FROM person_links
    UNION ALL SELECT right_id, left_id, strength = 'confirmed' FROM person_links
    UNION ALL SELECT DISTINCT person_id, person_id, true FROM person_of
)
GROUP BY left_id, right_id;

CREATE TEMP TABLE household_kin AS
SELECT
    'household:' || least(left_id, right_id) AS left_recipient,
    'household:' || greatest(left_id, right_id) AS right_recipient,
    bool_or(link = 'confirmed') AS certain,
    bool_or(link = 'possible') AS possible
FROM household_links
WHERE left_id <> right_id
GROUP BY ALL;

-- Recipients that have anything to do with each other, in the order of their ids.
CREATE TEMP TABLE touch AS
SELECT l.recipient AS left_recipient, r.recipient AS right_recipient
FROM person_of AS l
JOIN kin AS k ON k.left_id = l.person_id
JOIN person_of AS r ON r.person_id = k.right_id
WHERE l.recipient < r.recipient
UNION
SELECT left_recipient, right_recipient FROM household_kin
UNION
SELECT recipient, recipient FROM live;

-- Pairs of records that overlap in need and in time; the one that stands is first.
CREATE TEMP TABLE pair AS
SELECT
    CASE WHEN left_first THEN left_record ELSE right_record END AS first_id,
    CASE WHEN left_first THEN right_record ELSE left_record END AS second_id,
    relation, ceiling, tie, overlap_day, overlap_end
FROM (
    SELECT
        l.record_id AS left_record, r.record_id AS right_record,
        (NOT l.paid, l.place, l.planned, l.bound_at)
            = (NOT r.paid, r.place, r.planned, r.bound_at) AS tie,
        (NOT l.paid, l.place, l.planned, l.bound_at, l.record_id)
            < (NOT r.paid, r.place, r.planned, r.bound_at, r.record_id) AS left_first,
        CASE WHEN x.left_programme IS NULL THEN n.relation ELSE 'exclusive' END AS relation,
        n.ceiling,
        greatest(l.first_day, r.first_day) AS overlap_day,
        least(l.ends, r.ends) AS overlap_end
    FROM touch AS t
    JOIN live AS l ON l.recipient = t.left_recipient
    JOIN live AS r
        ON r.recipient = t.right_recipient AND l.first_day < r.ends AND r.first_day < l.ends
    JOIN need_pair AS n ON n.left_need = l.need AND n.right_need = r.need
    LEFT JOIN exclusive AS x
        ON x.left_programme = l.programme AND x.right_programme = r.programme
    WHERE (t.left_recipient < t.right_recipient OR l.record_id < r.record_id)
      AND (n.relation <> 'complementary' OR x.left_programme IS NOT NULL)
      AND NOT ((l.confidential OR r.confidential) AND l.agency <> r.agency)
);

-- The day on which each side's roster counts: the first day in common, or that of a one-off gift.
CREATE TEMP TABLE roster_day AS
SELECT
    p.first_id, p.second_id, f.recipient AS first_recipient, s.recipient AS second_recipient,
    CASE WHEN f.one_off THEN f.first_day ELSE p.overlap_day END AS first_roster_day,
    CASE WHEN s.one_off THEN s.first_day ELSE p.overlap_day END AS second_roster_day
FROM pair AS p
JOIN live AS f ON f.record_id = p.first_id
JOIN live AS s ON s.record_id = p.second_id;

-- How many people a recipient had on a day.
CREATE TEMP TABLE sized AS
SELECT d.recipient, d.day, count(DISTINCT p.person_id) AS people
FROM (
    SELECT first_recipient AS recipient, first_roster_day AS day FROM roster_day
    UNION SELECT second_recipient, second_roster_day FROM roster_day
    UNION SELECT recipient, first_day FROM live WHERE record_id IN (SELECT second_id FROM pair)
) AS d
JOIN person_of AS p
    ON p.recipient = d.recipient AND d.day BETWEEN p.from_day AND p.until_day
GROUP BY d.recipient, d.day;

-- The people both sides have in common on their days.
CREATE TEMP TABLE common AS
SELECT
    d.first_id, d.second_id,
    least(
        count(DISTINCT l.person_id) FILTER (k.certain),
        count(DISTINCT r.person_id) FILTER (k.certain)
    ) AS sure,
    least(count(DISTINCT l.person_id), count(DISTINCT r.person_id)) AS may_be,
    bool_or(k.certain AND l.is_head AND r.is_head) AS sure_head,
    bool_or(l.is_head AND r.is_head) AS may_be_head
FROM roster_day AS d
JOIN person_of AS l
    ON l.recipient = d.first_recipient
    AND d.first_roster_day BETWEEN l.from_day AND l.until_day
JOIN kin AS k ON k.left_id = l.person_id
JOIN person_of AS r
    ON r.recipient = d.second_recipient AND r.person_id = k.right_id
    AND d.second_roster_day BETWEEN r.from_day AND r.until_day
WHERE d.first_recipient <> d.second_recipient
GROUP BY d.first_id, d.second_id;

CREATE TEMP TABLE weighed AS
SELECT
    p.*, f.unit AS first_unit, s.unit AS second_unit,
    f.recipient = s.recipient AS one_recipient,
    coalesce(c.sure, 0) AS sure, coalesce(c.may_be, 0) AS may_be,
    coalesce(c.sure_head, false) AS sure_head, coalesce(c.may_be_head, false) AS may_be_head,
    coalesce(fs.people, 0) AS first_people, coalesce(ss.people, 0) AS second_people,
    coalesce(h.certain, false) AS decided_one, coalesce(h.possible, false) AS maybe_one,
    h.left_recipient IS NOT NULL AS touching
FROM pair AS p
JOIN live AS f ON f.record_id = p.first_id
JOIN live AS s ON s.record_id = p.second_id
JOIN roster_day AS d ON d.first_id = p.first_id AND d.second_id = p.second_id
LEFT JOIN common AS c ON c.first_id = p.first_id AND c.second_id = p.second_id
LEFT JOIN sized AS fs ON fs.recipient = d.first_recipient AND fs.day = d.first_roster_day
LEFT JOIN sized AS ss ON ss.recipient = d.second_recipient AND ss.day = d.second_roster_day
LEFT JOIN household_kin AS h
    ON h.left_recipient = least(f.recipient, s.recipient)
    AND h.right_recipient = greatest(f.recipient, s.recipient);

CREATE TEMP TABLE based AS
SELECT
    w.*,
    CASE
        WHEN one_recipient AND first_unit = 'person' THEN 'same_person'
        WHEN one_recipient OR decided_one THEN 'same_household'
        WHEN first_unit = 'person' AND second_unit = 'person' AND may_be > 0 THEN 'same_person'
        WHEN first_unit <> second_unit AND may_be > 0 THEN 'member_of_household'
        WHEN may_be_one OR maybe_one THEN 'same_household'
        WHEN may_be > 0 THEN 'shared_member'
        WHEN touching THEN 'instrument'
    END AS basis,
    CASE
        WHEN one_recipient OR decided_one THEN 'confirmed'
        WHEN (first_unit = 'person' OR second_unit = 'person') AND sure > 0 THEN 'confirmed'
        WHEN first_unit = 'household' AND second_unit = 'household' AND sure_one THEN 'confirmed'
        ELSE 'possible'
    END AS strength
FROM (
    SELECT
        w.*,
        least(first_people, second_people) AS fewer,
        (sure >= t.shared_people_min
            AND (sure_head OR sure * 100 >= t.shared_percent_min * fewer))
            OR (sure = 1 AND first_people = 1 AND second_people = 1) AS sure_one,
        (may_be >= t.shared_people_min
            AND (may_be_head OR may_be * 100 >= t.shared_percent_min * fewer))
            OR (may_be = 1 AND first_people = 1 AND second_people = 1) AS may_be_one
    FROM weighed AS w, setting AS t
) AS w;

-- What the policy lets go together although it overlaps.
CREATE TEMP TABLE excused AS
SELECT
    b.*,
    f.one_off OR s.one_off AS one_off,
    f.paid AND s.paid AS both_paid,
    f.status = 'failed' OR s.status = 'failed' AS failed,
    CASE
        WHEN s.replaces = f.record_id AND f.status = 'failed' THEN 'reissued'
        WHEN f.replaces = s.record_id AND s.status = 'failed' THEN 'reissued'
        WHEN b.relation <> 'exclusive' AND EXISTS (
            SELECT 1 FROM complement AS c
            WHERE c.left_programme = f.programme AND c.right_programme = s.programme
              AND (c.left_need IS NULL OR (c.left_need = f.need AND c.right_need = s.need))
              AND b.overlap_day BETWEEN c.first_day AND c.last_day
        ) THEN 'complement_agreed'
        WHEN b.relation <> 'exclusive' AND (
            (s.referred_by = f.agency
                AND s.first_day BETWEEN s.referred_on AND s.referred_on + (t.referral_days - 1))
            OR (f.referred_by = s.agency
                AND f.first_day BETWEEN f.referred_on AND f.referred_on + (t.referral_days - 1))
        ) THEN 'referred'
    END AS excuse
FROM based AS b
JOIN live AS f ON f.record_id = b.first_id
JOIN live AS s ON s.record_id = b.second_id
CROSS JOIN setting AS t
WHERE b.basis IS NOT NULL;

-- Pairs whose second record may be a top-up: both count towards one ceiling.
CREATE TEMP TABLE counted AS
SELECT
    first_id, second_id, ceiling, strength = 'confirmed' AS certain,
    CASE WHEN first_unit = 'household' THEN first_people ELSE 1 END AS first_size
FROM excused
WHERE ceiling IS NOT NULL AND excuse IS NULL AND relation IN ('same', 'partial') AND NOT one_off
  AND basis IN ('same_person', 'same_household', 'member_of_household');

-- Each of their records in the currency of the ceiling; null where that is not known.
CREATE TEMP TABLE valued AS
SELECT
    v.record_id, v.ceiling, l.first_day, l.last_day, l.amount_minor,
    CASE
        WHEN l.last_day IS NULL OR l.last_day < l.first_day THEN NULL
        WHEN l.currency = c.currency THEN l.amount_minor
        ELSE round(l.amount_minor * x.rate)::BIGINT
    END AS minor
FROM (
    SELECT first_id AS record_id, ceiling FROM counted
    UNION SELECT second_id, ceiling FROM counted
) AS v
JOIN live AS l ON l.record_id = v.record_id
JOIN (SELECT DISTINCT ceiling, currency FROM ceiling_value) AS c ON c.ceiling = v.ceiling
LEFT JOIN rate AS x
    ON x.ceiling = v.ceiling AND x.currency = l.currency
    AND x.first_day <= l.first_day AND l.first_day < x.next_day;

CREATE TEMP TABLE share AS
SELECT
    record_id, ceiling, (month_day + to_months((place - 1)::INT))::DATE AS month_day,
    ((minor::HUGEINT * place) // months - (minor::HUGEINT * (place - 1)) // months)::BIGINT AS minor
FROM (
    SELECT *, unnest(range(1, months + 1)) AS place
    FROM (
        SELECT
            record_id, ceiling, minor, date_trunc('month', first_day)::DATE AS month_day,
            datediff('month', first_day, last_day) + 1 AS months
        FROM valued WHERE minor IS NOT NULL
    )
);

-- How many people the ceiling of a second record is for: its household's, or of the household
-- its person was found in.
CREATE TEMP TABLE sized_second AS
SELECT
    c.second_id, c.ceiling,
    CASE WHEN any_value(s.unit) = 'household'
         THEN coalesce(any_value(d.people), any_value(s.people))
         ELSE nullif(max(c.first_size), 0) END AS people
FROM counted AS c
JOIN live AS s ON s.record_id = c.second_id
LEFT JOIN sized AS d ON d.recipient = s.recipient AND d.day = s.first_day
GROUP BY c.second_id, c.ceiling;

CREATE TEMP TABLE room_in_month AS
SELECT
    s.record_id AS second_id, s.ceiling, s.month_day, s.minor,
    CASE WHEN z.people IS NOT NULL
         THEN h.minor + least(z.people, h.people_max) * p.minor END AS most,
    coalesce(sum(f.minor) FILTER (c.certain), 0) AS sure_before,
    coalesce(sum(f.minor), 0) AS may_be_before
FROM share AS s
JOIN sized_second AS z ON z.second_id = s.record_id AND z.ceiling = s.ceiling
LEFT JOIN ceiling_value AS h
    ON h.ceiling = s.ceiling AND h.way = 'per_household'
    AND h.first_day <= s.month_day AND s.month_day < h.next_day
LEFT JOIN ceiling_value AS p
    ON p.ceiling = s.ceiling AND p.way = 'per_person'
    AND p.first_day <= s.month_day AND s.month_day < p.next_day
JOIN counted AS c ON c.second_id = s.record_id AND c.ceiling = s.ceiling
LEFT JOIN share AS f
    ON f.record_id = c.first_id AND f.ceiling = c.ceiling AND f.month_day = s.month_day
GROUP BY ALL;

-- What may still be paid of each second record, in the ceiling's currency: of certain pairs, of all.
CREATE TEMP TABLE room AS
SELECT
    v.record_id AS second_id, v.ceiling, v.minor, v.amount_minor, z.people,
    m.sure_left, m.may_be_left,
    v.minor IS NULL OR m.no_ceiling OR u.sure_unknown AS sure_unknown,
    v.minor IS NULL OR m.no_ceiling OR u.may_be_unknown AS may_be_unknown
FROM valued AS v
JOIN sized_second AS z ON z.second_id = v.record_id AND z.ceiling = v.ceiling
JOIN (
    SELECT
        c.second_id, c.ceiling,
        coalesce(bool_or(f.minor IS NULL) FILTER (c.certain), false) AS sure_unknown,
        bool_or(f.minor IS NULL) AS may_be_unknown
    FROM counted AS c JOIN valued AS f ON f.record_id = c.first_id AND f.ceiling = c.ceiling
    GROUP BY c.second_id, c.ceiling
) AS u ON u.second_id = v.record_id AND u.ceiling = v.ceiling
LEFT JOIN (
    SELECT
        second_id, ceiling, bool_or(most IS NULL) AS no_ceiling,
        sum(greatest(0, least(minor, most - sure_before)))::BIGINT AS sure_left,
        sum(greatest(0, least(minor, most - may_be_before)))::BIGINT AS may_be_left
    FROM room_in_month GROUP BY second_id, ceiling
) AS m ON m.second_id = v.record_id AND m.ceiling = v.ceiling;

-- The verdict of the policy.
CREATE TEMP TABLE clear AS
SELECT
    e.*, r.second_id IS NOT NULL AS topped_up, r.people, r.minor, r.amount_minor, r.sure_left,
    CASE
        WHEN excuse IS NOT NULL THEN excuse
        WHEN basis = 'instrument' THEN 'instrument_shared'
        WHEN strength = 'confirmed' AND NOT r.sure_unknown AND r.sure_left = r.minor
            THEN 'below_ceiling'
        WHEN strength = 'possible' AND NOT r.may_be_unknown AND r.may_be_left = r.minor
            AND basis <> 'shared_member' THEN 'below_ceiling'
        WHEN both_paid THEN 'both_paid'
        WHEN tie THEN 'tie'
        WHEN basis = 'shared_member' THEN 'member_shared'
        WHEN strength = 'possible' THEN 'may_be_the_same'
        WHEN failed THEN 'failed_may_be_repaid'
        WHEN relation = 'exclusive' THEN 'programmes_exclusive'
        WHEN topped_up AND r.people IS NULL THEN 'size_unknown'
        WHEN topped_up AND r.sure_unknown THEN 'amount_unknown'
        WHEN topped_up AND r.sure_left = 0 THEN 'ceiling_full'
        WHEN topped_up THEN 'ceiling_nearly_full'
        WHEN relation = 'same' THEN 'same_need'
        ELSE 'need_contained'
    END AS reason
FROM excused AS e
LEFT JOIN counted AS c ON c.first_id = e.first_id AND c.second_id = e.second_id
LEFT JOIN room AS r ON r.second_id = c.second_id AND r.ceiling = c.ceiling;

CREATE TEMP TABLE clear_verdict AS
SELECT
    *,
    sha256(concat_ws(
        '|', policy_hash, first_id, second_id, first_facts, second_facts, basis, strength,
        relation, overlap_day, verdict, reason, coalesce(payable_minor, -1)
    )) AS evidence
FROM (
    SELECT
        c.*, v.verdict, t.policy_hash,
        CASE WHEN v.verdict = 'cap'
             THEN (c.amount_minor::HUGEINT * c.sure_left // c.minor)::BIGINT END AS payable_minor,
        concat_ws(
            '/', f.agency, f.programme, f.recipient, f.need, f.first_day,
            coalesce(f.last_day::TEXT, '-'), f.one_off, coalesce(f.currency, '-'),
            coalesce(f.amount_minor, -1)
        ) AS first_facts,
        concat_ws(
            '/', s.agency, s.programme, s.recipient, s.need, s.first_day,
            coalesce(s.last_day::TEXT, '-'), s.one_off, coalesce(s.currency, '-'),
            coalesce(s.amount_minor, -1)
        ) AS second_facts
    FROM clear AS c
    JOIN reason_verdict AS v ON v.reason = c.reason
    JOIN live AS f ON f.record_id = c.first_id
    JOIN live AS s ON s.record_id = c.second_id
    CROSS JOIN setting AS t
);

-- What people did about it, under this evidence and no other.
CREATE TEMP TABLE acted AS
SELECT
    first_id, second_id, evidence,
    count(DISTINCT person_id) FILTER (
        action = 'override' AND reason IN (SELECT reason FROM override_reason)
    ) AS overriding,
    count(DISTINCT person_id) FILTER (action = 'uphold') AS upholding,
    count(DISTINCT person_id) FILTER (action = 'dismiss') AS dismissing,
    min(a."on") FILTER (action = 'told') AS told_on,
    min(a."on") FILTER (action = 'appeal') AS appealed_on
FROM acts AS a
GROUP BY first_id, second_id, evidence;

CREATE TEMP TABLE standing AS
SELECT
    v.* EXCLUDE (reason, verdict, payable_minor),
    coalesce(o.reason, v.reason) AS reason,
    coalesce(r.verdict, v.verdict) AS verdict,
    CASE WHEN o.reason IS NULL THEN v.payable_minor END AS payable_minor
FROM clear_verdict AS v
LEFT JOIN (
    SELECT
        v.first_id, v.second_id,
        CASE
            WHEN a.overriding >= t.override_people THEN 'overridden'
            WHEN a.upholding >= t.appeal_people THEN 'appeal_upheld'
            WHEN v.verdict = 'stop' AND a.dismissing < t.appeal_people
                AND (a.told_on IS NULL OR a.appealed_on <= a.told_on + t.appeal_days)
                AND a.appealed_on IS NOT NULL THEN 'under_appeal'
        END AS reason
    FROM clear_verdict AS v
    JOIN acted AS a USING (first_id, second_id, evidence)
    CROSS JOIN setting AS t
    WHERE v.verdict IN ('stop', 'hold', 'cap')
) AS o ON o.first_id = v.first_id AND o.second_id = v.second_id
LEFT JOIN reason_verdict AS r ON r.reason = o.reason;
