-- CDM Assets on mssql: 32 tables, 15 of them by business date, and 3 views.
-- `cdm ddl --engine mssql` wrote this from the catalog. `cdm setup` does the same by itself, and
-- later what differs, step by step.
-- sqlcmd -b -I -i THIS_FILE -d DATABASE. The user of CDM_DATABASE must be a member of db_owner.
-- The database: CREATE DATABASE ... COLLATE Latin1_General_100_BIN2_UTF8, on SQL Server 2019 or later. Keys are compared
-- by case and keep every letter only so, and what follows stops in another one.

IF CAST(DATABASEPROPERTYEX(DB_NAME(), 'Collation') AS NVARCHAR(128)) <> N'Latin1_General_100_BIN2_UTF8'
    THROW 50000, N'The collation of this database is not Latin1_General_100_BIN2_UTF8; create one that has it.', 1
GO

-- Readers neither wait for loads nor keep them waiting.
IF (SELECT is_read_committed_snapshot_on FROM sys.databases WHERE database_id = DB_ID()) = 0
    ALTER DATABASE CURRENT SET READ_COMMITTED_SNAPSHOT ON WITH ROLLBACK IMMEDIATE
GO

-- ----------------------------------------------------------------------------------------------------
-- Schemas
-- ----------------------------------------------------------------------------------------------------

CREATE SCHEMA cdm_ingest_db
GO

CREATE SCHEMA cdm_publish_db
GO

CREATE SCHEMA cdp_metadata
GO

CREATE SCHEMA cs_360_db
GO

CREATE SCHEMA itf
GO

CREATE SCHEMA ldz
GO

CREATE SCHEMA rdv
GO

-- ----------------------------------------------------------------------------------------------------
-- ldz: landing zone, what each source sent, typed
-- ----------------------------------------------------------------------------------------------------

CREATE TABLE ldz.ldz_assortment (
	business_date DATE NOT NULL,
	customer_id NVARCHAR(8) NOT NULL,
	product_id NVARCHAR(8) NOT NULL,
	position BIGINT NULL,
	weight NUMERIC(8, 3) NULL,
	since DATE NULL,
	changed_at DATETIME2(6) NULL,
	is_pinned BIT NULL,
	source_file NVARCHAR(400) NOT NULL,
	source_row BIGINT NOT NULL,
	extra VARCHAR(max) NULL,
	load_ts DATETIME2(6) NOT NULL,
	run_id VARCHAR(64) NOT NULL
)
GO

CREATE CLUSTERED INDEX cx_ldz_assortment ON ldz.ldz_assortment (business_date)
GO

execute sp_addextendedproperty 'MS_Description', N'Which customer is shown which product, as Parquet, the whole list every day.', 'SCHEMA', ldz, 'TABLE', ldz_assortment
GO

execute sp_addextendedproperty 'MS_Description', N'Business date', 'SCHEMA', ldz, 'TABLE', ldz_assortment, 'COLUMN', business_date
GO

execute sp_addextendedproperty 'MS_Description', N'File, relative to the landing root', 'SCHEMA', ldz, 'TABLE', ldz_assortment, 'COLUMN', source_file
GO

execute sp_addextendedproperty 'MS_Description', N'Record in the file, from 1', 'SCHEMA', ldz, 'TABLE', ldz_assortment, 'COLUMN', source_row
GO

execute sp_addextendedproperty 'MS_Description', N'Columns of the file that are not declared, as JSON', 'SCHEMA', ldz, 'TABLE', ldz_assortment, 'COLUMN', extra
GO

execute sp_addextendedproperty 'MS_Description', N'When the row was loaded (UTC)', 'SCHEMA', ldz, 'TABLE', ldz_assortment, 'COLUMN', load_ts
GO

execute sp_addextendedproperty 'MS_Description', N'The run that loaded the row', 'SCHEMA', ldz, 'TABLE', ldz_assortment, 'COLUMN', run_id
GO

CREATE TABLE ldz.ldz_customer (
	business_date DATE NOT NULL,
	customer_id NVARCHAR(8) NOT NULL,
	name NVARCHAR(20) NOT NULL,
	status NVARCHAR(10) NULL,
	email NVARCHAR(40) NULL,
	phone NVARCHAR(15) NULL,
	age BIGINT NULL,
	credit NUMERIC(12, 2) NULL,
	born DATE NULL,
	joined DATE NULL,
	seen_at DATETIME2(6) NULL,
	is_member BIT NULL,
	source_file NVARCHAR(400) NOT NULL,
	source_row BIGINT NOT NULL,
	extra VARCHAR(max) NULL,
	load_ts DATETIME2(6) NOT NULL,
	run_id VARCHAR(64) NOT NULL
)
GO

CREATE CLUSTERED INDEX cx_ldz_customer ON ldz.ldz_customer (business_date)
GO

execute sp_addextendedproperty 'MS_Description', N'Customers, the whole list every day.', 'SCHEMA', ldz, 'TABLE', ldz_customer
GO

execute sp_addextendedproperty 'MS_Description', N'Business date', 'SCHEMA', ldz, 'TABLE', ldz_customer, 'COLUMN', business_date
GO

execute sp_addextendedproperty 'MS_Description', N'File, relative to the landing root', 'SCHEMA', ldz, 'TABLE', ldz_customer, 'COLUMN', source_file
GO

execute sp_addextendedproperty 'MS_Description', N'Record in the file, from 1', 'SCHEMA', ldz, 'TABLE', ldz_customer, 'COLUMN', source_row
GO

execute sp_addextendedproperty 'MS_Description', N'Columns of the file that are not declared, as JSON', 'SCHEMA', ldz, 'TABLE', ldz_customer, 'COLUMN', extra
GO

execute sp_addextendedproperty 'MS_Description', N'When the row was loaded (UTC)', 'SCHEMA', ldz, 'TABLE', ldz_customer, 'COLUMN', load_ts
GO

execute sp_addextendedproperty 'MS_Description', N'The run that loaded the row', 'SCHEMA', ldz, 'TABLE', ldz_customer, 'COLUMN', run_id
GO

CREATE TABLE ldz.ldz_product (
	business_date DATE NOT NULL,
	product_id NVARCHAR(8) NOT NULL,
	label NVARCHAR(20) NULL,
	price NUMERIC(8, 2) NULL,
	source_file NVARCHAR(400) NOT NULL,
	source_row BIGINT NOT NULL,
	extra VARCHAR(max) NULL,
	load_ts DATETIME2(6) NOT NULL,
	run_id VARCHAR(64) NOT NULL
)
GO

CREATE CLUSTERED INDEX cx_ldz_product ON ldz.ldz_product (business_date)
GO

execute sp_addextendedproperty 'MS_Description', N'Changed articles.', 'SCHEMA', ldz, 'TABLE', ldz_product
GO

execute sp_addextendedproperty 'MS_Description', N'Business date', 'SCHEMA', ldz, 'TABLE', ldz_product, 'COLUMN', business_date
GO

execute sp_addextendedproperty 'MS_Description', N'File, relative to the landing root', 'SCHEMA', ldz, 'TABLE', ldz_product, 'COLUMN', source_file
GO

execute sp_addextendedproperty 'MS_Description', N'Record in the file, from 1', 'SCHEMA', ldz, 'TABLE', ldz_product, 'COLUMN', source_row
GO

execute sp_addextendedproperty 'MS_Description', N'Columns of the file that are not declared, as JSON', 'SCHEMA', ldz, 'TABLE', ldz_product, 'COLUMN', extra
GO

execute sp_addextendedproperty 'MS_Description', N'When the row was loaded (UTC)', 'SCHEMA', ldz, 'TABLE', ldz_product, 'COLUMN', load_ts
GO

execute sp_addextendedproperty 'MS_Description', N'The run that loaded the row', 'SCHEMA', ldz, 'TABLE', ldz_product, 'COLUMN', run_id
GO

CREATE TABLE ldz.ldz_purchase (
	business_date DATE NOT NULL,
	purchase_id NVARCHAR(12) NOT NULL,
	customer_id NVARCHAR(8) NOT NULL,
	product_id NVARCHAR(8) NOT NULL,
	amount NUMERIC(12, 2) NOT NULL,
	bought_at DATETIME2(6) NOT NULL,
	source_file NVARCHAR(400) NOT NULL,
	source_row BIGINT NOT NULL,
	extra VARCHAR(max) NULL,
	load_ts DATETIME2(6) NOT NULL,
	run_id VARCHAR(64) NOT NULL
)
GO

CREATE CLUSTERED INDEX cx_ldz_purchase ON ldz.ldz_purchase (business_date)
GO

execute sp_addextendedproperty 'MS_Description', N'Purchases; no file on days the shops are closed.', 'SCHEMA', ldz, 'TABLE', ldz_purchase
GO

execute sp_addextendedproperty 'MS_Description', N'Business date', 'SCHEMA', ldz, 'TABLE', ldz_purchase, 'COLUMN', business_date
GO

execute sp_addextendedproperty 'MS_Description', N'File, relative to the landing root', 'SCHEMA', ldz, 'TABLE', ldz_purchase, 'COLUMN', source_file
GO

execute sp_addextendedproperty 'MS_Description', N'Record in the file, from 1', 'SCHEMA', ldz, 'TABLE', ldz_purchase, 'COLUMN', source_row
GO

execute sp_addextendedproperty 'MS_Description', N'Columns of the file that are not declared, as JSON', 'SCHEMA', ldz, 'TABLE', ldz_purchase, 'COLUMN', extra
GO

execute sp_addextendedproperty 'MS_Description', N'When the row was loaded (UTC)', 'SCHEMA', ldz, 'TABLE', ldz_purchase, 'COLUMN', load_ts
GO

execute sp_addextendedproperty 'MS_Description', N'The run that loaded the row', 'SCHEMA', ldz, 'TABLE', ldz_purchase, 'COLUMN', run_id
GO

CREATE TABLE ldz.ldz_score (
	business_date DATE NOT NULL,
	customer_id NVARCHAR(8) NOT NULL,
	score_date DATE NOT NULL,
	points BIGINT NULL,
	source_file NVARCHAR(400) NOT NULL,
	source_row BIGINT NOT NULL,
	extra VARCHAR(max) NULL,
	load_ts DATETIME2(6) NOT NULL,
	run_id VARCHAR(64) NOT NULL
)
GO

CREATE CLUSTERED INDEX cx_ldz_score ON ldz.ldz_score (business_date)
GO

execute sp_addextendedproperty 'MS_Description', N'Scores that models write.', 'SCHEMA', ldz, 'TABLE', ldz_score
GO

execute sp_addextendedproperty 'MS_Description', N'Business date', 'SCHEMA', ldz, 'TABLE', ldz_score, 'COLUMN', business_date
GO

execute sp_addextendedproperty 'MS_Description', N'File, relative to the landing root', 'SCHEMA', ldz, 'TABLE', ldz_score, 'COLUMN', source_file
GO

execute sp_addextendedproperty 'MS_Description', N'Record in the file, from 1', 'SCHEMA', ldz, 'TABLE', ldz_score, 'COLUMN', source_row
GO

execute sp_addextendedproperty 'MS_Description', N'Columns of the file that are not declared, as JSON', 'SCHEMA', ldz, 'TABLE', ldz_score, 'COLUMN', extra
GO

execute sp_addextendedproperty 'MS_Description', N'When the row was loaded (UTC)', 'SCHEMA', ldz, 'TABLE', ldz_score, 'COLUMN', load_ts
GO

execute sp_addextendedproperty 'MS_Description', N'The run that loaded the row', 'SCHEMA', ldz, 'TABLE', ldz_score, 'COLUMN', run_id
GO

-- ----------------------------------------------------------------------------------------------------
-- rdv: raw data vault: hubs (h_), links (l_) and satellites (s_)
-- ----------------------------------------------------------------------------------------------------

CREATE TABLE rdv.h_customer (
	business_date DATE NOT NULL,
	customer_hk VARCHAR(32) NOT NULL,
	customer_id NVARCHAR(8) NOT NULL,
	rec_src VARCHAR(60) NOT NULL,
	load_ts DATETIME2(6) NOT NULL,
	run_id VARCHAR(64) NOT NULL
)
GO

CREATE CLUSTERED INDEX cx_h_customer ON rdv.h_customer (business_date)
GO

CREATE INDEX ix_h_customer ON rdv.h_customer (customer_hk)
GO

execute sp_addextendedproperty 'MS_Description', N'A customer.', 'SCHEMA', rdv, 'TABLE', h_customer
GO

execute sp_addextendedproperty 'MS_Description', N'First date any source sent the key', 'SCHEMA', rdv, 'TABLE', h_customer, 'COLUMN', business_date
GO

execute sp_addextendedproperty 'MS_Description', N'Hash key of customer', 'SCHEMA', rdv, 'TABLE', h_customer, 'COLUMN', customer_hk
GO

execute sp_addextendedproperty 'MS_Description', N'Source of the row', 'SCHEMA', rdv, 'TABLE', h_customer, 'COLUMN', rec_src
GO

execute sp_addextendedproperty 'MS_Description', N'When the row was loaded (UTC)', 'SCHEMA', rdv, 'TABLE', h_customer, 'COLUMN', load_ts
GO

execute sp_addextendedproperty 'MS_Description', N'The run that loaded the row', 'SCHEMA', rdv, 'TABLE', h_customer, 'COLUMN', run_id
GO

CREATE TABLE rdv.h_product (
	business_date DATE NOT NULL,
	product_hk VARCHAR(32) NOT NULL,
	product_id NVARCHAR(8) NOT NULL,
	rec_src VARCHAR(60) NOT NULL,
	load_ts DATETIME2(6) NOT NULL,
	run_id VARCHAR(64) NOT NULL
)
GO

CREATE CLUSTERED INDEX cx_h_product ON rdv.h_product (business_date)
GO

CREATE INDEX ix_h_product ON rdv.h_product (product_hk)
GO

execute sp_addextendedproperty 'MS_Description', N'An article.', 'SCHEMA', rdv, 'TABLE', h_product
GO

execute sp_addextendedproperty 'MS_Description', N'First date any source sent the key', 'SCHEMA', rdv, 'TABLE', h_product, 'COLUMN', business_date
GO

execute sp_addextendedproperty 'MS_Description', N'Hash key of product', 'SCHEMA', rdv, 'TABLE', h_product, 'COLUMN', product_hk
GO

execute sp_addextendedproperty 'MS_Description', N'Source of the row', 'SCHEMA', rdv, 'TABLE', h_product, 'COLUMN', rec_src
GO

execute sp_addextendedproperty 'MS_Description', N'When the row was loaded (UTC)', 'SCHEMA', rdv, 'TABLE', h_product, 'COLUMN', load_ts
GO

execute sp_addextendedproperty 'MS_Description', N'The run that loaded the row', 'SCHEMA', rdv, 'TABLE', h_product, 'COLUMN', run_id
GO

CREATE TABLE rdv.l_assortment (
	business_date DATE NOT NULL,
	assortment_hk VARCHAR(32) NOT NULL,
	customer_hk VARCHAR(32) NOT NULL,
	product_hk VARCHAR(32) NOT NULL,
	rec_src VARCHAR(60) NOT NULL,
	load_ts DATETIME2(6) NOT NULL,
	run_id VARCHAR(64) NOT NULL
)
GO

CREATE CLUSTERED INDEX cx_l_assortment ON rdv.l_assortment (business_date)
GO

CREATE INDEX ix_l_assortment ON rdv.l_assortment (assortment_hk)
GO

execute sp_addextendedproperty 'MS_Description', N'Shown products.', 'SCHEMA', rdv, 'TABLE', l_assortment
GO

execute sp_addextendedproperty 'MS_Description', N'First date any source sent the relation', 'SCHEMA', rdv, 'TABLE', l_assortment, 'COLUMN', business_date
GO

execute sp_addextendedproperty 'MS_Description', N'Hash key of assortment', 'SCHEMA', rdv, 'TABLE', l_assortment, 'COLUMN', assortment_hk
GO

execute sp_addextendedproperty 'MS_Description', N'Hash key of customer', 'SCHEMA', rdv, 'TABLE', l_assortment, 'COLUMN', customer_hk
GO

execute sp_addextendedproperty 'MS_Description', N'Hash key of product', 'SCHEMA', rdv, 'TABLE', l_assortment, 'COLUMN', product_hk
GO

execute sp_addextendedproperty 'MS_Description', N'Source of the row', 'SCHEMA', rdv, 'TABLE', l_assortment, 'COLUMN', rec_src
GO

execute sp_addextendedproperty 'MS_Description', N'When the row was loaded (UTC)', 'SCHEMA', rdv, 'TABLE', l_assortment, 'COLUMN', load_ts
GO

execute sp_addextendedproperty 'MS_Description', N'The run that loaded the row', 'SCHEMA', rdv, 'TABLE', l_assortment, 'COLUMN', run_id
GO

CREATE TABLE rdv.l_purchase (
	business_date DATE NOT NULL,
	purchase_hk VARCHAR(32) NOT NULL,
	customer_hk VARCHAR(32) NOT NULL,
	product_hk VARCHAR(32) NOT NULL,
	event_date DATE NOT NULL,
	purchase_id NVARCHAR(12) NOT NULL,
	amount NUMERIC(12, 2) NOT NULL,
	bought_at DATETIME2(6) NOT NULL,
	rec_src VARCHAR(60) NOT NULL,
	load_ts DATETIME2(6) NOT NULL,
	run_id VARCHAR(64) NOT NULL
)
GO

CREATE CLUSTERED INDEX cx_l_purchase ON rdv.l_purchase (business_date)
GO

CREATE INDEX ix_l_purchase ON rdv.l_purchase (purchase_hk)
GO

execute sp_addextendedproperty 'MS_Description', N'A purchase.', 'SCHEMA', rdv, 'TABLE', l_purchase
GO

execute sp_addextendedproperty 'MS_Description', N'First date a file held the event', 'SCHEMA', rdv, 'TABLE', l_purchase, 'COLUMN', business_date
GO

execute sp_addextendedproperty 'MS_Description', N'Hash key of purchase', 'SCHEMA', rdv, 'TABLE', l_purchase, 'COLUMN', purchase_hk
GO

execute sp_addextendedproperty 'MS_Description', N'Hash key of customer', 'SCHEMA', rdv, 'TABLE', l_purchase, 'COLUMN', customer_hk
GO

execute sp_addextendedproperty 'MS_Description', N'Hash key of product', 'SCHEMA', rdv, 'TABLE', l_purchase, 'COLUMN', product_hk
GO

execute sp_addextendedproperty 'MS_Description', N'Date of the event time', 'SCHEMA', rdv, 'TABLE', l_purchase, 'COLUMN', event_date
GO

execute sp_addextendedproperty 'MS_Description', N'Source of the row', 'SCHEMA', rdv, 'TABLE', l_purchase, 'COLUMN', rec_src
GO

execute sp_addextendedproperty 'MS_Description', N'When the row was loaded (UTC)', 'SCHEMA', rdv, 'TABLE', l_purchase, 'COLUMN', load_ts
GO

execute sp_addextendedproperty 'MS_Description', N'The run that loaded the row', 'SCHEMA', rdv, 'TABLE', l_purchase, 'COLUMN', run_id
GO

CREATE TABLE rdv.s_assortment_details (
	business_date DATE NOT NULL,
	assortment_hk VARCHAR(32) NOT NULL,
	is_listed BIT NOT NULL,
	hashdiff VARCHAR(32) NOT NULL,
	position BIGINT NULL,
	weight NUMERIC(8, 3) NULL,
	since DATE NULL,
	changed_at DATETIME2(6) NULL,
	is_pinned BIT NULL,
	rec_src VARCHAR(60) NOT NULL,
	load_ts DATETIME2(6) NOT NULL,
	run_id VARCHAR(64) NOT NULL
)
GO

CREATE CLUSTERED INDEX cx_s_assortment_details ON rdv.s_assortment_details (business_date)
GO

CREATE INDEX ix_s_assortment_details ON rdv.s_assortment_details (assortment_hk, business_date)
GO

execute sp_addextendedproperty 'MS_Description', N'History of assortment as source assortment tells it.', 'SCHEMA', rdv, 'TABLE', s_assortment_details
GO

execute sp_addextendedproperty 'MS_Description', N'First date with these values', 'SCHEMA', rdv, 'TABLE', s_assortment_details, 'COLUMN', business_date
GO

execute sp_addextendedproperty 'MS_Description', N'Hash key of assortment', 'SCHEMA', rdv, 'TABLE', s_assortment_details, 'COLUMN', assortment_hk
GO

execute sp_addextendedproperty 'MS_Description', N'False: no longer listed by a snapshot', 'SCHEMA', rdv, 'TABLE', s_assortment_details, 'COLUMN', is_listed
GO

execute sp_addextendedproperty 'MS_Description', N'Hash of the attributes', 'SCHEMA', rdv, 'TABLE', s_assortment_details, 'COLUMN', hashdiff
GO

execute sp_addextendedproperty 'MS_Description', N'Source of the row', 'SCHEMA', rdv, 'TABLE', s_assortment_details, 'COLUMN', rec_src
GO

execute sp_addextendedproperty 'MS_Description', N'When the row was loaded (UTC)', 'SCHEMA', rdv, 'TABLE', s_assortment_details, 'COLUMN', load_ts
GO

execute sp_addextendedproperty 'MS_Description', N'The run that loaded the row', 'SCHEMA', rdv, 'TABLE', s_assortment_details, 'COLUMN', run_id
GO

CREATE TABLE rdv.s_customer_details (
	business_date DATE NOT NULL,
	customer_hk VARCHAR(32) NOT NULL,
	is_listed BIT NOT NULL,
	hashdiff VARCHAR(32) NOT NULL,
	name NVARCHAR(20) NULL,
	status NVARCHAR(10) NULL,
	email NVARCHAR(40) NULL,
	phone NVARCHAR(15) NULL,
	age BIGINT NULL,
	credit NUMERIC(12, 2) NULL,
	born DATE NULL,
	joined DATE NULL,
	seen_at DATETIME2(6) NULL,
	is_member BIT NULL,
	rec_src VARCHAR(60) NOT NULL,
	load_ts DATETIME2(6) NOT NULL,
	run_id VARCHAR(64) NOT NULL
)
GO

CREATE CLUSTERED INDEX cx_s_customer_details ON rdv.s_customer_details (business_date)
GO

CREATE INDEX ix_s_customer_details ON rdv.s_customer_details (customer_hk, business_date)
GO

execute sp_addextendedproperty 'MS_Description', N'History of customer as source customer tells it.', 'SCHEMA', rdv, 'TABLE', s_customer_details
GO

execute sp_addextendedproperty 'MS_Description', N'First date with these values', 'SCHEMA', rdv, 'TABLE', s_customer_details, 'COLUMN', business_date
GO

execute sp_addextendedproperty 'MS_Description', N'Hash key of customer', 'SCHEMA', rdv, 'TABLE', s_customer_details, 'COLUMN', customer_hk
GO

execute sp_addextendedproperty 'MS_Description', N'False: no longer listed by a snapshot', 'SCHEMA', rdv, 'TABLE', s_customer_details, 'COLUMN', is_listed
GO

execute sp_addextendedproperty 'MS_Description', N'Hash of the attributes', 'SCHEMA', rdv, 'TABLE', s_customer_details, 'COLUMN', hashdiff
GO

execute sp_addextendedproperty 'MS_Description', N'Source of the row', 'SCHEMA', rdv, 'TABLE', s_customer_details, 'COLUMN', rec_src
GO

execute sp_addextendedproperty 'MS_Description', N'When the row was loaded (UTC)', 'SCHEMA', rdv, 'TABLE', s_customer_details, 'COLUMN', load_ts
GO

execute sp_addextendedproperty 'MS_Description', N'The run that loaded the row', 'SCHEMA', rdv, 'TABLE', s_customer_details, 'COLUMN', run_id
GO

CREATE TABLE rdv.s_product_details (
	business_date DATE NOT NULL,
	product_hk VARCHAR(32) NOT NULL,
	is_listed BIT NOT NULL,
	hashdiff VARCHAR(32) NOT NULL,
	label NVARCHAR(20) NULL,
	price NUMERIC(8, 2) NULL,
	rec_src VARCHAR(60) NOT NULL,
	load_ts DATETIME2(6) NOT NULL,
	run_id VARCHAR(64) NOT NULL
)
GO

CREATE CLUSTERED INDEX cx_s_product_details ON rdv.s_product_details (business_date)
GO

CREATE INDEX ix_s_product_details ON rdv.s_product_details (product_hk, business_date)
GO

execute sp_addextendedproperty 'MS_Description', N'History of product as source product tells it.', 'SCHEMA', rdv, 'TABLE', s_product_details
GO

execute sp_addextendedproperty 'MS_Description', N'First date with these values', 'SCHEMA', rdv, 'TABLE', s_product_details, 'COLUMN', business_date
GO

execute sp_addextendedproperty 'MS_Description', N'Hash key of product', 'SCHEMA', rdv, 'TABLE', s_product_details, 'COLUMN', product_hk
GO

execute sp_addextendedproperty 'MS_Description', N'False: no longer listed by a snapshot', 'SCHEMA', rdv, 'TABLE', s_product_details, 'COLUMN', is_listed
GO

execute sp_addextendedproperty 'MS_Description', N'Hash of the attributes', 'SCHEMA', rdv, 'TABLE', s_product_details, 'COLUMN', hashdiff
GO

execute sp_addextendedproperty 'MS_Description', N'Source of the row', 'SCHEMA', rdv, 'TABLE', s_product_details, 'COLUMN', rec_src
GO

execute sp_addextendedproperty 'MS_Description', N'When the row was loaded (UTC)', 'SCHEMA', rdv, 'TABLE', s_product_details, 'COLUMN', load_ts
GO

execute sp_addextendedproperty 'MS_Description', N'The run that loaded the row', 'SCHEMA', rdv, 'TABLE', s_product_details, 'COLUMN', run_id
GO

-- ----------------------------------------------------------------------------------------------------
-- itf: interface, the canonical rows
-- ----------------------------------------------------------------------------------------------------

CREATE TABLE itf.customer (
	business_date DATE NOT NULL,
	customer_id NVARCHAR(8) NOT NULL,
	email NVARCHAR(40) NULL,
	load_ts DATETIME2(6) NOT NULL,
	run_id VARCHAR(64) NOT NULL
)
GO

CREATE CLUSTERED INDEX cx_customer ON itf.customer (business_date)
GO

execute sp_addextendedproperty 'MS_Description', N'Every customer known on that date.', 'SCHEMA', itf, 'TABLE', customer
GO

execute sp_addextendedproperty 'MS_Description', N'As-of date', 'SCHEMA', itf, 'TABLE', customer, 'COLUMN', business_date
GO

execute sp_addextendedproperty 'MS_Description', N'100% of the customers'' numbers', 'SCHEMA', itf, 'TABLE', customer, 'COLUMN', customer_id
GO

execute sp_addextendedproperty 'MS_Description', N'When the row was loaded (UTC)', 'SCHEMA', itf, 'TABLE', customer, 'COLUMN', load_ts
GO

execute sp_addextendedproperty 'MS_Description', N'The run that loaded the row', 'SCHEMA', itf, 'TABLE', customer, 'COLUMN', run_id
GO

-- ----------------------------------------------------------------------------------------------------
-- cs_360_db: one row a customer, campaign or flowchart
-- ----------------------------------------------------------------------------------------------------

CREATE TABLE cs_360_db.customer_360 (
	business_date DATE NOT NULL,
	customer_id NVARCHAR(8) NOT NULL,
	email NVARCHAR(40) NULL,
	spent NUMERIC(18, 2) NOT NULL,
	load_ts DATETIME2(6) NOT NULL,
	run_id VARCHAR(64) NOT NULL
)
GO

CREATE CLUSTERED INDEX cx_customer_360 ON cs_360_db.customer_360 (business_date)
GO

execute sp_addextendedproperty 'MS_Description', N'All that is known of each customer.', 'SCHEMA', cs_360_db, 'TABLE', customer_360
GO

execute sp_addextendedproperty 'MS_Description', N'Business date', 'SCHEMA', cs_360_db, 'TABLE', customer_360, 'COLUMN', business_date
GO

execute sp_addextendedproperty 'MS_Description', N'When the row was loaded (UTC)', 'SCHEMA', cs_360_db, 'TABLE', customer_360, 'COLUMN', load_ts
GO

execute sp_addextendedproperty 'MS_Description', N'The run that loaded the row', 'SCHEMA', cs_360_db, 'TABLE', customer_360, 'COLUMN', run_id
GO

-- ----------------------------------------------------------------------------------------------------
-- cdm_publish_db: what analysts and models read
-- ----------------------------------------------------------------------------------------------------

CREATE TABLE cdm_publish_db.customer_360 (
	business_date DATE NOT NULL,
	customer_id NVARCHAR(8) NOT NULL,
	email NVARCHAR(64) NULL,
	spent NUMERIC(18, 2) NOT NULL,
	load_ts DATETIME2(6) NOT NULL,
	run_id VARCHAR(64) NOT NULL
)
GO

CREATE CLUSTERED INDEX cx_customer_360 ON cdm_publish_db.customer_360 (business_date)
GO

execute sp_addextendedproperty 'MS_Description', N'All that is known of each customer. Only dates whose blocking checks passed; direct and sensitive columns tokenized.', 'SCHEMA', cdm_publish_db, 'TABLE', customer_360
GO

execute sp_addextendedproperty 'MS_Description', N'Business date', 'SCHEMA', cdm_publish_db, 'TABLE', customer_360, 'COLUMN', business_date
GO

execute sp_addextendedproperty 'MS_Description', N'When the row was loaded (UTC)', 'SCHEMA', cdm_publish_db, 'TABLE', customer_360, 'COLUMN', load_ts
GO

execute sp_addextendedproperty 'MS_Description', N'The run that loaded the row', 'SCHEMA', cdm_publish_db, 'TABLE', customer_360, 'COLUMN', run_id
GO

CREATE OR ALTER VIEW cdm_publish_db.customer_360_current AS
SELECT
	business_date,
	customer_id,
	email,
	spent,
	load_ts,
	run_id
FROM cdm_publish_db.customer_360
WHERE business_date = (SELECT max(latest.business_date) FROM cdm_publish_db.customer_360 latest)
GO

CREATE OR ALTER VIEW cdm_publish_db.customer_360_viewer AS
SELECT
	business_date,
	customer_id,
	spent,
	load_ts,
	run_id
FROM cdm_publish_db.customer_360
GO

CREATE OR ALTER VIEW cdm_publish_db.customer_360_viewer_current AS
SELECT
	business_date,
	customer_id,
	spent,
	load_ts,
	run_id
FROM cdm_publish_db.customer_360
WHERE business_date = (SELECT max(latest.business_date) FROM cdm_publish_db.customer_360 latest)
GO

-- ----------------------------------------------------------------------------------------------------
-- cdm_ingest_db: what models write
-- ----------------------------------------------------------------------------------------------------

CREATE TABLE cdm_ingest_db.score (
	customer_id NVARCHAR(8) NULL,
	business_date DATE NOT NULL,
	points BIGINT NULL
)
GO

CREATE CLUSTERED INDEX cx_score ON cdm_ingest_db.score (business_date)
GO

execute sp_addextendedproperty 'MS_Description', N'Scores that models write.', 'SCHEMA', cdm_ingest_db, 'TABLE', score
GO

-- ----------------------------------------------------------------------------------------------------
-- cdp_metadata: control tables of the platform
-- ----------------------------------------------------------------------------------------------------

CREATE TABLE cdp_metadata.alert (
	kind NVARCHAR(40) NOT NULL,
	source NVARCHAR(60) NOT NULL,
	business_date DATE NOT NULL,
	message NVARCHAR(2000) NOT NULL,
	opened_at DATETIME2(6) NOT NULL,
	closed_at DATETIME2(6) NULL,
	run_id NVARCHAR(64) NOT NULL,
	load_ts DATETIME2(6) NOT NULL
)
GO

execute sp_addextendedproperty 'MS_Description', N'What people have to know about a file: opened once, closed once when it is over.', 'SCHEMA', cdp_metadata, 'TABLE', alert
GO

execute sp_addextendedproperty 'MS_Description', N'missing file, withdrawn file or late events', 'SCHEMA', cdp_metadata, 'TABLE', alert, 'COLUMN', kind
GO

execute sp_addextendedproperty 'MS_Description', N'Source', 'SCHEMA', cdp_metadata, 'TABLE', alert, 'COLUMN', source
GO

execute sp_addextendedproperty 'MS_Description', N'Business date', 'SCHEMA', cdp_metadata, 'TABLE', alert, 'COLUMN', business_date
GO

execute sp_addextendedproperty 'MS_Description', N'What happened, whom to ask and what is affected', 'SCHEMA', cdp_metadata, 'TABLE', alert, 'COLUMN', message
GO

execute sp_addextendedproperty 'MS_Description', N'When (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', alert, 'COLUMN', opened_at
GO

execute sp_addextendedproperty 'MS_Description', N'When it was over (UTC); empty while it is open', 'SCHEMA', cdp_metadata, 'TABLE', alert, 'COLUMN', closed_at
GO

execute sp_addextendedproperty 'MS_Description', N'The run that wrote the row', 'SCHEMA', cdp_metadata, 'TABLE', alert, 'COLUMN', run_id
GO

execute sp_addextendedproperty 'MS_Description', N'When (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', alert, 'COLUMN', load_ts
GO

CREATE TABLE cdp_metadata.calendar (
	business_date DATE NOT NULL
)
GO

execute sp_addextendedproperty 'MS_Description', N'Every date from the platform''s first to far beyond its last.', 'SCHEMA', cdp_metadata, 'TABLE', calendar
GO

execute sp_addextendedproperty 'MS_Description', N'Business date', 'SCHEMA', cdp_metadata, 'TABLE', calendar, 'COLUMN', business_date
GO

CREATE TABLE cdp_metadata.check_result (
	table_key NVARCHAR(120) NOT NULL,
	check_name NVARCHAR(60) NOT NULL,
	business_date DATE NOT NULL,
	passed BIT NOT NULL,
	blocks BIT NOT NULL,
	message NVARCHAR(2000) NULL,
	run_id NVARCHAR(64) NOT NULL,
	load_ts DATETIME2(6) NOT NULL
)
GO

CREATE INDEX ix_check_result ON cdp_metadata.check_result (table_key, business_date)
GO

execute sp_addextendedproperty 'MS_Description', N'The last result of each check of each partition.', 'SCHEMA', cdp_metadata, 'TABLE', check_result
GO

execute sp_addextendedproperty 'MS_Description', N'schema.table', 'SCHEMA', cdp_metadata, 'TABLE', check_result, 'COLUMN', table_key
GO

execute sp_addextendedproperty 'MS_Description', N'Check', 'SCHEMA', cdp_metadata, 'TABLE', check_result, 'COLUMN', check_name
GO

execute sp_addextendedproperty 'MS_Description', N'Business date', 'SCHEMA', cdp_metadata, 'TABLE', check_result, 'COLUMN', business_date
GO

execute sp_addextendedproperty 'MS_Description', N'Whether it passed', 'SCHEMA', cdp_metadata, 'TABLE', check_result, 'COLUMN', passed
GO

execute sp_addextendedproperty 'MS_Description', N'Failed, and stops what depends on it', 'SCHEMA', cdp_metadata, 'TABLE', check_result, 'COLUMN', blocks
GO

execute sp_addextendedproperty 'MS_Description', N'What failed', 'SCHEMA', cdp_metadata, 'TABLE', check_result, 'COLUMN', message
GO

execute sp_addextendedproperty 'MS_Description', N'The run that wrote the row', 'SCHEMA', cdp_metadata, 'TABLE', check_result, 'COLUMN', run_id
GO

execute sp_addextendedproperty 'MS_Description', N'When (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', check_result, 'COLUMN', load_ts
GO

CREATE TABLE cdp_metadata.ddl_step (
	plan_id NVARCHAR(20) NOT NULL,
	step_number BIGINT NOT NULL,
	kind NVARCHAR(40) NOT NULL,
	object_name NVARCHAR(400) NOT NULL,
	statement VARCHAR(max) NOT NULL,
	state NVARCHAR(20) NOT NULL,
	message NVARCHAR(2000) NULL,
	stored_as NVARCHAR(64) NULL,
	started_at DATETIME2(6) NULL,
	ended_at DATETIME2(6) NULL,
	run_id NVARCHAR(64) NOT NULL,
	load_ts DATETIME2(6) NOT NULL
)
GO

execute sp_addextendedproperty 'MS_Description', N'Every step in which the database was made what the catalog declares, the latest of each plan.', 'SCHEMA', cdp_metadata, 'TABLE', ddl_step
GO

execute sp_addextendedproperty 'MS_Description', N'Fingerprint of its plan; `create` where a load created what lacked', 'SCHEMA', cdp_metadata, 'TABLE', ddl_step, 'COLUMN', plan_id
GO

execute sp_addextendedproperty 'MS_Description', N'Place in the plan, from 1', 'SCHEMA', cdp_metadata, 'TABLE', ddl_step, 'COLUMN', step_number
GO

execute sp_addextendedproperty 'MS_Description', N'create table, add column, grant, ...', 'SCHEMA', cdp_metadata, 'TABLE', ddl_step, 'COLUMN', kind
GO

execute sp_addextendedproperty 'MS_Description', N'What it creates or changes', 'SCHEMA', cdp_metadata, 'TABLE', ddl_step, 'COLUMN', object_name
GO

execute sp_addextendedproperty 'MS_Description', N'What is run', 'SCHEMA', cdp_metadata, 'TABLE', ddl_step, 'COLUMN', statement
GO

execute sp_addextendedproperty 'MS_Description', N'planned, done, failed, or superseded by a later plan', 'SCHEMA', cdp_metadata, 'TABLE', ddl_step, 'COLUMN', state
GO

execute sp_addextendedproperty 'MS_Description', N'Why it failed', 'SCHEMA', cdp_metadata, 'TABLE', ddl_step, 'COLUMN', message
GO

execute sp_addextendedproperty 'MS_Description', N'Hash of a view''s text as the database keeps it', 'SCHEMA', cdp_metadata, 'TABLE', ddl_step, 'COLUMN', stored_as
GO

execute sp_addextendedproperty 'MS_Description', N'When (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', ddl_step, 'COLUMN', started_at
GO

execute sp_addextendedproperty 'MS_Description', N'When (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', ddl_step, 'COLUMN', ended_at
GO

execute sp_addextendedproperty 'MS_Description', N'The run that wrote the row', 'SCHEMA', cdp_metadata, 'TABLE', ddl_step, 'COLUMN', run_id
GO

execute sp_addextendedproperty 'MS_Description', N'When (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', ddl_step, 'COLUMN', load_ts
GO

CREATE TABLE cdp_metadata.etl_date_control (
	source NVARCHAR(60) NOT NULL,
	uses_business_or_timestamp NVARCHAR(1) NOT NULL,
	earliest_date DATE NULL,
	previous_business_date DATE NOT NULL,
	current_business_date DATE NULL,
	next_business_date DATE NOT NULL,
	previous_start_time DATETIME2(6) NULL,
	current_start_time DATETIME2(6) NULL,
	run_id NVARCHAR(64) NOT NULL,
	load_ts DATETIME2(6) NOT NULL
)
GO

execute sp_addextendedproperty 'MS_Description', N'How far each source is: the business dates a run may be for, from Day 0 to the next one.', 'SCHEMA', cdp_metadata, 'TABLE', etl_date_control
GO

execute sp_addextendedproperty 'MS_Description', N'Source', 'SCHEMA', cdp_metadata, 'TABLE', etl_date_control, 'COLUMN', source
GO

execute sp_addextendedproperty 'MS_Description', N'B: cut by business date. T: by the time of its events', 'SCHEMA', cdp_metadata, 'TABLE', etl_date_control, 'COLUMN', uses_business_or_timestamp
GO

execute sp_addextendedproperty 'MS_Description', N'Day 0: the earliest date it has data of', 'SCHEMA', cdp_metadata, 'TABLE', etl_date_control, 'COLUMN', earliest_date
GO

execute sp_addextendedproperty 'MS_Description', N'Last date of the run before; on Day 0 the day before its earliest', 'SCHEMA', cdp_metadata, 'TABLE', etl_date_control, 'COLUMN', previous_business_date
GO

execute sp_addextendedproperty 'MS_Description', N'Newest date that was loaded', 'SCHEMA', cdp_metadata, 'TABLE', etl_date_control, 'COLUMN', current_business_date
GO

execute sp_addextendedproperty 'MS_Description', N'The date with which the next run begins at the latest', 'SCHEMA', cdp_metadata, 'TABLE', etl_date_control, 'COLUMN', next_business_date
GO

execute sp_addextendedproperty 'MS_Description', N'When the run before the latest one began (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', etl_date_control, 'COLUMN', previous_start_time
GO

execute sp_addextendedproperty 'MS_Description', N'When the latest run that went forward began (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', etl_date_control, 'COLUMN', current_start_time
GO

execute sp_addextendedproperty 'MS_Description', N'The run that wrote the row', 'SCHEMA', cdp_metadata, 'TABLE', etl_date_control, 'COLUMN', run_id
GO

execute sp_addextendedproperty 'MS_Description', N'When (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', etl_date_control, 'COLUMN', load_ts
GO

CREATE TABLE cdp_metadata.incident (
	incident_id BIGINT NOT NULL,
	cause_key NVARCHAR(300) NOT NULL,
	kind NVARCHAR(40) NOT NULL,
	code NVARCHAR(20) NOT NULL,
	severity NVARCHAR(10) NOT NULL,
	pipeline NVARCHAR(60) NOT NULL,
	layer NVARCHAR(40) NOT NULL,
	table_key NVARCHAR(120) NULL,
	first_date DATE NULL,
	last_date DATE NULL,
	occurrences BIGINT NOT NULL,
	title NVARCHAR(400) NOT NULL,
	message NVARCHAR(2000) NOT NULL,
	failing_run_id NVARCHAR(64) NULL,
	run_url NVARCHAR(400) NULL,
	asset_url NVARCHAR(400) NULL,
	owner NVARCHAR(200) NOT NULL,
	on_call NVARCHAR(200) NULL,
	state NVARCHAR(20) NOT NULL,
	opened_at DATETIME2(6) NOT NULL,
	last_seen_at DATETIME2(6) NOT NULL,
	respond_by DATETIME2(6) NOT NULL,
	resolve_by DATETIME2(6) NOT NULL,
	acknowledged_at DATETIME2(6) NULL,
	acknowledged_by NVARCHAR(200) NULL,
	resolved_at DATETIME2(6) NULL,
	resolved_by NVARCHAR(200) NULL,
	note NVARCHAR(2000) NULL,
	escalated_steps BIGINT NOT NULL,
	run_id NVARCHAR(64) NOT NULL,
	load_ts DATETIME2(6) NOT NULL
)
GO

execute sp_addextendedproperty 'MS_Description', N'What somebody has to look after: all failures of one cause, from its opening to its resolution.', 'SCHEMA', cdp_metadata, 'TABLE', incident
GO

execute sp_addextendedproperty 'MS_Description', N'Number of the incident, from 1', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', incident_id
GO

execute sp_addextendedproperty 'MS_Description', N'Kind, code and place of the cause; at most one open incident has it', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', cause_key
GO

execute sp_addextendedproperty 'MS_Description', N'run failure, blocking check, missing file, missed deadline, ...', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', kind
GO

execute sp_addextendedproperty 'MS_Description', N'Error code; `cdm runbook CODE` explains it', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', code
GO

execute sp_addextendedproperty 'MS_Description', N'critical, major or minor, from the pipeline', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', severity
GO

execute sp_addextendedproperty 'MS_Description', N'Pipeline of the table that failed', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', pipeline
GO

execute sp_addextendedproperty 'MS_Description', N'Schema of the table that failed', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', layer
GO

execute sp_addextendedproperty 'MS_Description', N'schema.table that failed first; empty where it is none', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', table_key
GO

execute sp_addextendedproperty 'MS_Description', N'Earliest business date that failed', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', first_date
GO

execute sp_addextendedproperty 'MS_Description', N'Latest business date that failed', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', last_date
GO

execute sp_addextendedproperty 'MS_Description', N'Failures counted so far', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', occurrences
GO

execute sp_addextendedproperty 'MS_Description', N'What happened, in one line', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', title
GO

execute sp_addextendedproperty 'MS_Description', N'What the first failure said', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', message
GO

execute sp_addextendedproperty 'MS_Description', N'The run that failed, or that wrote the result', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', failing_run_id
GO

execute sp_addextendedproperty 'MS_Description', N'The run in the UI', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', run_url
GO

execute sp_addextendedproperty 'MS_Description', N'The asset''s partition in the UI', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', asset_url
GO

execute sp_addextendedproperty 'MS_Description', N'The pipeline''s primary owner', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', owner
GO

execute sp_addextendedproperty 'MS_Description', N'Who was on duty when it was opened', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', on_call
GO

execute sp_addextendedproperty 'MS_Description', N'open, acknowledged or resolved', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', state
GO

execute sp_addextendedproperty 'MS_Description', N'When (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', opened_at
GO

execute sp_addextendedproperty 'MS_Description', N'When its latest failure was seen (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', last_seen_at
GO

execute sp_addextendedproperty 'MS_Description', N'Until when it is to be acknowledged (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', respond_by
GO

execute sp_addextendedproperty 'MS_Description', N'Until when it is to be resolved (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', resolve_by
GO

execute sp_addextendedproperty 'MS_Description', N'When (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', acknowledged_at
GO

execute sp_addextendedproperty 'MS_Description', N'By whom', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', acknowledged_by
GO

execute sp_addextendedproperty 'MS_Description', N'When (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', resolved_at
GO

execute sp_addextendedproperty 'MS_Description', N'By whom; `platform` where the cause was over by itself', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', resolved_by
GO

execute sp_addextendedproperty 'MS_Description', N'What those who resolved it wrote', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', note
GO

execute sp_addextendedproperty 'MS_Description', N'Steps of the pipeline''s escalation that were taken', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', escalated_steps
GO

execute sp_addextendedproperty 'MS_Description', N'The run that wrote the row', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', run_id
GO

execute sp_addextendedproperty 'MS_Description', N'When (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', incident, 'COLUMN', load_ts
GO

CREATE TABLE cdp_metadata.incident_message (
	message_id NVARCHAR(100) NOT NULL,
	incident_id BIGINT NOT NULL,
	reason NVARCHAR(40) NOT NULL,
	recipients NVARCHAR(1000) NOT NULL,
	title NVARCHAR(400) NOT NULL,
	body VARCHAR(max) NOT NULL,
	not_before DATETIME2(6) NOT NULL,
	attempts BIGINT NOT NULL,
	next_attempt_at DATETIME2(6) NOT NULL,
	sent_to NVARCHAR(1000) NOT NULL,
	sent_at DATETIME2(6) NULL,
	last_error NVARCHAR(2000) NULL,
	run_id NVARCHAR(64) NOT NULL,
	load_ts DATETIME2(6) NOT NULL
)
GO

execute sp_addextendedproperty 'MS_Description', N'Every message about an incident, kept until each of its addresses has taken it.', 'SCHEMA', cdp_metadata, 'TABLE', incident_message
GO

execute sp_addextendedproperty 'MS_Description', N'Incident, reason and number', 'SCHEMA', cdp_metadata, 'TABLE', incident_message, 'COLUMN', message_id
GO

execute sp_addextendedproperty 'MS_Description', N'Incident', 'SCHEMA', cdp_metadata, 'TABLE', incident_message, 'COLUMN', incident_id
GO

execute sp_addextendedproperty 'MS_Description', N'opened, more, escalated or resolved', 'SCHEMA', cdp_metadata, 'TABLE', incident_message, 'COLUMN', reason
GO

execute sp_addextendedproperty 'MS_Description', N'Names of people and teams, with commas between', 'SCHEMA', cdp_metadata, 'TABLE', incident_message, 'COLUMN', recipients
GO

execute sp_addextendedproperty 'MS_Description', N'Subject', 'SCHEMA', cdp_metadata, 'TABLE', incident_message, 'COLUMN', title
GO

execute sp_addextendedproperty 'MS_Description', N'Text', 'SCHEMA', cdp_metadata, 'TABLE', incident_message, 'COLUMN', body
GO

execute sp_addextendedproperty 'MS_Description', N'Not sent before (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', incident_message, 'COLUMN', not_before
GO

execute sp_addextendedproperty 'MS_Description', N'How often sending was tried', 'SCHEMA', cdp_metadata, 'TABLE', incident_message, 'COLUMN', attempts
GO

execute sp_addextendedproperty 'MS_Description', N'When it is tried again (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', incident_message, 'COLUMN', next_attempt_at
GO

execute sp_addextendedproperty 'MS_Description', N'Fingerprints of the addresses that took it, with commas between', 'SCHEMA', cdp_metadata, 'TABLE', incident_message, 'COLUMN', sent_to
GO

execute sp_addextendedproperty 'MS_Description', N'When all had taken it (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', incident_message, 'COLUMN', sent_at
GO

execute sp_addextendedproperty 'MS_Description', N'Why the last attempt failed', 'SCHEMA', cdp_metadata, 'TABLE', incident_message, 'COLUMN', last_error
GO

execute sp_addextendedproperty 'MS_Description', N'The run that wrote the row', 'SCHEMA', cdp_metadata, 'TABLE', incident_message, 'COLUMN', run_id
GO

execute sp_addextendedproperty 'MS_Description', N'When (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', incident_message, 'COLUMN', load_ts
GO

CREATE TABLE cdp_metadata.incident_occurrence (
	incident_id BIGINT NOT NULL,
	occurrence_key NVARCHAR(400) NOT NULL,
	table_key NVARCHAR(120) NULL,
	business_date DATE NULL,
	message NVARCHAR(2000) NOT NULL,
	seen_at DATETIME2(6) NOT NULL,
	over_at DATETIME2(6) NULL,
	run_id NVARCHAR(64) NOT NULL,
	load_ts DATETIME2(6) NOT NULL
)
GO

execute sp_addextendedproperty 'MS_Description', N'Every single failure that an incident stands for.', 'SCHEMA', cdp_metadata, 'TABLE', incident_occurrence
GO

execute sp_addextendedproperty 'MS_Description', N'Incident', 'SCHEMA', cdp_metadata, 'TABLE', incident_occurrence, 'COLUMN', incident_id
GO

execute sp_addextendedproperty 'MS_Description', N'The same failure has the same key as long as it is there', 'SCHEMA', cdp_metadata, 'TABLE', incident_occurrence, 'COLUMN', occurrence_key
GO

execute sp_addextendedproperty 'MS_Description', N'schema.table', 'SCHEMA', cdp_metadata, 'TABLE', incident_occurrence, 'COLUMN', table_key
GO

execute sp_addextendedproperty 'MS_Description', N'Business date', 'SCHEMA', cdp_metadata, 'TABLE', incident_occurrence, 'COLUMN', business_date
GO

execute sp_addextendedproperty 'MS_Description', N'What failed', 'SCHEMA', cdp_metadata, 'TABLE', incident_occurrence, 'COLUMN', message
GO

execute sp_addextendedproperty 'MS_Description', N'When it was first seen (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', incident_occurrence, 'COLUMN', seen_at
GO

execute sp_addextendedproperty 'MS_Description', N'When it was over (UTC); empty while it is there', 'SCHEMA', cdp_metadata, 'TABLE', incident_occurrence, 'COLUMN', over_at
GO

execute sp_addextendedproperty 'MS_Description', N'The run that wrote the row', 'SCHEMA', cdp_metadata, 'TABLE', incident_occurrence, 'COLUMN', run_id
GO

execute sp_addextendedproperty 'MS_Description', N'When (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', incident_occurrence, 'COLUMN', load_ts
GO

CREATE TABLE cdp_metadata.ingest_export (
	source NVARCHAR(60) NOT NULL,
	business_date DATE NOT NULL,
	rows_written BIGINT NOT NULL,
	fingerprint NVARCHAR(60) NOT NULL,
	run_id NVARCHAR(64) NOT NULL,
	load_ts DATETIME2(6) NOT NULL
)
GO

execute sp_addextendedproperty 'MS_Description', N'What was last written out of each date of the tables of cdm_ingest_db.', 'SCHEMA', cdp_metadata, 'TABLE', ingest_export
GO

execute sp_addextendedproperty 'MS_Description', N'Source whose file it was written to', 'SCHEMA', cdp_metadata, 'TABLE', ingest_export, 'COLUMN', source
GO

execute sp_addextendedproperty 'MS_Description', N'Business date', 'SCHEMA', cdp_metadata, 'TABLE', ingest_export, 'COLUMN', business_date
GO

execute sp_addextendedproperty 'MS_Description', N'Records written', 'SCHEMA', cdp_metadata, 'TABLE', ingest_export, 'COLUMN', rows_written
GO

execute sp_addextendedproperty 'MS_Description', N'Of the date''s rows: another one means that they have changed', 'SCHEMA', cdp_metadata, 'TABLE', ingest_export, 'COLUMN', fingerprint
GO

execute sp_addextendedproperty 'MS_Description', N'The run that wrote the row', 'SCHEMA', cdp_metadata, 'TABLE', ingest_export, 'COLUMN', run_id
GO

execute sp_addextendedproperty 'MS_Description', N'When (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', ingest_export, 'COLUMN', load_ts
GO

CREATE TABLE cdp_metadata.landing_file (
	source NVARCHAR(60) NOT NULL,
	business_date DATE NOT NULL,
	file_name NVARCHAR(400) NOT NULL,
	state NVARCHAR(20) NOT NULL,
	arrived_at DATETIME2(6) NOT NULL,
	size_bytes BIGINT NOT NULL,
	sha256 NVARCHAR(64) NOT NULL,
	version NVARCHAR(400) NOT NULL,
	manifest_version NVARCHAR(400) NOT NULL,
	deliveries BIGINT NOT NULL,
	delivered_at DATETIME2(6) NOT NULL,
	gone_at DATETIME2(6) NULL,
	rows_read BIGINT NOT NULL,
	rows_loaded BIGINT NOT NULL,
	rows_rejected BIGINT NOT NULL,
	earliest_event DATETIME2(6) NULL,
	drift NVARCHAR(2000) NULL,
	reason NVARCHAR(2000) NULL,
	run_id NVARCHAR(64) NOT NULL,
	load_ts DATETIME2(6) NOT NULL
)
GO

CREATE INDEX ix_landing_file ON cdp_metadata.landing_file (source, business_date)
GO

execute sp_addextendedproperty 'MS_Description', N'Every content of every landing file that was ever seen, and what became of it.', 'SCHEMA', cdp_metadata, 'TABLE', landing_file
GO

execute sp_addextendedproperty 'MS_Description', N'Source', 'SCHEMA', cdp_metadata, 'TABLE', landing_file, 'COLUMN', source
GO

execute sp_addextendedproperty 'MS_Description', N'Business date', 'SCHEMA', cdp_metadata, 'TABLE', landing_file, 'COLUMN', business_date
GO

execute sp_addextendedproperty 'MS_Description', N'File, relative to the landing root', 'SCHEMA', cdp_metadata, 'TABLE', landing_file, 'COLUMN', file_name
GO

execute sp_addextendedproperty 'MS_Description', N'arrived, loading, loaded, superseded, rejected or withdrawn', 'SCHEMA', cdp_metadata, 'TABLE', landing_file, 'COLUMN', state
GO

execute sp_addextendedproperty 'MS_Description', N'When this content was first seen whole (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', landing_file, 'COLUMN', arrived_at
GO

execute sp_addextendedproperty 'MS_Description', N'Size of the file', 'SCHEMA', cdp_metadata, 'TABLE', landing_file, 'COLUMN', size_bytes
GO

execute sp_addextendedproperty 'MS_Description', N'Hash of the file''s bytes; the archive keeps the content under it', 'SCHEMA', cdp_metadata, 'TABLE', landing_file, 'COLUMN', sha256
GO

execute sp_addextendedproperty 'MS_Description', N'What the file system tells of the file (times, ETag); another is read again', 'SCHEMA', cdp_metadata, 'TABLE', landing_file, 'COLUMN', version
GO

execute sp_addextendedproperty 'MS_Description', N'The same of the manifest beside it; empty without one', 'SCHEMA', cdp_metadata, 'TABLE', landing_file, 'COLUMN', manifest_version
GO

execute sp_addextendedproperty 'MS_Description', N'How often this content was delivered', 'SCHEMA', cdp_metadata, 'TABLE', landing_file, 'COLUMN', deliveries
GO

execute sp_addextendedproperty 'MS_Description', N'When it was delivered last (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', landing_file, 'COLUMN', delivered_at
GO

execute sp_addextendedproperty 'MS_Description', N'Since when the file is no longer there (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', landing_file, 'COLUMN', gone_at
GO

execute sp_addextendedproperty 'MS_Description', N'Records in the file', 'SCHEMA', cdp_metadata, 'TABLE', landing_file, 'COLUMN', rows_read
GO

execute sp_addextendedproperty 'MS_Description', N'Records in the landing zone', 'SCHEMA', cdp_metadata, 'TABLE', landing_file, 'COLUMN', rows_loaded
GO

execute sp_addextendedproperty 'MS_Description', N'Records in rejected_record', 'SCHEMA', cdp_metadata, 'TABLE', landing_file, 'COLUMN', rows_rejected
GO

execute sp_addextendedproperty 'MS_Description', N'The earliest event time in the file', 'SCHEMA', cdp_metadata, 'TABLE', landing_file, 'COLUMN', earliest_event
GO

execute sp_addextendedproperty 'MS_Description', N'How its columns differ from the declared ones', 'SCHEMA', cdp_metadata, 'TABLE', landing_file, 'COLUMN', drift
GO

execute sp_addextendedproperty 'MS_Description', N'Why it was rejected', 'SCHEMA', cdp_metadata, 'TABLE', landing_file, 'COLUMN', reason
GO

execute sp_addextendedproperty 'MS_Description', N'The run that wrote the row', 'SCHEMA', cdp_metadata, 'TABLE', landing_file, 'COLUMN', run_id
GO

execute sp_addextendedproperty 'MS_Description', N'When (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', landing_file, 'COLUMN', load_ts
GO

CREATE TABLE cdp_metadata.load_log (
	table_key NVARCHAR(120) NOT NULL,
	first_date DATE NOT NULL,
	last_date DATE NOT NULL,
	rows_read BIGINT NOT NULL,
	rows_inserted BIGINT NOT NULL,
	rows_removed BIGINT NOT NULL,
	rows_rejected BIGINT NOT NULL,
	seconds NUMERIC(12, 3) NOT NULL,
	run_id NVARCHAR(64) NOT NULL,
	load_ts DATETIME2(6) NOT NULL
)
GO

CREATE INDEX ix_load_log ON cdp_metadata.load_log (table_key)
GO

execute sp_addextendedproperty 'MS_Description', N'One row a load: a table and a range of dates.', 'SCHEMA', cdp_metadata, 'TABLE', load_log
GO

execute sp_addextendedproperty 'MS_Description', N'schema.table', 'SCHEMA', cdp_metadata, 'TABLE', load_log, 'COLUMN', table_key
GO

execute sp_addextendedproperty 'MS_Description', N'First date of the range', 'SCHEMA', cdp_metadata, 'TABLE', load_log, 'COLUMN', first_date
GO

execute sp_addextendedproperty 'MS_Description', N'Last date of the range', 'SCHEMA', cdp_metadata, 'TABLE', load_log, 'COLUMN', last_date
GO

execute sp_addextendedproperty 'MS_Description', N'Rows read', 'SCHEMA', cdp_metadata, 'TABLE', load_log, 'COLUMN', rows_read
GO

execute sp_addextendedproperty 'MS_Description', N'Rows inserted', 'SCHEMA', cdp_metadata, 'TABLE', load_log, 'COLUMN', rows_inserted
GO

execute sp_addextendedproperty 'MS_Description', N'Rows removed', 'SCHEMA', cdp_metadata, 'TABLE', load_log, 'COLUMN', rows_removed
GO

execute sp_addextendedproperty 'MS_Description', N'Rows rejected', 'SCHEMA', cdp_metadata, 'TABLE', load_log, 'COLUMN', rows_rejected
GO

execute sp_addextendedproperty 'MS_Description', N'Seconds in files and SQL', 'SCHEMA', cdp_metadata, 'TABLE', load_log, 'COLUMN', seconds
GO

execute sp_addextendedproperty 'MS_Description', N'The run that wrote the row', 'SCHEMA', cdp_metadata, 'TABLE', load_log, 'COLUMN', run_id
GO

execute sp_addextendedproperty 'MS_Description', N'When (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', load_log, 'COLUMN', load_ts
GO

CREATE TABLE cdp_metadata.partition_load (
	table_key NVARCHAR(120) NOT NULL,
	business_date DATE NOT NULL,
	rows_in_partition BIGINT NOT NULL,
	run_id NVARCHAR(64) NOT NULL,
	load_ts DATETIME2(6) NOT NULL
)
GO

CREATE INDEX ix_partition_load ON cdp_metadata.partition_load (table_key, business_date)
GO

execute sp_addextendedproperty 'MS_Description', N'The last load of each partition of each table.', 'SCHEMA', cdp_metadata, 'TABLE', partition_load
GO

execute sp_addextendedproperty 'MS_Description', N'schema.table', 'SCHEMA', cdp_metadata, 'TABLE', partition_load, 'COLUMN', table_key
GO

execute sp_addextendedproperty 'MS_Description', N'Business date', 'SCHEMA', cdp_metadata, 'TABLE', partition_load, 'COLUMN', business_date
GO

execute sp_addextendedproperty 'MS_Description', N'Rows after the load', 'SCHEMA', cdp_metadata, 'TABLE', partition_load, 'COLUMN', rows_in_partition
GO

execute sp_addextendedproperty 'MS_Description', N'The run that wrote the row', 'SCHEMA', cdp_metadata, 'TABLE', partition_load, 'COLUMN', run_id
GO

execute sp_addextendedproperty 'MS_Description', N'When (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', partition_load, 'COLUMN', load_ts
GO

CREATE TABLE cdp_metadata.rejected_record (
	source NVARCHAR(60) NOT NULL,
	business_date DATE NOT NULL,
	file_name NVARCHAR(400) NOT NULL,
	line BIGINT NULL,
	[rule] NVARCHAR(200) NOT NULL,
	column_name NVARCHAR(200) NULL,
	reason NVARCHAR(2000) NOT NULL,
	raw_text VARCHAR(max) NULL,
	whole_file BIT NOT NULL,
	run_id NVARCHAR(64) NOT NULL,
	load_ts DATETIME2(6) NOT NULL
)
GO

CREATE INDEX ix_rejected_record ON cdp_metadata.rejected_record (source, business_date)
GO

execute sp_addextendedproperty 'MS_Description', N'Every record and every file that could not be loaded, with the reason.', 'SCHEMA', cdp_metadata, 'TABLE', rejected_record
GO

execute sp_addextendedproperty 'MS_Description', N'Source', 'SCHEMA', cdp_metadata, 'TABLE', rejected_record, 'COLUMN', source
GO

execute sp_addextendedproperty 'MS_Description', N'Business date', 'SCHEMA', cdp_metadata, 'TABLE', rejected_record, 'COLUMN', business_date
GO

execute sp_addextendedproperty 'MS_Description', N'File, relative to the landing root', 'SCHEMA', cdp_metadata, 'TABLE', rejected_record, 'COLUMN', file_name
GO

execute sp_addextendedproperty 'MS_Description', N'Line in the file; record in a Parquet file', 'SCHEMA', cdp_metadata, 'TABLE', rejected_record, 'COLUMN', line
GO

execute sp_addextendedproperty 'MS_Description', N'The rule that was broken', 'SCHEMA', cdp_metadata, 'TABLE', rejected_record, 'COLUMN', [rule]
GO

execute sp_addextendedproperty 'MS_Description', N'The column that broke it', 'SCHEMA', cdp_metadata, 'TABLE', rejected_record, 'COLUMN', column_name
GO

execute sp_addextendedproperty 'MS_Description', N'What was expected and what was found', 'SCHEMA', cdp_metadata, 'TABLE', rejected_record, 'COLUMN', reason
GO

execute sp_addextendedproperty 'MS_Description', N'The record as received', 'SCHEMA', cdp_metadata, 'TABLE', rejected_record, 'COLUMN', raw_text
GO

execute sp_addextendedproperty 'MS_Description', N'The file as a whole was refused', 'SCHEMA', cdp_metadata, 'TABLE', rejected_record, 'COLUMN', whole_file
GO

execute sp_addextendedproperty 'MS_Description', N'The run that wrote the row', 'SCHEMA', cdp_metadata, 'TABLE', rejected_record, 'COLUMN', run_id
GO

execute sp_addextendedproperty 'MS_Description', N'When (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', rejected_record, 'COLUMN', load_ts
GO

CREATE TABLE cdp_metadata.source_pause (
	source NVARCHAR(60) NOT NULL,
	reason NVARCHAR(400) NOT NULL,
	run_id NVARCHAR(64) NOT NULL,
	load_ts DATETIME2(6) NOT NULL
)
GO

execute sp_addextendedproperty 'MS_Description', N'The sources of which nothing starts by itself.', 'SCHEMA', cdp_metadata, 'TABLE', source_pause
GO

execute sp_addextendedproperty 'MS_Description', N'Source', 'SCHEMA', cdp_metadata, 'TABLE', source_pause, 'COLUMN', source
GO

execute sp_addextendedproperty 'MS_Description', N'Why it is paused', 'SCHEMA', cdp_metadata, 'TABLE', source_pause, 'COLUMN', reason
GO

execute sp_addextendedproperty 'MS_Description', N'The run that wrote the row', 'SCHEMA', cdp_metadata, 'TABLE', source_pause, 'COLUMN', run_id
GO

execute sp_addextendedproperty 'MS_Description', N'When (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', source_pause, 'COLUMN', load_ts
GO

CREATE TABLE cdp_metadata.stale_partition (
	table_key NVARCHAR(120) NOT NULL,
	business_date DATE NOT NULL,
	reason NVARCHAR(400) NOT NULL,
	run_id NVARCHAR(64) NOT NULL,
	load_ts DATETIME2(6) NOT NULL
)
GO

CREATE INDEX ix_stale_partition ON cdp_metadata.stale_partition (table_key, business_date)
GO

execute sp_addextendedproperty 'MS_Description', N'Loaded partitions that a later load upstream changed; they are to be loaded again.', 'SCHEMA', cdp_metadata, 'TABLE', stale_partition
GO

execute sp_addextendedproperty 'MS_Description', N'schema.table', 'SCHEMA', cdp_metadata, 'TABLE', stale_partition, 'COLUMN', table_key
GO

execute sp_addextendedproperty 'MS_Description', N'Business date', 'SCHEMA', cdp_metadata, 'TABLE', stale_partition, 'COLUMN', business_date
GO

execute sp_addextendedproperty 'MS_Description', N'What changed', 'SCHEMA', cdp_metadata, 'TABLE', stale_partition, 'COLUMN', reason
GO

execute sp_addextendedproperty 'MS_Description', N'The run that wrote the row', 'SCHEMA', cdp_metadata, 'TABLE', stale_partition, 'COLUMN', run_id
GO

execute sp_addextendedproperty 'MS_Description', N'When (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', stale_partition, 'COLUMN', load_ts
GO

CREATE TABLE cdp_metadata.variable (
	name NVARCHAR(60) NOT NULL,
	value NVARCHAR(2000) NULL,
	origin NVARCHAR(400) NOT NULL,
	is_secret BIT NOT NULL,
	changed_at DATETIME2(6) NOT NULL,
	run_id NVARCHAR(64) NOT NULL,
	load_ts DATETIME2(6) NOT NULL
)
GO

execute sp_addextendedproperty 'MS_Description', N'The settings in effect as `variable_sync` last found them; of a secret, only where it comes from.', 'SCHEMA', cdp_metadata, 'TABLE', variable
GO

execute sp_addextendedproperty 'MS_Description', N'The variable', 'SCHEMA', cdp_metadata, 'TABLE', variable, 'COLUMN', name
GO

execute sp_addextendedproperty 'MS_Description', N'Its value; of a secret a reference such as env:CDM_TOKEN_KEY', 'SCHEMA', cdp_metadata, 'TABLE', variable, 'COLUMN', value
GO

execute sp_addextendedproperty 'MS_Description', N'environment, default, or the file and line that sets it', 'SCHEMA', cdp_metadata, 'TABLE', variable, 'COLUMN', origin
GO

execute sp_addextendedproperty 'MS_Description', N'Its value is a reference', 'SCHEMA', cdp_metadata, 'TABLE', variable, 'COLUMN', is_secret
GO

execute sp_addextendedproperty 'MS_Description', N'Since when it has this value (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', variable, 'COLUMN', changed_at
GO

execute sp_addextendedproperty 'MS_Description', N'The run that wrote the row', 'SCHEMA', cdp_metadata, 'TABLE', variable, 'COLUMN', run_id
GO

execute sp_addextendedproperty 'MS_Description', N'When (UTC)', 'SCHEMA', cdp_metadata, 'TABLE', variable, 'COLUMN', load_ts
GO

-- ----------------------------------------------------------------------------------------------------
-- Roles and grants
-- ----------------------------------------------------------------------------------------------------

IF DATABASE_PRINCIPAL_ID('cdm_viewer') IS NULL CREATE ROLE cdm_viewer
GO

IF DATABASE_PRINCIPAL_ID('cdm_operator') IS NULL CREATE ROLE cdm_operator
GO

IF DATABASE_PRINCIPAL_ID('cdm_engineer') IS NULL CREATE ROLE cdm_engineer
GO

IF DATABASE_PRINCIPAL_ID('cdm_admin') IS NULL CREATE ROLE cdm_admin
GO

IF DATABASE_PRINCIPAL_ID('cdm_model') IS NULL CREATE ROLE cdm_model
GO

GRANT CREATE TABLE, CREATE VIEW TO cdm_admin
GO

GRANT ALTER ON SCHEMA::cdm_ingest_db TO cdm_admin
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON SCHEMA::cdm_ingest_db TO cdm_admin
GO

GRANT ALTER ON SCHEMA::cdm_publish_db TO cdm_admin
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON SCHEMA::cdm_publish_db TO cdm_admin
GO

GRANT ALTER ON SCHEMA::cdp_metadata TO cdm_admin
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON SCHEMA::cdp_metadata TO cdm_admin
GO

GRANT ALTER ON SCHEMA::cs_360_db TO cdm_admin
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON SCHEMA::cs_360_db TO cdm_admin
GO

GRANT ALTER ON SCHEMA::itf TO cdm_admin
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON SCHEMA::itf TO cdm_admin
GO

GRANT ALTER ON SCHEMA::ldz TO cdm_admin
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON SCHEMA::ldz TO cdm_admin
GO

GRANT ALTER ON SCHEMA::rdv TO cdm_admin
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON SCHEMA::rdv TO cdm_admin
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON SCHEMA::cdm_ingest_db TO cdm_engineer
GO

GRANT SELECT ON SCHEMA::cdm_publish_db TO cdm_engineer
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON SCHEMA::cdp_metadata TO cdm_engineer
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON SCHEMA::cs_360_db TO cdm_engineer
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON SCHEMA::itf TO cdm_engineer
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON SCHEMA::ldz TO cdm_engineer
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON SCHEMA::rdv TO cdm_engineer
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON OBJECT::cdm_ingest_db.score TO cdm_model
GO

GRANT SELECT (business_date, customer_id, load_ts, run_id, spent) ON OBJECT::cdm_publish_db.customer_360 TO cdm_model
GO

GRANT SELECT (business_date, customer_id, load_ts, run_id, spent) ON OBJECT::cdm_publish_db.customer_360_current TO cdm_model
GO

GRANT SELECT ON OBJECT::cdm_publish_db.customer_360_viewer TO cdm_model
GO

GRANT SELECT ON OBJECT::cdm_publish_db.customer_360_viewer_current TO cdm_model
GO

GRANT SELECT (business_date, customer_id, load_ts, run_id, spent) ON OBJECT::cdm_publish_db.customer_360 TO cdm_operator
GO

GRANT SELECT (business_date, customer_id, load_ts, run_id, spent) ON OBJECT::cdm_publish_db.customer_360_current TO cdm_operator
GO

GRANT SELECT ON OBJECT::cdm_publish_db.customer_360_viewer TO cdm_operator
GO

GRANT SELECT ON OBJECT::cdm_publish_db.customer_360_viewer_current TO cdm_operator
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON OBJECT::cdp_metadata.alert TO cdm_operator
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON OBJECT::cdp_metadata.calendar TO cdm_operator
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON OBJECT::cdp_metadata.check_result TO cdm_operator
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON OBJECT::cdp_metadata.ddl_step TO cdm_operator
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON OBJECT::cdp_metadata.etl_date_control TO cdm_operator
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON OBJECT::cdp_metadata.incident TO cdm_operator
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON OBJECT::cdp_metadata.incident_message TO cdm_operator
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON OBJECT::cdp_metadata.incident_occurrence TO cdm_operator
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON OBJECT::cdp_metadata.ingest_export TO cdm_operator
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON OBJECT::cdp_metadata.landing_file TO cdm_operator
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON OBJECT::cdp_metadata.load_log TO cdm_operator
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON OBJECT::cdp_metadata.partition_load TO cdm_operator
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON OBJECT::cdp_metadata.rejected_record TO cdm_operator
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON OBJECT::cdp_metadata.source_pause TO cdm_operator
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON OBJECT::cdp_metadata.stale_partition TO cdm_operator
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON OBJECT::cdp_metadata.variable TO cdm_operator
GO

GRANT SELECT (business_date, customer_id, load_ts, run_id, spent) ON OBJECT::cdm_publish_db.customer_360 TO cdm_viewer
GO

GRANT SELECT (business_date, customer_id, load_ts, run_id, spent) ON OBJECT::cdm_publish_db.customer_360_current TO cdm_viewer
GO

GRANT SELECT ON OBJECT::cdm_publish_db.customer_360_viewer TO cdm_viewer
GO

GRANT SELECT ON OBJECT::cdm_publish_db.customer_360_viewer_current TO cdm_viewer
GO

