-- widen column rdv.s_customer_details.name: is text(10), declared as text(20)
ALTER TABLE rdv.s_customer_details ALTER COLUMN name SET DATA TYPE VARCHAR(20);

-- change type rdv.s_customer_details.phone: is text(99), declared as text(15); snowflake cannot alter it, so it is dropped, added again and to be loaded again
-- only with --allow change-type:rdv.s_customer_details.phone
ALTER TABLE rdv.s_customer_details DROP COLUMN phone;

-- widen column rdv.s_customer_details.credit: is decimal(10,2), declared as decimal(12,2)
ALTER TABLE rdv.s_customer_details ALTER COLUMN credit SET DATA TYPE NUMERIC(12, 2);

-- change type rdv.s_customer_details.born: is text(10), declared as date; snowflake cannot alter it, so it is dropped, added again and to be loaded again
-- only with --allow change-type:rdv.s_customer_details.born
ALTER TABLE rdv.s_customer_details DROP COLUMN born;

-- set not null itf.customer.customer_id: declared as required
ALTER TABLE itf.customer ALTER COLUMN customer_id SET NOT NULL;

-- add column itf.customer.email: not there, declared as text(40)
ALTER TABLE itf.customer ADD COLUMN email VARCHAR(40);

-- set comment itf.customer: described otherwise
COMMENT ON TABLE itf.customer IS 'Every customer known on that date.';

COMMENT ON COLUMN itf.customer.customer_id IS '100% of the customers'' numbers';

-- drop column itf.customer.more: not in the catalog
-- only with --allow drop-column:itf.customer.more
ALTER TABLE itf.customer DROP COLUMN more;

-- change type cdm_publish_db.customer_360.spent: is decimal(12,1), declared as decimal(18,2); snowflake cannot alter it, so it is dropped, added again and to be loaded again
-- only with --allow change-type:cdm_publish_db.customer_360.spent
ALTER TABLE cdm_publish_db.customer_360 DROP COLUMN spent;

-- create view cdm_publish_db.customer_360_viewer: not there
CREATE OR REPLACE VIEW cdm_publish_db.customer_360_viewer AS
SELECT
	business_date,
	customer_id,
	spent,
	load_ts,
	run_id
FROM cdm_publish_db.customer_360;

-- drop view itf.of_mine: not in the catalog
-- only with --allow drop-view:itf.of_mine
DROP VIEW itf.of_mine;

-- drop table rdv.h_old: not in the catalog
-- only with --allow drop-table:rdv.h_old
DROP TABLE rdv.h_old;
