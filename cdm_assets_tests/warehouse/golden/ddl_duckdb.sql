-- CDM Assets on duckdb: 32 tables, 15 of them by business date, and 3 views.
-- `cdm ddl --engine duckdb` wrote this from the catalog. `cdm setup` does the same by itself, and
-- later what differs, step by step.
-- DuckDB has no roles: whoever can read the file reads everything.

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
	business_date DATE NOT NULL,
	customer_id VARCHAR(8) NOT NULL,
	product_id VARCHAR(8) NOT NULL,
	position BIGINT,
	weight NUMERIC(8, 3),
	since DATE,
	changed_at TIMESTAMP WITHOUT TIME ZONE,
	is_pinned BOOLEAN,
	source_file VARCHAR(400) NOT NULL,
	source_row BIGINT NOT NULL,
	extra TEXT,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	run_id VARCHAR(64) NOT NULL
);

COMMENT ON TABLE ldz.ldz_assortment IS 'Which customer is shown which product, as Parquet, the whole list every day.';

COMMENT ON COLUMN ldz.ldz_assortment.business_date IS 'Business date';

COMMENT ON COLUMN ldz.ldz_assortment.source_file IS 'File, relative to the landing root';

COMMENT ON COLUMN ldz.ldz_assortment.source_row IS 'Record in the file, from 1';

COMMENT ON COLUMN ldz.ldz_assortment.extra IS 'Columns of the file that are not declared, as JSON';

COMMENT ON COLUMN ldz.ldz_assortment.load_ts IS 'When the row was loaded (UTC)';

COMMENT ON COLUMN ldz.ldz_assortment.run_id IS 'The run that loaded the row';

CREATE TABLE ldz.ldz_customer (
	business_date DATE NOT NULL,
	customer_id VARCHAR(8) NOT NULL,
	name VARCHAR(20) NOT NULL,
	status VARCHAR(10),
	email VARCHAR(40),
	phone VARCHAR(15),
	age BIGINT,
	credit NUMERIC(12, 2),
	born DATE,
	joined DATE,
	seen_at TIMESTAMP WITHOUT TIME ZONE,
	is_member BOOLEAN,
	source_file VARCHAR(400) NOT NULL,
	source_row BIGINT NOT NULL,
	extra TEXT,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	run_id VARCHAR(64) NOT NULL
);

COMMENT ON TABLE ldz.ldz_customer IS 'Customers, the whole list every day.';

COMMENT ON COLUMN ldz.ldz_customer.business_date IS 'Business date';

COMMENT ON COLUMN ldz.ldz_customer.source_file IS 'File, relative to the landing root';

COMMENT ON COLUMN ldz.ldz_customer.source_row IS 'Record in the file, from 1';

COMMENT ON COLUMN ldz.ldz_customer.extra IS 'Columns of the file that are not declared, as JSON';

COMMENT ON COLUMN ldz.ldz_customer.load_ts IS 'When the row was loaded (UTC)';

COMMENT ON COLUMN ldz.ldz_customer.run_id IS 'The run that loaded the row';

CREATE TABLE ldz.ldz_product (
	business_date DATE NOT NULL,
	product_id VARCHAR(8) NOT NULL,
	label VARCHAR(20),
	price NUMERIC(8, 2),
	source_file VARCHAR(400) NOT NULL,
	source_row BIGINT NOT NULL,
	extra TEXT,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	run_id VARCHAR(64) NOT NULL
);

COMMENT ON TABLE ldz.ldz_product IS 'Changed articles.';

COMMENT ON COLUMN ldz.ldz_product.business_date IS 'Business date';

COMMENT ON COLUMN ldz.ldz_product.source_file IS 'File, relative to the landing root';

COMMENT ON COLUMN ldz.ldz_product.source_row IS 'Record in the file, from 1';

COMMENT ON COLUMN ldz.ldz_product.extra IS 'Columns of the file that are not declared, as JSON';

COMMENT ON COLUMN ldz.ldz_product.load_ts IS 'When the row was loaded (UTC)';

COMMENT ON COLUMN ldz.ldz_product.run_id IS 'The run that loaded the row';

CREATE TABLE ldz.ldz_purchase (
	business_date DATE NOT NULL,
	purchase_id VARCHAR(12) NOT NULL,
	customer_id VARCHAR(8) NOT NULL,
	product_id VARCHAR(8) NOT NULL,
	amount NUMERIC(12, 2) NOT NULL,
	bought_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	source_file VARCHAR(400) NOT NULL,
	source_row BIGINT NOT NULL,
	extra TEXT,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	run_id VARCHAR(64) NOT NULL
);

COMMENT ON TABLE ldz.ldz_purchase IS 'Purchases; no file on days the shops are closed.';

COMMENT ON COLUMN ldz.ldz_purchase.business_date IS 'Business date';

COMMENT ON COLUMN ldz.ldz_purchase.source_file IS 'File, relative to the landing root';

COMMENT ON COLUMN ldz.ldz_purchase.source_row IS 'Record in the file, from 1';

COMMENT ON COLUMN ldz.ldz_purchase.extra IS 'Columns of the file that are not declared, as JSON';

COMMENT ON COLUMN ldz.ldz_purchase.load_ts IS 'When the row was loaded (UTC)';

COMMENT ON COLUMN ldz.ldz_purchase.run_id IS 'The run that loaded the row';

CREATE TABLE ldz.ldz_score (
	business_date DATE NOT NULL,
	customer_id VARCHAR(8) NOT NULL,
	score_date DATE NOT NULL,
	points BIGINT,
	source_file VARCHAR(400) NOT NULL,
	source_row BIGINT NOT NULL,
	extra TEXT,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	run_id VARCHAR(64) NOT NULL
);

COMMENT ON TABLE ldz.ldz_score IS 'Scores that models write.';

COMMENT ON COLUMN ldz.ldz_score.business_date IS 'Business date';

COMMENT ON COLUMN ldz.ldz_score.source_file IS 'File, relative to the landing root';

COMMENT ON COLUMN ldz.ldz_score.source_row IS 'Record in the file, from 1';

COMMENT ON COLUMN ldz.ldz_score.extra IS 'Columns of the file that are not declared, as JSON';

COMMENT ON COLUMN ldz.ldz_score.load_ts IS 'When the row was loaded (UTC)';

COMMENT ON COLUMN ldz.ldz_score.run_id IS 'The run that loaded the row';

-- ----------------------------------------------------------------------------------------------------
-- rdv: raw data vault: hubs (h_), links (l_) and satellites (s_)
-- ----------------------------------------------------------------------------------------------------

CREATE TABLE rdv.h_customer (
	business_date DATE NOT NULL,
	customer_hk VARCHAR(32) NOT NULL,
	customer_id VARCHAR(8) NOT NULL,
	rec_src VARCHAR(60) NOT NULL,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	run_id VARCHAR(64) NOT NULL
);

COMMENT ON TABLE rdv.h_customer IS 'A customer.';

COMMENT ON COLUMN rdv.h_customer.business_date IS 'First date any source sent the key';

COMMENT ON COLUMN rdv.h_customer.customer_hk IS 'Hash key of customer';

COMMENT ON COLUMN rdv.h_customer.rec_src IS 'Source of the row';

COMMENT ON COLUMN rdv.h_customer.load_ts IS 'When the row was loaded (UTC)';

COMMENT ON COLUMN rdv.h_customer.run_id IS 'The run that loaded the row';

CREATE TABLE rdv.h_product (
	business_date DATE NOT NULL,
	product_hk VARCHAR(32) NOT NULL,
	product_id VARCHAR(8) NOT NULL,
	rec_src VARCHAR(60) NOT NULL,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	run_id VARCHAR(64) NOT NULL
);

COMMENT ON TABLE rdv.h_product IS 'An article.';

COMMENT ON COLUMN rdv.h_product.business_date IS 'First date any source sent the key';

COMMENT ON COLUMN rdv.h_product.product_hk IS 'Hash key of product';

COMMENT ON COLUMN rdv.h_product.rec_src IS 'Source of the row';

COMMENT ON COLUMN rdv.h_product.load_ts IS 'When the row was loaded (UTC)';

COMMENT ON COLUMN rdv.h_product.run_id IS 'The run that loaded the row';

CREATE TABLE rdv.l_assortment (
	business_date DATE NOT NULL,
	assortment_hk VARCHAR(32) NOT NULL,
	customer_hk VARCHAR(32) NOT NULL,
	product_hk VARCHAR(32) NOT NULL,
	rec_src VARCHAR(60) NOT NULL,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	run_id VARCHAR(64) NOT NULL
);

COMMENT ON TABLE rdv.l_assortment IS 'Shown products.';

COMMENT ON COLUMN rdv.l_assortment.business_date IS 'First date any source sent the relation';

COMMENT ON COLUMN rdv.l_assortment.assortment_hk IS 'Hash key of assortment';

COMMENT ON COLUMN rdv.l_assortment.customer_hk IS 'Hash key of customer';

COMMENT ON COLUMN rdv.l_assortment.product_hk IS 'Hash key of product';

COMMENT ON COLUMN rdv.l_assortment.rec_src IS 'Source of the row';

COMMENT ON COLUMN rdv.l_assortment.load_ts IS 'When the row was loaded (UTC)';

COMMENT ON COLUMN rdv.l_assortment.run_id IS 'The run that loaded the row';

CREATE TABLE rdv.l_purchase (
	business_date DATE NOT NULL,
	purchase_hk VARCHAR(32) NOT NULL,
	customer_hk VARCHAR(32) NOT NULL,
	product_hk VARCHAR(32) NOT NULL,
	event_date DATE NOT NULL,
	purchase_id VARCHAR(12) NOT NULL,
	amount NUMERIC(12, 2) NOT NULL,
	bought_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	rec_src VARCHAR(60) NOT NULL,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	run_id VARCHAR(64) NOT NULL
);

COMMENT ON TABLE rdv.l_purchase IS 'A purchase.';

COMMENT ON COLUMN rdv.l_purchase.business_date IS 'First date a file held the event';

COMMENT ON COLUMN rdv.l_purchase.purchase_hk IS 'Hash key of purchase';

COMMENT ON COLUMN rdv.l_purchase.customer_hk IS 'Hash key of customer';

COMMENT ON COLUMN rdv.l_purchase.product_hk IS 'Hash key of product';

COMMENT ON COLUMN rdv.l_purchase.event_date IS 'Date of the event time';

COMMENT ON COLUMN rdv.l_purchase.rec_src IS 'Source of the row';

COMMENT ON COLUMN rdv.l_purchase.load_ts IS 'When the row was loaded (UTC)';

COMMENT ON COLUMN rdv.l_purchase.run_id IS 'The run that loaded the row';

CREATE TABLE rdv.s_assortment_details (
	business_date DATE NOT NULL,
	assortment_hk VARCHAR(32) NOT NULL,
	is_listed BOOLEAN NOT NULL,
	hashdiff VARCHAR(32) NOT NULL,
	position BIGINT,
	weight NUMERIC(8, 3),
	since DATE,
	changed_at TIMESTAMP WITHOUT TIME ZONE,
	is_pinned BOOLEAN,
	rec_src VARCHAR(60) NOT NULL,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	run_id VARCHAR(64) NOT NULL
);

COMMENT ON TABLE rdv.s_assortment_details IS 'History of assortment as source assortment tells it.';

COMMENT ON COLUMN rdv.s_assortment_details.business_date IS 'First date with these values';

COMMENT ON COLUMN rdv.s_assortment_details.assortment_hk IS 'Hash key of assortment';

COMMENT ON COLUMN rdv.s_assortment_details.is_listed IS 'False: no longer listed by a snapshot';

COMMENT ON COLUMN rdv.s_assortment_details.hashdiff IS 'Hash of the attributes';

COMMENT ON COLUMN rdv.s_assortment_details.rec_src IS 'Source of the row';

COMMENT ON COLUMN rdv.s_assortment_details.load_ts IS 'When the row was loaded (UTC)';

COMMENT ON COLUMN rdv.s_assortment_details.run_id IS 'The run that loaded the row';

CREATE TABLE rdv.s_customer_details (
	business_date DATE NOT NULL,
	customer_hk VARCHAR(32) NOT NULL,
	is_listed BOOLEAN NOT NULL,
	hashdiff VARCHAR(32) NOT NULL,
	name VARCHAR(20),
	status VARCHAR(10),
	email VARCHAR(40),
	phone VARCHAR(15),
	age BIGINT,
	credit NUMERIC(12, 2),
	born DATE,
	joined DATE,
	seen_at TIMESTAMP WITHOUT TIME ZONE,
	is_member BOOLEAN,
	rec_src VARCHAR(60) NOT NULL,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	run_id VARCHAR(64) NOT NULL
);

COMMENT ON TABLE rdv.s_customer_details IS 'History of customer as source customer tells it.';

COMMENT ON COLUMN rdv.s_customer_details.business_date IS 'First date with these values';

COMMENT ON COLUMN rdv.s_customer_details.customer_hk IS 'Hash key of customer';

COMMENT ON COLUMN rdv.s_customer_details.is_listed IS 'False: no longer listed by a snapshot';

COMMENT ON COLUMN rdv.s_customer_details.hashdiff IS 'Hash of the attributes';

COMMENT ON COLUMN rdv.s_customer_details.rec_src IS 'Source of the row';

COMMENT ON COLUMN rdv.s_customer_details.load_ts IS 'When the row was loaded (UTC)';

COMMENT ON COLUMN rdv.s_customer_details.run_id IS 'The run that loaded the row';

CREATE TABLE rdv.s_product_details (
	business_date DATE NOT NULL,
	product_hk VARCHAR(32) NOT NULL,
	is_listed BOOLEAN NOT NULL,
	hashdiff VARCHAR(32) NOT NULL,
	label VARCHAR(20),
	price NUMERIC(8, 2),
	rec_src VARCHAR(60) NOT NULL,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	run_id VARCHAR(64) NOT NULL
);

COMMENT ON TABLE rdv.s_product_details IS 'History of product as source product tells it.';

COMMENT ON COLUMN rdv.s_product_details.business_date IS 'First date with these values';

COMMENT ON COLUMN rdv.s_product_details.product_hk IS 'Hash key of product';

COMMENT ON COLUMN rdv.s_product_details.is_listed IS 'False: no longer listed by a snapshot';

COMMENT ON COLUMN rdv.s_product_details.hashdiff IS 'Hash of the attributes';

COMMENT ON COLUMN rdv.s_product_details.rec_src IS 'Source of the row';

COMMENT ON COLUMN rdv.s_product_details.load_ts IS 'When the row was loaded (UTC)';

COMMENT ON COLUMN rdv.s_product_details.run_id IS 'The run that loaded the row';

-- ----------------------------------------------------------------------------------------------------
-- itf: interface, the canonical rows
-- ----------------------------------------------------------------------------------------------------

CREATE TABLE itf.customer (
	business_date DATE NOT NULL,
	customer_id VARCHAR(8) NOT NULL,
	email VARCHAR(40),
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	run_id VARCHAR(64) NOT NULL
);

COMMENT ON TABLE itf.customer IS 'Every customer known on that date.';

COMMENT ON COLUMN itf.customer.business_date IS 'As-of date';

COMMENT ON COLUMN itf.customer.customer_id IS '100% of the customers'' numbers';

COMMENT ON COLUMN itf.customer.load_ts IS 'When the row was loaded (UTC)';

COMMENT ON COLUMN itf.customer.run_id IS 'The run that loaded the row';

-- ----------------------------------------------------------------------------------------------------
-- cs_360_db: one row a customer, campaign or flowchart
-- ----------------------------------------------------------------------------------------------------

CREATE TABLE cs_360_db.customer_360 (
	business_date DATE NOT NULL,
	customer_id VARCHAR(8) NOT NULL,
	email VARCHAR(40),
	spent NUMERIC(18, 2) NOT NULL,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	run_id VARCHAR(64) NOT NULL
);

COMMENT ON TABLE cs_360_db.customer_360 IS 'All that is known of each customer.';

COMMENT ON COLUMN cs_360_db.customer_360.business_date IS 'Business date';

COMMENT ON COLUMN cs_360_db.customer_360.load_ts IS 'When the row was loaded (UTC)';

COMMENT ON COLUMN cs_360_db.customer_360.run_id IS 'The run that loaded the row';

-- ----------------------------------------------------------------------------------------------------
-- cdm_publish_db: what analysts and models read
-- ----------------------------------------------------------------------------------------------------

CREATE TABLE cdm_publish_db.customer_360 (
	business_date DATE NOT NULL,
	customer_id VARCHAR(8) NOT NULL,
	email VARCHAR(64),
	spent NUMERIC(18, 2) NOT NULL,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	run_id VARCHAR(64) NOT NULL
);

COMMENT ON TABLE cdm_publish_db.customer_360 IS 'All that is known of each customer. Only dates whose blocking checks passed; direct and sensitive columns tokenized.';

COMMENT ON COLUMN cdm_publish_db.customer_360.business_date IS 'Business date';

COMMENT ON COLUMN cdm_publish_db.customer_360.load_ts IS 'When the row was loaded (UTC)';

COMMENT ON COLUMN cdm_publish_db.customer_360.run_id IS 'The run that loaded the row';

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
);

COMMENT ON TABLE cdm_ingest_db.score IS 'Scores that models write.';

-- ----------------------------------------------------------------------------------------------------
-- cdp_metadata: control tables of the platform
-- ----------------------------------------------------------------------------------------------------

CREATE TABLE cdp_metadata.alert (
	kind VARCHAR(40) NOT NULL,
	source VARCHAR(60) NOT NULL,
	business_date DATE NOT NULL,
	message VARCHAR(2000) NOT NULL,
	opened_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	closed_at TIMESTAMP WITHOUT TIME ZONE,
	run_id VARCHAR(64) NOT NULL,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL
);

COMMENT ON TABLE cdp_metadata.alert IS 'What people have to know about a file: opened once, closed once when it is over.';

COMMENT ON COLUMN cdp_metadata.alert.kind IS 'missing file, withdrawn file or late events';

COMMENT ON COLUMN cdp_metadata.alert.source IS 'Source';

COMMENT ON COLUMN cdp_metadata.alert.business_date IS 'Business date';

COMMENT ON COLUMN cdp_metadata.alert.message IS 'What happened, whom to ask and what is affected';

COMMENT ON COLUMN cdp_metadata.alert.opened_at IS 'When (UTC)';

COMMENT ON COLUMN cdp_metadata.alert.closed_at IS 'When it was over (UTC); empty while it is open';

COMMENT ON COLUMN cdp_metadata.alert.run_id IS 'The run that wrote the row';

COMMENT ON COLUMN cdp_metadata.alert.load_ts IS 'When (UTC)';

CREATE TABLE cdp_metadata.calendar (
	business_date DATE NOT NULL
);

COMMENT ON TABLE cdp_metadata.calendar IS 'Every date from the platform''s first to far beyond its last.';

COMMENT ON COLUMN cdp_metadata.calendar.business_date IS 'Business date';

CREATE TABLE cdp_metadata.check_result (
	table_key VARCHAR(120) NOT NULL,
	check_name VARCHAR(60) NOT NULL,
	business_date DATE NOT NULL,
	passed BOOLEAN NOT NULL,
	blocks BOOLEAN NOT NULL,
	message VARCHAR(2000),
	run_id VARCHAR(64) NOT NULL,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL
);

COMMENT ON TABLE cdp_metadata.check_result IS 'The last result of each check of each partition.';

COMMENT ON COLUMN cdp_metadata.check_result.table_key IS 'schema.table';

COMMENT ON COLUMN cdp_metadata.check_result.check_name IS 'Check';

COMMENT ON COLUMN cdp_metadata.check_result.business_date IS 'Business date';

COMMENT ON COLUMN cdp_metadata.check_result.passed IS 'Whether it passed';

COMMENT ON COLUMN cdp_metadata.check_result.blocks IS 'Failed, and stops what depends on it';

COMMENT ON COLUMN cdp_metadata.check_result.message IS 'What failed';

COMMENT ON COLUMN cdp_metadata.check_result.run_id IS 'The run that wrote the row';

COMMENT ON COLUMN cdp_metadata.check_result.load_ts IS 'When (UTC)';

CREATE TABLE cdp_metadata.ddl_step (
	plan_id VARCHAR(20) NOT NULL,
	step_number BIGINT NOT NULL,
	kind VARCHAR(40) NOT NULL,
	object_name VARCHAR(400) NOT NULL,
	statement TEXT NOT NULL,
	state VARCHAR(20) NOT NULL,
	message VARCHAR(2000),
	stored_as VARCHAR(64),
	started_at TIMESTAMP WITHOUT TIME ZONE,
	ended_at TIMESTAMP WITHOUT TIME ZONE,
	run_id VARCHAR(64) NOT NULL,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL
);

COMMENT ON TABLE cdp_metadata.ddl_step IS 'Every step in which the database was made what the catalog declares, the latest of each plan.';

COMMENT ON COLUMN cdp_metadata.ddl_step.plan_id IS 'Fingerprint of its plan; `create` where a load created what lacked';

COMMENT ON COLUMN cdp_metadata.ddl_step.step_number IS 'Place in the plan, from 1';

COMMENT ON COLUMN cdp_metadata.ddl_step.kind IS 'create table, add column, grant, ...';

COMMENT ON COLUMN cdp_metadata.ddl_step.object_name IS 'What it creates or changes';

COMMENT ON COLUMN cdp_metadata.ddl_step.statement IS 'What is run';

COMMENT ON COLUMN cdp_metadata.ddl_step.state IS 'planned, done, failed, or superseded by a later plan';

COMMENT ON COLUMN cdp_metadata.ddl_step.message IS 'Why it failed';

COMMENT ON COLUMN cdp_metadata.ddl_step.stored_as IS 'Hash of a view''s text as the database keeps it';

COMMENT ON COLUMN cdp_metadata.ddl_step.started_at IS 'When (UTC)';

COMMENT ON COLUMN cdp_metadata.ddl_step.ended_at IS 'When (UTC)';

COMMENT ON COLUMN cdp_metadata.ddl_step.run_id IS 'The run that wrote the row';

COMMENT ON COLUMN cdp_metadata.ddl_step.load_ts IS 'When (UTC)';

CREATE TABLE cdp_metadata.etl_date_control (
	source VARCHAR(60) NOT NULL,
	uses_business_or_timestamp VARCHAR(1) NOT NULL,
	earliest_date DATE,
	previous_business_date DATE NOT NULL,
	current_business_date DATE,
	next_business_date DATE NOT NULL,
	previous_start_time TIMESTAMP WITHOUT TIME ZONE,
	current_start_time TIMESTAMP WITHOUT TIME ZONE,
	run_id VARCHAR(64) NOT NULL,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL
);

COMMENT ON TABLE cdp_metadata.etl_date_control IS 'How far each source is: the business dates a run may be for, from Day 0 to the next one.';

COMMENT ON COLUMN cdp_metadata.etl_date_control.source IS 'Source';

COMMENT ON COLUMN cdp_metadata.etl_date_control.uses_business_or_timestamp IS 'B: cut by business date. T: by the time of its events';

COMMENT ON COLUMN cdp_metadata.etl_date_control.earliest_date IS 'Day 0: the earliest date it has data of';

COMMENT ON COLUMN cdp_metadata.etl_date_control.previous_business_date IS 'Last date of the run before; on Day 0 the day before its earliest';

COMMENT ON COLUMN cdp_metadata.etl_date_control.current_business_date IS 'Newest date that was loaded';

COMMENT ON COLUMN cdp_metadata.etl_date_control.next_business_date IS 'The date with which the next run begins at the latest';

COMMENT ON COLUMN cdp_metadata.etl_date_control.previous_start_time IS 'When the run before the latest one began (UTC)';

COMMENT ON COLUMN cdp_metadata.etl_date_control.current_start_time IS 'When the latest run that went forward began (UTC)';

COMMENT ON COLUMN cdp_metadata.etl_date_control.run_id IS 'The run that wrote the row';

COMMENT ON COLUMN cdp_metadata.etl_date_control.load_ts IS 'When (UTC)';

CREATE TABLE cdp_metadata.incident (
	incident_id BIGINT NOT NULL,
	cause_key VARCHAR(300) NOT NULL,
	kind VARCHAR(40) NOT NULL,
	code VARCHAR(20) NOT NULL,
	severity VARCHAR(10) NOT NULL,
	pipeline VARCHAR(60) NOT NULL,
	layer VARCHAR(40) NOT NULL,
	table_key VARCHAR(120),
	first_date DATE,
	last_date DATE,
	occurrences BIGINT NOT NULL,
	title VARCHAR(400) NOT NULL,
	message VARCHAR(2000) NOT NULL,
	failing_run_id VARCHAR(64),
	run_url VARCHAR(400),
	asset_url VARCHAR(400),
	owner VARCHAR(200) NOT NULL,
	on_call VARCHAR(200),
	state VARCHAR(20) NOT NULL,
	opened_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	last_seen_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	respond_by TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	resolve_by TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	acknowledged_at TIMESTAMP WITHOUT TIME ZONE,
	acknowledged_by VARCHAR(200),
	resolved_at TIMESTAMP WITHOUT TIME ZONE,
	resolved_by VARCHAR(200),
	note VARCHAR(2000),
	escalated_steps BIGINT NOT NULL,
	run_id VARCHAR(64) NOT NULL,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL
);

COMMENT ON TABLE cdp_metadata.incident IS 'What somebody has to look after: all failures of one cause, from its opening to its resolution.';

COMMENT ON COLUMN cdp_metadata.incident.incident_id IS 'Number of the incident, from 1';

COMMENT ON COLUMN cdp_metadata.incident.cause_key IS 'Kind, code and place of the cause; at most one open incident has it';

COMMENT ON COLUMN cdp_metadata.incident.kind IS 'run failure, blocking check, missing file, missed deadline, ...';

COMMENT ON COLUMN cdp_metadata.incident.code IS 'Error code; `cdm runbook CODE` explains it';

COMMENT ON COLUMN cdp_metadata.incident.severity IS 'critical, major or minor, from the pipeline';

COMMENT ON COLUMN cdp_metadata.incident.pipeline IS 'Pipeline of the table that failed';

COMMENT ON COLUMN cdp_metadata.incident.layer IS 'Schema of the table that failed';

COMMENT ON COLUMN cdp_metadata.incident.table_key IS 'schema.table that failed first; empty where it is none';

COMMENT ON COLUMN cdp_metadata.incident.first_date IS 'Earliest business date that failed';

COMMENT ON COLUMN cdp_metadata.incident.last_date IS 'Latest business date that failed';

COMMENT ON COLUMN cdp_metadata.incident.occurrences IS 'Failures counted so far';

COMMENT ON COLUMN cdp_metadata.incident.title IS 'What happened, in one line';

COMMENT ON COLUMN cdp_metadata.incident.message IS 'What the first failure said';

COMMENT ON COLUMN cdp_metadata.incident.failing_run_id IS 'The run that failed, or that wrote the result';

COMMENT ON COLUMN cdp_metadata.incident.run_url IS 'The run in the UI';

COMMENT ON COLUMN cdp_metadata.incident.asset_url IS 'The asset''s partition in the UI';

COMMENT ON COLUMN cdp_metadata.incident.owner IS 'The pipeline''s primary owner';

COMMENT ON COLUMN cdp_metadata.incident.on_call IS 'Who was on duty when it was opened';

COMMENT ON COLUMN cdp_metadata.incident.state IS 'open, acknowledged or resolved';

COMMENT ON COLUMN cdp_metadata.incident.opened_at IS 'When (UTC)';

COMMENT ON COLUMN cdp_metadata.incident.last_seen_at IS 'When its latest failure was seen (UTC)';

COMMENT ON COLUMN cdp_metadata.incident.respond_by IS 'Until when it is to be acknowledged (UTC)';

COMMENT ON COLUMN cdp_metadata.incident.resolve_by IS 'Until when it is to be resolved (UTC)';

COMMENT ON COLUMN cdp_metadata.incident.acknowledged_at IS 'When (UTC)';

COMMENT ON COLUMN cdp_metadata.incident.acknowledged_by IS 'By whom';

COMMENT ON COLUMN cdp_metadata.incident.resolved_at IS 'When (UTC)';

COMMENT ON COLUMN cdp_metadata.incident.resolved_by IS 'By whom; `platform` where the cause was over by itself';

COMMENT ON COLUMN cdp_metadata.incident.note IS 'What those who resolved it wrote';

COMMENT ON COLUMN cdp_metadata.incident.escalated_steps IS 'Steps of the pipeline''s escalation that were taken';

COMMENT ON COLUMN cdp_metadata.incident.run_id IS 'The run that wrote the row';

COMMENT ON COLUMN cdp_metadata.incident.load_ts IS 'When (UTC)';

CREATE TABLE cdp_metadata.incident_message (
	message_id VARCHAR(100) NOT NULL,
	incident_id BIGINT NOT NULL,
	reason VARCHAR(40) NOT NULL,
	recipients VARCHAR(1000) NOT NULL,
	title VARCHAR(400) NOT NULL,
	body TEXT NOT NULL,
	not_before TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	attempts BIGINT NOT NULL,
	next_attempt_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	sent_to VARCHAR(1000) NOT NULL,
	sent_at TIMESTAMP WITHOUT TIME ZONE,
	last_error VARCHAR(2000),
	run_id VARCHAR(64) NOT NULL,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL
);

COMMENT ON TABLE cdp_metadata.incident_message IS 'Every message about an incident, kept until each of its addresses has taken it.';

COMMENT ON COLUMN cdp_metadata.incident_message.message_id IS 'Incident, reason and number';

COMMENT ON COLUMN cdp_metadata.incident_message.incident_id IS 'Incident';

COMMENT ON COLUMN cdp_metadata.incident_message.reason IS 'opened, more, escalated or resolved';

COMMENT ON COLUMN cdp_metadata.incident_message.recipients IS 'Names of people and teams, with commas between';

COMMENT ON COLUMN cdp_metadata.incident_message.title IS 'Subject';

COMMENT ON COLUMN cdp_metadata.incident_message.body IS 'Text';

COMMENT ON COLUMN cdp_metadata.incident_message.not_before IS 'Not sent before (UTC)';

COMMENT ON COLUMN cdp_metadata.incident_message.attempts IS 'How often sending was tried';

COMMENT ON COLUMN cdp_metadata.incident_message.next_attempt_at IS 'When it is tried again (UTC)';

COMMENT ON COLUMN cdp_metadata.incident_message.sent_to IS 'Fingerprints of the addresses that took it, with commas between';

COMMENT ON COLUMN cdp_metadata.incident_message.sent_at IS 'When all had taken it (UTC)';

COMMENT ON COLUMN cdp_metadata.incident_message.last_error IS 'Why the last attempt failed';

COMMENT ON COLUMN cdp_metadata.incident_message.run_id IS 'The run that wrote the row';

COMMENT ON COLUMN cdp_metadata.incident_message.load_ts IS 'When (UTC)';

CREATE TABLE cdp_metadata.incident_occurrence (
	incident_id BIGINT NOT NULL,
	occurrence_key VARCHAR(400) NOT NULL,
	table_key VARCHAR(120),
	business_date DATE,
	message VARCHAR(2000) NOT NULL,
	seen_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	over_at TIMESTAMP WITHOUT TIME ZONE,
	run_id VARCHAR(64) NOT NULL,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL
);

COMMENT ON TABLE cdp_metadata.incident_occurrence IS 'Every single failure that an incident stands for.';

COMMENT ON COLUMN cdp_metadata.incident_occurrence.incident_id IS 'Incident';

COMMENT ON COLUMN cdp_metadata.incident_occurrence.occurrence_key IS 'The same failure has the same key as long as it is there';

COMMENT ON COLUMN cdp_metadata.incident_occurrence.table_key IS 'schema.table';

COMMENT ON COLUMN cdp_metadata.incident_occurrence.business_date IS 'Business date';

COMMENT ON COLUMN cdp_metadata.incident_occurrence.message IS 'What failed';

COMMENT ON COLUMN cdp_metadata.incident_occurrence.seen_at IS 'When it was first seen (UTC)';

COMMENT ON COLUMN cdp_metadata.incident_occurrence.over_at IS 'When it was over (UTC); empty while it is there';

COMMENT ON COLUMN cdp_metadata.incident_occurrence.run_id IS 'The run that wrote the row';

COMMENT ON COLUMN cdp_metadata.incident_occurrence.load_ts IS 'When (UTC)';

CREATE TABLE cdp_metadata.ingest_export (
	source VARCHAR(60) NOT NULL,
	business_date DATE NOT NULL,
	rows_written BIGINT NOT NULL,
	fingerprint VARCHAR(60) NOT NULL,
	run_id VARCHAR(64) NOT NULL,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL
);

COMMENT ON TABLE cdp_metadata.ingest_export IS 'What was last written out of each date of the tables of cdm_ingest_db.';

COMMENT ON COLUMN cdp_metadata.ingest_export.source IS 'Source whose file it was written to';

COMMENT ON COLUMN cdp_metadata.ingest_export.business_date IS 'Business date';

COMMENT ON COLUMN cdp_metadata.ingest_export.rows_written IS 'Records written';

COMMENT ON COLUMN cdp_metadata.ingest_export.fingerprint IS 'Of the date''s rows: another one means that they have changed';

COMMENT ON COLUMN cdp_metadata.ingest_export.run_id IS 'The run that wrote the row';

COMMENT ON COLUMN cdp_metadata.ingest_export.load_ts IS 'When (UTC)';

CREATE TABLE cdp_metadata.landing_file (
	source VARCHAR(60) NOT NULL,
	business_date DATE NOT NULL,
	file_name VARCHAR(400) NOT NULL,
	state VARCHAR(20) NOT NULL,
	arrived_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	size_bytes BIGINT NOT NULL,
	sha256 VARCHAR(64) NOT NULL,
	version VARCHAR(400) NOT NULL,
	manifest_version VARCHAR(400) NOT NULL,
	deliveries BIGINT NOT NULL,
	delivered_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	gone_at TIMESTAMP WITHOUT TIME ZONE,
	rows_read BIGINT NOT NULL,
	rows_loaded BIGINT NOT NULL,
	rows_rejected BIGINT NOT NULL,
	earliest_event TIMESTAMP WITHOUT TIME ZONE,
	drift VARCHAR(2000),
	reason VARCHAR(2000),
	run_id VARCHAR(64) NOT NULL,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL
);

COMMENT ON TABLE cdp_metadata.landing_file IS 'Every content of every landing file that was ever seen, and what became of it.';

COMMENT ON COLUMN cdp_metadata.landing_file.source IS 'Source';

COMMENT ON COLUMN cdp_metadata.landing_file.business_date IS 'Business date';

COMMENT ON COLUMN cdp_metadata.landing_file.file_name IS 'File, relative to the landing root';

COMMENT ON COLUMN cdp_metadata.landing_file.state IS 'arrived, loading, loaded, superseded, rejected or withdrawn';

COMMENT ON COLUMN cdp_metadata.landing_file.arrived_at IS 'When this content was first seen whole (UTC)';

COMMENT ON COLUMN cdp_metadata.landing_file.size_bytes IS 'Size of the file';

COMMENT ON COLUMN cdp_metadata.landing_file.sha256 IS 'Hash of the file''s bytes; the archive keeps the content under it';

COMMENT ON COLUMN cdp_metadata.landing_file.version IS 'What the file system tells of the file (times, ETag); another is read again';

COMMENT ON COLUMN cdp_metadata.landing_file.manifest_version IS 'The same of the manifest beside it; empty without one';

COMMENT ON COLUMN cdp_metadata.landing_file.deliveries IS 'How often this content was delivered';

COMMENT ON COLUMN cdp_metadata.landing_file.delivered_at IS 'When it was delivered last (UTC)';

COMMENT ON COLUMN cdp_metadata.landing_file.gone_at IS 'Since when the file is no longer there (UTC)';

COMMENT ON COLUMN cdp_metadata.landing_file.rows_read IS 'Records in the file';

COMMENT ON COLUMN cdp_metadata.landing_file.rows_loaded IS 'Records in the landing zone';

COMMENT ON COLUMN cdp_metadata.landing_file.rows_rejected IS 'Records in rejected_record';

COMMENT ON COLUMN cdp_metadata.landing_file.earliest_event IS 'The earliest event time in the file';

COMMENT ON COLUMN cdp_metadata.landing_file.drift IS 'How its columns differ from the declared ones';

COMMENT ON COLUMN cdp_metadata.landing_file.reason IS 'Why it was rejected';

COMMENT ON COLUMN cdp_metadata.landing_file.run_id IS 'The run that wrote the row';

COMMENT ON COLUMN cdp_metadata.landing_file.load_ts IS 'When (UTC)';

CREATE TABLE cdp_metadata.load_log (
	table_key VARCHAR(120) NOT NULL,
	first_date DATE NOT NULL,
	last_date DATE NOT NULL,
	rows_read BIGINT NOT NULL,
	rows_inserted BIGINT NOT NULL,
	rows_removed BIGINT NOT NULL,
	rows_rejected BIGINT NOT NULL,
	seconds NUMERIC(12, 3) NOT NULL,
	run_id VARCHAR(64) NOT NULL,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL
);

COMMENT ON TABLE cdp_metadata.load_log IS 'One row a load: a table and a range of dates.';

COMMENT ON COLUMN cdp_metadata.load_log.table_key IS 'schema.table';

COMMENT ON COLUMN cdp_metadata.load_log.first_date IS 'First date of the range';

COMMENT ON COLUMN cdp_metadata.load_log.last_date IS 'Last date of the range';

COMMENT ON COLUMN cdp_metadata.load_log.rows_read IS 'Rows read';

COMMENT ON COLUMN cdp_metadata.load_log.rows_inserted IS 'Rows inserted';

COMMENT ON COLUMN cdp_metadata.load_log.rows_removed IS 'Rows removed';

COMMENT ON COLUMN cdp_metadata.load_log.rows_rejected IS 'Rows rejected';

COMMENT ON COLUMN cdp_metadata.load_log.seconds IS 'Seconds in files and SQL';

COMMENT ON COLUMN cdp_metadata.load_log.run_id IS 'The run that wrote the row';

COMMENT ON COLUMN cdp_metadata.load_log.load_ts IS 'When (UTC)';

CREATE TABLE cdp_metadata.partition_load (
	table_key VARCHAR(120) NOT NULL,
	business_date DATE NOT NULL,
	rows_in_partition BIGINT NOT NULL,
	run_id VARCHAR(64) NOT NULL,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL
);

COMMENT ON TABLE cdp_metadata.partition_load IS 'The last load of each partition of each table.';

COMMENT ON COLUMN cdp_metadata.partition_load.table_key IS 'schema.table';

COMMENT ON COLUMN cdp_metadata.partition_load.business_date IS 'Business date';

COMMENT ON COLUMN cdp_metadata.partition_load.rows_in_partition IS 'Rows after the load';

COMMENT ON COLUMN cdp_metadata.partition_load.run_id IS 'The run that wrote the row';

COMMENT ON COLUMN cdp_metadata.partition_load.load_ts IS 'When (UTC)';

CREATE TABLE cdp_metadata.rejected_record (
	source VARCHAR(60) NOT NULL,
	business_date DATE NOT NULL,
	file_name VARCHAR(400) NOT NULL,
	line BIGINT,
	rule VARCHAR(200) NOT NULL,
	column_name VARCHAR(200),
	reason VARCHAR(2000) NOT NULL,
	raw_text TEXT,
	whole_file BOOLEAN NOT NULL,
	run_id VARCHAR(64) NOT NULL,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL
);

COMMENT ON TABLE cdp_metadata.rejected_record IS 'Every record and every file that could not be loaded, with the reason.';

COMMENT ON COLUMN cdp_metadata.rejected_record.source IS 'Source';

COMMENT ON COLUMN cdp_metadata.rejected_record.business_date IS 'Business date';

COMMENT ON COLUMN cdp_metadata.rejected_record.file_name IS 'File, relative to the landing root';

COMMENT ON COLUMN cdp_metadata.rejected_record.line IS 'Line in the file; record in a Parquet file';

COMMENT ON COLUMN cdp_metadata.rejected_record.rule IS 'The rule that was broken';

COMMENT ON COLUMN cdp_metadata.rejected_record.column_name IS 'The column that broke it';

COMMENT ON COLUMN cdp_metadata.rejected_record.reason IS 'What was expected and what was found';

COMMENT ON COLUMN cdp_metadata.rejected_record.raw_text IS 'The record as received';

COMMENT ON COLUMN cdp_metadata.rejected_record.whole_file IS 'The file as a whole was refused';

COMMENT ON COLUMN cdp_metadata.rejected_record.run_id IS 'The run that wrote the row';

COMMENT ON COLUMN cdp_metadata.rejected_record.load_ts IS 'When (UTC)';

CREATE TABLE cdp_metadata.source_pause (
	source VARCHAR(60) NOT NULL,
	reason VARCHAR(400) NOT NULL,
	run_id VARCHAR(64) NOT NULL,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL
);

COMMENT ON TABLE cdp_metadata.source_pause IS 'The sources of which nothing starts by itself.';

COMMENT ON COLUMN cdp_metadata.source_pause.source IS 'Source';

COMMENT ON COLUMN cdp_metadata.source_pause.reason IS 'Why it is paused';

COMMENT ON COLUMN cdp_metadata.source_pause.run_id IS 'The run that wrote the row';

COMMENT ON COLUMN cdp_metadata.source_pause.load_ts IS 'When (UTC)';

CREATE TABLE cdp_metadata.stale_partition (
	table_key VARCHAR(120) NOT NULL,
	business_date DATE NOT NULL,
	reason VARCHAR(400) NOT NULL,
	run_id VARCHAR(64) NOT NULL,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL
);

COMMENT ON TABLE cdp_metadata.stale_partition IS 'Loaded partitions that a later load upstream changed; they are to be loaded again.';

COMMENT ON COLUMN cdp_metadata.stale_partition.table_key IS 'schema.table';

COMMENT ON COLUMN cdp_metadata.stale_partition.business_date IS 'Business date';

COMMENT ON COLUMN cdp_metadata.stale_partition.reason IS 'What changed';

COMMENT ON COLUMN cdp_metadata.stale_partition.run_id IS 'The run that wrote the row';

COMMENT ON COLUMN cdp_metadata.stale_partition.load_ts IS 'When (UTC)';

CREATE TABLE cdp_metadata.variable (
	name VARCHAR(60) NOT NULL,
	value VARCHAR(2000),
	origin VARCHAR(400) NOT NULL,
	is_secret BOOLEAN NOT NULL,
	changed_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	run_id VARCHAR(64) NOT NULL,
	load_ts TIMESTAMP WITHOUT TIME ZONE NOT NULL
);

COMMENT ON TABLE cdp_metadata.variable IS 'The settings in effect as `variable_sync` last found them; of a secret, only where it comes from.';

COMMENT ON COLUMN cdp_metadata.variable.name IS 'The variable';

COMMENT ON COLUMN cdp_metadata.variable.value IS 'Its value; of a secret a reference such as env:CDM_TOKEN_KEY';

COMMENT ON COLUMN cdp_metadata.variable.origin IS 'environment, default, or the file and line that sets it';

COMMENT ON COLUMN cdp_metadata.variable.is_secret IS 'Its value is a reference';

COMMENT ON COLUMN cdp_metadata.variable.changed_at IS 'Since when it has this value (UTC)';

COMMENT ON COLUMN cdp_metadata.variable.run_id IS 'The run that wrote the row';

COMMENT ON COLUMN cdp_metadata.variable.load_ts IS 'When (UTC)';

