-- Each household on one date with the sums of every window, from the daily sums.

-- view: customer_windows
with favourite as (
    select customer_id, first(department order by sales_amount desc, department) as favourite_department
    from (
        select customer_id, department, sum(sales_amount) as sales_amount
        from agg.customer_department_day where business_date <= last_date() group by all
    )
    group by all
),
activity as (
    select
        customer_id, max(business_date) as last_active_date,
        min(business_date) filter (baskets > 0) as first_purchase_date,
        max(business_date) filter (baskets > 0) as last_purchase_date,
        sum(columns('^((sales|discount)_amount|baskets|units|contacts.*|responses.*|redemptions)$')) as '\0_lifetime',
        sum(columns('^((sales|discount)_amount|baskets|units|contacts.*|responses.*|redemptions)$'))
            filter (business_date > last_date() - 7) as '\0_7d',
        sum(columns('^((sales|discount)_amount|baskets|units|contacts.*|responses.*|redemptions)$'))
            filter (business_date > last_date() - 30) as '\0_30d',
        sum(columns('^((sales|discount)_amount|baskets|units)$'))
            filter (business_date > last_date() - 90) as '\0_90d'
    from agg.customer_day where business_date <= last_date() group by customer_id
)
select
    customer.* exclude (load_ts, run_id), last_active_date, first_purchase_date, last_purchase_date,
    favourite_department, coalesce(columns('_(lifetime|7d|30d|90d)$'), 0) as '\0'
from itf.customer as customer
left join activity using (customer_id)
left join favourite using (customer_id)
where customer.business_date = last_date()
