-- create key rdv.pk_h_product: key on product_hk
ALTER TABLE rdv.h_product ADD CONSTRAINT pk_h_product PRIMARY KEY (product_hk) DEFERRABLE INITIALLY DEFERRED;

-- widen column rdv.s_customer_details.name: is text(10), declared as text(20)
ALTER TABLE rdv.s_customer_details MODIFY (name VARCHAR2(20 CHAR));

-- change type rdv.s_customer_details.phone: is text(99), declared as text(15); oracle cannot alter it, so it is dropped, added again and to be loaded again
-- only with --allow change-type:rdv.s_customer_details.phone
ALTER TABLE rdv.s_customer_details DROP COLUMN phone;

-- widen column rdv.s_customer_details.credit: is decimal(10,2), declared as decimal(12,2)
ALTER TABLE rdv.s_customer_details MODIFY (credit NUMERIC(12, 2));

-- change type rdv.s_customer_details.born: is text(10), declared as date; oracle cannot alter it, so it is dropped, added again and to be loaded again
-- only with --allow change-type:rdv.s_customer_details.born
ALTER TABLE rdv.s_customer_details DROP COLUMN born;

-- set not null itf.customer.customer_id: declared as required
ALTER TABLE itf.customer MODIFY (customer_id NOT NULL);

-- add column itf.customer.email: not there, declared as text(40)
ALTER TABLE itf.customer ADD email VARCHAR2(40 CHAR);

-- set comment itf.customer: described otherwise
COMMENT ON TABLE itf.customer IS 'Every customer known on that date.';

COMMENT ON COLUMN itf.customer.customer_id IS '100% of the customers'' numbers';

-- drop column itf.customer.more: not in the catalog
-- only with --allow drop-column:itf.customer.more
ALTER TABLE itf.customer DROP COLUMN more;

-- widen column cdm_publish_db.customer_360.spent: is decimal(12,1), declared as decimal(18,2)
ALTER TABLE cdm_publish_db.customer_360 MODIFY (spent NUMERIC(18, 2));

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
