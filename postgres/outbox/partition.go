package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// daysAhead is for how many days after today partitions are there: a relay that
// does not run for so long leaves later rows in the overflow partition, where they
// are deleted one by one.
const daysAhead = 3

// partitionSQL follows the first step where the outbox is partitioned. The function
// runs with the rights of the tables' owner, so that a relay needs none of them, and
// takes no lock that a writer waits for longer than 50 ms: a day is attached rather
// than created in place, and emptied, which waits for its own writers alone, before
// it is detached. It returns how many days it dropped.
// The search path is fixed, as PostgreSQL's documentation of CREATE FUNCTION asks of
// functions that are SECURITY DEFINER. The last statement makes the first days, as many
// as daysAhead says.
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
			EXECUTE format('ALTER TABLE {outbox} ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', part, day || ' 00:00:00+00', (day + 1) || ' 00:00:00+00');
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

// isPartitioned reports whether an outbox has daily partitions.
// It asks the table, since Table.Partitioned matters only where the table is created.
func isPartitioned(ctx context.Context, pool *pgxpool.Pool, n names) (partitioned bool, err error) {
	err = pool.QueryRow(ctx, `SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass($1)`, n.outbox).Scan(&partitioned)
	if err != nil {
		return false, fmt.Errorf("the table %s: %w", n.bare, err)
	}
	return partitioned, nil
}

// rotate makes the partitions of the next days, and drops those of days that are
// settled and older than keep. It returns how many it dropped.
// The function in the database looks at the relays' cursors itself.
func rotate(ctx context.Context, pool *pgxpool.Pool, n names, keep time.Duration) (dropped int, err error) {
	err = pool.QueryRow(ctx, n.sql(`SELECT {rotate}($1, $2)`), keep.Seconds(), daysAhead).Scan(&dropped)
	if err != nil {
		return 0, fmt.Errorf("the daily partitions of %s are not kept: %w", n.bare, err)
	}
	return dropped, nil
}

// collectTexts reads and closes rows of one text each.
func collectTexts(rows pgx.Rows) ([]string, error) { return pgx.CollectRows(rows, pgx.RowTo[string]) }
