-- CDM Assets on snowflake: 32 tables, 15 of them by business date, and 3 views.
-- `cdm ddl --engine snowflake` wrote this from the catalog. `cdm setup` does the same by itself, and
-- later what differs, step by step.
-- snow sql -f THIS_FILE, with the database and warehouse of CDM_DATABASE in use.
-- The role that runs this owns the tables, and must be the role of CDM_DATABASE. It needs CREATE SCHEMA on the
-- database and, for the last section, CREATE ROLE on the account.

-- ----------------------------------------------------------------------------------------------------
-- Schemas
-- ----------------------------------------------------------------------------------------------------

CREATE SCHEMA cdm_ingest_db;

CREATE SCHEMA cdm_publish_db;

CREATE SCHEMA cdp_metadata;

CREATE SCHEMA cs_360_db;

CREATE SCHEMA itf;

CREATE SCHEMA ldz;

CREATE SCHEMA rdv;

-- ----------------------------------------------------------------------------------------------------
-- ldz: landing zone, what each source sent, typed
-- ----------------------------------------------------------------------------------------------------

CREATE TABLE ldz.ldz_assortment (
	business_date DATE NOT NULL COMMENT 'Business date',
	customer_id VARCHAR(8) NOT NULL,
	product_id VARCHAR(8) NOT NULL,
	position BIGINT,
	weight NUMERIC(8, 3),
	since DATE,
	changed_at TIMESTAMP_NTZ,
	is_pinned BOOLEAN,
	source_file VARCHAR(400) NOT NULL COMMENT 'File, relative to the landing root',
	source_row BIGINT NOT NULL COMMENT 'Record in the file, from 1',
	extra TEXT COMMENT 'Columns of the file that are not declared, as JSON',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When the row was loaded (UTC)',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that loaded the row'
)
CLUSTER BY (business_date)
COMMENT = 'Which customer is shown which product, as Parquet, the whole list every day.';

CREATE TABLE ldz.ldz_customer (
	business_date DATE NOT NULL COMMENT 'Business date',
	customer_id VARCHAR(8) NOT NULL,
	name VARCHAR(20) NOT NULL,
	status VARCHAR(10),
	email VARCHAR(40),
	phone VARCHAR(15),
	age BIGINT,
	credit NUMERIC(12, 2),
	born DATE,
	joined DATE,
	seen_at TIMESTAMP_NTZ,
	is_member BOOLEAN,
	source_file VARCHAR(400) NOT NULL COMMENT 'File, relative to the landing root',
	source_row BIGINT NOT NULL COMMENT 'Record in the file, from 1',
	extra TEXT COMMENT 'Columns of the file that are not declared, as JSON',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When the row was loaded (UTC)',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that loaded the row'
)
CLUSTER BY (business_date)
COMMENT = 'Customers, the whole list every day.';

CREATE TABLE ldz.ldz_product (
	business_date DATE NOT NULL COMMENT 'Business date',
	product_id VARCHAR(8) NOT NULL,
	label VARCHAR(20),
	price NUMERIC(8, 2),
	source_file VARCHAR(400) NOT NULL COMMENT 'File, relative to the landing root',
	source_row BIGINT NOT NULL COMMENT 'Record in the file, from 1',
	extra TEXT COMMENT 'Columns of the file that are not declared, as JSON',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When the row was loaded (UTC)',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that loaded the row'
)
CLUSTER BY (business_date)
COMMENT = 'Changed articles.';

CREATE TABLE ldz.ldz_purchase (
	business_date DATE NOT NULL COMMENT 'Business date',
	purchase_id VARCHAR(12) NOT NULL,
	customer_id VARCHAR(8) NOT NULL,
	product_id VARCHAR(8) NOT NULL,
	amount NUMERIC(12, 2) NOT NULL,
	bought_at TIMESTAMP_NTZ NOT NULL,
	source_file VARCHAR(400) NOT NULL COMMENT 'File, relative to the landing root',
	source_row BIGINT NOT NULL COMMENT 'Record in the file, from 1',
	extra TEXT COMMENT 'Columns of the file that are not declared, as JSON',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When the row was loaded (UTC)',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that loaded the row'
)
CLUSTER BY (business_date)
COMMENT = 'Purchases; no file on days the shops are closed.';

CREATE TABLE ldz.ldz_score (
	business_date DATE NOT NULL COMMENT 'Business date',
	customer_id VARCHAR(8) NOT NULL,
	score_date DATE NOT NULL,
	points BIGINT,
	source_file VARCHAR(400) NOT NULL COMMENT 'File, relative to the landing root',
	source_row BIGINT NOT NULL COMMENT 'Record in the file, from 1',
	extra TEXT COMMENT 'Columns of the file that are not declared, as JSON',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When the row was loaded (UTC)',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that loaded the row'
)
CLUSTER BY (business_date)
COMMENT = 'Scores that models write.';

-- ----------------------------------------------------------------------------------------------------
-- rdv: raw data vault: hubs (h_), links (l_) and satellites (s_)
-- ----------------------------------------------------------------------------------------------------

CREATE TABLE rdv.h_customer (
	business_date DATE NOT NULL COMMENT 'First date any source sent the key',
	customer_hk VARCHAR(32) NOT NULL COMMENT 'Hash key of customer',
	customer_id VARCHAR(8) NOT NULL,
	rec_src VARCHAR(60) NOT NULL COMMENT 'Source of the row',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When the row was loaded (UTC)',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that loaded the row'
)
CLUSTER BY (business_date)
COMMENT = 'A customer.';

CREATE TABLE rdv.h_product (
	business_date DATE NOT NULL COMMENT 'First date any source sent the key',
	product_hk VARCHAR(32) NOT NULL COMMENT 'Hash key of product',
	product_id VARCHAR(8) NOT NULL,
	rec_src VARCHAR(60) NOT NULL COMMENT 'Source of the row',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When the row was loaded (UTC)',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that loaded the row'
)
CLUSTER BY (business_date)
COMMENT = 'An article.';

CREATE TABLE rdv.l_assortment (
	business_date DATE NOT NULL COMMENT 'First date any source sent the relation',
	assortment_hk VARCHAR(32) NOT NULL COMMENT 'Hash key of assortment',
	customer_hk VARCHAR(32) NOT NULL COMMENT 'Hash key of customer',
	product_hk VARCHAR(32) NOT NULL COMMENT 'Hash key of product',
	rec_src VARCHAR(60) NOT NULL COMMENT 'Source of the row',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When the row was loaded (UTC)',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that loaded the row'
)
CLUSTER BY (business_date)
COMMENT = 'Shown products.';

CREATE TABLE rdv.l_purchase (
	business_date DATE NOT NULL COMMENT 'First date a file held the event',
	purchase_hk VARCHAR(32) NOT NULL COMMENT 'Hash key of purchase',
	customer_hk VARCHAR(32) NOT NULL COMMENT 'Hash key of customer',
	product_hk VARCHAR(32) NOT NULL COMMENT 'Hash key of product',
	event_date DATE NOT NULL COMMENT 'Date of the event time',
	purchase_id VARCHAR(12) NOT NULL,
	amount NUMERIC(12, 2) NOT NULL,
	bought_at TIMESTAMP_NTZ NOT NULL,
	rec_src VARCHAR(60) NOT NULL COMMENT 'Source of the row',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When the row was loaded (UTC)',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that loaded the row'
)
CLUSTER BY (business_date)
COMMENT = 'A purchase.';

CREATE TABLE rdv.s_assortment_details (
	business_date DATE NOT NULL COMMENT 'First date with these values',
	assortment_hk VARCHAR(32) NOT NULL COMMENT 'Hash key of assortment',
	is_listed BOOLEAN NOT NULL COMMENT 'False: no longer listed by a snapshot',
	hashdiff VARCHAR(32) NOT NULL COMMENT 'Hash of the attributes',
	position BIGINT,
	weight NUMERIC(8, 3),
	since DATE,
	changed_at TIMESTAMP_NTZ,
	is_pinned BOOLEAN,
	rec_src VARCHAR(60) NOT NULL COMMENT 'Source of the row',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When the row was loaded (UTC)',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that loaded the row'
)
CLUSTER BY (business_date)
COMMENT = 'History of assortment as source assortment tells it.';

CREATE TABLE rdv.s_customer_details (
	business_date DATE NOT NULL COMMENT 'First date with these values',
	customer_hk VARCHAR(32) NOT NULL COMMENT 'Hash key of customer',
	is_listed BOOLEAN NOT NULL COMMENT 'False: no longer listed by a snapshot',
	hashdiff VARCHAR(32) NOT NULL COMMENT 'Hash of the attributes',
	name VARCHAR(20),
	status VARCHAR(10),
	email VARCHAR(40),
	phone VARCHAR(15),
	age BIGINT,
	credit NUMERIC(12, 2),
	born DATE,
	joined DATE,
	seen_at TIMESTAMP_NTZ,
	is_member BOOLEAN,
	rec_src VARCHAR(60) NOT NULL COMMENT 'Source of the row',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When the row was loaded (UTC)',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that loaded the row'
)
CLUSTER BY (business_date)
COMMENT = 'History of customer as source customer tells it.';

CREATE TABLE rdv.s_product_details (
	business_date DATE NOT NULL COMMENT 'First date with these values',
	product_hk VARCHAR(32) NOT NULL COMMENT 'Hash key of product',
	is_listed BOOLEAN NOT NULL COMMENT 'False: no longer listed by a snapshot',
	hashdiff VARCHAR(32) NOT NULL COMMENT 'Hash of the attributes',
	label VARCHAR(20),
	price NUMERIC(8, 2),
	rec_src VARCHAR(60) NOT NULL COMMENT 'Source of the row',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When the row was loaded (UTC)',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that loaded the row'
)
CLUSTER BY (business_date)
COMMENT = 'History of product as source product tells it.';

-- ----------------------------------------------------------------------------------------------------
-- itf: interface, the canonical rows
-- ----------------------------------------------------------------------------------------------------

CREATE TABLE itf.customer (
	business_date DATE NOT NULL COMMENT 'As-of date',
	customer_id VARCHAR(8) NOT NULL COMMENT '100% of the customers'' numbers',
	email VARCHAR(40),
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When the row was loaded (UTC)',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that loaded the row'
)
CLUSTER BY (business_date)
COMMENT = 'Every customer known on that date.';

-- ----------------------------------------------------------------------------------------------------
-- cs_360_db: one row a customer, campaign or flowchart
-- ----------------------------------------------------------------------------------------------------

CREATE TABLE cs_360_db.customer_360 (
	business_date DATE NOT NULL COMMENT 'Business date',
	customer_id VARCHAR(8) NOT NULL,
	email VARCHAR(40),
	spent NUMERIC(18, 2) NOT NULL,
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When the row was loaded (UTC)',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that loaded the row'
)
CLUSTER BY (business_date)
COMMENT = 'All that is known of each customer.';

-- ----------------------------------------------------------------------------------------------------
-- cdm_publish_db: what analysts and models read
-- ----------------------------------------------------------------------------------------------------

CREATE TABLE cdm_publish_db.customer_360 (
	business_date DATE NOT NULL COMMENT 'Business date',
	customer_id VARCHAR(8) NOT NULL,
	email VARCHAR(64),
	spent NUMERIC(18, 2) NOT NULL,
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When the row was loaded (UTC)',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that loaded the row'
)
CLUSTER BY (business_date)
COMMENT = 'All that is known of each customer. Only dates whose blocking checks passed; direct and sensitive columns tokenized.';

CREATE OR REPLACE VIEW cdm_publish_db.customer_360_current AS
SELECT
	business_date,
	customer_id,
	email,
	spent,
	load_ts,
	run_id
FROM cdm_publish_db.customer_360
WHERE business_date = (SELECT max(latest.business_date) FROM cdm_publish_db.customer_360 latest);

CREATE OR REPLACE VIEW cdm_publish_db.customer_360_viewer AS
SELECT
	business_date,
	customer_id,
	spent,
	load_ts,
	run_id
FROM cdm_publish_db.customer_360;

CREATE OR REPLACE VIEW cdm_publish_db.customer_360_viewer_current AS
SELECT
	business_date,
	customer_id,
	spent,
	load_ts,
	run_id
FROM cdm_publish_db.customer_360
WHERE business_date = (SELECT max(latest.business_date) FROM cdm_publish_db.customer_360 latest);

-- ----------------------------------------------------------------------------------------------------
-- cdm_ingest_db: what models write
-- ----------------------------------------------------------------------------------------------------

CREATE TABLE cdm_ingest_db.score (
	customer_id VARCHAR(8),
	business_date DATE NOT NULL,
	points BIGINT
)
CLUSTER BY (business_date)
COMMENT = 'Scores that models write.';

-- ----------------------------------------------------------------------------------------------------
-- cdp_metadata: control tables of the platform
-- ----------------------------------------------------------------------------------------------------

CREATE TABLE cdp_metadata.alert (
	kind VARCHAR(40) NOT NULL COMMENT 'missing file, withdrawn file or late events',
	source VARCHAR(60) NOT NULL COMMENT 'Source',
	business_date DATE NOT NULL COMMENT 'Business date',
	message VARCHAR(2000) NOT NULL COMMENT 'What happened, whom to ask and what is affected',
	opened_at TIMESTAMP_NTZ NOT NULL COMMENT 'When (UTC)',
	closed_at TIMESTAMP_NTZ COMMENT 'When it was over (UTC); empty while it is open',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that wrote the row',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When (UTC)'
)
COMMENT = 'What people have to know about a file: opened once, closed once when it is over.';

CREATE TABLE cdp_metadata.calendar (
	business_date DATE NOT NULL COMMENT 'Business date'
)
COMMENT = 'Every date from the platform''s first to far beyond its last.';

CREATE TABLE cdp_metadata.check_result (
	table_key VARCHAR(120) NOT NULL COMMENT 'schema.table',
	check_name VARCHAR(60) NOT NULL COMMENT 'Check',
	business_date DATE NOT NULL COMMENT 'Business date',
	passed BOOLEAN NOT NULL COMMENT 'Whether it passed',
	blocks BOOLEAN NOT NULL COMMENT 'Failed, and stops what depends on it',
	message VARCHAR(2000) COMMENT 'What failed',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that wrote the row',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When (UTC)'
)
COMMENT = 'The last result of each check of each partition.';

CREATE TABLE cdp_metadata.ddl_step (
	plan_id VARCHAR(20) NOT NULL COMMENT 'Fingerprint of its plan; `create` where a load created what lacked',
	step_number BIGINT NOT NULL COMMENT 'Place in the plan, from 1',
	kind VARCHAR(40) NOT NULL COMMENT 'create table, add column, grant, ...',
	object_name VARCHAR(400) NOT NULL COMMENT 'What it creates or changes',
	statement TEXT NOT NULL COMMENT 'What is run',
	state VARCHAR(20) NOT NULL COMMENT 'planned, done, failed, or superseded by a later plan',
	message VARCHAR(2000) COMMENT 'Why it failed',
	stored_as VARCHAR(64) COMMENT 'Hash of a view''s text as the database keeps it',
	started_at TIMESTAMP_NTZ COMMENT 'When (UTC)',
	ended_at TIMESTAMP_NTZ COMMENT 'When (UTC)',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that wrote the row',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When (UTC)'
)
COMMENT = 'Every step in which the database was made what the catalog declares, the latest of each plan.';

CREATE TABLE cdp_metadata.etl_date_control (
	source VARCHAR(60) NOT NULL COMMENT 'Source',
	uses_business_or_timestamp VARCHAR(1) NOT NULL COMMENT 'B: cut by business date. T: by the time of its events',
	earliest_date DATE COMMENT 'Day 0: the earliest date it has data of',
	previous_business_date DATE NOT NULL COMMENT 'Last date of the run before; on Day 0 the day before its earliest',
	current_business_date DATE COMMENT 'Newest date that was loaded',
	next_business_date DATE NOT NULL COMMENT 'The date with which the next run begins at the latest',
	previous_start_time TIMESTAMP_NTZ COMMENT 'When the run before the latest one began (UTC)',
	current_start_time TIMESTAMP_NTZ COMMENT 'When the latest run that went forward began (UTC)',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that wrote the row',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When (UTC)'
)
COMMENT = 'How far each source is: the business dates a run may be for, from Day 0 to the next one.';

CREATE TABLE cdp_metadata.incident (
	incident_id BIGINT NOT NULL COMMENT 'Number of the incident, from 1',
	cause_key VARCHAR(300) NOT NULL COMMENT 'Kind, code and place of the cause; at most one open incident has it',
	kind VARCHAR(40) NOT NULL COMMENT 'run failure, blocking check, missing file, missed deadline, ...',
	code VARCHAR(20) NOT NULL COMMENT 'Error code; `cdm runbook CODE` explains it',
	severity VARCHAR(10) NOT NULL COMMENT 'critical, major or minor, from the pipeline',
	pipeline VARCHAR(60) NOT NULL COMMENT 'Pipeline of the table that failed',
	layer VARCHAR(40) NOT NULL COMMENT 'Schema of the table that failed',
	table_key VARCHAR(120) COMMENT 'schema.table that failed first; empty where it is none',
	first_date DATE COMMENT 'Earliest business date that failed',
	last_date DATE COMMENT 'Latest business date that failed',
	occurrences BIGINT NOT NULL COMMENT 'Failures counted so far',
	title VARCHAR(400) NOT NULL COMMENT 'What happened, in one line',
	message VARCHAR(2000) NOT NULL COMMENT 'What the first failure said',
	failing_run_id VARCHAR(64) COMMENT 'The run that failed, or that wrote the result',
	run_url VARCHAR(400) COMMENT 'The run in the UI',
	asset_url VARCHAR(400) COMMENT 'The asset''s partition in the UI',
	owner VARCHAR(200) NOT NULL COMMENT 'The pipeline''s primary owner',
	on_call VARCHAR(200) COMMENT 'Who was on duty when it was opened',
	state VARCHAR(20) NOT NULL COMMENT 'open, acknowledged or resolved',
	opened_at TIMESTAMP_NTZ NOT NULL COMMENT 'When (UTC)',
	last_seen_at TIMESTAMP_NTZ NOT NULL COMMENT 'When its latest failure was seen (UTC)',
	respond_by TIMESTAMP_NTZ NOT NULL COMMENT 'Until when it is to be acknowledged (UTC)',
	resolve_by TIMESTAMP_NTZ NOT NULL COMMENT 'Until when it is to be resolved (UTC)',
	acknowledged_at TIMESTAMP_NTZ COMMENT 'When (UTC)',
	acknowledged_by VARCHAR(200) COMMENT 'By whom',
	resolved_at TIMESTAMP_NTZ COMMENT 'When (UTC)',
	resolved_by VARCHAR(200) COMMENT 'By whom; `platform` where the cause was over by itself',
	note VARCHAR(2000) COMMENT 'What those who resolved it wrote',
	escalated_steps BIGINT NOT NULL COMMENT 'Steps of the pipeline''s escalation that were taken',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that wrote the row',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When (UTC)'
)
COMMENT = 'What somebody has to look after: all failures of one cause, from its opening to its resolution.';

CREATE TABLE cdp_metadata.incident_message (
	message_id VARCHAR(100) NOT NULL COMMENT 'Incident, reason and number',
	incident_id BIGINT NOT NULL COMMENT 'Incident',
	reason VARCHAR(40) NOT NULL COMMENT 'opened, more, escalated or resolved',
	recipients VARCHAR(1000) NOT NULL COMMENT 'Names of people and teams, with commas between',
	title VARCHAR(400) NOT NULL COMMENT 'Subject',
	body TEXT NOT NULL COMMENT 'Text',
	not_before TIMESTAMP_NTZ NOT NULL COMMENT 'Not sent before (UTC)',
	attempts BIGINT NOT NULL COMMENT 'How often sending was tried',
	next_attempt_at TIMESTAMP_NTZ NOT NULL COMMENT 'When it is tried again (UTC)',
	sent_to VARCHAR(1000) NOT NULL COMMENT 'Fingerprints of the addresses that took it, with commas between',
	sent_at TIMESTAMP_NTZ COMMENT 'When all had taken it (UTC)',
	last_error VARCHAR(2000) COMMENT 'Why the last attempt failed',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that wrote the row',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When (UTC)'
)
COMMENT = 'Every message about an incident, kept until each of its addresses has taken it.';

CREATE TABLE cdp_metadata.incident_occurrence (
	incident_id BIGINT NOT NULL COMMENT 'Incident',
	occurrence_key VARCHAR(400) NOT NULL COMMENT 'The same failure has the same key as long as it is there',
	table_key VARCHAR(120) COMMENT 'schema.table',
	business_date DATE COMMENT 'Business date',
	message VARCHAR(2000) NOT NULL COMMENT 'What failed',
	seen_at TIMESTAMP_NTZ NOT NULL COMMENT 'When it was first seen (UTC)',
	over_at TIMESTAMP_NTZ COMMENT 'When it was over (UTC); empty while it is there',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that wrote the row',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When (UTC)'
)
COMMENT = 'Every single failure that an incident stands for.';

CREATE TABLE cdp_metadata.ingest_export (
	source VARCHAR(60) NOT NULL COMMENT 'Source whose file it was written to',
	business_date DATE NOT NULL COMMENT 'Business date',
	rows_written BIGINT NOT NULL COMMENT 'Records written',
	fingerprint VARCHAR(60) NOT NULL COMMENT 'Of the date''s rows: another one means that they have changed',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that wrote the row',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When (UTC)'
)
COMMENT = 'What was last written out of each date of the tables of cdm_ingest_db.';

CREATE TABLE cdp_metadata.landing_file (
	source VARCHAR(60) NOT NULL COMMENT 'Source',
	business_date DATE NOT NULL COMMENT 'Business date',
	file_name VARCHAR(400) NOT NULL COMMENT 'File, relative to the landing root',
	state VARCHAR(20) NOT NULL COMMENT 'arrived, loading, loaded, superseded, rejected or withdrawn',
	arrived_at TIMESTAMP_NTZ NOT NULL COMMENT 'When this content was first seen whole (UTC)',
	size_bytes BIGINT NOT NULL COMMENT 'Size of the file',
	sha256 VARCHAR(64) NOT NULL COMMENT 'Hash of the file''s bytes; the archive keeps the content under it',
	version VARCHAR(400) NOT NULL COMMENT 'What the file system tells of the file (times, ETag); another is read again',
	manifest_version VARCHAR(400) NOT NULL COMMENT 'The same of the manifest beside it; empty without one',
	deliveries BIGINT NOT NULL COMMENT 'How often this content was delivered',
	delivered_at TIMESTAMP_NTZ NOT NULL COMMENT 'When it was delivered last (UTC)',
	gone_at TIMESTAMP_NTZ COMMENT 'Since when the file is no longer there (UTC)',
	rows_read BIGINT NOT NULL COMMENT 'Records in the file',
	rows_loaded BIGINT NOT NULL COMMENT 'Records in the landing zone',
	rows_rejected BIGINT NOT NULL COMMENT 'Records in rejected_record',
	earliest_event TIMESTAMP_NTZ COMMENT 'The earliest event time in the file',
	drift VARCHAR(2000) COMMENT 'How its columns differ from the declared ones',
	reason VARCHAR(2000) COMMENT 'Why it was rejected',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that wrote the row',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When (UTC)'
)
COMMENT = 'Every content of every landing file that was ever seen, and what became of it.';

CREATE TABLE cdp_metadata.load_log (
	table_key VARCHAR(120) NOT NULL COMMENT 'schema.table',
	first_date DATE NOT NULL COMMENT 'First date of the range',
	last_date DATE NOT NULL COMMENT 'Last date of the range',
	rows_read BIGINT NOT NULL COMMENT 'Rows read',
	rows_inserted BIGINT NOT NULL COMMENT 'Rows inserted',
	rows_removed BIGINT NOT NULL COMMENT 'Rows removed',
	rows_rejected BIGINT NOT NULL COMMENT 'Rows rejected',
	seconds NUMERIC(12, 3) NOT NULL COMMENT 'Seconds in files and SQL',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that wrote the row',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When (UTC)'
)
COMMENT = 'One row a load: a table and a range of dates.';

CREATE TABLE cdp_metadata.partition_load (
	table_key VARCHAR(120) NOT NULL COMMENT 'schema.table',
	business_date DATE NOT NULL COMMENT 'Business date',
	rows_in_partition BIGINT NOT NULL COMMENT 'Rows after the load',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that wrote the row',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When (UTC)'
)
COMMENT = 'The last load of each partition of each table.';

CREATE TABLE cdp_metadata.rejected_record (
	source VARCHAR(60) NOT NULL COMMENT 'Source',
	business_date DATE NOT NULL COMMENT 'Business date',
	file_name VARCHAR(400) NOT NULL COMMENT 'File, relative to the landing root',
	line BIGINT COMMENT 'Line in the file; record in a Parquet file',
	rule VARCHAR(200) NOT NULL COMMENT 'The rule that was broken',
	column_name VARCHAR(200) COMMENT 'The column that broke it',
	reason VARCHAR(2000) NOT NULL COMMENT 'What was expected and what was found',
	raw_text TEXT COMMENT 'The record as received',
	whole_file BOOLEAN NOT NULL COMMENT 'The file as a whole was refused',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that wrote the row',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When (UTC)'
)
COMMENT = 'Every record and every file that could not be loaded, with the reason.';

CREATE TABLE cdp_metadata.source_pause (
	source VARCHAR(60) NOT NULL COMMENT 'Source',
	reason VARCHAR(400) NOT NULL COMMENT 'Why it is paused',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that wrote the row',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When (UTC)'
)
COMMENT = 'The sources of which nothing starts by itself.';

CREATE TABLE cdp_metadata.stale_partition (
	table_key VARCHAR(120) NOT NULL COMMENT 'schema.table',
	business_date DATE NOT NULL COMMENT 'Business date',
	reason VARCHAR(400) NOT NULL COMMENT 'What changed',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that wrote the row',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When (UTC)'
)
COMMENT = 'Loaded partitions that a later load upstream changed; they are to be loaded again.';

CREATE TABLE cdp_metadata.variable (
	name VARCHAR(60) NOT NULL COMMENT 'The variable',
	value VARCHAR(2000) COMMENT 'Its value; of a secret a reference such as env:CDM_TOKEN_KEY',
	origin VARCHAR(400) NOT NULL COMMENT 'environment, default, or the file and line that sets it',
	is_secret BOOLEAN NOT NULL COMMENT 'Its value is a reference',
	changed_at TIMESTAMP_NTZ NOT NULL COMMENT 'Since when it has this value (UTC)',
	run_id VARCHAR(64) NOT NULL COMMENT 'The run that wrote the row',
	load_ts TIMESTAMP_NTZ NOT NULL COMMENT 'When (UTC)'
)
COMMENT = 'The settings in effect as `variable_sync` last found them; of a secret, only where it comes from.';

-- ----------------------------------------------------------------------------------------------------
-- Roles and grants
-- ----------------------------------------------------------------------------------------------------

CREATE ROLE IF NOT EXISTS cdm_viewer;

CREATE ROLE IF NOT EXISTS cdm_operator;

CREATE ROLE IF NOT EXISTS cdm_engineer;

CREATE ROLE IF NOT EXISTS cdm_admin;

CREATE ROLE IF NOT EXISTS cdm_model;

SET cdm_database = CURRENT_DATABASE();

SET cdm_warehouse = CURRENT_WAREHOUSE();

GRANT USAGE ON DATABASE IDENTIFIER($cdm_database) TO ROLE cdm_viewer;

GRANT USAGE ON WAREHOUSE IDENTIFIER($cdm_warehouse) TO ROLE cdm_viewer;

GRANT USAGE ON DATABASE IDENTIFIER($cdm_database) TO ROLE cdm_operator;

GRANT USAGE ON WAREHOUSE IDENTIFIER($cdm_warehouse) TO ROLE cdm_operator;

GRANT USAGE ON DATABASE IDENTIFIER($cdm_database) TO ROLE cdm_engineer;

GRANT USAGE ON WAREHOUSE IDENTIFIER($cdm_warehouse) TO ROLE cdm_engineer;

GRANT USAGE ON DATABASE IDENTIFIER($cdm_database) TO ROLE cdm_admin;

GRANT USAGE ON WAREHOUSE IDENTIFIER($cdm_warehouse) TO ROLE cdm_admin;

GRANT USAGE ON DATABASE IDENTIFIER($cdm_database) TO ROLE cdm_model;

GRANT USAGE ON WAREHOUSE IDENTIFIER($cdm_warehouse) TO ROLE cdm_model;

GRANT USAGE, CREATE TABLE, CREATE VIEW ON SCHEMA cdm_ingest_db TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON FUTURE TABLES IN SCHEMA cdm_ingest_db TO ROLE cdm_admin;

GRANT SELECT ON FUTURE VIEWS IN SCHEMA cdm_ingest_db TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdm_ingest_db.score TO ROLE cdm_admin;

GRANT USAGE, CREATE TABLE, CREATE VIEW ON SCHEMA cdm_publish_db TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON FUTURE TABLES IN SCHEMA cdm_publish_db TO ROLE cdm_admin;

GRANT SELECT ON FUTURE VIEWS IN SCHEMA cdm_publish_db TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdm_publish_db.customer_360 TO ROLE cdm_admin;

GRANT SELECT ON VIEW cdm_publish_db.customer_360_current TO ROLE cdm_admin;

GRANT SELECT ON VIEW cdm_publish_db.customer_360_viewer TO ROLE cdm_admin;

GRANT SELECT ON VIEW cdm_publish_db.customer_360_viewer_current TO ROLE cdm_admin;

GRANT USAGE, CREATE TABLE, CREATE VIEW ON SCHEMA cdp_metadata TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON FUTURE TABLES IN SCHEMA cdp_metadata TO ROLE cdm_admin;

GRANT SELECT ON FUTURE VIEWS IN SCHEMA cdp_metadata TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.alert TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.calendar TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.check_result TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.ddl_step TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.etl_date_control TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.incident TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.incident_message TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.incident_occurrence TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.ingest_export TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.landing_file TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.load_log TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.partition_load TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.rejected_record TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.source_pause TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.stale_partition TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.variable TO ROLE cdm_admin;

GRANT USAGE, CREATE TABLE, CREATE VIEW ON SCHEMA cs_360_db TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON FUTURE TABLES IN SCHEMA cs_360_db TO ROLE cdm_admin;

GRANT SELECT ON FUTURE VIEWS IN SCHEMA cs_360_db TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cs_360_db.customer_360 TO ROLE cdm_admin;

GRANT USAGE, CREATE TABLE, CREATE VIEW ON SCHEMA itf TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON FUTURE TABLES IN SCHEMA itf TO ROLE cdm_admin;

GRANT SELECT ON FUTURE VIEWS IN SCHEMA itf TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE itf.customer TO ROLE cdm_admin;

GRANT USAGE, CREATE TABLE, CREATE VIEW ON SCHEMA ldz TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON FUTURE TABLES IN SCHEMA ldz TO ROLE cdm_admin;

GRANT SELECT ON FUTURE VIEWS IN SCHEMA ldz TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE ldz.ldz_assortment TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE ldz.ldz_customer TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE ldz.ldz_product TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE ldz.ldz_purchase TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE ldz.ldz_score TO ROLE cdm_admin;

GRANT USAGE, CREATE TABLE, CREATE VIEW ON SCHEMA rdv TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON FUTURE TABLES IN SCHEMA rdv TO ROLE cdm_admin;

GRANT SELECT ON FUTURE VIEWS IN SCHEMA rdv TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE rdv.h_customer TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE rdv.h_product TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE rdv.l_assortment TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE rdv.l_purchase TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE rdv.s_assortment_details TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE rdv.s_customer_details TO ROLE cdm_admin;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE rdv.s_product_details TO ROLE cdm_admin;

GRANT USAGE ON SCHEMA cdm_ingest_db TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON FUTURE TABLES IN SCHEMA cdm_ingest_db TO ROLE cdm_engineer;

GRANT SELECT ON FUTURE VIEWS IN SCHEMA cdm_ingest_db TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdm_ingest_db.score TO ROLE cdm_engineer;

GRANT USAGE ON SCHEMA cdm_publish_db TO ROLE cdm_engineer;

GRANT SELECT ON FUTURE TABLES IN SCHEMA cdm_publish_db TO ROLE cdm_engineer;

GRANT SELECT ON FUTURE VIEWS IN SCHEMA cdm_publish_db TO ROLE cdm_engineer;

GRANT SELECT ON TABLE cdm_publish_db.customer_360 TO ROLE cdm_engineer;

GRANT SELECT ON VIEW cdm_publish_db.customer_360_current TO ROLE cdm_engineer;

GRANT SELECT ON VIEW cdm_publish_db.customer_360_viewer TO ROLE cdm_engineer;

GRANT SELECT ON VIEW cdm_publish_db.customer_360_viewer_current TO ROLE cdm_engineer;

GRANT USAGE ON SCHEMA cdp_metadata TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON FUTURE TABLES IN SCHEMA cdp_metadata TO ROLE cdm_engineer;

GRANT SELECT ON FUTURE VIEWS IN SCHEMA cdp_metadata TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.alert TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.calendar TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.check_result TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.ddl_step TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.etl_date_control TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.incident TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.incident_message TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.incident_occurrence TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.ingest_export TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.landing_file TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.load_log TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.partition_load TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.rejected_record TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.source_pause TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.stale_partition TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.variable TO ROLE cdm_engineer;

GRANT USAGE ON SCHEMA cs_360_db TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON FUTURE TABLES IN SCHEMA cs_360_db TO ROLE cdm_engineer;

GRANT SELECT ON FUTURE VIEWS IN SCHEMA cs_360_db TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cs_360_db.customer_360 TO ROLE cdm_engineer;

GRANT USAGE ON SCHEMA itf TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON FUTURE TABLES IN SCHEMA itf TO ROLE cdm_engineer;

GRANT SELECT ON FUTURE VIEWS IN SCHEMA itf TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE itf.customer TO ROLE cdm_engineer;

GRANT USAGE ON SCHEMA ldz TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON FUTURE TABLES IN SCHEMA ldz TO ROLE cdm_engineer;

GRANT SELECT ON FUTURE VIEWS IN SCHEMA ldz TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE ldz.ldz_assortment TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE ldz.ldz_customer TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE ldz.ldz_product TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE ldz.ldz_purchase TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE ldz.ldz_score TO ROLE cdm_engineer;

GRANT USAGE ON SCHEMA rdv TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON FUTURE TABLES IN SCHEMA rdv TO ROLE cdm_engineer;

GRANT SELECT ON FUTURE VIEWS IN SCHEMA rdv TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE rdv.h_customer TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE rdv.h_product TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE rdv.l_assortment TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE rdv.l_purchase TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE rdv.s_assortment_details TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE rdv.s_customer_details TO ROLE cdm_engineer;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE rdv.s_product_details TO ROLE cdm_engineer;

GRANT USAGE ON SCHEMA cdm_ingest_db TO ROLE cdm_model;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdm_ingest_db.score TO ROLE cdm_model;

GRANT USAGE ON SCHEMA cdm_publish_db TO ROLE cdm_model;

GRANT SELECT ON VIEW cdm_publish_db.customer_360_viewer TO ROLE cdm_model;

GRANT SELECT ON VIEW cdm_publish_db.customer_360_viewer_current TO ROLE cdm_model;

GRANT USAGE ON SCHEMA cdm_publish_db TO ROLE cdm_operator;

GRANT SELECT ON VIEW cdm_publish_db.customer_360_viewer TO ROLE cdm_operator;

GRANT SELECT ON VIEW cdm_publish_db.customer_360_viewer_current TO ROLE cdm_operator;

GRANT USAGE ON SCHEMA cdp_metadata TO ROLE cdm_operator;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.alert TO ROLE cdm_operator;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.calendar TO ROLE cdm_operator;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.check_result TO ROLE cdm_operator;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.ddl_step TO ROLE cdm_operator;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.etl_date_control TO ROLE cdm_operator;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.incident TO ROLE cdm_operator;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.incident_message TO ROLE cdm_operator;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.incident_occurrence TO ROLE cdm_operator;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.ingest_export TO ROLE cdm_operator;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.landing_file TO ROLE cdm_operator;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.load_log TO ROLE cdm_operator;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.partition_load TO ROLE cdm_operator;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.rejected_record TO ROLE cdm_operator;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.source_pause TO ROLE cdm_operator;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.stale_partition TO ROLE cdm_operator;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE cdp_metadata.variable TO ROLE cdm_operator;

GRANT USAGE ON SCHEMA cdm_publish_db TO ROLE cdm_viewer;

GRANT SELECT ON VIEW cdm_publish_db.customer_360_viewer TO ROLE cdm_viewer;

GRANT SELECT ON VIEW cdm_publish_db.customer_360_viewer_current TO ROLE cdm_viewer;

