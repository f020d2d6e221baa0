-- The vault from an empty database: every key with the first date and source that sent it, every change of a satellite.

-- table: rdv.h_customer
with sent as (
    select household_id as key, min(business_date) as business_date, 'contact' as rec_src
    from ldz.ldz_contact group by 1
    union all
    select household_id, min(business_date), 'customer' from ldz.ldz_customer group by 1
    union all
    select household_id, min(business_date), 'response' from ldz.ldz_response group by 1
    union all
    select household_id, min(business_date), 'transaction' from ldz.ldz_transaction group by 1
)
select first.business_date, hashed(customer_id) as customer_hk, customer_id, first.rec_src
from (
    select key_text(key) as customer_id, min({'business_date': business_date, 'rec_src': rec_src}) as first
    from sent group by 1
)

-- table: rdv.h_product
with sent as (
    select product_id as key, min(business_date) as business_date, 'offer' as rec_src from ldz.ldz_offer group by 1
    union all
    select product_id, min(business_date), 'product' from ldz.ldz_product group by 1
    union all
    select product_id, min(business_date), 'transaction' from ldz.ldz_transaction group by 1
)
select first.business_date, hashed(product_id) as product_hk, product_id, first.rec_src
from (
    select key_text(key) as product_id, min({'business_date': business_date, 'rec_src': rec_src}) as first
    from sent group by 1
)

-- table: rdv.h_store
select min(business_date) as business_date, hashed(store_id) as store_hk, store_id, 'transaction' as rec_src
from (select key_text(store_id) as store_id, business_date from ldz.ldz_transaction)
group by store_id

-- table: rdv.h_basket
select business_date, hashed(basket_id) as basket_hk, basket_id, 'transaction' as rec_src
from (
    select key_text(key) as basket_id, min(business_date) as business_date
    from (select basket_id as key, min(business_date) as business_date from ldz.ldz_transaction group by 1)
    group by 1
)

-- table: rdv.h_campaign
with sent as (
    select campaign_id as key, min(business_date) as business_date, 'campaign' as rec_src
    from ldz.ldz_campaign group by 1
    union all
    select campaign_id, min(business_date), 'contact' from ldz.ldz_contact group by 1
    union all
    select campaign_id, min(business_date), 'flowchart' from ldz.ldz_flowchart group by 1
    union all
    select campaign_id, min(business_date), 'offer' from ldz.ldz_offer group by 1
    union all
    select campaign_id, min(business_date), 'response' from ldz.ldz_response group by 1
)
select first.business_date, hashed(campaign_id) as campaign_hk, campaign_id, first.rec_src
from (
    select key_text(key) as campaign_id, min({'business_date': business_date, 'rec_src': rec_src}) as first
    from sent group by 1
)

-- table: rdv.h_offer
with sent as (
    select coupon_upc, campaign_id, min(business_date) as business_date, 'offer' as rec_src
    from ldz.ldz_offer group by 1, 2
    union all
    select coupon_upc, campaign_id, min(business_date), 'response' from ldz.ldz_response group by 1, 2
)
select first.business_date, hashed(coupon_upc, campaign_id) as offer_hk, coupon_upc, campaign_id, first.rec_src
from (
    select
        key_text(coupon_upc) as coupon_upc, key_text(campaign_id) as campaign_id,
        min({'business_date': business_date, 'rec_src': rec_src}) as first
    from sent group by 1, 2
)

-- table: rdv.h_flowchart
with sent as (
    select flowchart_id as key, min(business_date) as business_date, 'flowchart' as rec_src
    from ldz.ldz_flowchart group by 1
    union all
    select flowchart_id, min(business_date), 'flowchart_run' from ldz.ldz_flowchart_run group by 1
)
select first.business_date, hashed(flowchart_id) as flowchart_hk, flowchart_id, first.rec_src
from (
    select key_text(key) as flowchart_id, min({'business_date': business_date, 'rec_src': rec_src}) as first
    from sent group by 1
)

-- table: rdv.l_offer_product
select
    business_date, hashed(coupon_upc, campaign_id, product_id) as offer_product_hk, offer_hk, product_hk,
    'offer' as rec_src
from (
    select
        key_text(coupon_upc) as coupon_upc, key_text(campaign_id) as campaign_id, key_text(product_id) as product_id,
        min(business_date) as business_date
    from ldz.ldz_offer group by 1, 2, 3
)
join (from rdv.h_offer select coupon_upc, campaign_id, offer_hk) using (coupon_upc, campaign_id)
join (from rdv.h_product select product_id, product_hk) using (product_id)

-- table: rdv.l_flowchart_campaign
select
    min(business_date) as business_date, hashed(flowchart_id, campaign_id) as flowchart_campaign_hk,
    hashed(flowchart_id) as flowchart_hk, hashed(campaign_id) as campaign_hk, 'flowchart' as rec_src
from (
    select key_text(flowchart_id) as flowchart_id, key_text(campaign_id) as campaign_id, business_date
    from ldz.ldz_flowchart
)
group by flowchart_id, campaign_id

-- A window carries all columns that are selected beside it, so repetitions are looked for apart.

-- table: rdv.l_transaction
with repeated as (
    select rowid from ldz.ldz_transaction
    qualify row_number() over (
        partition by key_text(basket_id), key_text(product_id) order by business_date, source_row
    ) > 1
),
sent as (
    select *, key_text(basket_id) as basket_key, key_text(product_id) as product_key
    from ldz.ldz_transaction where rowid not in (from repeated)
)
select
    sent.business_date, hashed(basket_key, product_key) as transaction_hk, customer_hk, product_hk, store_hk, basket_hk,
    transaction_timestamp::date as event_date, quantity, sales_value, retail_disc, coupon_disc, coupon_match_disc, week,
    transaction_timestamp, 'transaction' as rec_src
from sent
join rdv.h_customer as customer on customer.customer_id = key_text(sent.household_id)
join rdv.h_product as product on product.product_id = product_key
join rdv.h_store as store on store.store_id = key_text(sent.store_id)
join rdv.h_basket as basket on basket.basket_id = basket_key

-- table: rdv.l_contact
select
    business_date, hashed(campaign_key, customer_key) as contact_hk, hashed(customer_key) as customer_hk,
    hashed(campaign_key) as campaign_hk, contact_timestamp::date as event_date, contact_timestamp, channel, cell_code,
    treatment_code, flowchart_run_id, is_control, contact_cost, 'contact' as rec_src
from (
    select *, key_text(campaign_id) as campaign_key, key_text(household_id) as customer_key
    from ldz.ldz_contact
    qualify row_number() over (partition by campaign_key, customer_key order by business_date, source_row) = 1
)

-- table: rdv.l_response
select
    business_date,
    hashed(customer_key, coupon_key, campaign_key, strftime(redemption_date, '%Y-%m-%d')) as response_hk,
    hashed(customer_key) as customer_hk, hashed(campaign_key) as campaign_hk,
    hashed(coupon_key, campaign_key) as offer_hk, redemption_date as event_date, redemption_date, 'response' as rec_src
from (
    select
        *, key_text(household_id) as customer_key, key_text(coupon_upc) as coupon_key,
        key_text(campaign_id) as campaign_key
    from ldz.ldz_response
    qualify row_number() over (
        partition by customer_key, coupon_key, campaign_key, redemption_date order by business_date, source_row
    ) = 1
)

-- table: rdv.l_flowchart_run
select
    business_date, hashed(key_text(flowchart_run_id)) as flowchart_run_hk,
    hashed(key_text(flowchart_id)) as flowchart_hk,
    started_at::date as event_date, flowchart_run_id, started_at, ended_at, status, records_selected,
    'flowchart_run' as rec_src
from ldz.ldz_flowchart_run
qualify row_number() over (partition by key_text(flowchart_run_id) order by business_date, source_row) = 1

-- A snapshot's satellite in three steps: the listings that begin or change something, looked at as received; an end
-- where the next partition does not list the key; of both, hashed, what differs from the row before.

-- table: rdv.s_campaign_details
with partitions as (
    select
        business_date, lag(business_date) over (order by business_date) as partition_before,
        lead(business_date) over (order by business_date) as next_partition
    from (select distinct business_date from ldz.ldz_campaign)
),
listings as (
    select
        *, key_text(campaign_id) as key, row(campaign_name, campaign_type, start_date, end_date, objective,
        budget) as said,
        lag(business_date) over history as listed_before, lag(said) over history as said_before,
        lead(business_date) over history as next_listing
    from ldz.ldz_campaign join partitions using (business_date)
    window history as (partition by key_text(campaign_id) order by business_date)
),
sequence as (
    select
        business_date, key, true as is_listed,
        hashed(
            canonical(campaign_name), canonical(campaign_type), strftime(start_date, '%Y-%m-%d'),
            strftime(end_date, '%Y-%m-%d'), canonical(objective), budget::varchar
        ) as hashdiff,
        campaign_name, campaign_type, start_date, end_date, objective, budget
    from listings where listed_before is distinct from partition_before or said is distinct from said_before
    union all by name
    select next_partition as business_date, key, false as is_listed, 'not listed' as hashdiff
    from listings where next_partition is not null and next_listing is distinct from next_partition
)
select
    business_date, hashed(key) as campaign_hk, is_listed, hashdiff, campaign_name, campaign_type, start_date, end_date,
    objective, budget, 'campaign' as rec_src
from sequence
qualify hashdiff is distinct from lag(hashdiff) over (partition by key order by business_date)

-- table: rdv.s_customer_demographics
with partitions as (
    select
        business_date, lag(business_date) over (order by business_date) as partition_before,
        lead(business_date) over (order by business_date) as next_partition
    from (select distinct business_date from ldz.ldz_customer)
),
listings as (
    select
        *, key_text(household_id) as key,
        row(age, income, home_ownership, marital_status, household_size, household_comp, kids_count, email) as said,
        lag(business_date) over history as listed_before, lag(said) over history as said_before,
        lead(business_date) over history as next_listing
    from ldz.ldz_customer join partitions using (business_date)
    window history as (partition by key_text(household_id) order by business_date)
),
sequence as (
    select
        business_date, key, true as is_listed,
        hashed(
            canonical(age), canonical(income), canonical(home_ownership), canonical(marital_status),
            canonical(household_size), canonical(household_comp), canonical(kids_count), canonical(email)
        ) as hashdiff,
        age, income, home_ownership, marital_status, household_size, household_comp, kids_count, email
    from listings where listed_before is distinct from partition_before or said is distinct from said_before
    union all by name
    select next_partition as business_date, key, false as is_listed, 'not listed' as hashdiff
    from listings where next_partition is not null and next_listing is distinct from next_partition
)
select
    business_date, hashed(key) as customer_hk, is_listed, hashdiff, age, income, home_ownership, marital_status,
    household_size, household_comp, kids_count, email, 'customer' as rec_src
from sequence
qualify hashdiff is distinct from lag(hashdiff) over (partition by key order by business_date)

-- table: rdv.s_flowchart_details
with partitions as (
    select
        business_date, lag(business_date) over (order by business_date) as partition_before,
        lead(business_date) over (order by business_date) as next_partition
    from (select distinct business_date from ldz.ldz_flowchart)
),
listings as (
    select
        *, key_text(flowchart_id) as key, row(flowchart_name, campaign_id, owner, status, created_date) as said,
        lag(business_date) over history as listed_before, lag(said) over history as said_before,
        lead(business_date) over history as next_listing
    from ldz.ldz_flowchart join partitions using (business_date)
    window history as (partition by key_text(flowchart_id) order by business_date)
),
sequence as (
    select
        business_date, key, true as is_listed,
        hashed(
            canonical(flowchart_name), canonical(campaign_id), canonical(owner), canonical(status),
            strftime(created_date, '%Y-%m-%d')
        ) as hashdiff,
        flowchart_name, campaign_id, owner, status, created_date
    from listings where listed_before is distinct from partition_before or said is distinct from said_before
    union all by name
    select next_partition as business_date, key, false as is_listed, 'not listed' as hashdiff
    from listings where next_partition is not null and next_listing is distinct from next_partition
)
select
    business_date, hashed(key) as flowchart_hk, is_listed, hashdiff, flowchart_name, campaign_id, owner, status,
    created_date, 'flowchart' as rec_src
from sequence
qualify hashdiff is distinct from lag(hashdiff) over (partition by key order by business_date)

-- table: rdv.s_offer_product_listing
select business_date, offer_product_hk, true as is_listed, md5('\E') as hashdiff, 'offer' as rec_src
from rdv.l_offer_product

-- table: rdv.s_product_details
with sequence as (
    select
        *, key_text(product_id) as key,
        hashed(
            canonical(manufacturer_id), canonical(department), canonical(brand), canonical(product_category),
            canonical(product_type), canonical(package_size)
        ) as hashdiff
    from ldz.ldz_product
    qualify row_number() over (partition by key, business_date order by source_row desc) = 1
)
select
    business_date, hashed(key) as product_hk, true as is_listed, hashdiff, manufacturer_id, department, brand,
    product_category, product_type, package_size, 'product' as rec_src
from sequence
qualify hashdiff is distinct from lag(hashdiff) over (partition by key order by business_date)
