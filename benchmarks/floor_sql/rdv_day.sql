-- The vault, one on-time day after all that is loaded: keys not known yet, satellite rows that differ from the key's
-- latest, end rows for keys that a snapshot no longer lists.

-- table: rdv.h_customer
select last_date() as business_date, hashed(customer_id) as customer_hk, customer_id, min(rec_src) as rec_src
from (
    select key_text(household_id) as customer_id, 'contact' as rec_src
    from ldz.ldz_contact where business_date = last_date()
    union all
    select key_text(household_id), 'customer' from ldz.ldz_customer where business_date = last_date()
    union all
    select key_text(household_id), 'response' from ldz.ldz_response where business_date = last_date()
    union all
    select key_text(household_id), 'transaction' from ldz.ldz_transaction where business_date = last_date()
)
where customer_id not in (select customer_id from rdv.h_customer)
group by customer_id

-- table: rdv.h_product
select last_date() as business_date, hashed(product_id) as product_hk, product_id, min(rec_src) as rec_src
from (
    select key_text(product_id) as product_id, 'offer' as rec_src from ldz.ldz_offer where business_date = last_date()
    union all
    select key_text(product_id), 'product' from ldz.ldz_product where business_date = last_date()
    union all
    select key_text(product_id), 'transaction' from ldz.ldz_transaction where business_date = last_date()
)
where product_id not in (select product_id from rdv.h_product)
group by product_id

-- table: rdv.h_store
select last_date() as business_date, hashed(store_id) as store_hk, store_id, 'transaction' as rec_src
from (select distinct key_text(store_id) as store_id from ldz.ldz_transaction where business_date = last_date())
where store_id not in (select store_id from rdv.h_store)

-- table: rdv.h_basket
select last_date() as business_date, hashed(basket_id) as basket_hk, basket_id, 'transaction' as rec_src
from (select distinct key_text(basket_id) as basket_id from ldz.ldz_transaction where business_date = last_date())
anti join rdv.h_basket using (basket_id)

-- table: rdv.h_campaign
select last_date() as business_date, hashed(campaign_id) as campaign_hk, campaign_id, min(rec_src) as rec_src
from (
    select key_text(campaign_id) as campaign_id, 'campaign' as rec_src
    from ldz.ldz_campaign where business_date = last_date()
    union all
    select key_text(campaign_id), 'contact' from ldz.ldz_contact where business_date = last_date()
    union all
    select key_text(campaign_id), 'flowchart' from ldz.ldz_flowchart where business_date = last_date()
    union all
    select key_text(campaign_id), 'offer' from ldz.ldz_offer where business_date = last_date()
    union all
    select key_text(campaign_id), 'response' from ldz.ldz_response where business_date = last_date()
)
where campaign_id not in (select campaign_id from rdv.h_campaign)
group by campaign_id

-- table: rdv.h_offer
select
    last_date() as business_date, hashed(coupon_upc, campaign_id) as offer_hk, coupon_upc, campaign_id,
    min(rec_src) as rec_src
from (
    select key_text(coupon_upc) as coupon_upc, key_text(campaign_id) as campaign_id, 'offer' as rec_src
    from ldz.ldz_offer where business_date = last_date()
    union all
    select key_text(coupon_upc), key_text(campaign_id), 'response'
    from ldz.ldz_response where business_date = last_date()
) as sent
anti join rdv.h_offer using (coupon_upc, campaign_id)
group by coupon_upc, campaign_id

-- table: rdv.h_flowchart
select last_date() as business_date, hashed(flowchart_id) as flowchart_hk, flowchart_id, min(rec_src) as rec_src
from (
    select key_text(flowchart_id) as flowchart_id, 'flowchart' as rec_src
    from ldz.ldz_flowchart where business_date = last_date()
    union all
    select key_text(flowchart_id), 'flowchart_run' from ldz.ldz_flowchart_run where business_date = last_date()
)
where flowchart_id not in (select flowchart_id from rdv.h_flowchart)
group by flowchart_id

-- table: rdv.l_offer_product
with sent as (
    select distinct
        key_text(coupon_upc) as coupon_key, key_text(campaign_id) as campaign_key, key_text(product_id) as product_key
    from ldz.ldz_offer where business_date = last_date()
)
select
    last_date() as business_date, hashed(coupon_key, campaign_key, product_key) as offer_product_hk,
    hashed(coupon_key, campaign_key) as offer_hk, hashed(product_key) as product_hk, 'offer' as rec_src
from sent
where hashed(coupon_key, campaign_key, product_key) not in (select offer_product_hk from rdv.l_offer_product)

-- table: rdv.l_flowchart_campaign
with sent as (
    select distinct key_text(flowchart_id) as flowchart_key, key_text(campaign_id) as campaign_key
    from ldz.ldz_flowchart where business_date = last_date()
)
select
    last_date() as business_date, hashed(flowchart_key, campaign_key) as flowchart_campaign_hk,
    hashed(flowchart_key) as flowchart_hk, hashed(campaign_key) as campaign_hk, 'flowchart' as rec_src
from sent
where hashed(flowchart_key, campaign_key) not in (select flowchart_campaign_hk from rdv.l_flowchart_campaign)

-- An anti join hashes the smaller side, NOT IN all the known keys.

-- table: rdv.l_transaction
with sent as (
    select
        *, key_text(basket_id) as basket_key, key_text(product_id) as product_key,
        hashed(basket_key, product_key) as transaction_hk
    from ldz.ldz_transaction where business_date = last_date()
    qualify row_number() over (partition by basket_key, product_key order by source_row) = 1
)
select
    business_date, transaction_hk, hashed(key_text(household_id)) as customer_hk,
    hashed(product_key) as product_hk, hashed(key_text(store_id)) as store_hk, hashed(basket_key) as basket_hk,
    transaction_timestamp::date as event_date, quantity, sales_value, retail_disc, coupon_disc, coupon_match_disc, week,
    transaction_timestamp, 'transaction' as rec_src
from sent anti join rdv.l_transaction using (transaction_hk)

-- table: rdv.l_contact
with sent as (
    select *, key_text(campaign_id) as campaign_key, key_text(household_id) as customer_key
    from ldz.ldz_contact where business_date = last_date()
    qualify row_number() over (partition by campaign_key, customer_key order by source_row) = 1
)
select
    business_date, hashed(campaign_key, customer_key) as contact_hk, hashed(customer_key) as customer_hk,
    hashed(campaign_key) as campaign_hk, contact_timestamp::date as event_date, contact_timestamp, channel, cell_code,
    treatment_code, flowchart_run_id, is_control, contact_cost, 'contact' as rec_src
from sent
where hashed(campaign_key, customer_key) not in (select contact_hk from rdv.l_contact)

-- table: rdv.l_response
with sent as (
    select
        *, key_text(household_id) as customer_key, key_text(coupon_upc) as coupon_key,
        key_text(campaign_id) as campaign_key,
        hashed(customer_key, coupon_key, campaign_key, strftime(redemption_date, '%Y-%m-%d')) as response_hk
    from ldz.ldz_response where business_date = last_date()
    qualify row_number() over (partition by response_hk order by source_row) = 1
)
select
    business_date, response_hk, hashed(customer_key) as customer_hk, hashed(campaign_key) as campaign_hk,
    hashed(coupon_key, campaign_key) as offer_hk, redemption_date as event_date, redemption_date, 'response' as rec_src
from sent
where response_hk not in (select response_hk from rdv.l_response)

-- table: rdv.l_flowchart_run
with sent as (
    select *, hashed(key_text(flowchart_run_id)) as flowchart_run_hk
    from ldz.ldz_flowchart_run where business_date = last_date()
    qualify row_number() over (partition by flowchart_run_hk order by source_row) = 1
)
select
    business_date, flowchart_run_hk, hashed(key_text(flowchart_id)) as flowchart_hk, started_at::date as event_date,
    flowchart_run_id, started_at, ended_at, status, records_selected, 'flowchart_run' as rec_src
from sent
where flowchart_run_hk not in (select flowchart_run_hk from rdv.l_flowchart_run)

-- table: rdv.s_campaign_details
with latest as (
    select campaign_hk, arg_max(hashdiff, business_date) as hashdiff from rdv.s_campaign_details group by all
),
listed as (
    select
        hashed(key_text(campaign_id)) as campaign_hk, true as is_listed,
        hashed(
            canonical(campaign_name), canonical(campaign_type), strftime(start_date, '%Y-%m-%d'),
            strftime(end_date, '%Y-%m-%d'), canonical(objective), budget::varchar
        ) as hashdiff,
        campaign_name, campaign_type, start_date, end_date, objective, budget
    from ldz.ldz_campaign where business_date = last_date()
),
changed as (
    select listed.* from listed anti join latest using (campaign_hk, hashdiff)
    union all by name
    select campaign_hk, false as is_listed, 'not listed' as hashdiff
    from latest anti join listed using (campaign_hk)
    where hashdiff <> 'not listed' and exists (from listed)
)
select last_date() as business_date, changed.*, 'campaign' as rec_src from changed

-- table: rdv.s_customer_demographics
with latest as (
    select customer_hk, arg_max(hashdiff, business_date) as hashdiff from rdv.s_customer_demographics group by all
),
listed as (
    select
        hashed(key_text(household_id)) as customer_hk, true as is_listed,
        hashed(
            canonical(age), canonical(income), canonical(home_ownership), canonical(marital_status),
            canonical(household_size), canonical(household_comp), canonical(kids_count), canonical(email)
        ) as hashdiff,
        age, income, home_ownership, marital_status, household_size, household_comp, kids_count, email
    from ldz.ldz_customer where business_date = last_date()
),
changed as (
    select listed.* from listed anti join latest using (customer_hk, hashdiff)
    union all by name
    select customer_hk, false as is_listed, 'not listed' as hashdiff
    from latest anti join listed using (customer_hk)
    where hashdiff <> 'not listed' and exists (from listed)
)
select last_date() as business_date, changed.*, 'customer' as rec_src from changed

-- table: rdv.s_flowchart_details
with latest as (
    select flowchart_hk, arg_max(hashdiff, business_date) as hashdiff from rdv.s_flowchart_details group by all
),
listed as (
    select
        hashed(key_text(flowchart_id)) as flowchart_hk, true as is_listed,
        hashed(
            canonical(flowchart_name), canonical(campaign_id), canonical(owner), canonical(status),
            strftime(created_date, '%Y-%m-%d')
        ) as hashdiff,
        flowchart_name, campaign_id, owner, status, created_date
    from ldz.ldz_flowchart where business_date = last_date()
),
changed as (
    select listed.* from listed anti join latest using (flowchart_hk, hashdiff)
    union all by name
    select flowchart_hk, false as is_listed, 'not listed' as hashdiff
    from latest anti join listed using (flowchart_hk)
    where hashdiff <> 'not listed' and exists (from listed)
)
select last_date() as business_date, changed.*, 'flowchart' as rec_src from changed

-- table: rdv.s_offer_product_listing
select business_date, offer_product_hk, true as is_listed, md5('\E') as hashdiff, 'offer' as rec_src
from rdv.l_offer_product where business_date = last_date()

-- table: rdv.s_product_details
with listed as (
    select
        last_date() as business_date, hashed(key_text(product_id)) as product_hk, true as is_listed,
        hashed(
            canonical(manufacturer_id), canonical(department), canonical(brand), canonical(product_category),
            canonical(product_type), canonical(package_size)
        ) as hashdiff,
        manufacturer_id, department, brand, product_category, product_type, package_size, 'product' as rec_src
    from ldz.ldz_product where business_date = last_date()
    qualify row_number() over (partition by product_hk order by source_row desc) = 1
),
latest as (
    select product_hk, arg_max(hashdiff, business_date) as hashdiff
    from rdv.s_product_details where product_hk in (select product_hk from listed) group by all
)
select listed.* from listed anti join latest using (product_hk, hashdiff)
