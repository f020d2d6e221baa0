-- The interface. State tables hold every key known on a date with its satellite as of then; event tables the events of
-- the date. Serves a range and a single date alike.

-- table: itf.campaign
with history as (
    select
        *,
        lead(business_date, 1, date '9999-12-31') over (partition by campaign_hk order by business_date) as valid_until
    from rdv.s_campaign_details where business_date <= last_date()
)
select
    dates.business_date, hub.campaign_id, campaign_name,
    coalesce(
        case campaign_type when 'Type A' then 'A' when 'Type B' then 'B' when 'Type C' then 'C' else campaign_type end,
        'unknown'
    ) as campaign_type,
    start_date, end_date, coalesce(objective, 'unknown') as objective, budget
from dates() as dates
join rdv.h_campaign as hub on hub.business_date <= dates.business_date
left join history on history.campaign_hk = hub.campaign_hk
    and history.business_date <= dates.business_date and history.valid_until > dates.business_date

-- table: itf.contact
select
    event_date as business_date, campaign_id, customer_id, contact_timestamp as contact_ts, channel, cell_code,
    treatment_code, flowchart_run_id, is_control, contact_cost
from rdv.l_contact as event
join rdv.h_campaign as campaign using (campaign_hk)
join rdv.h_customer as customer using (customer_hk)
where event_date between first_date() and last_date()

-- table: itf.customer
with history as (
    select
        *,
        lead(business_date, 1, date '9999-12-31') over (partition by customer_hk order by business_date) as valid_until
    from rdv.s_customer_demographics where business_date <= last_date()
)
select
    dates.business_date, hub.customer_id, hub.business_date as first_seen_date, coalesce(age, 'unknown') as age_band,
    coalesce(income, 'unknown') as income_band,
    coalesce(
        case home_ownership when 'Homeowner' then 'owner' when 'Renter' then 'renter'
            when 'Probable Homeowner' then 'probable_owner' when 'Probable Renter' then 'probable_renter'
            else home_ownership end,
        'unknown'
    ) as home_ownership,
    coalesce(
        case marital_status when 'Married' then 'married' when 'Unmarried' then 'unmarried' else marital_status end,
        'unknown'
    ) as marital_status,
    household_size, household_comp as household_composition, kids_count, email,
    coalesce(is_listed, false) as has_demographics
from dates() as dates
join rdv.h_customer as hub on hub.business_date <= dates.business_date
left join history on history.customer_hk = hub.customer_hk
    and history.business_date <= dates.business_date and history.valid_until > dates.business_date

-- table: itf.flowchart
with history as (
    select
        *,
        lead(business_date, 1, date '9999-12-31') over (partition by flowchart_hk order by business_date) as valid_until
    from rdv.s_flowchart_details where business_date <= last_date()
)
select
    dates.business_date, hub.flowchart_id, flowchart_name, campaign_id, owner as flowchart_owner,
    coalesce(status, 'unknown') as flowchart_status, created_date
from dates() as dates
join rdv.h_flowchart as hub on hub.business_date <= dates.business_date
left join history on history.flowchart_hk = hub.flowchart_hk
    and history.business_date <= dates.business_date and history.valid_until > dates.business_date

-- table: itf.flowchart_run
select
    event_date as business_date, flowchart_run_id, flowchart_id, started_at, ended_at, status as run_status,
    records_selected
from rdv.l_flowchart_run as event
join rdv.h_flowchart as flowchart using (flowchart_hk)
where event_date between first_date() and last_date()

-- Tens of millions of rows of text, from few: numbers of the rows that hold on each date first, then their texts. The
-- numbers are read by both threads, so both write; without them one does, and it takes half as long again.

-- table: itf.offer
with known as materialized (
    select
        row_number() over ()::integer as number, link.business_date as known_since, coupon_upc, campaign_id, product_id
    from rdv.l_offer_product as link
    join rdv.h_offer as offer using (offer_hk)
    join rdv.h_product as product using (product_hk)
    where link.business_date <= last_date()
),
on_dates as materialized (
    select dates.business_date, number from dates() as dates join known on known_since <= dates.business_date
)
select on_dates.business_date, coupon_upc, campaign_id, product_id from on_dates join known using (number)

-- table: itf.product
with changes as (
    select * exclude (load_ts, run_id) from rdv.s_product_details where business_date <= last_date()
    union all by name
    select business_date, product_hk
    from rdv.h_product anti join rdv.s_product_details using (product_hk, business_date)
    where business_date <= last_date()
),
versions as materialized (
    select
        row_number() over ()::integer as number, product_id, manufacturer_id,
        coalesce(department, 'UNKNOWN') as department,
        coalesce(
            case brand when 'National' then 'national' when 'Private' then 'private_label' else brand end, 'unknown'
        ) as brand_type,
        product_category as category, product_type, package_size, changes.business_date as valid_from,
        lead(valid_from, 1, date '9999-12-31') over (partition by product_hk order by valid_from) as valid_until
    from changes join rdv.h_product as hub using (product_hk)
),
on_dates as materialized (
    select dates.business_date, number
    from dates() as dates
    join versions on valid_from <= dates.business_date and valid_until > dates.business_date
)
select on_dates.business_date, versions.* exclude (number, valid_from, valid_until)
from on_dates join versions using (number)

-- table: itf.response
select event_date as business_date, customer_id, campaign.campaign_id, coupon_upc, redemption_date as response_date
from rdv.l_response as event
join rdv.h_customer as customer using (customer_hk)
join rdv.h_campaign as campaign using (campaign_hk)
join rdv.h_offer as offer using (offer_hk)
where event_date between first_date() and last_date()

-- table: itf.transaction
select
    event_date as business_date, basket_id, product_id, customer_id, store_id, transaction_timestamp as transaction_ts,
    quantity, sales_value as sales_amount, retail_disc as retail_discount, coupon_disc as coupon_discount,
    coupon_match_disc as coupon_match_discount
from rdv.l_transaction as event
join rdv.h_basket as basket using (basket_hk)
join rdv.h_product as product using (product_hk)
join rdv.h_customer as customer using (customer_hk)
join rdv.h_store as store using (store_hk)
where event_date between first_date() and last_date()
