-- What follows on the decisions of hand_written.sql, in place of its last SELECT: why, in which order,
-- who is served, in the order of household_id. TIE_KEY stands for HMAC-SHA256 of household_id.
, told AS (
  SELECT *, pass_bits | unknown_bits AS maybe, TIE_KEY AS tie_key FROM decided
),
ranks AS (
  SELECT household_id, row_number() OVER (ORDER BY score DESC, tie_key, household_id)::int AS rank
  FROM told WHERE status = 'eligible'
)
SELECT t.household_id, status, pass_bits, unknown_bits, score, tie_key, rank,
  coalesce(rank <= 100000, false) AS selected,
  CASE WHEN rank > 100000 THEN rank - 100000 END::int AS waitlist_position,
  CASE WHEN status = 'eligible' THEN due END AS amount_minor, 'TRY' AS currency,
  CASE status WHEN 'eligible' THEN CASE WHEN rank <= 100000 THEN 'selected' ELSE 'waiting' END
    WHEN 'ineligible' THEN 'not_eligible:' || concat_ws(',',
      CASE WHEN (maybe & 1) = 0 THEN 'status' END,
      CASE WHEN (maybe & 2) = 0 THEN 'address' END,
      CASE WHEN (maybe & 4) = 0 THEN 'off_camp' END,
      CASE WHEN (maybe & 8) = 0 THEN 'no_job' END,
      CASE WHEN (maybe & 16) = 0 THEN 'poor' END,
      CASE WHEN (maybe & 4064) = 0 THEN
        'single_woman,single_parent,elderly,children,dependency,disabled,severe' END)
    ELSE 'review:' || concat_ws(',',
      CASE WHEN (unknown_bits & 1) > 0 THEN 'status' END,
      CASE WHEN (unknown_bits & 2) > 0 THEN 'address' END,
      CASE WHEN (unknown_bits & 4) > 0 THEN 'off_camp' END,
      CASE WHEN (unknown_bits & 8) > 0 THEN 'no_job' END,
      CASE WHEN (unknown_bits & 16) > 0 THEN 'poor' END,
      CASE WHEN (pass_bits & 4064) = 0 THEN nullif(concat_ws(',',
        CASE WHEN (unknown_bits & 32) > 0 THEN 'single_woman' END,
        CASE WHEN (unknown_bits & 64) > 0 THEN 'single_parent' END,
        CASE WHEN (unknown_bits & 128) > 0 THEN 'elderly' END,
        CASE WHEN (unknown_bits & 256) > 0 THEN 'children' END,
        CASE WHEN (unknown_bits & 512) > 0 THEN 'dependency' END,
        CASE WHEN (unknown_bits & 1024) > 0 THEN 'disabled' END,
        CASE WHEN (unknown_bits & 2048) > 0 THEN 'severe' END), '') END,
      CASE WHEN score IS NULL THEN 'score' END,
      CASE WHEN NOT size_known THEN 'size' END,
      CASE WHEN due IS NULL AND size_known THEN 'amount' END)
    END AS reason
FROM told t LEFT JOIN ranks r USING (household_id)
ORDER BY t.household_id
