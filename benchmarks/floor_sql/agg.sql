-- The daily sums. Serve a range and a single date alike.
-- A response answers the latest contact of the customer by the campaign, on or before its date.

-- view: first_responses
with daily as (
    select business_date, campaign_id, customer_id, count(*) as redemptions
    from itf.response where business_date between first_date() and last_date() group by all
),
first as (
    select campaign_id, customer_id, min(business_date) as first_response_date
    from itf.response where business_date <= last_date() group by all
),
answered as (
    select
        daily.business_date, campaign_id, customer_id,
        first({'channel': channel, 'flowchart_run_id': flowchart_run_id}
            order by contact.business_date desc, contact_ts desc, flowchart_run_id) as contact
    from daily join itf.contact as contact using (campaign_id, customer_id)
    where contact.business_date <= daily.business_date
    group by all
)
select
    daily.*, (first_response_date = business_date)::integer as is_first, contact.channel as channel,
    contact.flowchart_run_id as flowchart_run_id
from daily
join first using (campaign_id, customer_id)
left join answered using (business_date, campaign_id, customer_id)

-- table: agg.customer_day
with purchases as (
    select
        business_date, customer_id, sum(sales_amount) as sales_amount, count(*) as baskets, sum(units) as units,
        sum(discount_amount) as discount_amount
    from (
        select
            business_date, customer_id, basket_id, sum(sales_amount) as sales_amount, sum(quantity) as units,
            sum(retail_discount + coupon_discount + coupon_match_discount) as discount_amount
        from itf.transaction where business_date between first_date() and last_date() group by all
    )
    group by all
),
contacts as (
    select
        business_date, customer_id, count(*) as contacts, count_if(channel = 'mail') as contacts_mail,
        count_if(channel = 'email') as contacts_email, count_if(channel = 'sms') as contacts_sms,
        count_if(channel = 'app') as contacts_app, count_if(is_control) as contacts_control
    from itf.contact where business_date between first_date() and last_date() group by all
),
responses as (
    select
        business_date, customer_id, sum(is_first) as responses,
        sum(is_first) filter (channel = 'mail') as responses_mail,
        sum(is_first) filter (channel = 'email') as responses_email,
        sum(is_first) filter (channel = 'sms') as responses_sms,
        sum(is_first) filter (channel = 'app') as responses_app, sum(redemptions) as redemptions
    from first_responses group by all
)
select
    business_date, customer_id, coalesce(sales_amount, 0)::decimal(18, 2) as sales_amount,
    coalesce(baskets, 0)::bigint as baskets, coalesce(units, 0)::bigint as units,
    coalesce(discount_amount, 0)::decimal(18, 2) as discount_amount, coalesce(contacts, 0)::bigint as contacts,
    coalesce(contacts_mail, 0)::bigint as contacts_mail, coalesce(contacts_email, 0)::bigint as contacts_email,
    coalesce(contacts_sms, 0)::bigint as contacts_sms, coalesce(contacts_app, 0)::bigint as contacts_app,
    coalesce(contacts_control, 0)::bigint as contacts_control, coalesce(responses, 0)::bigint as responses,
    coalesce(responses_mail, 0)::bigint as responses_mail, coalesce(responses_email, 0)::bigint as responses_email,
    coalesce(responses_sms, 0)::bigint as responses_sms, coalesce(responses_app, 0)::bigint as responses_app,
    coalesce(redemptions, 0)::bigint as redemptions
from purchases
full join contacts using (business_date, customer_id)
full join responses using (business_date, customer_id)

-- table: agg.customer_department_day
select
    line.business_date, customer_id, coalesce(department, 'UNKNOWN') as department,
    sum(sales_amount)::decimal(18, 2) as sales_amount
from itf.transaction as line
left join itf.product as product on product.product_id = line.product_id and product.business_date = line.business_date
    and product.business_date between first_date() and last_date()
where line.business_date between first_date() and last_date()
group by all

-- table: agg.campaign_day
with contacts as (
    select
        business_date, campaign_id, count(*) as contacts, count_if(channel = 'mail') as contacts_mail,
        count_if(channel = 'email') as contacts_email, count_if(channel = 'sms') as contacts_sms,
        count_if(channel = 'app') as contacts_app, count_if(is_control) as contacts_control,
        sum(contact_cost) as contact_cost
    from itf.contact where business_date between first_date() and last_date() group by all
),
responses as (
    select business_date, campaign_id, sum(is_first) as responses, sum(redemptions) as redemptions
    from first_responses group by all
)
select
    business_date, campaign_id, coalesce(contacts, 0)::bigint as contacts,
    coalesce(contacts_mail, 0)::bigint as contacts_mail, coalesce(contacts_email, 0)::bigint as contacts_email,
    coalesce(contacts_sms, 0)::bigint as contacts_sms, coalesce(contacts_app, 0)::bigint as contacts_app,
    coalesce(contacts_control, 0)::bigint as contacts_control,
    coalesce(contact_cost, 0)::decimal(18, 4) as contact_cost, coalesce(responses, 0)::bigint as responses,
    coalesce(redemptions, 0)::bigint as redemptions
from contacts full join responses using (business_date, campaign_id)

-- An offer once known stays known, so its first date in the range says for which dates it holds.

-- table: agg.campaign_customer_day
with offered as (
    select campaign_id, product_id, min(business_date) as offered_since
    from itf.offer where business_date between first_date() and last_date() group by all
),
running as (
    select business_date, campaign_id from itf.campaign
    where business_date between first_date() and last_date() and business_date between start_date and end_date
)
select business_date, campaign_id, customer_id, sum(sales_amount)::decimal(18, 2) as offered_sales_amount
from itf.transaction as line
join offered using (product_id)
join running using (business_date, campaign_id)
where business_date between first_date() and last_date() and business_date >= offered_since
group by all

-- table: agg.flowchart_day
with runs as (
    select
        business_date, flowchart_id, max(started_at) as last_run_at, count(*) as executions,
        count_if(run_status = 'failed') as failed_runs, count(ended_at) as finished_runs,
        sum(date_diff('second', started_at, ended_at)) as duration_seconds, sum(records_selected) as records_selected
    from itf.flowchart_run where business_date between first_date() and last_date() group by all
),
contacts as (
    select contact.business_date, flowchart_id, count(*) as contacts
    from itf.contact as contact join itf.flowchart_run as run using (flowchart_run_id)
    where contact.business_date between first_date() and last_date() and run.business_date <= contact.business_date
    group by all
),
responses as (
    select answered.business_date, flowchart_id, sum(is_first) as responses, sum(redemptions) as redemptions
    from first_responses as answered join itf.flowchart_run as run using (flowchart_run_id)
    where run.business_date <= answered.business_date
    group by all
)
select
    business_date, flowchart_id, coalesce(executions, 0)::bigint as executions, last_run_at,
    coalesce(failed_runs, 0)::bigint as failed_runs, coalesce(finished_runs, 0)::bigint as finished_runs,
    coalesce(duration_seconds, 0)::bigint as duration_seconds, coalesce(records_selected,
    0)::bigint as records_selected,
    coalesce(contacts, 0)::bigint as contacts, coalesce(responses, 0)::bigint as responses,
    coalesce(redemptions, 0)::bigint as redemptions
from runs
full join contacts using (business_date, flowchart_id)
full join responses using (business_date, flowchart_id)
