-- widen column rdv.s_customer_details.name: is text(10), declared as text(20)
ALTER TABLE rdv.s_customer_details ALTER COLUMN name NVARCHAR(20) NULL;

-- narrow column rdv.s_customer_details.phone: is text(99), declared as text(15)
-- only with --allow narrow-column:rdv.s_customer_details.phone
ALTER TABLE rdv.s_customer_details ALTER COLUMN phone NVARCHAR(15) NOT NULL;

-- widen column rdv.s_customer_details.credit: is decimal(10,2), declared as decimal(12,2)
ALTER TABLE rdv.s_customer_details ALTER COLUMN credit NUMERIC(12, 2) NULL;

-- change type rdv.s_customer_details.born: is text(10), declared as date
-- only with --allow change-type:rdv.s_customer_details.born
ALTER TABLE rdv.s_customer_details ALTER COLUMN born DATE NULL;

-- set not null itf.customer.customer_id: declared as required
ALTER TABLE itf.customer ALTER COLUMN customer_id NVARCHAR(8) NOT NULL;

-- add column itf.customer.email: not there, declared as text(40)
ALTER TABLE itf.customer ADD email NVARCHAR(40) NULL;

-- set comment itf.customer: described otherwise
execute sp_dropextendedproperty 'MS_Description', 'SCHEMA', itf, 'TABLE', customer;

execute sp_addextendedproperty 'MS_Description', N'Every customer known on that date.', 'SCHEMA', itf, 'TABLE', customer;

execute sp_dropextendedproperty 'MS_Description', 'SCHEMA', itf, 'TABLE', customer, 'COLUMN', customer_id;

execute sp_addextendedproperty 'MS_Description', N'100% of the customers'' numbers', 'SCHEMA', itf, 'TABLE', customer, 'COLUMN', customer_id;

-- drop column itf.customer.more: not in the catalog
-- only with --allow drop-column:itf.customer.more
ALTER TABLE itf.customer DROP COLUMN more;

-- widen column cdm_publish_db.customer_360.spent: is decimal(12,1), declared as decimal(18,2)
ALTER TABLE cdm_publish_db.customer_360 ALTER COLUMN spent NUMERIC(18, 2) NOT NULL;

-- create view cdm_publish_db.customer_360_current: its table is altered
CREATE OR ALTER VIEW cdm_publish_db.customer_360_current AS
SELECT
	business_date,
	customer_id,
	email,
	spent,
	load_ts,
	run_id
FROM cdm_publish_db.customer_360
WHERE business_date = (SELECT max(latest.business_date) FROM cdm_publish_db.customer_360 latest);

-- create view cdm_publish_db.customer_360_viewer: not there
CREATE OR ALTER VIEW cdm_publish_db.customer_360_viewer AS
SELECT
	business_date,
	customer_id,
	spent,
	load_ts,
	run_id
FROM cdm_publish_db.customer_360;

-- create view cdm_publish_db.customer_360_viewer_current: its table is altered
CREATE OR ALTER VIEW cdm_publish_db.customer_360_viewer_current AS
SELECT
	business_date,
	customer_id,
	spent,
	load_ts,
	run_id
FROM cdm_publish_db.customer_360
WHERE business_date = (SELECT max(latest.business_date) FROM cdm_publish_db.customer_360 latest);

-- drop view itf.of_mine: not in the catalog
-- only with --allow drop-view:itf.of_mine
DROP VIEW itf.of_mine;

-- drop table rdv.h_old: not in the catalog
-- only with --allow drop-table:rdv.h_old
DROP TABLE rdv.h_old;
