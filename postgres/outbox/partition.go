package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// daysAhead is for how many days after today partitions exist. If no relay runs for
// longer, later rows go to the overflow partition, where they are deleted one by one.
const daysAhead = 3

// partitionSQL follows the first step if the outbox is partitioned. The function runs
// with the privileges of the tables' owner, so that a relay needs none. Writers never
// wait longer than 50 ms for its locks: a day is attached rather than created in
// place, and before it is detached it is emptied, which waits only for the day's own
// writers. It returns how many days it dropped. The search path is fixed, as
// PostgreSQL's documentation recommends for SECURITY DEFINER functions. The last
// statement makes the first days; its 3 is daysAhead.
const partitionSQL = `
CREATE TABLE {overflow} PARTITION OF {outbox} DEFAULT;
CREATE FUNCTION {rotate}(keep double precision, ahead integer) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $rotate$
DECLARE
	prefix  text := left('{outbox}', -1) || '_d'; -- without the closing quote
	today   date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
	oldest  date := ((clock_timestamp() - keep * interval '1 second') AT TIME ZONE 'UTC')::date;
	horizon xid8;
	day     date;
	part    text;
	pending boolean;
	dropped integer := 0;
BEGIN
	PERFORM set_config('lock_timeout', '50ms', true);
	FOR i IN 0..ahead LOOP
		day := today + i;
		part := prefix || to_char(day, 'YYYYMMDD') || '"';
		CONTINUE WHEN to_regclass(part) IS NOT NULL;
		BEGIN
			-- The present day is being written to. A writer that was led to the overflow
			-- partition before would fail once the day has a partition.
			IF i = 0 THEN
				LOCK TABLE {outbox} IN SHARE ROW EXCLUSIVE MODE;
			END IF;
			EXECUTE format('CREATE TABLE %s (LIKE {outbox} INCLUDING DEFAULTS)', part);
			EXECUTE format('ALTER TABLE {outbox} ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', part, to_char(day, 'YYYY-MM-DD') || ' 00:00:00+00', to_char(day + 1, 'YYYY-MM-DD') || ' 00:00:00+00');
		EXCEPTION WHEN lock_not_available OR check_violation OR duplicate_table THEN
			NULL; -- rows of the day are in the overflow partition already, or another time
		END;
	END LOOP;
	-- Every relay has sent what is older than this.
	SELECT pg_snapshot_xmin(from_snapshot) INTO horizon FROM {relay} ORDER BY 1 LIMIT 1;
	IF horizon IS NULL THEN
		RETURN 0;
	END IF;
	FOR part, day IN
		SELECT c.oid::regclass::text, to_date(right(c.relname, 8), 'YYYYMMDD') FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = '{outbox}'::regclass AND c.relname ~ '_d[0-9]{8}$' ORDER BY c.relname
	LOOP
		CONTINUE WHEN day >= oldest;
		BEGIN
			EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', part);
			EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE xid >= $1)', part) INTO pending USING horizon;
			CONTINUE WHEN pending IS NOT FALSE;
			EXECUTE format('TRUNCATE %s', part);
		EXCEPTION WHEN lock_not_available THEN
			CONTINUE; -- a transaction that wrote on that day is still open
		END;
		BEGIN
			EXECUTE format('ALTER TABLE {outbox} DETACH PARTITION %s', part);
			EXECUTE format('DROP TABLE %s', part);
			dropped := dropped + 1;
		EXCEPTION WHEN lock_not_available THEN
			NULL; -- it is empty, and dropped another time
		END;
	END LOOP;
	RETURN dropped;
END
$rotate$;
REVOKE ALL ON FUNCTION {rotate}(double precision, integer) FROM PUBLIC;
SELECT {rotate}(0, 3);
`

// isPartitioned reports whether an outbox has daily partitions. It looks at the table,
// since Table.Partitioned matters only when the table is created.
func isPartitioned(ctx context.Context, pool *pgxpool.Pool, n names) (partitioned bool, err error) {
	err = pool.QueryRow(ctx, `SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass($1)`, n.outbox).Scan(&partitioned)
	if err != nil {
		return false, fmt.Errorf("the table %s: %w", n.bare, err)
	}
	return partitioned, nil
}

// countDays is the part of the cursor's write that counts rows by day, so that
// dropping a day does not require reading it to know how many events it had. Rows in
// the overflow partition are counted when they are deleted.
const countDays = `, days = days || coalesce((SELECT jsonb_object_agg(c.relname, coalesce((days->>c.relname::text)::bigint, 0) + counted.rows)
	FROM unnest($9::oid[], $10::bigint[]) counted (part, rows) JOIN pg_class c ON c.oid = counted.part WHERE c.relname ~ '_d[0-9]{8}$'), '{}')`

// countTables returns the tables that rows are in, and how many are in each.
func countTables(rows []row) (tables []uint32, counts []int64) {
	for i := range rows {
		// Mostly all rows are of one day, so a linear search is enough.
		at := slices.Index(tables, rows[i].table)
		if at < 0 {
			at = len(tables)
			tables, counts = append(tables, rows[i].table), append(counts, 0)
		}
		counts[at]++
	}
	return tables, counts
}

// rotate makes the partitions of the next days, and drops those older than keep whose
// events every relay has sent. It returns how many it dropped. The function in the
// database reads the relays' cursors itself.
func rotate(ctx context.Context, pool *pgxpool.Pool, n names, keep time.Duration) (days int, err error) {
	err = pool.QueryRow(ctx, n.sql(`SELECT {rotate}($1, $2)`), keep.Seconds(), daysAhead).Scan(&days)
	if err != nil {
		return 0, fmt.Errorf("make and drop the daily partitions of %s: %w", n.bare, err)
	}
	return days, nil
}

// forgetDropped returns how many events were in dropped days, whichever process
// dropped them, and forgets those days, so that each counts once. Every relay name has
// counted the rows. The largest count is taken, since a name that began later has not
// seen them all, and an older program counts none.
func forgetDropped(ctx context.Context, pool *pgxpool.Pool, n names) (events int64, err error) {
	var b pgx.Batch
	// Two statements, so that the second one sees what others counted before this one
	// got the locks.
	b.Queue(n.sql(`SELECT FROM {relay} ORDER BY name FOR UPDATE`))
	b.Queue(n.sql(`WITH dropped AS (
			SELECT day, max(rows::bigint) AS rows FROM {relay}, jsonb_each_text(days) counted (day, rows)
			WHERE to_regclass('{schema}.' || quote_ident(day)) IS NULL GROUP BY day),
		forgotten AS (UPDATE {relay} SET days = days - ARRAY(SELECT day FROM dropped) WHERE days ?| ARRAY(SELECT day FROM dropped))
		SELECT coalesce(sum(rows), 0)::bigint FROM dropped`))
	results := pool.SendBatch(ctx, &b)
	defer results.Close()
	if _, err = results.Exec(); err == nil {
		err = results.QueryRow().Scan(&events)
	}
	if err = errors.Join(err, results.Close()); err != nil {
		return 0, fmt.Errorf("count the events of dropped days of %s: %w", n.bare, err)
	}
	return events, nil
}

// collectTexts reads rows of one text each, and closes rows.
func collectTexts(rows pgx.Rows) ([]string, error) { return pgx.CollectRows(rows, pgx.RowTo[string]) }
