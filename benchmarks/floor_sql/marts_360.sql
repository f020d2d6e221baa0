-- The 360s as of each date, and what is published of them. Serve a range and a single date alike.

-- table: cs_360_db.customer_360
with windows as materialized (from customer_windows),
quintiles as (
    select
        business_date, customer_id,
        ntile(5) over (partition by business_date order by last_purchase_date, customer_id) as recency_quintile,
        ntile(5) over (partition by business_date order by baskets_lifetime, customer_id) as frequency_quintile,
        ntile(5) over (partition by business_date order by sales_amount_lifetime, customer_id) as monetary_quintile
    from windows where last_purchase_date is not null
)
select
    business_date, customer_id, first_seen_date, coalesce(last_active_date, first_seen_date) as last_seen_date,
    age_band,
    income_band, home_ownership, marital_status, household_size, household_composition, kids_count, email,
    has_demographics,
    sales_amount_lifetime::decimal(18, 2) as sales_amount_lifetime, baskets_lifetime::bigint as baskets_lifetime,
    units_lifetime::bigint as units_lifetime,
    discount_amount_lifetime::decimal(18, 2) as discount_amount_lifetime,
    rate(sales_amount_lifetime, baskets_lifetime)::decimal(18, 4) as average_basket_amount_lifetime,
    sales_amount_7d::decimal(18, 2) as sales_amount_7d, baskets_7d::bigint as baskets_7d, units_7d::bigint as units_7d,
    discount_amount_7d::decimal(18, 2) as discount_amount_7d,
    rate(sales_amount_7d, baskets_7d)::decimal(18, 4) as average_basket_amount_7d,
    sales_amount_30d::decimal(18, 2) as sales_amount_30d, baskets_30d::bigint as baskets_30d,
    units_30d::bigint as units_30d,
    discount_amount_30d::decimal(18, 2) as discount_amount_30d,
    rate(sales_amount_30d, baskets_30d)::decimal(18, 4) as average_basket_amount_30d,
    sales_amount_90d::decimal(18, 2) as sales_amount_90d, baskets_90d::bigint as baskets_90d,
    units_90d::bigint as units_90d,
    discount_amount_90d::decimal(18, 2) as discount_amount_90d,
    rate(sales_amount_90d, baskets_90d)::decimal(18, 4) as average_basket_amount_90d,
    first_purchase_date, last_purchase_date, date_diff('day', last_purchase_date,
    business_date) as days_since_last_purchase,
    recency_quintile, frequency_quintile, monetary_quintile, favourite_department,
    columns('^(contacts|responses|redemptions)(_mail|_email|_sms|_app|_control)?_lifetime$')::bigint as '\0',
    rate(responses_lifetime, contacts_lifetime - contacts_control_lifetime)::decimal(9, 6) as response_rate_lifetime,
    rate(responses_mail_lifetime, contacts_mail_lifetime)::decimal(9, 6) as response_rate_mail_lifetime,
    rate(responses_email_lifetime, contacts_email_lifetime)::decimal(9, 6) as response_rate_email_lifetime,
    rate(responses_sms_lifetime, contacts_sms_lifetime)::decimal(9, 6) as response_rate_sms_lifetime,
    rate(responses_app_lifetime, contacts_app_lifetime)::decimal(9, 6) as response_rate_app_lifetime,
    columns('^(contacts|responses|redemptions)(_mail|_email|_sms|_app|_control)?_7d$')::bigint as '\0',
    rate(responses_7d, contacts_7d - contacts_control_7d)::decimal(9, 6) as response_rate_7d,
    rate(responses_mail_7d, contacts_mail_7d)::decimal(9, 6) as response_rate_mail_7d,
    rate(responses_email_7d, contacts_email_7d)::decimal(9, 6) as response_rate_email_7d,
    rate(responses_sms_7d, contacts_sms_7d)::decimal(9, 6) as response_rate_sms_7d,
    rate(responses_app_7d, contacts_app_7d)::decimal(9, 6) as response_rate_app_7d,
    columns('^(contacts|responses|redemptions)(_mail|_email|_sms|_app|_control)?_30d$')::bigint as '\0',
    rate(responses_30d, contacts_30d - contacts_control_30d)::decimal(9, 6) as response_rate_30d,
    rate(responses_mail_30d, contacts_mail_30d)::decimal(9, 6) as response_rate_mail_30d,
    rate(responses_email_30d, contacts_email_30d)::decimal(9, 6) as response_rate_email_30d,
    rate(responses_sms_30d, contacts_sms_30d)::decimal(9, 6) as response_rate_sms_30d,
    rate(responses_app_30d, contacts_app_30d)::decimal(9, 6) as response_rate_app_30d
from windows left join quintiles using (business_date, customer_id)

-- table: cs_360_db.campaign_360
with so_far as (
    select dates.business_date, campaign_id, 
        sum(columns('^(contacts.*|contact_cost|responses|redemptions)$')) as '\0'
    from dates() as dates join agg.campaign_day as daily on daily.business_date <= dates.business_date
    group by all
),
responders as (
    select campaign_id, customer_id, min(business_date) as first_response_date
    from itf.response where business_date <= last_date() group by all
),
attributed_daily as (
    select campaign_id, greatest(business_date, first_response_date) as day, sum(offered_sales_amount) as amount
    from agg.campaign_customer_day join responders using (campaign_id, customer_id)
    where business_date <= last_date()
    group by all
),
attributed as (
    select dates.business_date, campaign_id, sum(amount) as attributed_sales_amount
    from dates() as dates join attributed_daily on day <= dates.business_date
    group by all
),
result as (
    select
        campaign.* exclude (load_ts, run_id), coalesce(contact_cost, 0)::decimal(18, 4) as contact_cost,
        coalesce(attributed_sales_amount, 0)::decimal(18, 2) as attributed_sales_amount,
        coalesce(contacts - contacts_control, 0)::bigint as audience_target,
        coalesce(columns('^(contacts(_mail|_email|_sms|_app|_control)?|responses|redemptions)$'), 0)::bigint as '\0'
    from itf.campaign as campaign
    left join so_far using (business_date, campaign_id)
    left join attributed using (business_date, campaign_id)
    where campaign.business_date between first_date() and last_date()
)
select
    business_date, campaign_id, campaign_name, campaign_type, start_date, end_date, objective, budget,
    contacts as audience, audience_target, contacts_control as audience_control, contacts_mail, contacts_email,
    contacts_sms, contacts_app, responses, rate(responses, audience_target)::decimal(9, 6) as response_rate,
    redemptions,
    contact_cost, attributed_sales_amount, rate(contact_cost, audience_target)::decimal(18, 4) as cost_per_contact,
    rate(contact_cost, responses)::decimal(18, 4) as cost_per_response,
    rate(attributed_sales_amount - contact_cost, contact_cost)::decimal(18, 4) as roi
from result

-- table: cs_360_db.flowchart_360
with so_far as (
    select
        dates.business_date, flowchart_id, max(last_run_at) as last_run_at,
        sum(columns('^(executions|.*_runs|duration_seconds|records_selected|contacts|responses|redemptions)$')) as '\0'
    from dates() as dates join agg.flowchart_day as daily on daily.business_date <= dates.business_date
    group by all
)
select
    business_date, flowchart_id, flowchart_name, campaign_id, flowchart_status,
    coalesce(executions, 0)::bigint as execution_count, last_run_at,
    rate(duration_seconds, finished_runs)::decimal(18, 2) as average_duration_seconds,
    coalesce(failed_runs, 0)::bigint as failed_run_count, coalesce(records_selected, 0)::bigint as records_selected,
    coalesce(contacts, 0)::bigint as contacts, coalesce(responses, 0)::bigint as responses,
    coalesce(redemptions, 0)::bigint as redemptions
from itf.flowchart as flowchart
left join so_far using (business_date, flowchart_id)
where flowchart.business_date between first_date() and last_date()

-- table: cdm_publish_db.customer_360
select * exclude (load_ts, run_id) replace (token(email) as email)
from cs_360_db.customer_360 where business_date between first_date() and last_date()

-- table: cdm_publish_db.campaign_360
select * exclude (load_ts, run_id)
from cs_360_db.campaign_360 where business_date between first_date() and last_date()

-- table: cdm_publish_db.flowchart_360
select * exclude (load_ts, run_id)
from cs_360_db.flowchart_360 where business_date between first_date() and last_date()
