-- drop not null rdv.s_customer_details.phone: may be empty, the catalog says
ALTER TABLE rdv.s_customer_details ALTER COLUMN phone DROP NOT NULL;

-- widen column rdv.s_customer_details.credit: is decimal(10,2), declared as decimal(12,2)
ALTER TABLE rdv.s_customer_details ALTER COLUMN credit SET DATA TYPE NUMERIC(12, 2);

-- change type rdv.s_customer_details.born: is text, declared as date
-- only with --allow change-type:rdv.s_customer_details.born
ALTER TABLE rdv.s_customer_details ALTER COLUMN born SET DATA TYPE DATE USING CAST(born AS DATE);

-- set not null itf.customer.customer_id: declared as required
ALTER TABLE itf.customer ALTER COLUMN customer_id SET NOT NULL;

-- add column itf.customer.email: not there, declared as text
ALTER TABLE itf.customer ADD COLUMN email VARCHAR(40);

-- set comment itf.customer: described otherwise
COMMENT ON TABLE itf.customer IS 'Every customer known on that date.';

COMMENT ON COLUMN itf.customer.customer_id IS '100% of the customers'' numbers';

-- drop column itf.customer.more: not in the catalog
-- only with --allow drop-column:itf.customer.more
ALTER TABLE itf.customer DROP COLUMN more;

-- widen column cdm_publish_db.customer_360.spent: is decimal(12,1), declared as decimal(18,2)
ALTER TABLE cdm_publish_db.customer_360 ALTER COLUMN spent SET DATA TYPE NUMERIC(18, 2);

-- create view cdm_publish_db.customer_360_current: its table is altered
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

-- create view cdm_publish_db.customer_360_viewer: not there
CREATE OR REPLACE VIEW cdm_publish_db.customer_360_viewer AS
SELECT
	business_date,
	customer_id,
	spent,
	load_ts,
	run_id
FROM cdm_publish_db.customer_360;

-- create view cdm_publish_db.customer_360_viewer_current: its table is altered
CREATE OR REPLACE VIEW cdm_publish_db.customer_360_viewer_current AS
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
