-- Each household and date of the range with the sums of every window, from an empty database.
-- Sums so far stand on the dates with activity and each date takes the latest; a window is the sum so far less the one
-- of so many dates before. Sales are never negative, so the leading department is the running maximum of a number: the
-- cents so far, then a position that is higher for the first by name.

-- view: customer_windows
with departments as (
    select department, row_number() over (order by department desc) as reverse_position
    from (select distinct department from agg.customer_department_day)
),
leaders as (
    select customer_id, business_date, max(cents_so_far * 1000 + reverse_position) as leader
    from (
        select
            *, (sum(sales_amount) over (partition by customer_id, department order by business_date) * 100)::bigint
                as cents_so_far
        from agg.customer_department_day join departments using (department)
    )
    group by all
),
so_far as (
    select
        customer_id, business_date as last_active_date,
        (sum(columns('^(sales|discount)_amount$')) over history)::decimal(18, 2) as '\0',
        (sum(columns('^(baskets|units|contacts.*|responses.*|redemptions)$')) over history)::bigint as '\0',
        min(case when baskets > 0 then business_date end) over history as first_purchase_date,
        max(case when baskets > 0 then business_date end) over history as last_purchase_date,
        max(leader) over history as leader
    from agg.customer_day left join leaders using (customer_id, business_date)
    window history as (partition by customer_id order by business_date)
),
as_of as (
    select
        customer.* exclude (load_ts, run_id), last_active_date, first_purchase_date, last_purchase_date, leader,
        coalesce(columns('^((sales|discount)_amount|baskets|units|contacts.*|responses.*|redemptions)$'), 0) as '\0'
    from itf.customer as customer
    asof left join (from so_far select * rename (customer_id as active_customer_id)) as so_far
        on active_customer_id = customer.customer_id and last_active_date <= customer.business_date
)
select
    business_date, customer_id, last_active_date, first_purchase_date, last_purchase_date,
    departments.department as favourite_department,
    first_seen_date, age_band, income_band, home_ownership, marital_status, household_size, household_composition,
    kids_count, email, has_demographics,
    columns('^((sales|discount)_amount|baskets|units|contacts.*|responses.*|redemptions)$') as '\0_lifetime',
    columns('^((sales|discount)_amount|baskets|units|contacts.*|responses.*|redemptions)$')
    - lag(columns('^((sales|discount)_amount|baskets|units|contacts.*|responses.*|redemptions)$'), 7, 0) over history
        as '\0_7d',
    columns('^((sales|discount)_amount|baskets|units|contacts.*|responses.*|redemptions)$')
    - lag(columns('^((sales|discount)_amount|baskets|units|contacts.*|responses.*|redemptions)$'), 30, 0) over history
        as '\0_30d',
    columns('^((sales|discount)_amount|baskets|units)$')
    - lag(columns('^((sales|discount)_amount|baskets|units)$'), 90, 0) over history as '\0_90d'
from as_of left join departments on departments.reverse_position = leader % 1000
window history as (partition by customer_id order by business_date)
