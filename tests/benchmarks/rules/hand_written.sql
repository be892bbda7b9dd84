-- The twelve criteria as somebody writes them for DuckDB who knows them all and is in no hurry:
-- one pass over the members, what is unknown carried along as a lowest and a highest count.
-- On 2024-06-01 the parameters of twelve.yaml are 4500.00 x 3, 18, 65, 40, 50, 4 and 1.5.
WITH aged AS (
  SELECT household_id, sex, employed,
    -- A birth date that is known to the year alone: the youngest and the oldest it allows.
    -- greatest() passes over a null, and an age that is not known would be 0.
    CASE WHEN birth_date IS NOT NULL THEN greatest(0,
      CASE WHEN birth_date_precision = 'year' THEN 2023 - year(birth_date)
        ELSE 2024 - year(birth_date)
          - (month(birth_date) * 100 + day(birth_date) > 601)::int END) END AS age_low,
    CASE WHEN birth_date IS NOT NULL THEN greatest(0,
      CASE WHEN birth_date_precision = 'year' THEN 2024 - year(birth_date)
        ELSE 2024 - year(birth_date)
          - (month(birth_date) * 100 + day(birth_date) > 601)::int END) END AS age_high,
    disability_percent >= 40 AND report_valid AS disabled,
    disability_percent >= 50 AND report_valid AS severe
  FROM read_parquet($members)
),
persons AS (
  SELECT household_id, sex,
    age_high < 18 AS child_low, coalesce(age_low < 18, true) AS child_high,
    age_low >= 65 AS old_low, coalesce(age_high >= 65, true) AS old_high,
    age_low >= 18 AND age_high < 65 AS adult_low,
    coalesce(age_high >= 18, true) AND coalesce(age_low < 65, true) AS adult_high,
    disabled AS disabled_low, coalesce(disabled, true) AS disabled_high,
    severe AS severe_low, coalesce(severe, true) AS severe_high,
    employed AS employed_low, coalesce(employed, true) AS employed_high
  FROM aged
),
roster AS (
  SELECT household_id, count(*) AS people,
    count(*) FILTER (child_low) AS children_low, count(*) FILTER (child_high) AS children_high,
    count(*) FILTER (old_low) AS elderly_low, count(*) FILTER (old_high) AS elderly_high,
    count(*) FILTER (adult_low) AS adults_low, count(*) FILTER (adult_high) AS adults_high,
    count(*) FILTER (adult_low AND sex = 'female') AS women_low,
    count(*) FILTER (adult_high AND coalesce(sex = 'female', true)) AS women_high,
    count(*) FILTER (disabled_low) AS disabled_low, count(*) FILTER (disabled_high) AS disabled_high,
    count(*) FILTER (severe_low) AS severe_low, count(*) FILTER (severe_high) AS severe_high,
    count(*) FILTER (child_low OR old_low OR disabled_low) AS dependants_low,
    count(*) FILTER (child_high OR old_high OR disabled_high) AS dependants_high,
    count(*) FILTER (employed_low) AS employed_low, count(*) FILTER (employed_high) AS employed_high
  FROM persons GROUP BY household_id
),
facts AS (
  -- Where not everybody was named, a count has no highest value.
  SELECT h.household_id, h.declared_size, whole,
    coalesce(people, 0) AS people,
    h.legal_status, h.address_registered, h.in_camp, h.monthly_income_minor, h.rooms, h.rcsi,
    coalesce(people, 0) AS n_low, CASE WHEN whole THEN people END AS n_high,
    coalesce(children_low, 0) AS children_low, CASE WHEN whole THEN children_high END AS children_high,
    coalesce(elderly_low, 0) AS elderly_low, CASE WHEN whole THEN elderly_high END AS elderly_high,
    coalesce(adults_low, 0) AS adults_low, CASE WHEN whole THEN adults_high END AS adults_high,
    coalesce(women_low, 0) AS women_low, CASE WHEN whole THEN women_high END AS women_high,
    coalesce(disabled_low, 0) AS disabled_low, CASE WHEN whole THEN disabled_high END AS disabled_high,
    coalesce(severe_low, 0) AS severe_low, CASE WHEN whole THEN severe_high END AS severe_high,
    coalesce(dependants_low, 0) AS dependants_low,
    CASE WHEN whole THEN dependants_high END AS dependants_high,
    coalesce(employed_low, 0) AS employed_low, CASE WHEN whole THEN employed_high END AS employed_high
  FROM (SELECT h.*, r.* EXCLUDE (household_id), coalesce(has_roster, false) AND people IS NOT NULL AS whole
        FROM read_parquet($households) h LEFT JOIN roster r USING (household_id)) h
),
criteria AS (
  SELECT household_id, people, whole, declared_size,
    legal_status IN ('tp', 'ip', 'ip_applicant', 'residence') AS g0,
    address_registered AS g1,
    NOT in_camp AS g2,
    CASE WHEN employed_high = 0 THEN true WHEN employed_low > 0 THEN false END AS g3,
    monthly_income_minor <= 3 * 450000 AS g4,
    coalesce(n_low = 1 AND n_high = 1 AND women_low = 1 AND women_high = 1, false) AS a0_low,
    n_low <= 1 AND coalesce(n_high >= 1, true) AND women_low <= 1 AND coalesce(women_high >= 1, true)
      AS a0_high,
    coalesce(adults_low = 1 AND adults_high = 1 AND children_low >= 1, false) AS a1_low,
    adults_low <= 1 AND coalesce(adults_high >= 1, true) AND coalesce(children_high >= 1, true)
      AS a1_high,
    elderly_low >= 1 AND coalesce(adults_high = 0, false) AS a2_low,
    coalesce(elderly_high >= 1, true) AND adults_low = 0 AS a2_high,
    children_low >= 4 AS a3_low, coalesce(children_high >= 4, true) AS a3_high,
    -- Above over below as intervals; below 1 the answer is yes.
    coalesce(n_high - dependants_low <= 0, false)
      OR coalesce(1500 * (n_high - dependants_low) <= 1000 * dependants_low, false) AS a4_low,
    coalesce(1500 * (n_low - dependants_high) <= 1000 * dependants_high, true)
      OR coalesce(n_low - dependants_high <= 0, true) AS a4_high,
    disabled_low >= 1 AS a5_low, coalesce(disabled_high >= 1, true) AS a5_high,
    severe_low >= 1 AND coalesce(n_high <= 8, false) AS a6_low,
    coalesce(severe_high >= 1, true) AND n_low <= 8 AS a6_high,
    1000 + 120 * children_low + 90 * elderly_low + 200 * disabled_low - 75 * adults_high
      - 40 * rooms + 10 * rcsi AS score_low,
    1000 + 120 * children_high + 90 * elderly_high + 200 * disabled_high - 75 * adults_low
      - 40 * rooms + 10 * rcsi AS score_high,
    CASE WHEN severe_low = severe_high THEN severe_low END AS severe
  FROM facts
),
met AS (
  SELECT household_id,
    CASE WHEN NOT whole AND declared_size > 0 THEN declared_size ELSE people END AS size,
    whole OR coalesce(declared_size > 0, false) AS size_known,
    coalesce(g0, false)::int + 2 * coalesce(g1, false)::int + 4 * coalesce(g2, false)::int
      + 8 * coalesce(g3, false)::int + 16 * coalesce(g4, false)::int + 32 * a0_low::int
      + 64 * a1_low::int + 128 * a2_low::int + 256 * a3_low::int + 512 * a4_low::int
      + 1024 * a5_low::int + 2048 * a6_low::int AS pass_bits,
    (g0 IS NULL)::int + 2 * (g1 IS NULL)::int + 4 * (g2 IS NULL)::int + 8 * (g3 IS NULL)::int
      + 16 * (g4 IS NULL)::int + 32 * (a0_high AND NOT a0_low)::int
      + 64 * (a1_high AND NOT a1_low)::int + 128 * (a2_high AND NOT a2_low)::int
      + 256 * (a3_high AND NOT a3_low)::int + 512 * (a4_high AND NOT a4_low)::int
      + 1024 * (a5_high AND NOT a5_low)::int + 2048 * (a6_high AND NOT a6_low)::int AS unknown_bits,
    CASE WHEN score_low = score_high THEN score_low END AS score, severe
  FROM criteria
),
amounts AS (
  SELECT *,
    CASE WHEN size_known THEN 50000 * least(size, 10) + 60000 * severe
      + CASE WHEN size < 5 THEN 10000 WHEN size < 9 THEN 30000 ELSE 60000 END END AS due
  FROM met
),
decided AS (
  SELECT household_id, pass_bits::bigint AS pass_bits, unknown_bits::bigint AS unknown_bits,
    score::bigint AS score, size_known, due::bigint AS due,
    CASE WHEN ((pass_bits | unknown_bits) & 31) < 31 OR ((pass_bits | unknown_bits) & 4064) = 0
           THEN 'ineligible'
         WHEN (pass_bits & 31) = 31 AND (pass_bits & 4064) > 0 AND score IS NOT NULL
           AND due IS NOT NULL THEN 'eligible'
         ELSE 'review' END AS status
  FROM amounts
)
SELECT household_id, status, pass_bits, unknown_bits, score,
  CASE WHEN status = 'eligible' THEN due END AS amount_minor
FROM decided
